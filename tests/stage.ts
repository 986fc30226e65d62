/**
 * What an end-to-end test plays on: the real server, the real PLC directory, an account, and a firehose that an auditor
 * follows from the first event on. Tests are table rows: a request, what it answers, and the events it causes.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  type Account,
  type Answer,
  type Call,
  createAccount,
  createRecord,
  http,
  repoCar,
} from "./client.ts";
import { describeEvent, type Event, Firehose, opsOf } from "./firehose.ts";
import { type KeyType, type ServerOptions, TestServer } from "./harness.ts";
import { FirehoseAuditor, type JudgedRepo, judgeRepo, type KeyLookup, signingKeyOf } from "./judges.ts";
import { PlcDirectory } from "./plc_directory.ts";

/** Of an answer that is not as expected so many bytes are shown. */
const TEXT_SHOWN_MAX = 2_000;
const MARK_COLLECTION = "dev.kith.test.mark";

export interface StageOptions {
  readonly keyType?: KeyType;
  /** Settings; as a function they are asked for when the stage is set. */
  readonly env?: ServerOptions["env"] | (() => ServerOptions["env"]);
  /** Called once it is set, before the tests. */
  readonly onReady?: (stage: Stage) => unknown;
}

export class Stage implements AsyncDisposable {
  readonly plc: PlcDirectory;
  readonly server: TestServer;
  readonly firehose: Firehose;
  readonly auditor: FirehoseAuditor;
  /** The account that tests act as. */
  alice!: Account;
  #marker!: Account;
  #marks = 0;

  private constructor(parts: Pick<Stage, "plc" | "server" | "firehose" | "auditor">) {
    this.plc = parts.plc;
    this.server = parts.server;
    this.firehose = parts.firehose;
    this.auditor = parts.auditor;
  }

  static async open(options: StageOptions = {}): Promise<Stage> {
    const env = typeof options.env === "function" ? options.env() : options.env;
    await using opened = new AsyncDisposableStack();
    const plc = opened.use(await PlcDirectory.start());
    const server = opened.use(
      await TestServer.start({
        env: { PDS_DID_PLC_URL: plc.url, PDS_ACCOUNT_KEY_TYPE: options.keyType, ...env },
      }),
    );
    const auditor = new FirehoseAuditor(keyLookup(plc));
    const firehose = await Firehose.connect(server.url, { onEvent: (event) => auditor.take(event) });
    const stage = new Stage({ plc, server, firehose, auditor });
    // From here on the stage closes them.
    opened.move();
    try {
      stage.alice = await createAccount(server.url, "alice", plc);
      stage.#marker = await createAccount(server.url, "marker", plc);
      await stage.eventsDuring(async () => undefined);
      await options.onReady?.(stage);
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw new Error(`The stage could not be set; the server printed:\n${server.output}`, { cause: error });
    }
    return stage;
  }

  get url(): string {
    return this.server.url;
  }

  /** A new account with a handle of its own. */
  account(name: string): Promise<Account> {
    return createAccount(this.url, name, this.plc);
  }

  /**
   * The events that reach the firehose because of an action. Before it and after it a marker is written by another
   * account: what stands between them in the stream is all there is, and nothing of what was done earlier.
   */
  async eventsDuring<T>(action: () => Promise<T>): Promise<{ value: T; events: Event[] }> {
    const from = (await this.#mark()) + 1;
    const value = await action();
    return { value, events: this.firehose.events.slice(from, await this.#mark()) };
  }

  /** Writes a marker, and resolves to its index among the firehose's events once it has arrived. */
  async #mark(): Promise<number> {
    const { events } = this.firehose;
    this.#marks += 1;
    const rkey = `mark-${this.#marks}`;
    const record = { $type: MARK_COLLECTION, number: this.#marks };
    const before = events.length;
    await createRecord(this.url, this.#marker, { collection: MARK_COLLECTION, rkey, record });
    const isMark = (event: Event) =>
      event.did === this.#marker.did &&
      event.type === "#commit" &&
      opsOf(event).some((op) => op.path.endsWith(`/${rkey}`));
    return events.indexOf(await this.firehose.find(`"${rkey}" on the firehose`, isMark, before));
  }

  /** The whole repo of an account, judged. */
  async repo(account: Account): Promise<JudgedRepo> {
    return judgeRepo(await repoCar(this.url, account.did), account.did, account.didKey);
  }

  /** Judges everything the firehose has said, and that it leads to what the repos hold. */
  async judgeAll(): Promise<void> {
    await this.eventsDuring(async () => undefined);
    this.firehose.assertClean();
    await this.auditor.finish();
    for (const [did, followed] of this.auditor.accounts) {
      if (!followed.active) continue;
      const didKey = await keyLookup(this.plc)(did);
      const repo = await judgeRepo(await repoCar(this.url, did), did, didKey);
      expect({ did, rev: repo.rev, records: [...repo.records].sort() }).toEqual({
        did,
        rev: followed.rev ?? "",
        records: [...followed.records].sort(),
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.firehose[Symbol.dispose]();
    try {
      await this.server[Symbol.asyncDispose]();
    } finally {
      // The server's end may be a test's failure, and a directory left behind would hold up the run.
      await this.plc[Symbol.asyncDispose]();
    }
  }
}

/** The signing key of any DID, asked once of the directory, and again after news of the identity. */
export function keyLookup(plc: Pick<PlcDirectory, "document">): KeyLookup {
  const keys = new Map<string, string>();
  const lookUp = async (did: string): Promise<string> => {
    const known = keys.get(did);
    if (known) return known;
    const key = signingKeyOf(await plc.document(did));
    keys.set(did, key);
    return key;
  };
  return Object.assign(lookUp, { forget: (did: string) => void keys.delete(did) });
}

/** Sets a stage before the tests of a `describe` and clears it after them. */
export function useStage(options: StageOptions = {}): { readonly stage: Stage } {
  let stage: Stage | undefined;
  beforeAll(async () => {
    stage = await Stage.open(options);
  });
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
  });
  return {
    get stage() {
      if (!stage) throw new Error("The stage is not set");
      return stage;
    },
  };
}

export interface Row {
  readonly title: string;
  /** NSID of an XRPC method, or a path that begins with a slash. */
  readonly to: string;
  readonly call?: (stage: Stage) => Call | Promise<Call>;
  /** Several where the specification leaves it open. */
  readonly status: number | readonly number[];
  /** The error name; its body is then `{error, message}` and no stack trace. */
  readonly error?: string | readonly string[];
  /** What reaches the firehose, in order, as `describeEvent` says it. */
  readonly events?: readonly string[];
  readonly check?: (answer: Answer, stage: Stage) => void | Promise<void>;
}

/** One test a row, in order: rows may build on those before. */
export function testRows(holder: { readonly stage: Stage }, rows: readonly Row[]): void {
  for (const row of rows) {
    test(`${row.to}: ${row.title}`, async () => {
      const { stage } = holder;
      const address = row.to.startsWith("/") ? `${stage.url}${row.to}` : `${stage.url}/xrpc/${row.to}`;
      const { value: answer, events } = await stage.eventsDuring(async () =>
        http(address, (await row.call?.(stage)) ?? {}),
      );
      const text = new TextDecoder().decode(answer.bytes.subarray(0, TEXT_SHOWN_MAX));
      const { status, error } = answer;
      expect({ status, error, text }).toEqual({
        status: oneOf(status, row.status),
        error: oneOf(error, row.error),
        text,
      });
      if (status >= 400) expectErrorBody(answer);
      expect(events.map(describeEvent)).toEqual([...(row.events ?? [])]);
      await row.check?.(answer, stage);
    });
  }
}

/** What was got, if it is among what is allowed, else the first of that. */
function oneOf<T>(got: T, allowed: T | readonly T[]): T {
  const all = [allowed].flat() as T[];
  return all.includes(got) ? got : (all[0] as T);
}

/** An error body names the error, says what failed, and shows nothing of the inside. */
export function expectErrorBody(answer: Answer): void {
  expect(answer.headers.get("content-type")).toMatch(/^application\/json/);
  expect(typeof answer.json.error).toBe("string");
  expect(typeof answer.json.message).toBe("string");
  const text = JSON.stringify(answer.json);
  expect(text).not.toMatch(/:\d+:\d+\)|\/src\/|node_modules|\.ts:\d+|SQLITE_/);
}
