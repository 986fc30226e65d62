/** The time of day where it does harm that it jumps. */

export interface BelievedClockOptions {
  /** Unix milliseconds. */
  readonly now: () => number;
  /** Monotonic milliseconds. */
  readonly elapsed?: () => number;
}

/** What a clock may be ahead of its own pace without being taken for one that has jumped. */
const SLACK_MS = 60_000;
export const BELIEVED_AFTER_MS = 3_600_000;

/**
 * For what removes things because of their age: a clock that jumps ahead is believed once it has stayed there for a while, so that a wrong
 * one that is set right soon removes nothing for good. Until then it goes on at its pace. A jump back is believed at once.
 */
export function believedClock({
  now,
  elapsed = () => performance.now(),
}: BelievedClockOptions): () => number {
  let last = { time: now(), atMs: elapsed() };
  /** When it was first seen ahead. */
  let aheadMs: number | undefined;
  return () => {
    const [time, atMs] = [now(), elapsed()];
    const expected = last.time + atMs - last.atMs;
    const isAhead = time > expected + SLACK_MS;
    if (isAhead) aheadMs ??= atMs;
    else aheadMs = undefined;
    if (aheadMs !== undefined && atMs - aheadMs >= BELIEVED_AFTER_MS) aheadMs = undefined;
    last = { time: aheadMs === undefined ? time : expected, atMs };
    return last.time;
  };
}

/** A clock that was set back by more had been wrong before. */
export const HELD_MS_MAX = 2 * 86_400_000;

/**
 * For the times of the event log, which is read by time as if they rose with its seqs: stands still where the clock is set back, by
 * up to two days. `last` is what it has told before.
 */
export function risingClock({ now, last }: { now: () => number; last: number }): () => number {
  let told = last;
  return () => {
    const time = now();
    if (time >= told || told - time > HELD_MS_MAX) told = time;
    return told;
  };
}
