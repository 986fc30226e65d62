/** From samples to results, pure: ranges, ratios, what they are judged by, and whether that is enough. */
import { PEERS, type PeerName } from "./peers.ts";
import type { Goal, RowInfo, RowResult, Sample, Series } from "./rows.ts";
import { type Range, rangeOf, rangeOfSome, ratiosOf, timesBetter } from "./stats.ts";

/** A load generator that takes more may be the bound itself: then CPU for an operation is compared. */
export const CLIENT_CORES_MAX = 0.5;

export type RowSamples = Readonly<Partial<Record<PeerName, readonly Sample[]>>>;

export function judgeRow(row: RowInfo, samples: RowSamples, limits: ReadonlyMap<string, number>): RowResult {
  const series: Partial<Record<PeerName, Series>> = {};
  for (const peer of PEERS) {
    const rounds = samples[peer];
    if (rounds && rounds.length > 0) series[peer] = seriesOf(rounds);
  }
  const { kith = [], reference = [] } = samples;
  const ratio = ratiosOf(
    kith.map(({ value }) => value),
    reference.map(({ value }) => value),
    row.better,
  );
  const cpuRatio = ratiosOf(
    kith.map(({ cpuMs }) => cpuMs),
    reference.map(({ cpuMs }) => cpuMs),
    "lower",
  );
  const basis = cpuRatio && clientIsTheBound(series) ? "cpu" : "value";
  const limit = row.limit === undefined ? undefined : limits.get(row.limit);
  const value = series.kith?.value.median;
  return {
    ...row,
    series,
    ...(ratio && { ratio }),
    ...(cpuRatio && { cpuRatio }),
    basis,
    ...(limit !== undefined &&
      value !== undefined && { shareOfLimit: timesBetter(value, limit, row.better) }),
    ...metOf(row.goal, { ratio: basis === "cpu" ? cpuRatio : ratio, value }),
  };
}

function seriesOf(rounds: readonly Sample[]): Series {
  const some = (pick: (sample: Sample) => number | undefined) => rangeOfSome(rounds.map(pick));
  const [cpuMs, clientCores, serverCores] = [
    some((sample) => sample.cpuMs),
    some((sample) => sample.clientCores),
    some((sample) => sample.serverCores),
  ];
  return {
    rounds,
    value: rangeOf(rounds.map(({ value }) => value)),
    ...(cpuMs && { cpuMs }),
    ...(clientCores && { clientCores }),
    ...(serverCores && { serverCores }),
  };
}

function clientIsTheBound(series: Partial<Record<PeerName, Series>>): boolean {
  return PEERS.some((peer) => (series[peer]?.clientCores?.median ?? 0) > CLIENT_CORES_MAX);
}

function metOf(
  goal: Goal | undefined,
  { ratio, value }: { ratio: Range | undefined; value: number | undefined },
): { met?: boolean } {
  if (goal?.kind === "times") return ratio ? { met: ratio.median >= goal.atLeast } : {};
  if (!goal || value === undefined) return {};
  return { met: goal.kind === "at-most" ? value <= goal.value : value >= goal.value };
}
