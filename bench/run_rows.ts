/** Runs row after row, its rounds interleaved: reference, kith, reference, kith, so that the machine's mood hits both. */
import type { Bench, RowSet } from "./bench.ts";
import { judgeRow } from "./judge.ts";
import { PEERS, type PeerName } from "./peers.ts";
import type { RowResult, Sample } from "./rows.ts";
import { digits } from "./stats.ts";

const WARM_UP_SHARE = 1 / 3;

export interface RunOptions {
  readonly rounds: number;
  /** Whom to measure. */
  readonly peers: readonly PeerName[];
  /** True: the table of what there is so far is wanted. */
  isInterrupted(): boolean;
  /** Told of each sample, and of what fails. */
  log(line: string): void;
}

type Measured = Map<string, Partial<Record<PeerName, Sample[]>>>;

/** A row that fails is logged and left out of the results; the others go on. */
export async function runRows(
  bench: Bench,
  sets: readonly RowSet[],
  options: RunOptions,
): Promise<{ results: RowResult[]; failures: string[] }> {
  const measured: Measured = new Map();
  const failures: string[] = [];
  for (const set of sets) {
    if (options.isInterrupted()) break;
    const ids = set.rows.map(({ id }) => id).join(", ");
    try {
      await runSet(bench, set, { ...options, measured });
    } catch (error) {
      const words = `${ids}: ${error instanceof Error ? error.message : error}`;
      options.log(`FAILED ${words}`);
      failures.push(words);
    }
  }
  const limits = new Map(
    [...measured].flatMap(([id, { kith }]) => {
      const row = sets.flatMap(({ rows }) => rows).find((one) => one.id === id);
      return row && kith
        ? [[id, judgeRow(row, { kith }, new Map()).series.kith?.value.median ?? 0] as const]
        : [];
    }),
  );
  const results = sets
    .flatMap(({ rows }) => rows)
    .flatMap((row) => {
      const samples = measured.get(row.id);
      return samples ? [judgeRow(row, samples, limits)] : [];
    });
  return { results, failures };
}

async function runSet(
  bench: Bench,
  set: RowSet,
  { rounds, peers, log, measured }: Omit<RunOptions, "isInterrupted"> & { measured: Measured },
): Promise<void> {
  const names = (set.peers ?? PEERS).filter((name) => peers.includes(name));
  if (set.warms !== false) await warmUp(bench, set, names);
  const count = Math.min(rounds, set.roundsMax ?? rounds);
  for (let round = 1; round <= count; round++) {
    for (const name of names) {
      const samples = await set.measure(bench, name);
      for (const row of set.rows) {
        const sample = samples[row.id];
        if (!sample) continue;
        const entry = measured.get(row.id) ?? {};
        entry[name] = [...(entry[name] ?? []), sample];
        measured.set(row.id, entry);
        log(`${row.id} ${name} ${round}/${count}: ${digits(sample.value)} ${row.unit}`);
      }
    }
  }
}

/** What is measured is neither the first call of a method nor a cold cache. */
async function warmUp(bench: Bench, set: RowSet, names: readonly PeerName[]): Promise<void> {
  const { seconds } = bench;
  bench.seconds = seconds * WARM_UP_SHARE;
  try {
    for (const name of names) await set.measure(bench, name);
  } finally {
    bench.seconds = seconds;
  }
}
