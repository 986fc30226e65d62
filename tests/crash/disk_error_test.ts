/**
 * A disk that is full, fails or writes by halves for a while, at random moments while many write and sign up. A refusal is a 503 of which
 * nothing is there, and the server goes on; where a sync fails nobody knows what is on the disk, so the process ends and the next
 * start decides. `KITH_TEST_DISK_ERRORS` and `KITH_TEST_SEED` change the number of rounds and the moments.
 */
import { expect, test } from "bun:test";
import { FaultDisk } from "./fault_disk.ts";
import { Scene } from "./scene.ts";
import { tally } from "./tally.ts";

const ROUNDS = Number(process.env.KITH_TEST_DISK_ERRORS ?? 30);
const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
/** The last operation of the disk at which it begins to fail, and for how many. */
const FAIL_AT_MAX = 400;
const FAIL_COUNT_MAX = 60;
/** How long the load goes on where the server does. */
const LOAD_MS_MAX = 700;
const LIMIT_MS = 7_200_000;
/** EX_IOERR: what the server ends with when a sync has failed. */
const EXIT_DISK_FAILED = 74;

const KINDS = [
  { error: "ENOSPC", operations: ["write"] },
  { error: "SHORT", operations: ["write"] },
  { error: "EIO", operations: ["write"] },
  { error: "ENOSPC", operations: ["create", "rename"] },
  { error: "EIO", operations: ["sync"] },
] as const;

async function round(scene: Scene, disk: FaultDisk, number: number): Promise<void> {
  const { server, random } = scene;
  const kind = KINDS[number % KINDS.length]!;
  const [at, count] = [1 + Math.floor(random() * FAIL_AT_MAX), 1 + Math.floor(random() * FAIL_COUNT_MAX)];
  let code: number | null | undefined;
  const load = async (): Promise<void> => {
    disk.failAt({ ...kind, at, count });
    code = await Promise.race([server.exited(), Bun.sleep(200 + random() * LOAD_MS_MAX)]).then(
      (end) => end ?? undefined,
    );
    await server.kill();
  };
  const creators = await scene.crash(`${number}`, load, { mayRefuse: true });
  if (code !== undefined) expect([code, ...kind.operations]).toEqual([EXIT_DISK_FAILED, "sync"]);
  disk.disarm();
  await scene.recover(creators);
}

test(
  `a failing disk, ${ROUNDS} times (seed ${SEED})`,
  async () => {
    const under: FaultDisk[] = [];
    await using scene = await Scene.open({
      seed: SEED,
      prepare: (server) => void under.push(FaultDisk.under(server)),
    });
    using disk = under[0]!;
    for (let number = 1; number <= ROUNDS; number += 1) {
      await round(scene, disk, number).catch((error: unknown) => {
        throw scene.explain(number, error);
      });
    }
    await scene.replay();
    const refused = scene.writers.reduce((sum, writer) => sum + writer.refused, 0);
    tally("disk errors", ROUNDS, scene);
    expect(refused).toBeGreaterThan(0);
  },
  LIMIT_MS,
);
