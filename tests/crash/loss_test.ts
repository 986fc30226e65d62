/**
 * What a lost machine costs where the event log is shipped each second: many write, the server is killed twice at random moments, its folder
 * is gone, and the restored one has every write that was answered some seconds before. `KITH_TEST_LOSSES` and `KITH_TEST_SEED`
 * change the number of rounds and the moments.
 */
import { expect, test } from "bun:test";
import { renameSync } from "node:fs";
import { type Account, createRecord, post } from "../client.ts";
import { RestoredStage } from "../restored_stage.ts";
import { seededRandom } from "../wait.ts";

const LOSSES = Number(process.env.KITH_TEST_LOSSES ?? 2);
const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
/** Of time in which the server answers, a write may be lost that is younger: a second until it is shipped, and the shipping. */
const LOST_MS_MAX = 5_000;
/** The first kill comes so long after the begin of the writes, and the second so long after the start. */
const RUN_MS_MAX = 6_000;
const ACCOUNTS = 4;
/** Between two answers that are further apart the machine or its disk stood still, the shipping as well. */
const BETWEEN_ANSWERS_MS_MAX = 250;
/** One of them writes less than so many records after each start. */
const BRIEF_MAX = 20;
const LIMIT_MS = 3_600_000;

interface Written {
  readonly uri: string;
  /** Of the time in which the server has answered, at the answer. */
  readonly at: number;
}

/** The time in which servers have answered, from each answer to the next. */
class AnswerTime {
  now = 0;
  #last = Number.POSITIVE_INFINITY;
  start(): void {
    this.#last = performance.now();
  }
  /** An answer has come; when that is. */
  answered(): number {
    const at = performance.now();
    this.now += Math.min(Math.max(0, at - this.#last), BETWEEN_ANSWERS_MS_MAX);
    this.#last = at;
    return this.now;
  }
}

class Trial {
  readonly #stage: RestoredStage;
  readonly #random: () => number;
  readonly #time = new AnswerTime();
  readonly #accounts: readonly Account[];
  /** What was answered, and is not lost. */
  #written: Written[] = [];
  answered = 0;

  private constructor(stage: RestoredStage, options: { random: () => number; accounts: readonly Account[] }) {
    this.#stage = stage;
    this.#random = options.random;
    this.#accounts = options.accounts;
  }

  static async open(stage: RestoredStage, random: () => number): Promise<Trial> {
    const accounts: Account[] = [];
    for (let n = 0; n < ACCOUNTS; n += 1) accounts.push(await stage.account(`writer${n}`));
    return new Trial(stage, { random, accounts });
  }

  /** Everybody writes for a random time, one of them for a moment only, until the server is killed. */
  async run(): Promise<void> {
    const { server } = this.#stage;
    const counts = this.#accounts.map((_, n) =>
      n === 0 ? Math.floor(this.#random() * BRIEF_MAX) : Infinity,
    );
    this.#time.start();
    const load = Promise.all(this.#accounts.map((account, n) => this.#write(account, counts[n] ?? 0)));
    await Bun.sleep(this.#random() * RUN_MS_MAX);
    await server.kill();
    await load;
  }

  async #write(account: Account, count: number): Promise<void> {
    for (let n = 0; n < count; n += 1) {
      const made = await createRecord(this.#stage.url, account, { record: post("text") }).catch(
        () => undefined,
      );
      if (!made) return;
      this.#written.push({ uri: made.uri, at: this.#time.answered() });
      this.answered += 1;
    }
  }

  /** How long before the end the oldest write was answered that is lost; 0 where none is. */
  async lostMs(): Promise<number> {
    const there = new Set<string>();
    for (const { did } of this.#accounts)
      for (const path of (await this.#stage.repo(did)).records.keys()) there.add(`at://${did}/${path}`);
    const lost = this.#written.filter(({ uri }) => !there.has(uri));
    this.#written = this.#written.filter(({ uri }) => there.has(uri));
    return Math.max(0, ...lost.map(({ at }) => this.#time.now - at));
  }
}

test(
  `a lost machine after two kills, ${LOSSES} times (seed ${SEED})`,
  async () => {
    await using stage = await RestoredStage.open();
    const trial = await Trial.open(stage, seededRandom(SEED));
    await stage.backUp();
    let most = 0;
    for (let round = 1; round <= LOSSES; round += 1) {
      await trial.run();
      await stage.server.start();
      await trial.run();
      renameSync(stage.data, `${stage.data}.lost${round}`);
      const { ran } = await stage.restore();
      if (ran.code !== 0) throw new Error(`kith restore ends with ${ran.code}: ${ran.err}`);
      await stage.server.start();
      most = Math.max(most, await trial.lostMs());
      expect(most).toBeLessThan(LOST_MS_MAX);
    }
    console.log(`at most ${Math.round(most)} ms were lost, of ${trial.answered} writes`);
  },
  LIMIT_MS,
);
