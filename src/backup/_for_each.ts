/** What is asked of a destination at a time: enough to hide its latency, few enough for its limits. */
const AT_ONCE = 8;

/** Runs `run` for each item, a few at a time. The first failure, or the signal, ends it: nothing runs any more when this rejects. */
export async function forEach<T>(
  items: readonly T[],
  signal: AbortSignal | undefined,
  run: (item: T) => Promise<void>,
): Promise<void> {
  let [at, isOver] = [0, false];
  const worker = async () => {
    try {
      while (at < items.length && !isOver) {
        signal?.throwIfAborted();
        await run(items[at++] as T);
      }
    } catch (error) {
      isOver = true;
      throw error;
    }
  };
  const results = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}
