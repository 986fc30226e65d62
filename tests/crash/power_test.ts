/**
 * Power cuts at random moments while many write and sign up, again and again on one data folder: of what was not synced the disk
 * keeps what the seed says. `KITH_TEST_CUTS` and `KITH_TEST_SEED` change the number of cuts and the moments.
 */
import { expect, test } from "bun:test";
import { FaultDisk } from "./fault_disk.ts";
import { Scene } from "./scene.ts";
import { tally } from "./tally.ts";

const CUTS = Number(process.env.KITH_TEST_CUTS ?? 60);
const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
/** The last operation of the disk at which the power is cut, counted from the begin of the writes. */
const CUT_AT_MAX = 4_000;
/** One start in so many is cut itself, at one of its first operations. */
const CUT_START_EVERY = 4;
const START_CUT_AT_MAX = 60;
/** A disk that lies must be found out within so many cuts. */
const DEAF_CUTS_MAX = 25;
const LIMIT_MS = 7_200_000;

function seedOf(scene: Scene): number {
  return Math.floor(scene.random() * 2 ** 31);
}

/** Load until the power is cut. */
function crash(scene: Scene, disk: FaultDisk, { name, deaf }: { name: string; deaf?: boolean }) {
  return scene.crash(name, () => {
    disk.cutAt(1 + Math.floor(scene.random() ** 2 * CUT_AT_MAX), { seed: seedOf(scene), deaf });
    return scene.server.exited();
  });
}

/** A crash, a start (which may be cut too), and the judgement. */
async function round(scene: Scene, disk: FaultDisk, number: number): Promise<void> {
  const { server, random } = scene;
  const creators = await crash(scene, disk, { name: `${number}` });
  if (number % CUT_START_EVERY === 0) {
    disk.cutAt(1 + Math.floor(random() * START_CUT_AT_MAX), { seed: seedOf(scene) });
    await server.start().catch(() => undefined);
    await server.kill();
  }
  disk.disarm();
  server.set("PDS_ACCOUNT_KEY_TYPE", number % 2 ? "p256" : "k256");
  await scene.recover(creators);
}

async function openScene(): Promise<{ scene: Scene; disk: FaultDisk }> {
  const under: FaultDisk[] = [];
  const scene = await Scene.open({
    seed: SEED,
    prepare: (server) => void under.push(FaultDisk.under(server)),
  });
  return { scene, disk: under[0]! };
}

test(
  `${CUTS} power cuts (seed ${SEED})`,
  async () => {
    const opened = await openScene();
    await using scene = opened.scene;
    using disk = opened.disk;
    for (let number = 1; number <= CUTS; number += 1) {
      await round(scene, disk, number).catch((error: unknown) => {
        throw scene.explain(number, error);
      });
    }
    await scene.replay();
    tally("power cuts", CUTS, scene);
    expect(scene.answered).toBeGreaterThan(CUTS);
  },
  LIMIT_MS,
);

test(
  "the disk bites: where a sync of a write-ahead log keeps nothing, an answered write is lost",
  async () => {
    const opened = await openScene();
    await using scene = opened.scene;
    using disk = opened.disk;
    const lost: string[] = [];
    for (let number = 1; number <= DEAF_CUTS_MAX && lost.length === 0; number += 1) {
      await crash(scene, disk, { name: `${number}`, deaf: true });
      disk.disarm();
      await scene.server.start();
      await scene.judgeRepos().catch((error: unknown) => lost.push(String(error)));
    }
    expect(lost.join()).toMatch(/ lost |RepoNotFound/);
  },
  LIMIT_MS,
);
