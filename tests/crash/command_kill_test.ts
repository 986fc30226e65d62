/**
 * Commands are killed at the steps on the disk that they take, and run again: a first start, a backup, a repair. What comes of it must be
 * as if nothing had been. `KITH_TEST_STEPS` of each with names and half as many others are tried (3), and all of
 * them where it is 0; those of a repair that move the files of accounts always. `KITH_TEST_SEED` says which. Where processes may not be traced this says so, and does without.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { BackupPlace } from "../backup_parts.ts";
import { type Account, createAccount, createRecord, post } from "../client.ts";
import { kithCommand, TestServer } from "../harness.ts";
import { type Ran, runKith } from "../kith_command.ts";
import { seededRandom } from "../wait.ts";
import { chosenSteps } from "./fault_disk.ts";
import { type FileStep, KILLED, killerProblem, StepKiller } from "./step_killer.ts";
import { tally } from "./tally.ts";

const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
const STEPS_MAX = Number(process.env.KITH_TEST_STEPS ?? 3);
const LIMIT_MS = 1_800_000;

const random = seededRandom(SEED);
const problem = killerProblem();
let killer: StepKiller;
const place = mkdtempSync(join(tmpdir(), "kith-commands-"));
/** A data folder of a server that was killed: its databases have logs beside them. */
const filled = join(place, "filled");
const data = join(place, "data");
const accounts: Account[] = [];
let port = 0;

beforeAll(async () => {
  if (problem !== undefined) return;
  killer = new StepKiller();
  mkdirSync(filled);
  await using server = await TestServer.start({ folder: filled });
  port = server.port;
  for (const name of ["alice", "bob"]) accounts.push(await createAccount(server.url, name));
  // What they write now is in the logs alone.
  await server.kill();
  await server.start();
  for (const account of accounts)
    for (let n = 0; n < 3; n++) await createRecord(server.url, account, { record: post(`number ${n}`) });
  await server.kill();
  rmSync(join(filled, "admin.sock"), { force: true });
}, LIMIT_MS);

afterAll(() => {
  if (problem === undefined) killer[Symbol.dispose]();
  rmSync(place, { recursive: true, force: true });
});

function killing(title: string, run: () => Promise<void>): void {
  if (problem === undefined) test(`${title} (seed ${SEED})`, run, LIMIT_MS);
}

interface CommandStep extends FileStep {
  /** Counted from 1. */
  readonly at: number;
}

/** All steps of the command that has run. */
function stepsOfAll(): CommandStep[] {
  return killer.steps().map((step, index) => ({ ...step, at: index + 1 }));
}

/** Those that make, move or remove a name: so many of them, and of all others half as many. */
function chosen(steps: readonly CommandStep[]): CommandStep[] {
  const pick = (of: readonly CommandStep[], share: number) => {
    const stepsMax = STEPS_MAX === 0 ? 0 : Math.ceil(STEPS_MAX * share);
    return chosenSteps(of.length, { stepsMax, random }).flatMap((number) => of[number - 1] ?? []);
  };
  const isOfName = ({ kind }: FileStep) => kind !== "write" && kind !== "sync" && kind !== "truncate";
  const picked = [
    ...pick(steps.filter(isOfName), 1),
    ...pick(
      steps.filter((step) => !isOfName(step)),
      0.5,
    ),
  ];
  return picked.sort((a, b) => a.at - b.at);
}

function refill(): void {
  rmSync(data, { recursive: true, force: true });
  cpSync(filled, data, { recursive: true });
}

interface Run {
  readonly at?: number;
  readonly folder?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs a command over the data folder: to its end, or until it is killed at a step below `folder`. */
async function run(args: readonly string[], { at, folder = data, env: more }: Run = {}): Promise<Ran> {
  const env = { PDS_DATA_DIRECTORY: data, PDS_PORT: String(port), ...more };
  return at === undefined ? await runKith(args, { env }) : await killer.run(args, { at, folder, env });
}

async function assertSound(step: CommandStep): Promise<void> {
  const { code, out, err } = await run(["verify", "--offline"]);
  expect({ step, code, told: code === 0 ? "" : out + err }).toEqual({ step, code: 0, told: "" });
}

/** Of a step that threads take in another order the number may be another one's, and at the end nobody's. */
function assertKilled({ code, err }: { code: number; err: string }, step: CommandStep): boolean {
  if (code !== 0) expect({ step, code, err }).toEqual({ step, code: KILLED, err: expect.any(String) });
  return code === KILLED;
}

function reports(kind: string, kills: number, steps: readonly CommandStep[]): void {
  expect(kills).toBeGreaterThan(steps.length / 2);
  tally(kind, kills);
}

killing("a first start that is killed is done by the next one", async () => {
  const start = async (at: number): Promise<boolean> => {
    rmSync(data, { recursive: true, force: true });
    mkdirSync(data);
    const command = killer.command(data, { at }, kithCommand("serve"));
    await using server = new TestServer({ folder: data, command });
    await server.start().catch(() => undefined);
    return (await server.stop()) === KILLED;
  };
  expect(await start(0)).toBe(false);
  const steps = chosen(stepsOfAll());
  let kills = 0;
  for (const step of steps) {
    if (await start(step.at)) kills += 1;
    const kept = keys();
    await using server = await TestServer.start({ folder: data });
    expect({ step, ...keys(), ...kept }).toEqual({ step, ...keys() });
    await createAccount(server.url, "first");
    expect(await server.stop()).toBe(0);
    await assertSound(step);
  }
  reports("kills at the steps of a first start", kills, steps);
});

/** What a start must never make anew, as far as it is there. */
function keys(): Record<string, string> {
  const made = ["master.key", "secrets.json"].filter((name) => existsSync(join(data, name)));
  return Object.fromEntries(made.map((name) => [name, readFileSync(join(data, name), "utf8")]));
}

killing("a backup that is killed is taken by the next run, and the one before it stays whole", async () => {
  refill();
  using backups = new BackupPlace({ where: join(place, "backups") });
  const [env, first] = [backups.env(), join(place, "first")];
  expect(await run(["backup"], { env })).toMatchObject({ code: 0 });
  await using server = await TestServer.start({ folder: data, env: { PDS_PORT: String(port) } });
  for (const account of accounts) await createRecord(server.url, account, { record: post("later") });
  await server.stop();
  cpSync(backups.where, first, { recursive: true });
  const backUp = async (at: number) => {
    rmSync(backups.where, { recursive: true, force: true });
    cpSync(first, backups.where, { recursive: true });
    return await run(["backup"], { at, folder: backups.where, env });
  };
  expect(await backUp(0)).toMatchObject({ code: 0 });
  const steps = chosen(stepsOfAll());
  let kills = 0;
  for (const step of steps) {
    if (assertKilled(await backUp(step.at), step)) kills += 1;
    await backups.assertWhole();
    expect({ step, ...(await run(["backup"], { env })) }).toMatchObject({ step, code: 0 });
    await backups.assertWhole();
    expect((await (await backups.open()).snapshots()).length).toBeGreaterThan(1);
  }
  reports("kills at the steps of a backup", kills, steps);
});

/** Each account's file, with its log, in the other one's place. */
function swapRepos(): void {
  const repos = join(data, "repos");
  const names = readdirSync(repos, { recursive: true, encoding: "utf8" });
  const [one = "", other = ""] = names
    .filter((name) => name.endsWith(".sqlite"))
    .map((name) => join(repos, name));
  for (const suffix of ["", "-wal"]) {
    renameSync(one + suffix, `${one}.x`);
    renameSync(other + suffix, one + suffix);
    renameSync(`${one}.x`, other + suffix);
  }
  for (const name of names.filter((each) => each.endsWith("-shm"))) rmSync(join(repos, name));
}

killing("a repair that is killed is ended by the next run, and loses nothing", async () => {
  const repair = ["verify", "--repair", "--yes", "--offline"];
  const damage = (): void => {
    refill();
    swapRepos();
  };
  damage();
  await run(repair, { at: 0 });
  const all = stepsOfAll();
  const moves = all.filter(({ kind, path }) => kind === "rename" && path.includes("/repos/"));
  expect(moves).not.toEqual([]);
  const steps = [...new Set([...moves, ...chosen(all)])];
  let kills = 0;
  for (const step of steps) {
    damage();
    const { code } = await run(repair, { at: step.at });
    if (code === KILLED) kills += 1;
    // It verifies at its end: of commits that a file has lost the event log tells.
    expect({ step, ...(await run(repair)) }).toMatchObject({ step, code: 0 });
  }
  reports("kills at the steps of a repair", kills, steps);
});

if (problem !== undefined) test("commands that are killed", () => console.log(`not tried: ${problem}`));
