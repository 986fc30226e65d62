import { carBlock, carHeader, cidToString } from "../atproto/mod.ts";
import type { RepoExport } from "../storage/mod.ts";

/** Bytes of blocks read from the file for one chunk of a CAR. */
const CHUNK_BYTES = 256 * 1024;

/**
 * A repo export as CAR bytes, read as the consumer pulls: one chunk in memory at a time. `onEnd` is called once, at the
 * end, on failure, when the consumer goes away, or when `stopping` aborts: then the stream breaks off with an error.
 */
export function carStream(
  source: RepoExport,
  { onEnd, stopping }: { onEnd: () => void; stopping: AbortSignal },
): ReadableStream<Uint8Array> {
  let ended = false;
  let cut: (() => void) | undefined;
  const end = (): void => {
    if (ended) return;
    ended = true;
    if (cut) stopping.removeEventListener("abort", cut);
    source.close();
    onEnd();
  };
  return new ReadableStream<Uint8Array>(
    {
      start: (controller) => {
        controller.enqueue(carHeader([source.head.commit]));
        cut = () => {
          end();
          controller.error(new Error("The server stops before the export has been read"));
        };
        stopping.addEventListener("abort", cut, { once: true });
        if (stopping.aborted) cut();
      },
      pull: async (controller) => {
        try {
          let blocks = source.next(CHUNK_BYTES);
          // A step through blocks that are not wanted yields none: the event loop gets its turn in between.
          while (blocks?.length === 0) {
            await new Promise((resolve) => setImmediate(resolve));
            if (ended) return;
            blocks = source.next(CHUNK_BYTES);
          }
          if (blocks) return controller.enqueue(Buffer.concat(blocks.map(carBlock)));
          end();
          controller.close();
        } catch (cause) {
          if (ended) return;
          end();
          const message = `Could not go on exporting the commit ${cidToString(source.head.commit)}`;
          controller.error(new Error(message, { cause }));
        }
      },
      cancel: end,
    },
    { highWaterMark: 1 },
  );
}
