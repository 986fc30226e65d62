/** Figures of several rounds, pure: ranges, percentiles and ratios. */

/** What is better in a figure: more of it, or less. */
export type Better = "higher" | "lower";

export interface Range {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

/** The value below which a share (0 to 1) of the values lies, by the nearest rank. Throws RangeError without values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  const rank = Math.max(1, Math.ceil(sorted.length * share));
  const value = sorted[rank - 1];
  if (value === undefined) throw new RangeError("There is no percentile of no values");
  return value;
}

/** Of an even count the median is the mean of the two in the middle. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new RangeError("There is no median of no values");
  return (lower + upper) / 2;
}

export function rangeOf(values: readonly number[]): Range {
  return { min: Math.min(...values), median: median(values), max: Math.max(...values) };
}

/** The range of those that are there; undefined where none is. */
export function rangeOfSome(values: readonly (number | undefined)[]): Range | undefined {
  const some = values.filter((value) => value !== undefined);
  return some.length === 0 ? undefined : rangeOf(some);
}

/** How many times better `ours` is than `theirs`, which were measured one after the other. */
export function timesBetter(ours: number, theirs: number, better: Better): number {
  return better === "higher" ? ours / theirs : theirs / ours;
}

/** timesBetter() of each round; undefined where a round has not both figures. */
export function ratiosOf(
  ours: readonly (number | undefined)[],
  theirs: readonly (number | undefined)[],
  better: Better,
): Range | undefined {
  return rangeOfSome(
    ours.map((our, round) => {
      const their = theirs[round];
      return our === undefined || their === undefined ? undefined : timesBetter(our, their, better);
    }),
  );
}

/** Three digits that matter, without an exponent. */
export function digits(value: number): string {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en-US");
  return value.toFixed(size >= 10 ? 1 : size >= 1 ? 2 : size >= 0.1 ? 3 : 4);
}
