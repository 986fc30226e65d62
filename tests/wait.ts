/** Waiting for a condition: the only clock in these tests is the limit after which they give up. */
const POLL_MS = 5;
export const WAIT_LIMIT_MS = 60_000;

/**
 * Asks `probe` again and again until it answers something other than undefined, null or false, and returns that.
 * An exception in the probe counts as "not yet"; the last one is the cause of the final error.
 */
export async function waitFor<T>(
  what: string,
  probe: () => T | Promise<T>,
  limitMs = WAIT_LIMIT_MS,
): Promise<NonNullable<Exclude<T, false>>> {
  const deadline = performance.now() + limitMs;
  let cause: unknown;
  while (performance.now() < deadline) {
    try {
      const answer = await probe();
      if (answer !== undefined && answer !== null && answer !== false)
        return answer as NonNullable<Exclude<T, false>>;
    } catch (error) {
      cause = error;
    }
    await Bun.sleep(POLL_MS);
  }
  throw new Error(`Waited ${limitMs} ms in vain for ${what}`, { cause });
}

/** Rejects when the promise takes longer than the limit. */
export async function within<T>(what: string, promise: Promise<T>, limitMs = WAIT_LIMIT_MS): Promise<T> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`Waited ${limitMs} ms in vain for ${what}`)), limitMs);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

const DAY_MS = 86_400_000;

/**
 * Lets midnight (UTC) pass where that is nearer than so long: for what counts the days of the clock, as a backup does, which keeps of a day
 * that is over the newest snapshot alone.
 */
export async function letMidnightPass(withinMs: number): Promise<void> {
  const today = Math.floor(Date.now() / DAY_MS);
  if ((today + 1) * DAY_MS - Date.now() > withinMs) return;
  await waitFor("midnight", () => Math.floor(Date.now() / DAY_MS) > today, 2 * withinMs);
}

/** A seeded generator (mulberry32): the same seed gives the same test. Returns numbers in [0, 1). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}
