/**
 * `kill -9` at each step that a restore takes on its files, and that a drill does: run again it comes to the same end as one that was never
 * killed, and no server starts before. A first run without a kill tells the steps. `KITH_TEST_RESTORE_STEPS` says how many of each are
 * killed at (all: 0), `KITH_TEST_SEED` which. Where processes may not be traced this says so, and does without.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Ran, runKith } from "../kith_command.ts";
import { seededRandom } from "../wait.ts";
import { chosenSteps } from "./fault_disk.ts";
import { LostServer } from "./lost_server.ts";
import { contentOf } from "./restored_content.ts";
import { KILLED, type KilledRun, killerProblem, type Moment, StepKiller } from "./step_killer.ts";
import { tally } from "./tally.ts";

const STEPS_MAX = Number(process.env.KITH_TEST_RESTORE_STEPS ?? 2);
const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
const LIMIT_MS = 7_200_000;
const UNENDED = "a restore into it has not ended";

const problem = killerProblem();
const random = seededRandom(SEED);
let lost: LostServer;
let killer: StepKiller;
let data = "";
let kills = 0;

beforeAll(async () => {
  if (problem !== undefined) return;
  killer = new StepKiller();
  lost = await LostServer.open();
  data = join(lost.stage.path, "restored");
}, LIMIT_MS);

afterAll(async () => {
  if (problem !== undefined) return;
  tally("kills at the steps of restores", kills);
  killer[Symbol.dispose]();
  await lost?.[Symbol.asyncDispose]();
}, LIMIT_MS);

const places = () => [`${data}.restoring`, join(data, ".restoring")];
const isUnended = () => places().some((place) => existsSync(place));

function clear({ isInside = false } = {}): void {
  for (const path of [data, ...places()]) rmSync(path, { recursive: true, force: true });
  if (isInside) mkdirSync(join(data, ".restoring"), { recursive: true });
}

const env = () => ({ ...lost.stage.env, PDS_DATA_DIRECTORY: data });

async function kill(args: readonly string[], moment: Moment): Promise<KilledRun> {
  const ran = await killer.run(args, { folder: data, env: env(), ...moment });
  if (ran.code === KILLED) kills += 1;
  return ran;
}

interface Wanted {
  readonly ran: Ran;
  readonly content: Record<string, unknown>;
}

/** What comes of it where nobody kills it. */
async function unkilled(args: readonly string[]): Promise<Wanted> {
  clear();
  const ran = await runKith(args, { env: env() });
  return { ran, content: contentOf(data) };
}

/** Until it has ended a start refuses; run again it ends as if it had not been killed. */
async function goOn(args: readonly string[], { ran, content }: Wanted): Promise<void> {
  if (isUnended()) {
    const again = await runKith(args, { env: env() });
    expect({ err: again.err, code: again.code }).toEqual({ err: expect.any(String), code: ran.code });
  } else if (existsSync(data)) {
    const again = await runKith(args, { env: env() });
    expect([again.code, again.err]).toEqual([1, expect.stringContaining("it is not empty")]);
  } else {
    expect((await runKith(args, { env: env() })).code).toBe(ran.code);
  }
  expect(isUnended()).toBe(false);
  expect(contentOf(data)).toEqual(content);
}

/** A server starts on the folder. */
async function serves(): Promise<void> {
  const { server } = lost.stage;
  server.set("PDS_DATA_DIRECTORY", data);
  server.set("KITH_BACKUP_DESTINATION", undefined);
  await server.start();
  expect(await server.stop()).toBe(0);
}

/** Says at which step it was. */
async function at(run: KilledRun, act: () => Promise<void>): Promise<void> {
  await act().catch((error: unknown) => {
    const { kind, path } = run.steps.at(-1) ?? { kind: "?", path: "?" };
    throw new Error(`killed at the step ${run.steps.length}, ${kind} "${path}"`, { cause: error });
  });
}

interface Row {
  readonly title: string;
  readonly args: () => readonly string[];
  readonly isInside?: boolean;
  /** Killed at always. */
  readonly moments?: readonly Moment[];
}

const older = () => ["--at", lost.older];
const ROWS: readonly Row[] = [
  {
    title: "beside the data folder",
    args: () => [lost.stage.destination],
    // A blob that is taken down has been fetched, and is not put away yet.
    moments: [{ at: 1, of: "mkdir .restoring/blobs/quarantine/did" }],
  },
  {
    title: "inside the data folder",
    args: () => [lost.stage.destination],
    isInside: true,
    // All of it has been moved up, and the mark is there.
    moments: [{ at: 1, of: "mkdir /tmp" }],
  },
  { title: "of an older snapshot", args: () => [lost.stage.destination, ...older()] },
  {
    title: "of an older snapshot, without rolling forward",
    args: () => [lost.stage.destination, ...older(), "--no-roll-forward"],
  },
  { title: "of a log with a hole, by which something is lost", args: () => [lost.holed] },
];

async function restoreKilled({ args: of, isInside = false, moments = [] }: Row): Promise<void> {
  const args = ["restore", ...of()];
  const wanted = await unkilled(args);
  clear({ isInside });
  const { steps } = await kill(args, { at: 0 });
  // The last ones put it into its place: there are few of them, and none is like another.
  const last = Array.from({ length: Math.min(STEPS_MAX, 20) }, (_, index) => steps.length - index * 3);
  const sampled = [...chosenSteps(steps.length, { stepsMax: STEPS_MAX, random }), ...last];
  const chosen: Moment[] = [...moments, ...sampled.map((step) => ({ at: step }))];
  let hasRefused = false;
  for (const moment of chosen) {
    clear({ isInside });
    const killed = await kill(args, moment);
    if (moment.of !== undefined) expect(killed.code).toBe(KILLED);
    await at(killed, async () => {
      if (isUnended() && !hasRefused) {
        const refused = await runKith(["serve"], { env: env() });
        expect([refused.code, refused.err]).toEqual([1, expect.stringContaining(UNENDED)]);
        hasRefused = true;
      }
      await goOn(args, wanted);
    });
  }
  expect(hasRefused).toBe(true);
  await serves();
  console.log(`killed at ${chosen.length} of ${steps.length} steps`);
}

/** One restore, near its end; another as it has removed what that had done; and the first again. */
async function restoreKilledForAnother(): Promise<void> {
  const first = ["restore", lost.stage.destination];
  const wanted = await unkilled(first);
  for (const other of [older(), [...older(), "--no-roll-forward"]]) {
    clear();
    expect((await kill(first, { at: 1, of: "create .restoring/restored.json" })).code).toBe(KILLED);
    // The first is of the opened folder.
    const killed = await kill([...first, ...other], { at: 2, of: "mkdir .restoring/repos" });
    expect(killed.code).toBe(KILLED);
    await at(killed, () => goOn(first, wanted));
  }
}

/** It is in its place already but for the mark: it is ended as it is, and says that it is not what was asked for. */
async function restoreKilledAtItsEnd(): Promise<void> {
  const args = ["restore", lost.stage.destination];
  const { content } = await unkilled(args);
  clear({ isInside: true });
  const killed = await kill(args, { at: 1, of: "mkdir /tmp" });
  expect(killed.code).toBe(KILLED);
  const other = await runKith([...args, ...older()], { env: env() });
  expect([other.code, other.err]).toEqual([0, expect.stringContaining("asked for now is another one")]);
  expect(isUnended()).toBe(false);
  expect(contentOf(data)).toEqual(content);
}

async function drillKilled(): Promise<void> {
  await unkilled(["restore", lost.stage.destination]);
  const args = ["backup", "drill", lost.stage.destination];
  const { code, steps } = await kill(args, { at: 0 });
  expect(code).toBe(0);
  const before = contentOf(data);
  for (const step of chosenSteps(steps.length, { stepsMax: STEPS_MAX, random })) {
    const killed = await kill(args, { at: step });
    await at(killed, async () => {
      const again = await runKith(args, { env: env() });
      expect({ err: again.err, code: again.code }).toEqual({ err: expect.any(String), code: 0 });
      expect(readdirSync(join(data, "tmp")).filter((name) => name.includes("drill"))).toEqual([]);
      expect(contentOf(data)).toEqual(before);
    });
  }
}

if (problem === undefined) {
  for (const row of ROWS)
    test(
      `a restore ${row.title} goes on wherever it was killed (seed ${SEED})`,
      () => restoreKilled(row),
      LIMIT_MS,
    );
  test("a restore that was complete is ended where another is asked for", restoreKilledAtItsEnd, LIMIT_MS);
  test(
    "a restore goes on where another one was killed as it took its place",
    restoreKilledForAnother,
    LIMIT_MS,
  );
  test(
    `a drill that was killed leaves nothing that the next one does not remove (seed ${SEED})`,
    drillKilled,
    LIMIT_MS,
  );
} else {
  test("restores that are killed", () => console.log(`not tried: ${problem}`));
}
