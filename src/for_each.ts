/** Many things to be done, a few at a time. */

export interface ForEachOptions {
  /** How many run side by side. */
  readonly atOnce: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs `run` for each item. The first failure, or the signal, ends it: nothing is begun after it, and nothing runs any more when this
 * rejects with it.
 */
export async function forEach<T>(
  items: Iterable<T> | AsyncIterable<T>,
  { atOnce, signal }: ForEachOptions,
  run: (item: T) => Promise<void>,
): Promise<void> {
  const source = Symbol.asyncIterator in items ? items[Symbol.asyncIterator]() : items[Symbol.iterator]();
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    try {
      for (let next = await source.next(); !next.done && failures.length === 0; next = await source.next()) {
        signal?.throwIfAborted();
        await run(next.value);
      }
    } catch (error) {
      failures.push(error);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
  if (failures.length > 0) throw failures[0];
}
