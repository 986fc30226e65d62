/**
 * `kill -9` at random moments while many write and sign up, again and again on one data folder. `KITH_TEST_KILLS` and
 * `KITH_TEST_SEED` change the number of kills and the moments.
 */
import { expect, test } from "bun:test";
import { Scene } from "./scene.ts";
import { tally } from "./tally.ts";

const KILLS = Number(process.env.KITH_TEST_KILLS ?? 50);
const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
/** The latest moment of a kill, counted from the begin of the writes. */
const KILL_AFTER_MS_MAX = 700;
/** One restart in so many is itself killed at a random moment. */
const KILL_START_EVERY = 6;
const START_MS_MAX = 250;
const LIMIT_MS = 7_200_000;

/** Load, a kill at a random moment, a restart (which may be killed too), and the judgement. */
async function round(scene: Scene, number: number): Promise<void> {
  const { server, random } = scene;
  const creators = await scene.crash(`${number}`, async () => {
    await Bun.sleep(random() * KILL_AFTER_MS_MAX);
    await server.kill();
  });
  if (number % KILL_START_EVERY === 0) {
    server.spawn();
    await Bun.sleep(random() * START_MS_MAX);
    await server.kill();
  }
  server.set("PDS_ACCOUNT_KEY_TYPE", number % 2 ? "p256" : "k256");
  await scene.recover(creators);
}

test(
  `kill -9, ${KILLS} times (seed ${SEED})`,
  async () => {
    await using scene = await Scene.open({ seed: SEED });
    for (let number = 1; number <= KILLS; number += 1) {
      await round(scene, number).catch((error: unknown) => {
        throw scene.explain(number, error);
      });
    }
    await scene.replay();
    tally("kills", KILLS, scene);
    expect(scene.answered).toBeGreaterThan(KILLS);
  },
  LIMIT_MS,
);
