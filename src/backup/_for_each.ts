/** What is asked of a destination at a time: enough to hide its latency, few enough for its limits. */
const AT_ONCE = 8;

/** Runs `run` for each item, a few at a time. The first failure, or the signal, ends it. */
export async function forEach<T>(
  items: readonly T[],
  signal: AbortSignal | undefined,
  run: (item: T) => Promise<void>,
): Promise<void> {
  let at = 0;
  const worker = async () => {
    while (at < items.length) {
      signal?.throwIfAborted();
      await run(items[at++] as T);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}
