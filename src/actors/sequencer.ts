/**
 * The sequencer: the single writer of the event log. It gives each event its seq, encodes the wire frame once, appends
 * all that waits in one transaction, awaits the disk, and only then hands the very same bytes to every outbox, in seq
 * order.
 */
import { createActor } from "xstate";
import { type EventKind, sealFrame } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { PendingEvent } from "../storage/mod.ts";
import { sequencerMachine } from "./sequencer_machine.ts";

/** Events appended in one transaction, at the most. */
export const BATCH_EVENTS_MAX = 500;
/** Bytes of event bodies appended in one transaction, at the most (the first event always goes). */
export const BATCH_BYTES_MAX = 16 * 1024 * 1024;
/** Past so many waiting events, new writes are refused as busy: the log is full or far too slow. */
export const BACKLOG_EVENTS_MAX = 10_000;
/** A WAL of the event log this large is checkpointed. */
const CHECKPOINT_AT_BYTES = 8 * 1024 * 1024;

/** The event log as the sequencer uses it; `storage` has it. */
export interface SequencerLog {
  lastSeq(): number;
  /** The newest seq that retention has removed; 0 where none was. */
  prunedUpTo(): number;
  lastKey(did: string): string | undefined;
  append(rows: readonly LogRow[]): void;
  durable(): Promise<void>;
  walBytes(): number;
  /** False where it could not be completed. */
  checkpoint(mode: "passive" | "restart"): Promise<boolean>;
}

export interface LogRow {
  readonly seq: number;
  readonly did: string;
  readonly key: string;
  readonly kind: EventKind;
  /** Unix milliseconds at which the seq was given. */
  readonly at: number;
  readonly frame: Uint8Array;
}

/** A frame on its way to the subscribers. */
export interface SequencedFrame {
  readonly seq: number;
  readonly frame: Uint8Array;
}

export interface SequencerOptions {
  readonly log: SequencerLog;
  /** The first seq to give: above the stored high-water mark and the clock's microseconds, durably reserved. */
  readonly firstSeq: number;
  readonly now: () => number;
  readonly logger: Logger;
}

interface Waiting {
  readonly did: string;
  readonly event: PendingEvent;
  readonly published: (() => void) | undefined;
}

export class Sequencer {
  readonly #options: SequencerOptions;
  readonly #waiting: Waiting[] = [];
  readonly #listeners = new Set<(frames: readonly SequencedFrame[]) => void>();
  readonly #actor;
  readonly #stopped = Promise.withResolvers<void>();
  #nextSeq: number;
  #publishedSeq: number;
  #stopping = false;
  #checkpoint: "none" | "passive" | "restart due" = "none";

  constructor(options: SequencerOptions) {
    this.#options = options;
    this.#nextSeq = options.firstSeq;
    this.#publishedSeq = Math.max(options.log.lastSeq(), options.log.prunedUpTo());
    this.#actor = createActor(
      sequencerMachine.provide({
        actions: { append: () => this.#append(), reportStopped: () => this.#stopped.resolve() },
      }),
    );
    this.#actor.start();
  }

  /** The newest seq that subscribers may see; 0 before the first event. */
  get publishedSeq(): number {
    return this.#publishedSeq;
  }

  /** How many events wait for their seq. */
  get backlog(): number {
    return this.#waiting.length;
  }

  /** Throws "busy" where so much waits that no more writes should be taken. */
  assertRoom(): void {
    if (this.#waiting.length < BACKLOG_EVENTS_MAX) return;
    throw new KithError(
      "busy",
      `Could not take the write: ${this.#waiting.length} events wait for the event log`,
      {
        hint: "The event log cannot be written: is the disk full?",
      },
    );
  }

  /**
   * Takes events that are durable in their repo, in the order of their keys. Events that the log has already, by their
   * key, are passed over. Resolves when all of them are durable in the log and published.
   */
  hand(did: string, events: readonly PendingEvent[]): Promise<void> {
    if (events.length === 0) return Promise.resolve();
    if (this.#stopping) {
      return Promise.reject(
        new KithError("shutting_down", `Could not sequence events of "${did}": the sequencer has stopped`),
      );
    }
    const { promise, resolve } = Promise.withResolvers<void>();
    for (const [index, event] of events.entries()) {
      this.#waiting.push({ did, event, published: index === events.length - 1 ? resolve : undefined });
    }
    this.#actor.send({ type: "handed" });
    return promise;
  }

  /** Calls `listener` with each published batch until the returned function is called. */
  onPublished(listener: (frames: readonly SequencedFrame[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * Resolves when everything handed over has been published, or the log refuses it: then the rest stays pending in the
   * repos' files, for the next start. Nothing may be handed over after this call.
   */
  stop(): Promise<void> {
    this.#stopping = true;
    this.#actor.send({ type: "stop" });
    return this.#stopped.promise;
  }

  /** Appends the next batch; what comes of it is sent back to the machine, never thrown into it. */
  #append(): void {
    const batch = this.#takeBatch();
    let rows: LogRow[];
    try {
      rows = this.#rowsOf(batch);
      if (rows.length > 0) this.#options.log.append(rows);
    } catch (error) {
      this.#logRefusal(error, batch.length);
      queueMicrotask(() => this.#actor.send({ type: "appendFailed" }));
      return;
    }
    this.#waiting.splice(0, batch.length);
    this.#nextSeq += rows.length;
    void this.#awaitDisk(batch, rows);
  }

  /** The oldest waiting events, within the bounds of one transaction. They stay in the queue until appended. */
  #takeBatch(): Waiting[] {
    let bytes = 0;
    const batch: Waiting[] = [];
    for (const entry of this.#waiting) {
      bytes += entry.event.before.length + entry.event.after.length;
      if (batch.length > 0 && (batch.length >= BATCH_EVENTS_MAX || bytes > BATCH_BYTES_MAX)) break;
      batch.push(entry);
    }
    return batch;
  }

  #rowsOf(batch: readonly Waiting[]): LogRow[] {
    const rows: LogRow[] = [];
    const lastKeys = new Map<string, string>();
    const at = this.#options.now();
    for (const { did, event } of batch) {
      const lastKey = lastKeys.get(did) ?? this.#options.log.lastKey(did) ?? "";
      if (event.key <= lastKey) continue;
      lastKeys.set(did, event.key);
      const seq = this.#nextSeq + rows.length;
      rows.push({ seq, did, key: event.key, kind: event.kind, at, frame: sealFrame(event, seq) });
    }
    return rows;
  }

  async #awaitDisk(batch: readonly Waiting[], rows: readonly LogRow[]): Promise<void> {
    await this.#options.log.durable();
    const last = rows.at(-1);
    if (last) {
      this.#publishedSeq = last.seq;
      for (const listener of [...this.#listeners]) this.#tell(listener, rows);
    }
    for (const { published } of batch) published?.();
    await this.#checkpointIfDue();
    this.#actor.send({ type: "published", waiting: this.#waiting.length });
  }

  /** A listener that fails holds up neither the others nor the next batch. */
  #tell(listener: (frames: readonly SequencedFrame[]) => void, rows: readonly LogRow[]): void {
    try {
      listener(rows);
    } catch (error) {
      this.#options.logger.error("A listener of the sequencer failed", { error });
    }
  }

  /**
   * The long part of a checkpoint runs beside the batches; its short end, the restart of the WAL, between two of them,
   * so that nothing is appended meanwhile.
   */
  async #checkpointIfDue(): Promise<void> {
    if (this.#checkpoint === "none" && this.#options.log.walBytes() >= CHECKPOINT_AT_BYTES) {
      this.#checkpoint = "passive";
      void this.#tryCheckpoint("passive").then((done) => {
        this.#checkpoint = done ? "restart due" : "none";
      });
    } else if (this.#checkpoint === "restart due") {
      await this.#tryCheckpoint("restart");
      this.#checkpoint = "none";
    }
  }

  async #tryCheckpoint(mode: "passive" | "restart"): Promise<boolean> {
    try {
      return (await this.#options.log.checkpoint(mode)) || mode === "passive";
    } catch (error) {
      this.#options.logger.warn("Could not checkpoint the event log; trying again later", { mode, error });
      return false;
    }
  }

  #logRefusal(error: unknown, events: number): void {
    const full = isKithError(error, "storage_full");
    this.#options.logger.error("Could not append to the event log; nothing is dropped, trying again", {
      events,
      full,
      error,
    });
  }
}
