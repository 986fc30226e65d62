/**
 * A server with backups that is lost and restored, and a consumer that keeps its cursor over it: the auditor follows the firehose, and where
 * a #sync shows it a tree that it has not, it fetches the repo, as relays do.
 */
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupKey, newBackupKey } from "../src/backup/backup_key.ts";
import { FolderDestination } from "../src/backup/folder_destination.ts";
import { Repository } from "../src/backup/repository.ts";
import type { RestoreReport } from "../src/backup/restore_report.ts";
import { type Account, createAccount, repoCar, xrpc } from "./client.ts";
import { type Event, Firehose } from "./firehose.ts";
import { ADMIN_PASSWORD, TestServer } from "./harness.ts";
import { FirehoseAuditor, type JudgedRepo, judgeRepo, type KeyLookup } from "./judges.ts";
import { type Ran, runKith } from "./kith_command.ts";
import { PlcDirectory } from "./plc_directory.ts";
import { keyLookup } from "./stage.ts";
import { waitFor } from "./wait.ts";

const ADMIN = { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` };
/** What follows upon one another, as the news of a start, comes faster. */
const STILL_MS = 200;

export class FakeRelay implements AsyncDisposable {
  /** What getHostStatus says; undefined: it does not know the host. */
  seq: number | undefined;
  /** It answers nothing but errors. */
  isDown = false;
  /** Every answer waits for it. */
  hold: Promise<unknown> = Promise.resolve();
  readonly crawls: string[] = [];
  readonly asked: string[] = [];
  readonly #server: Bun.Server<undefined>;

  constructor() {
    this.#server = Bun.serve({
      port: 0,
      hostname: "localhost",
      fetch: async (request) => {
        const url = new URL(request.url);
        await this.hold;
        if (this.isDown) return new Response("down", { status: 503 });
        if (url.pathname.endsWith("requestCrawl")) {
          this.crawls.push(((await request.json()) as { hostname: string }).hostname);
          return Response.json({});
        }
        this.asked.push(url.searchParams.get("hostname") ?? "");
        if (this.seq === undefined)
          return Response.json({ error: "HostNotFound", message: "host not found" }, { status: 400 });
        return Response.json({ hostname: "localhost", seq: this.seq, accountCount: 1, status: "active" });
      },
    });
  }

  get url(): string {
    return `http://localhost:${this.#server.port}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }
}

export interface RestoredStageOptions {
  /** Where the server backs up to; a folder of the stage where absent. */
  readonly destination?: string;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

export class RestoredStage implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), "kith-restore-"));
  readonly data = join(this.path, "data");
  readonly destination: string;
  readonly key = newBackupKey();
  readonly plc: PlcDirectory;
  readonly relay = new FakeRelay();
  readonly server: TestServer;
  readonly auditor: FirehoseAuditor;
  readonly keyOf: KeyLookup;
  readonly events: Event[] = [];
  /** Every tree that an account had, as the firehose told it: by DID, in order. */
  readonly trees = new Map<string, string[]>();
  readonly #env: Record<string, string | undefined>;
  firehose!: Firehose;

  private constructor(plc: PlcDirectory, { env, destination }: RestoredStageOptions) {
    this.destination = destination ?? join(this.path, "backup");
    this.plc = plc;
    this.#env = {
      PDS_DATA_DIRECTORY: this.data,
      PDS_DID_PLC_URL: plc.url,
      PDS_CRAWLERS: this.relay.url,
      KITH_BACKUP_DESTINATION: this.destination,
      KITH_BACKUP_KEY: this.key,
      KITH_BACKUP_INTERVAL_HOURS: "0",
      KITH_BACKUP_LOG_SHIP_SECONDS: "1",
      ...env,
    };
    this.server = new TestServer({ folder: this.path, env: this.#env });
    this.keyOf = keyLookup(plc);
    this.auditor = new FirehoseAuditor(this.keyOf);
  }

  static async open(options: RestoredStageOptions = {}): Promise<RestoredStage> {
    const stage = new RestoredStage(await PlcDirectory.start(), options);
    try {
      await stage.server.start();
      await stage.follow();
      return stage;
    } catch (error) {
      await stage[Symbol.asyncDispose]();
      throw error;
    }
  }

  get url(): string {
    return this.server.url;
  }

  /** The settings of the server, for commands beside it. */
  get env(): Readonly<Record<string, string | undefined>> {
    return { ...this.#env, PDS_PORT: String(this.server.port) };
  }

  /** Changes a setting, for commands and for the next start. */
  set(name: string, value: string | undefined): void {
    this.#env[name] = value;
    this.server.set(name, value);
  }

  account(name: string): Promise<Account> {
    return createAccount(this.url, name, this.plc);
  }

  /** Follows the firehose from where it is. */
  async follow(): Promise<void> {
    const cursor = this.events.at(-1)?.seq ?? 0;
    this.firehose = await Firehose.connect(this.url, {
      cursor,
      keep: false,
      onEvent: (event) => this.#take(event),
    });
  }

  #take(event: Event): void {
    const last = this.events.at(-1)?.seq ?? 0;
    if (event.seq <= last) throw new Error(`seq ${event.seq} after ${last}`);
    this.events.push(event);
    this.auditor.take(event);
  }

  /** Waits until the consumer has all that the server has told, and the commit of this rev, which may be answered before it is told. */
  async settle(rev?: string): Promise<void> {
    if (rev !== undefined) {
      await waitFor(`the commit "${rev}"`, () => this.events.some(({ body }) => body.rev === rev));
    }
    await waitFor("the firehose to be still", async () => {
      const before = this.events.length;
      await Bun.sleep(STILL_MS);
      return this.events.length === before && (this.events.at(-1)?.seq ?? 0) >= (await this.#toldUpTo());
    });
    await this.auditor.finish();
  }

  /** What a method answers to somebody, or to the operator; throws where it refuses. */
  async call(nsid: string, body: object, by: Account | "admin"): Promise<Record<string, unknown>> {
    const auth = by === "admin" ? { headers: ADMIN } : { token: by.accessJwt };
    const answer = await xrpc(this.url, nsid, { body, ...auth });
    if (answer.status !== 200)
      throw new Error(`${nsid} answers ${answer.status} ${JSON.stringify(answer.json)}`);
    return answer.json;
  }

  /** The newest event that the server has for its subscribers. */
  async #toldUpTo(): Promise<number> {
    const answer = await fetch(`${this.url}/metrics`, { headers: ADMIN });
    return Number(/^kith_sequencer_seq (\d+)$/m.exec(await answer.text())?.[1]);
  }

  async kith(args: readonly string[], env: Readonly<Record<string, string | undefined>> = {}): Promise<Ran> {
    return await runKith(args, { env: { ...this.env, ...env } });
  }

  async backUp(): Promise<void> {
    const ran = await this.kith(["backup"]);
    if (ran.code !== 0) throw new Error(`kith backup ends with ${ran.code}: ${ran.err}${ran.out}`);
  }

  /** Restores into the data folder, which must be gone; the report. */
  async restore(args: readonly string[] = []): Promise<{ ran: Ran; report: RestoreReport }> {
    const ran = await this.kith(["restore", this.destination, ...args]);
    const path = join(this.data, "restored.json");
    if (!existsSync(path)) throw new Error(`kith restore ends with ${ran.code}: ${ran.err}${ran.out}`);
    return { ran, report: JSON.parse(readFileSync(path, "utf8")) as RestoreReport };
  }

  repository(): Promise<Repository> {
    return Repository.open(new FolderDestination(this.destination), BackupKey.parse(this.key));
  }

  /** The newest event that is at the destination. */
  async shippedUpTo(): Promise<number> {
    return (await (await this.repository()).segments()).at(-1)?.last ?? 0;
  }

  /** The data folder is lost. */
  lose(): void {
    renameSync(this.data, `${this.data}.lost`);
  }

  async repo(did: string): Promise<JudgedRepo> {
    return judgeRepo(await repoCar(this.url, did), did, await this.keyOf(did));
  }

  /** What a relay does after a #sync: it takes the repo as it is. */
  async resync(did: string): Promise<JudgedRepo> {
    const repo = await this.repo(did);
    const followed = this.auditor.of(did);
    if (repo.data !== followed.data) throw new Error(`The repo of "${did}" is not what #sync has shown`);
    followed.records.clear();
    for (const [path, cid] of repo.records) followed.records.set(path, cid);
    return repo;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.firehose?.[Symbol.dispose]();
    await this.server[Symbol.asyncDispose]();
    await this.relay[Symbol.asyncDispose]();
    await this.plc[Symbol.asyncDispose]();
    rmSync(this.path, { recursive: true, force: true });
  }
}
