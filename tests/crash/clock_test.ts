/**
 * A clock that jumps back a day, ahead by a year, and back again, while many write and between the starts: seqs and revs rise on, nothing
 * that was answered is lost, sessions hold as long as their times say, and backups go on in their order.
 */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupPlace } from "../backup_parts.ts";
import { createRecord, PASSWORD, post, xrpc } from "../client.ts";
import type { TestServer } from "../harness.ts";
import { waitFor } from "../wait.ts";
import { Scene } from "./scene.ts";
import { tally } from "./tally.ts";

const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
const DAY = 86_400;
const YEAR = 365 * DAY;
/** Answers that are awaited after each jump. */
const ANSWERS = 40;
const LIMIT_MS = 600_000;
/** A change of the clock must not be taken for the time that the test has run. */
const SLACK = 3_600;

/** A clock below a process, that a test moves. */
class ShiftedClock implements Disposable {
  readonly #scratch = mkdtempSync(join(tmpdir(), "kith-clock-"));
  readonly #library = join(this.#scratch, "shifted_clock.so");
  readonly #file = join(this.#scratch, "shift");

  constructor() {
    const source = join(import.meta.dir, "shifted_clock.c");
    const compiled = Bun.spawnSync(["cc", "-shared", "-fPIC", "-O1", "-o", this.#library, source, "-ldl"]);
    if (!compiled.success) throw new Error(`Could not compile shifted_clock.c: ${compiled.stderr}`);
    writeFileSync(this.#file, Buffer.alloc(8));
  }

  get env(): Readonly<Record<string, string>> {
    return { LD_PRELOAD: this.#library, CLOCK_SHIFT: this.#file };
  }

  prepare(server: TestServer): void {
    for (const [name, value] of Object.entries(this.env)) server.set(name, value);
  }

  /** Sets it so far off, in place: it is mapped. */
  async set(seconds: number): Promise<void> {
    const bytes = Buffer.alloc(8);
    bytes.writeBigInt64LE(BigInt(seconds));
    const file = await open(this.#file, "r+");
    await file.write(bytes, 0, bytes.length, 0);
    await file.close();
  }

  get seconds(): number {
    return Number(readFileSync(this.#file).readBigInt64LE());
  }

  [Symbol.dispose](): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}

class Trial {
  readonly scene: Scene;
  readonly clock: ShiftedClock;
  readonly place: BackupPlace;
  rounds = 0;
  /** The rev of the newest commit that was seen here. */
  #rev = "";

  constructor(parts: { scene: Scene; clock: ShiftedClock; place: BackupPlace }) {
    this.scene = parts.scene;
    this.clock = parts.clock;
    this.place = parts.place;
  }

  /** Load, through these jumps; then a kill, and a start at the last of them. */
  async through(shifts: readonly number[]): Promise<void> {
    const { scene, clock } = this;
    this.rounds += 1;
    const creators = await scene.crash(`${this.rounds}`, async () => {
      await this.#answers();
      for (const shift of shifts) {
        await clock.set(shift);
        await this.#answers();
        await this.#commit(shift);
      }
      await scene.server.kill();
    });
    try {
      await scene.recover(creators);
      await this.#commit(clock.seconds);
      await this.backUp();
    } catch (error) {
      throw scene.explain(this.rounds, error);
    }
  }

  /** Everybody signs in: what was signed a year ago has ended. */
  async signIn(): Promise<void> {
    for (const { account } of this.scene.writers) {
      const body = { identifier: account.handle, password: PASSWORD };
      const { status, json } = await xrpc(this.scene.url, "com.atproto.server.createSession", { body });
      expect(status).toBe(200);
      Object.assign(account, { accessJwt: json.accessJwt, refreshJwt: json.refreshJwt });
    }
  }

  /** It is the newest, and all of it can be read. */
  async backUp(): Promise<void> {
    const { place, clock, scene } = this;
    const before = await (await place.open()).snapshots().catch(() => []);
    const ran = await place.run(["backup"], { folder: scene.server.folder, env: clock.env });
    expect([ran.code, ran.err]).toEqual([0, expect.any(String)]);
    const after = await (await place.open()).snapshots();
    expect(before.map(({ name }) => name)).not.toContain(after.at(-1)?.name);
    await place.assertWhole();
  }

  async #answers(): Promise<void> {
    const before = this.scene.answered;
    await waitFor("answers", () => this.scene.answered > before + ANSWERS, 60_000);
  }

  /** A commit of the first account: its rev rises, and its time is the clock's. */
  async #commit(shift: number): Promise<void> {
    const { scene } = this;
    const { account } = scene.writers.at(-1)!;
    const { commit } = await createRecord(scene.url, account, {
      record: post(`the clock is off by ${shift}`),
    });
    expect(commit.rev > this.#rev).toBe(true);
    this.#rev = commit.rev;
    const session = await xrpc(scene.url, "com.atproto.server.getSession", { token: account.accessJwt });
    expect(session.status).toBe(200);
    const health = await xrpc(scene.url, "com.atproto.server.getServiceAuth", {
      token: account.accessJwt,
      params: { aud: "did:web:else.test", lxm: "app.bsky.feed.getTimeline" },
    });
    const claims = JSON.parse(
      Buffer.from(String(health.json.token).split(".")[1] ?? "", "base64url").toString(),
    );
    expect(Math.abs(claims.exp - Date.now() / 1_000 - shift)).toBeLessThan(SLACK);
  }
}

test(
  `the clock jumps by a day and by a year (seed ${SEED})`,
  async () => {
    using clock = new ShiftedClock();
    using place = new BackupPlace();
    await using scene = await Scene.open({
      seed: SEED,
      writers: 3,
      prepare: (server) => {
        clock.prepare(server);
        for (const [name, value] of Object.entries(place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" })))
          server.set(name, value);
      },
    });
    const trial = new Trial({ scene, clock, place });
    await trial.backUp();
    await trial.through([-DAY]);
    await trial.through([0, -DAY, 0]);
    await clock.set(YEAR);
    const expired = await xrpc(scene.url, "com.atproto.server.getSession", {
      token: scene.writers[0]!.account.accessJwt,
    });
    expect([expired.status, expired.error]).toEqual([400, "ExpiredToken"]);
    // No event has become too old by it.
    await scene.replay();
    await trial.signIn();
    await trial.through([YEAR]);
    // What was signed a year ahead holds here too.
    await trial.through([0, -DAY]);
    await trial.through([0]);
    // Everything has been shipped, in order, and what was told is told again, byte for byte.
    const last = Math.max(...scene.frames.keys());
    await waitFor("the log to be shipped", async () => ((await place.seqs()).at(-1) ?? 0) >= last, 60_000);
    await scene.replay();
    await place.assertWhole();
    tally("starts with a clock that jumps", trial.rounds, scene);
  },
  LIMIT_MS,
);
