/** `bun run bench`: kith beside the reference PDS, on this machine, now. See README.md of this folder. */
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { type BenchArguments, parseArguments, USAGE, UsageError } from "./arguments.ts";
import { Bench, type RowSet } from "./bench.ts";
import { lookAtMachine, type Machine, machineText } from "./machine.ts";
import { PEERS } from "./peers.ts";
import { renderPlot } from "./plot.ts";
import { REMARKS, renderTable } from "./report.ts";
import { ALL_ROWS, SMOKE_ROWS } from "./rows/mod.ts";
import type { RowResult } from "./rows.ts";
import { runRows } from "./run_rows.ts";

const ROOT = join(import.meta.dir, "..");
const EXIT_USAGE = 2;
const SIZES = {
  full: { rounds: 5, seconds: 4 },
  quick: { rounds: 2, seconds: 1.5 },
  smoke: { rounds: 1, seconds: 0.3 },
} as const;

function chosenRows({ filters, quick, smoke }: BenchArguments): RowSet[] {
  const ids = new Set(ALL_ROWS.flatMap(({ rows }) => rows.map(({ id }) => id)));
  // "getRecord" is one row, "growth" are many.
  const fits = (id: string, filter: string): boolean =>
    ids.has(filter) ? id === filter : id.startsWith(filter);
  const matches = (id: string): boolean => filters.length === 0 || filters.some((filter) => fits(id, filter));
  const isWanted = (set: RowSet): boolean => !quick || !set.isLarge || filters.length > 0;
  return ALL_ROWS.filter(
    (set) => isWanted(set) && set.rows.some(({ id }) => matches(id) && (!smoke || SMOKE_ROWS.includes(id))),
  );
}

/** The executable that people are given, built from this tree. */
function build(folder: string): string {
  const built = Bun.spawnSync([process.execPath, "tools/build.ts", `--to=${folder}`], { cwd: ROOT });
  if (built.exitCode !== 0) throw new Error(`Could not build kith: ${built.stderr}`);
  return join(folder, "kith");
}

function kithCommandOf({ binary, profile }: BenchArguments, tmp: string): string[] {
  if (profile === undefined) return [binary ?? build(tmp)];
  const profiler = ["--cpu-prof", "--cpu-prof-md", `--cpu-prof-dir=${resolve(profile)}`];
  return [process.execPath, ...profiler, join(ROOT, "src/main.ts")];
}

function write(
  { json, svg }: BenchArguments,
  run: { machine: Machine; settings: unknown; results: readonly RowResult[]; failures: readonly string[] },
): void {
  const { machine, settings, results, failures } = run;
  if (json) {
    const document = { machine, settings, remarks: REMARKS, failures, rows: results };
    writeFileSync(json, `${JSON.stringify(document, null, 2)}\n`);
  }
  const title = "kith and the reference PDS: how many times as fast, or as small";
  if (svg) writeFileSync(svg, renderPlot(results, { title, foot: machineText(machine).split("; ") }));
}

/** What is to be measured; a wrong word, or something that is missing, ends it before anything is built. */
function plan(): { options: BenchArguments; sets: RowSet[] } {
  const options = parseArguments(process.argv.slice(2));
  const ids = `Rows:\n  ${ALL_ROWS.map(({ rows }) => rows.map(({ id }) => id).join(" ")).join("\n  ")}`;
  if (options.help) {
    console.log(`${USAGE}\n${ids}`);
    process.exit(0);
  }
  const sets = chosenRows(options);
  if (sets.length === 0) {
    throw new UsageError(`No row begins with one of these: ${options.filters.join(", ")}\n${ids}`);
  }
  if (options.binary !== undefined && !existsSync(options.binary)) {
    throw new UsageError(`There is no executable "${options.binary}"`);
  }
  const isAlone = options.smoke || options.profile !== undefined;
  if (!isAlone && !existsSync(join(ROOT, "bench/reference/node_modules/@atproto/pds"))) {
    throw new UsageError("The reference PDS is not installed: bun tools/reference.ts does it, once");
  }
  return { options: { ...options, binary: options.binary && resolve(options.binary) }, sets };
}

function planOrExit(): ReturnType<typeof plan> {
  try {
    return plan();
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    console.error(error.message);
    process.exit(EXIT_USAGE);
  }
}

const { options, sets } = planOrExit();
const size = SIZES[options.smoke ? "smoke" : options.quick ? "quick" : "full"];
const rounds = options.rounds ?? size.rounds;

const tmp = mkdtempSync(join(process.env.KITH_BENCH_TMP ?? tmpdir(), "kith-bench-"));
const machine = lookAtMachine(tmp);
const startedMs = performance.now();
console.log(machineText(machine));
let failed = 0;
let isInterrupted = false;
for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    isInterrupted = true;
    console.error("Ends after the row that is under way");
  });
}
try {
  const kithCommand = kithCommandOf(options, tmp);
  const profiled = options.profile !== undefined;
  const quick = options.quick || options.smoke;
  await using bench = await Bench.open({
    kithCommand,
    endsGently: profiled,
    quick,
    seconds: size.seconds,
    tmp,
  });
  const peers = options.smoke || profiled ? (["kith"] as const) : PEERS;
  const log = (line: string): void => console.error(line);
  const { results, failures } = await runRows(bench, sets, {
    rounds,
    peers,
    log,
    isInterrupted: () => isInterrupted,
  });
  console.log(`\n${renderTable(results)}`);
  for (const failure of failures) console.log(`FAILED ${failure}`);
  failed = failures.length;
  write(options, { machine, settings: { ...size, rounds, quick, peers }, results, failures });
} finally {
  rmSync(tmp, { recursive: true, force: true });
}
console.log(`${Math.round((performance.now() - startedMs) / 1000)} s`);
process.exit(failed === 0 ? 0 : 1);
