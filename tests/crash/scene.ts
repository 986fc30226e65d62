/**
 * Many at work on one data folder, through one crash after the other. After each, every answered write is there and provable, and a
 * consumer that keeps its cursor over all the starts has seen each commit exactly once.
 */
import { expect } from "bun:test";
import { createAccount, PASSWORD, repoCar, xrpc } from "../client.ts";
import { type Event, Firehose } from "../firehose.ts";
import { TestServer } from "../harness.ts";
import { FirehoseAuditor, judgeRepo } from "../judges.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { keyLookup } from "../stage.ts";
import { seededRandom, waitFor, within } from "../wait.ts";
import { Creator, type Signup, signUp, Writer } from "./workload.ts";

const WRITERS = 6;
/** A disk may be slow, and the crash comes at an operation of it. */
const LOAD_LIMIT_MS = 300_000;

export class Scene implements AsyncDisposable {
  readonly random: () => number;
  readonly frames = new Map<number, Uint8Array>();
  readonly auditor: FirehoseAuditor;
  readonly keyOf: (did: string) => Promise<string>;
  readonly writers: Writer[] = [];
  readonly creators: Creator[] = [];
  #firehose: Firehose | undefined;
  #lastSeq = 0;

  private constructor(
    readonly plc: PlcDirectory,
    readonly server: TestServer,
    seed: number,
  ) {
    this.random = seededRandom(seed);
    this.keyOf = keyLookup(plc);
    this.auditor = new FirehoseAuditor(this.keyOf);
  }

  /** `prepare` may still change what the server is started with. */
  static async open(options: {
    seed: number;
    writers?: number;
    prepare?: (server: TestServer) => void;
    /** What is run instead of `kith serve`. */
    command?: readonly string[] | undefined;
  }): Promise<Scene> {
    const plc = await PlcDirectory.start();
    const { command } = options;
    const server = new TestServer({ env: { PDS_DID_PLC_URL: plc.url }, ...(command ? { command } : {}) });
    options.prepare?.(server);
    const scene = new Scene(plc, server, options.seed);
    try {
      await server.start();
      await scene.#setUp(options.writers ?? WRITERS);
      return scene;
    } catch (error) {
      await scene[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return this.server.url;
  }

  /** Follows the firehose from where it was when the server died. */
  async #follow(): Promise<void> {
    this.#firehose = await Firehose.connect(this.url, {
      cursor: this.#lastSeq,
      keep: false,
      onEvent: (event) => this.#take(event),
    });
  }

  #take(event: Event): void {
    if (event.seq <= this.#lastSeq) throw new Error(`seq ${event.seq} after ${this.#lastSeq}`);
    this.#lastSeq = event.seq;
    this.frames.set(event.seq, event.frame);
    this.auditor.take(event);
  }

  async #setUp(writers: number): Promise<void> {
    await this.#follow();
    for (let i = 0; i < writers; i += 1) {
      const account = await createAccount(this.url, `writer${i}`, this.plc);
      this.writers.push(new Writer(account, { prefix: `a${i}`, random: this.random }));
      // two at once on every second repo
      if (i % 2) this.writers.push(new Writer(account, { prefix: `b${i}`, random: this.random }));
    }
  }

  /**
   * Load until the server is gone, which `crash` sees to. `name` makes the names of the accounts that are created; where the load takes
   * long, nobody signs up.
   */
  async crash(
    name: string,
    crash: () => Promise<unknown>,
    options: { mayRefuse?: boolean; limitMs?: number } = {},
  ): Promise<Creator[]> {
    const { limitMs } = options;
    const creators = limitMs === undefined ? [new Creator(`c${name}x`), new Creator(`d${name}x`)] : [];
    this.creators.push(...creators);
    const load = Promise.all([...this.writers, ...creators].map((worker) => worker.run(this.url, options)));
    await within("the load to end", Promise.all([load, crash()]), limitMs ?? LOAD_LIMIT_MS);
    await this.noticeDeath();
    return creators;
  }

  async noticeDeath(): Promise<void> {
    await waitFor("the consumer to notice", () => this.#firehose?.closed);
    this.#firehose?.assertClean();
  }

  /** Starts it again, follows on, and judges all that was answered before. */
  async recover(creators: readonly Creator[] = []): Promise<void> {
    await this.server.start();
    await this.#follow();
    await this.#judgeWriters((did) => this.judgeRepo(did));
    for (const creator of creators) await this.#judgeSignups(creator);
  }

  /** The records of a repo, judged, once the firehose has told all that is in it. */
  async judgeRepo(did: string): Promise<ReadonlyMap<string, string>> {
    const repo = await judgeRepo(await repoCar(this.url, did), did, await this.keyOf(did));
    await waitFor(`the firehose to reach "${repo.rev}" of "${did}"`, async () => {
      await this.auditor.finish();
      this.#firehose?.assertClean();
      return this.auditor.of(did).rev === repo.rev;
    });
    expect([...this.auditor.of(did).records].sort()).toEqual([...repo.records].sort());
    return repo.records;
  }

  /** Holds the repos alone against what was answered, whatever the firehose says. */
  judgeRepos(): Promise<void> {
    return this.#judgeWriters(async (did) => {
      const { records } = await judgeRepo(await repoCar(this.url, did), did, await this.keyOf(did));
      return records;
    });
  }

  async #judgeWriters(recordsOf: (did: string) => Promise<ReadonlyMap<string, string>>): Promise<void> {
    for (const did of new Set(this.writers.map((writer) => writer.account.did))) {
      const records = await recordsOf(did);
      for (const writer of this.writers.filter(({ account }) => account.did === did))
        writer.check(new Map([...records].filter(([path]) => writer.owns(path))));
    }
  }

  async #judgeSignups(creator: Creator): Promise<void> {
    for (const [did, { handle }] of creator.answered) {
      const found = await xrpc(this.url, "com.atproto.identity.resolveHandle", { params: { handle } });
      expect(found.json).toEqual({ did });
      await this.#judgeNew(did);
    }
    if (creator.open) await this.judgeSignup(creator.open);
  }

  async #judgeNew(did: string): Promise<void> {
    await this.judgeRepo(did);
    await waitFor("the events of the new account", () => this.auditor.of(did).events.length >= 4);
    expect(this.auditor.of(did).events).toEqual(["#identity", "#account", "#commit", "#sync"]);
    const status = await xrpc(this.url, "com.atproto.sync.getRepoStatus", { params: { did } });
    expect(status.json.active).toBe(true);
  }

  /** The DID of a sign-up, which may have been answered or not: complete, with its four events. */
  async judgeSignup(signup: Signup): Promise<string> {
    const did = await this.#completeOrFree(signup);
    await this.#judgeNew(did);
    return did;
  }

  /** A sign-up that was never answered: either its owner can sign in, or the name can be had now. */
  #completeOrFree(signup: Signup): Promise<string> {
    return waitFor(`"${signup.handle}" to be complete or free`, async () => {
      const body = { identifier: signup.handle, password: PASSWORD };
      const session = await xrpc(this.url, "com.atproto.server.createSession", { body, alone: true });
      if (session.status === 200) return String(session.json.did);
      const fresh = await signUp(this.url, signup);
      return fresh.status === 200 && String(fresh.json.did);
    });
  }

  /** A replay from the beginning is what was seen live, byte for byte: no seq was given twice. */
  async replay(): Promise<void> {
    const last = Math.max(...this.frames.keys());
    using replay = await Firehose.connect(this.url, { cursor: 0 });
    await replay.find("the last event", (event) => event.seq === last);
    replay.assertClean();
    expect(replay.events.map((event) => event.seq)).toEqual([...this.frames.keys()]);
    for (const event of replay.events)
      expect(Buffer.compare(Buffer.from(event.frame), Buffer.from(this.frames.get(event.seq)!))).toBe(0);
  }

  /** Says in an error which round it was, and what the server printed last. */
  explain(round: number, error: unknown): Error {
    const output = this.server.output
      .split("\n")
      .filter((line) => !line.includes(`"level":"info"`))
      .slice(-30)
      .join("\n");
    const message = error instanceof Error ? error.message : String(error);
    return new Error(`Round ${round}: ${message}\n${output}`, { cause: error });
  }

  /** In words, for the end of a run. */
  get summary(): string {
    const signups = this.creators.reduce((sum, creator) => sum + creator.answered.size, 0);
    return `${this.answered} answered writes, ${signups} answered sign-ups, ${this.auditor.commits} commits`;
  }

  get answered(): number {
    return this.writers.reduce((sum, writer) => sum + writer.answered, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#firehose?.[Symbol.dispose]();
    await this.server[Symbol.asyncDispose]();
    await this.plc[Symbol.asyncDispose]();
  }
}
