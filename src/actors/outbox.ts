/**
 * One subscriber's stream of the firehose.
 *
 *   backfilling  reads pages of the event log after its cursor, up to what is published, and sends them
 *   live         has caught up: gets each batch as it is published. The cut-over has no gap: the page that came back
 *                empty and the change to `live` are one turn of the event loop, and published batches come in another.
 *   stalled      its socket is full. It is not pushed to; its cursor stays where it is, and when the socket has drained it
 *                reads on from the log. So a slow reader costs its socket's buffer and nothing else.
 *   closed       gone, or told ConsumerTooSlow
 *
 * No frame is dropped in silence: a frame is either taken by the socket, or the stream ends with an error frame. Of what was removed from the
 * log before it was read the subscriber is told by #info OutdatedCursor.
 */
import { createActor, setup } from "xstate";
import { errorFrame, infoFrame } from "../atproto/mod.ts";
import type { SequencedFrame } from "./sequencer.ts";

/** Rows and bytes of one page of backfill. */
export const PAGE_ROWS_MAX = 500;
export const PAGE_BYTES_MAX = 4 * 1024 * 1024;
/** A subscriber whose socket has not drained for so long is told ConsumerTooSlow. */
export const STALL_MS_MAX = 5 * 60_000;

/** WebSocket close codes. */
const CLOSE_POLICY = 1008;
const CLOSE_INTERNAL = 1011;
const CLOSE_RESTART = 1012;

/**
 * Where frames go. "sent": taken. "queued": taken, but the socket is full now. "dropped": not taken, the socket's buffer
 * is past its bound.
 */
export interface FrameSink {
  send(frame: Uint8Array): "sent" | "queued" | "dropped";
  /** Runs several sends, which reach the system in as few writes as can be: "queued" where it did not take all of them. */
  together(sends: () => void): "sent" | "queued";
  close(code: number, reason: string): void;
}

/** What an outbox reads from. */
export interface OutboxSource {
  /** The newest seq that may be seen. */
  publishedSeq(): number;
  /** Frames with `after < seq <= publishedSeq`, oldest first. */
  page(after: number): readonly SequencedFrame[];
  /** The newest seq that retention has removed; 0 where none was. */
  prunedUpTo(): number;
}

export interface OutboxOptions {
  readonly source: OutboxSource;
  readonly sink: FrameSink;
  /** The seq that the subscriber has seen last. */
  readonly after: number;
  /** Called once, when the stream has ended. */
  readonly onClosed: () => void;
  /** Called with what kept the next page from being read; the stream ends then. */
  readonly onFailed?: (error: unknown) => void;
}

export type OutboxEvent =
  | { type: "page" }
  | { type: "caughtUp" }
  | { type: "full" }
  | { type: "drained" }
  | { type: "tooSlow" }
  | { type: "closed" };

/** Effects are given by the class below. */
function notProvided(): never {
  throw new Error("The outbox machine runs only with its effects provided");
}

export const outboxMachine = setup({
  types: { events: {} as OutboxEvent },
  actions: { sendPage: notProvided, refuse: notProvided, release: notProvided },
  delays: { STALL_MS_MAX },
}).createMachine({
  id: "outbox",
  initial: "backfilling",
  on: { closed: ".closed", tooSlow: { target: ".closed", actions: "refuse" } },
  states: {
    backfilling: {
      entry: "sendPage",
      on: { page: { target: "backfilling", reenter: true }, caughtUp: "live", full: "stalled" },
    },
    live: { on: { full: "stalled" } },
    stalled: {
      on: { drained: "backfilling" },
      after: { STALL_MS_MAX: { target: "closed", actions: "refuse" } },
    },
    closed: { type: "final", entry: "release" },
  },
});

/** Tells a subscriber that it misses events. */
export function outdatedCursor(cursor: number): Uint8Array {
  return infoFrame("OutdatedCursor", `Events after the cursor ${cursor} are older than what is kept`);
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #actor;
  #cursor: number;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#cursor = options.after;
    this.#actor = createActor(
      outboxMachine.provide({
        actions: {
          // Deferred by a turn, so that many backfills share the event loop with everything else.
          sendPage: () => void setImmediate(() => this.#sendPage()),
          refuse: () => this.#refuse(),
          release: () => options.onClosed(),
        },
      }),
    );
    this.#actor.start();
  }

  /** The newest seq that the socket has taken. */
  get cursor(): number {
    return this.#cursor;
  }

  get state(): "backfilling" | "live" | "stalled" | "closed" {
    return this.#actor.getSnapshot().value;
  }

  /** Sends a published batch to a subscriber that is live; others read it from the log in their time. */
  push(frames: readonly SequencedFrame[]): void {
    if (this.state === "live") this.#sendAll(frames);
  }

  /** The socket has room again. */
  drained(): void {
    this.#actor.send({ type: "drained" });
  }

  /** The socket is gone. */
  closed(): void {
    this.#actor.send({ type: "closed" });
  }

  /** Ends the stream because the server stops; the subscriber comes back with its cursor. */
  shutDown(): void {
    if (this.state === "closed") return;
    this.#options.sink.close(CLOSE_RESTART, "The server is restarting");
    this.closed();
  }

  #sendPage(): void {
    if (this.state !== "backfilling") return;
    const frames = this.#readPage();
    if (!frames) return;
    if (frames.length === 0) this.#actor.send({ type: "caughtUp" });
    else if (this.#sendAll(frames)) this.#actor.send({ type: "page" });
  }

  /** Undefined where the log cannot be read: this runs on its own turn, where an exception would end the process. */
  #readPage(): readonly SequencedFrame[] | undefined {
    const { source } = this.#options;
    try {
      if (this.#cursor < source.prunedUpTo()) this.#skipTo(source.prunedUpTo());
      return source.page(this.#cursor);
    } catch (error) {
      this.#options.onFailed?.(error);
      this.#options.sink.close(CLOSE_INTERNAL, "internal error");
      this.closed();
      return undefined;
    }
  }

  /** What lay between has gone from the log since the stream began: it was slow, or began where the log did. */
  #skipTo(seq: number): void {
    const { sink } = this.#options;
    if (this.#cursor > 0) sink.send(outdatedCursor(this.#cursor));
    this.#cursor = seq;
  }

  /** True when the socket took all of them and has room for more. */
  #sendAll(frames: readonly SequencedFrame[]): boolean {
    const taken = frames.length === 1 ? this.#sendEach(frames) : this.#sendTogether(frames);
    if (taken === "dropped") this.#actor.send({ type: "tooSlow" });
    if (taken === "queued") this.#actor.send({ type: "full" });
    return taken === "sent";
  }

  /** A write of the system costs more than all else here. What it leaves is known only once all of them were made. */
  #sendTogether(frames: readonly SequencedFrame[]): "sent" | "queued" | "dropped" {
    let each: "sent" | "queued" | "dropped" = "sent";
    const all = this.#options.sink.together(() => {
      each = this.#sendEach(frames);
    });
    return each === "sent" ? all : each;
  }

  /** Up to the first frame that is not simply taken. */
  #sendEach(frames: readonly SequencedFrame[]): "sent" | "queued" | "dropped" {
    for (const { seq, frame } of frames) {
      if (seq <= this.#cursor) continue;
      const taken = this.#options.sink.send(frame);
      if (taken !== "dropped") this.#cursor = seq;
      if (taken !== "sent") return taken;
    }
    return "sent";
  }

  #refuse(): void {
    this.#options.sink.send(errorFrame("ConsumerTooSlow", "The stream is not being read fast enough"));
    this.#options.sink.close(CLOSE_POLICY, "ConsumerTooSlow");
  }
}
