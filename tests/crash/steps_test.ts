/**
 * The power is cut at each step that an operation takes on the disk, one after the other: after the restart it is done or not done, and
 * done where it was answered. A first run without a cut tells the steps. `KITH_TEST_STEPS` says how many of each operation are cut
 * (all: 0), `KITH_TEST_SEED` which.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { waitFor } from "../wait.ts";
import { chosenSteps, FaultDisk } from "./fault_disk.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { Scene } from "./scene.ts";
import { tally } from "./tally.ts";

const STEPS_MAX = Number(process.env.KITH_TEST_STEPS ?? 8);
const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
const LIMIT_MS = 7_200_000;

let scene: Scene;
let disk: FaultDisk;

beforeAll(async () => {
  scene = await Scene.open({
    seed: SEED,
    writers: 1,
    prepare: (server) => {
      disk = FaultDisk.under(server);
    },
  });
}, LIMIT_MS);

afterAll(async () => {
  try {
    await scene.replay();
  } finally {
    await scene[Symbol.asyncDispose]();
    disk[Symbol.dispose]();
  }
}, LIMIT_MS);

/** Runs it to its end; how many steps that takes on the disk, with what follows the answer. */
async function countSteps(operation: Operation): Promise<number> {
  const turn = await operation.prepare(scene);
  disk.disarm();
  expect(await turn.act()).toBe(200);
  let last = -1;
  // What follows an answer (events, files that are removed) has ended when nothing is added any more.
  await waitFor("the disk to be at rest", async () => {
    const count = disk.steps().length;
    await Bun.sleep(REST_MS);
    const rests = count === last;
    last = count;
    return rests;
  });
  expect(await turn.isDone()).toBe(true);
  return last;
}

/** The disk is taken to rest when nothing has happened for so long: a cut that comes too late only cuts the next operation. */
const REST_MS = 40;

async function cutAt(operation: Operation, step: number): Promise<void> {
  const turn = await operation.prepare(scene);
  disk.cutAt(step, { seed: Math.floor(scene.random() * 2 ** 31) });
  const status = await turn.act().catch(() => undefined);
  // Of what follows the answer some steps may not come: then the machine dies without any cut.
  await Promise.race([scene.server.exited(), Bun.sleep(LATE_MS)]);
  await scene.server.kill();
  await scene.noticeDeath();
  disk.disarm();
  await scene.recover();
  const isDone = await turn.isDone();
  if (status === 200) expect(isDone).toBe(true);
}

const LATE_MS = 500;

describe.each(OPERATIONS.map((operation) => [operation.name, operation] as const))(
  "%s",
  (name, operation) => {
    test(
      `is done or not done, wherever the power is cut (seed ${SEED})`,
      async () => {
        const count = await countSteps(operation);
        expect(count).toBeGreaterThan(0);
        const steps = chosenSteps(count, { stepsMax: STEPS_MAX, random: scene.random });
        for (const step of steps) {
          await cutAt(operation, step).catch((error: unknown) => {
            throw scene.explain(step, error);
          });
        }
        console.log(`${name}: cut at ${steps.length} of ${count} steps`);
        tally("cuts at the steps of operations", steps.length, scene);
      },
      LIMIT_MS,
    );
  },
);
