import { carEntries, carHeader, cidToString } from "../atproto/mod.ts";
import type { RepoExport } from "../storage/mod.ts";

/** Bytes of blocks read from the file for one chunk of a CAR. */
const CHUNK_BYTES = 256 * 1024;

/**
 * A repo export as CAR bytes, read as the consumer pulls: one chunk in memory at a time. `onEnd` is called once, at the
 * end, on failure, when it is cut off or when the consumer goes away.
 */
export class CarExport {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #source: RepoExport;
  readonly #onEnd: () => void;
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #ended = false;
  #pulledMs = performance.now();

  constructor(source: RepoExport, onEnd: () => void) {
    this.#source = source;
    this.#onEnd = onEnd;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          this.#controller = controller;
          controller.enqueue(carHeader([source.head.commit]));
        },
        pull: (controller) => this.#pull(controller),
        cancel: () => this.#end(),
      },
      { highWaterMark: 1 },
    );
  }

  /** Milliseconds since the consumer last asked for a chunk. */
  get idleMs(): number {
    return performance.now() - this.#pulledMs;
  }

  /** Breaks the stream off with an error: the consumer cannot take what it has for the whole. */
  cut(reason: string): void {
    if (this.#ended) return;
    this.#end();
    this.#controller?.error(new Error(reason));
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#source.close();
    this.#onEnd();
  }

  async #pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    this.#pulledMs = performance.now();
    try {
      let blocks = this.#source.next(CHUNK_BYTES);
      // A step through blocks that are not wanted yields none: the event loop gets its turn in between.
      while (blocks?.length === 0) {
        await new Promise((resolve) => setImmediate(resolve));
        if (this.#ended) return;
        blocks = this.#source.next(CHUNK_BYTES);
      }
      if (blocks) return controller.enqueue(carEntries(blocks));
      this.#end();
      controller.close();
    } catch (cause) {
      this.#end();
      const message = `Could not go on exporting the commit ${cidToString(this.#source.head.commit)}`;
      controller.error(new Error(message, { cause }));
    }
  }
}

/** An export of which nothing was read for so long gives way where others need its place. */
const STALL_MS = 5_000;

/** The exports that are running. */
export class CarExports {
  readonly #running = new Set<CarExport>();

  /** Starts one; `onEnd` is called once, when it has ended in whichever way. */
  open(source: RepoExport, onEnd: () => void): ReadableStream<Uint8Array> {
    const started = new CarExport(source, () => {
      this.#running.delete(started);
      onEnd();
    });
    this.#running.add(started);
    return started.stream;
  }

  /** Breaks off the one that has been left unread for longest, if that is long enough. */
  cutStalled(): void {
    const [stalled] = [...this.#running].sort((one, other) => other.idleMs - one.idleMs);
    if (stalled && stalled.idleMs >= STALL_MS)
      stalled.cut("The export was not read, and its place is needed");
  }

  /** Breaks off all of them. */
  cutAll(reason: string): void {
    for (const running of [...this.#running]) running.cut(reason);
  }
}
