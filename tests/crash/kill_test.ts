/**
 * `kill -9` at random moments while many write and sign up, again and again on one data folder. After each restart
 * every answered write is there and provable, and a consumer that keeps its cursor over all the restarts has seen each
 * commit exactly once. `KITH_TEST_KILLS` and `KITH_TEST_SEED` change the number of kills and the moments.
 */
import { expect, test } from "bun:test";
import { createAccount, PASSWORD, repoCar, xrpc } from "../client.ts";
import { type Event, Firehose } from "../firehose.ts";
import { TestServer } from "../harness.ts";
import { FirehoseAuditor, judgeRepo } from "../judges.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { keyLookup } from "../stage.ts";
import { seededRandom, waitFor, within } from "../wait.ts";
import { Creator, type Signup, signUp, Writer } from "./workload.ts";

const KILLS = Number(process.env.KITH_TEST_KILLS ?? 50);
const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
/** The latest moment of a kill, counted from the begin of the writes. */
const KILL_AFTER_MS_MAX = 700;
/** One restart in so many is itself killed at a random moment. */
const KILL_START_EVERY = 6;
const START_MS_MAX = 250;
const WRITERS = 6;
const LIMIT_MS = 600_000;

class Scene implements AsyncDisposable {
  readonly random = seededRandom(SEED);
  readonly frames = new Map<number, Uint8Array>();
  readonly auditor: FirehoseAuditor;
  readonly keyOf: (did: string) => Promise<string>;
  readonly writers: Writer[] = [];
  readonly creators: Creator[] = [];
  #firehose: Firehose | undefined;
  #lastSeq = 0;

  constructor(
    readonly plc: PlcDirectory,
    readonly server: TestServer,
  ) {
    this.keyOf = keyLookup(plc);
    this.auditor = new FirehoseAuditor(this.keyOf);
  }

  get url(): string {
    return this.server.url;
  }

  /** Follows the firehose from where it was when the server died. */
  async follow(): Promise<void> {
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

  async setUp(): Promise<void> {
    await this.follow();
    for (let i = 0; i < WRITERS; i += 1) {
      const account = await createAccount(this.url, `writer${i}`, this.plc);
      this.writers.push(new Writer(account, { prefix: `a${i}`, random: this.random }));
      // two at once on every second repo
      if (i % 2) this.writers.push(new Writer(account, { prefix: `b${i}`, random: this.random }));
    }
  }

  /** Load, a kill at a random moment, a restart (which may be killed too), and the judgement. */
  async round(number: number): Promise<void> {
    const creators = [new Creator(`c${number}x`), new Creator(`d${number}x`)];
    this.creators.push(...creators);
    const load = Promise.all([...this.writers, ...creators].map((worker) => worker.run(this.url)));
    const killed = Bun.sleep(this.random() * KILL_AFTER_MS_MAX).then(() => this.server.kill());
    await within("the load to end", Promise.all([load, killed]));
    await waitFor("the consumer to notice", () => this.#firehose?.closed);
    this.#firehose?.assertClean();
    if (number % KILL_START_EVERY === 0) {
      this.server.spawn();
      await Bun.sleep(this.random() * START_MS_MAX);
      await this.server.kill();
    }
    this.server.set("PDS_ACCOUNT_KEY_TYPE", number % 2 ? "p256" : "k256");
    await this.server.start();
    await this.follow();
    await this.#judgeWriters();
    for (const creator of creators) await this.#judgeSignups(creator);
  }

  /** The repo of a DID, judged, once the firehose has told all that is in it. */
  async #judgeRepo(did: string): Promise<ReadonlyMap<string, string>> {
    const repo = await judgeRepo(await repoCar(this.url, did), did, await this.keyOf(did));
    await waitFor(`the firehose to reach "${repo.rev}" of "${did}"`, async () => {
      await this.auditor.finish();
      this.#firehose?.assertClean();
      return this.auditor.of(did).rev === repo.rev;
    });
    expect([...this.auditor.of(did).records].sort()).toEqual([...repo.records].sort());
    return repo.records;
  }

  async #judgeWriters(): Promise<void> {
    for (const did of new Set(this.writers.map((writer) => writer.account.did))) {
      const records = await this.#judgeRepo(did);
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
    if (creator.open) await this.#judgeNew(await this.#completeOrFree(creator.open));
  }

  async #judgeNew(did: string): Promise<void> {
    await this.#judgeRepo(did);
    await waitFor("the events of the new account", () => this.auditor.of(did).events.length >= 4);
    expect(this.auditor.of(did).events).toEqual(["#identity", "#account", "#commit", "#sync"]);
    const status = await xrpc(this.url, "com.atproto.sync.getRepoStatus", { params: { did } });
    expect(status.json.active).toBe(true);
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#firehose?.[Symbol.dispose]();
    await this.server[Symbol.asyncDispose]();
    await this.plc[Symbol.asyncDispose]();
  }
}

test(
  `kill -9, ${KILLS} times (seed ${SEED})`,
  async () => {
    const plc = await PlcDirectory.start();
    await using scene = new Scene(plc, await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } }));
    await scene.setUp();
    for (let round = 1; round <= KILLS; round += 1) {
      await scene.round(round).catch((error: unknown) => {
        const output = scene.server.output.split("\n").slice(-30).join("\n");
        throw new Error(`Round ${round}: ${error instanceof Error ? error.message : error}\n${output}`, {
          cause: error,
        });
      });
    }
    await scene.replay();
    const writes = scene.writers.reduce((sum, writer) => sum + writer.answered, 0);
    const signups = scene.creators.reduce((sum, creator) => sum + creator.answered.size, 0);
    console.log(
      `${KILLS} kills, ${writes} answered writes, ${signups} answered sign-ups, ${scene.auditor.commits} commits`,
    );
    expect(writes).toBeGreaterThan(KILLS);
  },
  LIMIT_MS,
);
