/**
 * The sequencer: the single writer of the event log. It gives each event its seq, encodes the wire frame once, appends
 * all that waits in one transaction, and awaits the disk. An event may come before its repo's disk has answered, so that
 * both disks are awaited at once: only when both have, the very same bytes are handed to every outbox, in seq order. What
 * a crash leaves in the log and not in the repo was never published, and is dropped at the next start.
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
/** Others write, where another account's event was handed over in the last so many ms. */
export const OTHERS_WRITE_MS = 50;
/** Where nothing was published for so long, no answer waits for its event. */
export const ANSWER_WAIT_MS = 20;
/** How often settled() looks. */
const SETTLE_LOOK_MS = 5;
/** A WAL of the event log this large is checkpointed. */
const CHECKPOINT_AT_BYTES = 8 * 1024 * 1024;

/** The event log as the sequencer uses it; `storage` has it. */
export interface SequencerLog {
  lastSeq(): number;
  /** The newest seq that retention has removed; 0 where none was. */
  prunedUpTo(): number;
  lastKey(did: string): string | undefined;
  /** `publishedUpTo` is kept with the rows; undefined leaves what is kept. */
  append(rows: readonly LogRow[], publishedUpTo: number | undefined): void;
  /** Removes the DID's rows that were never published and have a key above this one; returns how many. */
  dropUnkept(did: string, key: string): number;
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

/** How far a repo's file has come. */
export interface RepoMarks {
  readonly lastTid: string | null;
  readonly head: { readonly rev: string } | null;
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

/** What one call has handed over. */
interface Handed {
  /** Durable in the repo. */
  isKept: boolean;
  readonly published: PromiseWithResolvers<void>;
}

interface Entry {
  readonly did: string;
  readonly event: PendingEvent;
  readonly handed: Handed;
  readonly isLast: boolean;
  /** Absent until it is appended, and where the log had it already. */
  row: LogRow | undefined;
  /** Durable in the log. */
  isLogged: boolean;
}

export class Sequencer {
  readonly #options: SequencerOptions;
  /** Not in the log yet. */
  readonly #waiting: Entry[] = [];
  /** In the log, in the order of their seqs, and not published yet. */
  readonly #appended: Entry[] = [];
  readonly #listeners = new Set<(frames: readonly SequencedFrame[]) => void>();
  readonly #actor;
  readonly #stopped = Promise.withResolvers<void>();
  /** Calls of hand() whose events are not published. */
  #underWay = 0;
  /** Whose events were handed over last, and when; and when another's were before, in Unix ms. */
  #lastDid: string | undefined;
  #lastAt = Number.NEGATIVE_INFINITY;
  #othersAt = Number.NEGATIVE_INFINITY;
  #nextSeq: number;
  #publishedSeq: number;
  #publishedCount = 0;
  #refusedSince: number | undefined;
  #willAppend = false;
  #willPublish = false;
  #isRecovered = false;
  #stopping = false;
  #checkpoint: "none" | "passive" | "restart due" = "none";
  #restart: Promise<unknown> | undefined;
  /** Whose files are older than the log. */
  readonly #older = new Set<string>();
  /** Each ends the wait of an answer for its event. */
  readonly #answers = new Set<() => void>();
  /** The log refuses events, or is slow with them. */
  #isBehind = false;
  #answerTimer: ReturnType<typeof setTimeout> | undefined;
  /** Resolves when all that is in the log is published, at a stop. */
  #drained: (() => void) | undefined;

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

  /** How many events were taken and are not published yet. */
  get unpublished(): number {
    return this.#waiting.length + this.#appended.length;
  }

  /** How many events were published since the start. */
  get publishedCount(): number {
    return this.#publishedCount;
  }

  /** Since when the log refuses events, in Unix ms; undefined where it takes them. */
  get refusedSince(): number | undefined {
    return this.#refusedSince;
  }

  /** Throws "busy" where so much waits, for the log or for the disk of a repo, that no more writes should be taken. */
  assertRoom(): void {
    const events = this.unpublished;
    if (events < BACKLOG_EVENTS_MAX) return;
    throw new KithError("busy", `Could not take the write: ${events} events wait to be published`, {
      hint: "The event log cannot be written, or the disk does not answer: is it full?",
    });
  }

  /**
   * Takes events that their repo has committed, in the order of their keys; `kept` resolves when they are durable there,
   * and is left out where they are. Events that the log has already, by their key, are passed over. Resolves when all of
   * them are durable in both and published.
   */
  hand(did: string, events: readonly PendingEvent[], kept?: Promise<void>): Promise<void> {
    if (events.length === 0) return Promise.resolve();
    if (this.#stopping) {
      return Promise.reject(
        new KithError("shutting_down", `Could not sequence events of "${did}": the sequencer has stopped`),
      );
    }
    const handed: Handed = { isKept: kept === undefined, published: Promise.withResolvers<void>() };
    for (const [at, event] of events.entries()) {
      const isLast = at === events.length - 1;
      this.#waiting.push({ did, event, handed, isLast, row: undefined, isLogged: false });
    }
    this.#underWay++;
    if (did !== this.#lastDid) this.#othersAt = this.#lastAt;
    this.#lastDid = did;
    this.#lastAt = this.#options.now();
    void kept?.then(() => this.#keep(handed));
    this.#appendSoon();
    return handed.published.promise;
  }

  /**
   * When the writer of those events may be told. Undefined: now, as nobody else writes. While others do, one turn of the
   * event loop has many writes in it, and an event whose writer was told at once would come a whole turn later: then the
   * answer goes with the event. Both disks are awaited at once, so it costs next to nothing. Where the log falls behind,
   * no answer waits for it.
   */
  answerTime(published: Promise<void>): Promise<void> | undefined {
    const isAlone = this.#underWay <= 1 && this.#options.now() - this.#othersAt >= OTHERS_WRITE_MS;
    if (isAlone || this.#isBehind) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    const end = (): void => {
      this.#answers.delete(end);
      resolve();
    };
    this.#answers.add(end);
    published.then(end, end);
    this.#boundAnswers();
    return promise;
  }

  #boundAnswers(): void {
    if (this.#answers.size === 0) return;
    this.#answerTimer ??= setTimeout(() => this.#fallBehind(), ANSWER_WAIT_MS);
  }

  #fallBehind(): void {
    this.#isBehind = true;
    for (const end of [...this.#answers]) end();
  }

  /** To be called when events are published. Answers that wait for others have a bound of their own from now on. */
  #catchUp(): void {
    clearTimeout(this.#answerTimer);
    this.#answerTimer = undefined;
    this.#isBehind = false;
    // By then the answers to what is published have left.
    queueMicrotask(() => this.#boundAnswers());
  }

  /** For whoever else writes to the log: has it checkpointed where that is due, between two batches, also while no event comes. */
  relieve(): void {
    const isDue = this.#checkpoint === "restart due" || this.#options.log.walBytes() >= CHECKPOINT_AT_BYTES;
    // A batch of nothing: what comes meanwhile waits for it as for any other.
    if (isDue && !this.#stopping) this.#actor.send({ type: "handed" });
  }

  /** Resolves when all that was handed over until now is published, or after `limitMs`: the log may refuse it. */
  async settled(limitMs: number): Promise<void> {
    const count = this.#publishedCount + this.unpublished;
    const startedMs = performance.now();
    while (this.#publishedCount < count && performance.now() - startedMs < limitMs)
      await Bun.sleep(SETTLE_LOOK_MS);
  }

  /** Calls `listener` with each published batch until the returned function is called. */
  onPublished(listener: (frames: readonly SequencedFrame[]) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /**
   * For a start, before anything of the DID is handed over: drops what the log has of it above the repo's last key, and was never
   * published. What was published stays: then the file is older than the repo was, and an error tells of it.
   */
  async dropUnkept(did: string, repo: RepoMarks): Promise<void> {
    await this.#restart;
    const { log, logger } = this.#options;
    const events = log.dropUnkept(did, repo.lastTid ?? "");
    this.compare(did, repo);
    if (events === 0) return;
    await log.durable();
    logger.warn("Dropped events that the event log had and their repo had not", {
      did,
      events,
    });
  }

  /**
   * For whoever has opened a repo, before anything is written to it: a file that was put back by hand, after a clean stop, is older than
   * what the log has of it. An error tells of it, once a run; the repo is served.
   */
  compare(did: string, { lastTid, head }: RepoMarks): void {
    if (this.#older.has(did)) return;
    const told = this.#options.log.lastKey(did) ?? "";
    if (told <= (lastTid ?? "")) return;
    this.#older.add(did);
    this.#options.logger.error("A repo is older than what the network was told of it: writes are lost", {
      did,
      told,
      last: lastTid,
      rev: head?.rev ?? null,
      hint: "Was its file put back by hand, or its -wal lost or damaged? Stop the server before more is written to it, and run kith verify, which says more: put the right file back, or restore the account from a backup.",
    });
  }

  /** True where the repo's file was older, in this run, than what the log has of it. */
  isOlder(did: string): boolean {
    return this.#older.has(did);
  }

  /** For a start: every repo that was open has been compared with the log. */
  recovered(): void {
    this.#isRecovered = true;
  }

  /**
   * Resolves when everything handed over has been published, or the log refuses it: then the rest stays pending in the
   * repos' files, for the next start. Nothing may be handed over after this call.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    if (this.#waiting.length > 0) this.#actor.send({ type: "handed" });
    this.#actor.send({ type: "stop" });
    await this.#stopped.promise;
    if (this.#appended.length === 0) return;
    await new Promise<void>((resolve) => {
      this.#drained = resolve;
    });
  }

  /** After the events of this turn of the event loop, which go into one transaction. */
  #appendSoon(): void {
    if (this.#willAppend) return;
    this.#willAppend = true;
    setImmediate(() => {
      this.#willAppend = false;
      if (this.#waiting.length > 0) this.#actor.send({ type: "handed" });
    });
  }

  /** The repo's disk has them. Where the log's was faster, they go out with all whose repos' disks answer in this turn. */
  #keep(handed: Handed): void {
    handed.isKept = true;
    if (this.#willPublish || !this.#appended[0]?.isLogged) return;
    this.#willPublish = true;
    setImmediate(() => {
      this.#willPublish = false;
      this.#publish();
    });
  }

  /** Appends the next batch; what comes of it is sent back to the machine, never thrown into it. */
  #append(): void {
    const batch = this.#takeBatch();
    const { log } = this.#options;
    let rows: LogRow[];
    try {
      rows = this.#rowsOf(batch);
      if (rows.length > 0) log.append(rows, this.#isRecovered ? this.#publishedSeq : undefined);
    } catch (error) {
      this.#refusedSince ??= this.#options.now();
      this.#logRefusal(error, batch.length);
      this.#fallBehind();
      queueMicrotask(() => this.#actor.send({ type: "appendFailed" }));
      return;
    }
    this.#refusedSince = undefined;
    this.#waiting.splice(0, batch.length);
    this.#appended.push(...batch);
    this.#nextSeq += rows.length;
    void this.#awaitDisk(batch);
  }

  /** The oldest waiting events, within the bounds of one transaction. They stay in the queue until appended. */
  #takeBatch(): Entry[] {
    let bytes = 0;
    const batch: Entry[] = [];
    for (const entry of this.#waiting) {
      bytes += entry.event.before.length + entry.event.after.length;
      if (batch.length > 0 && (batch.length >= BATCH_EVENTS_MAX || bytes > BATCH_BYTES_MAX)) break;
      batch.push(entry);
    }
    return batch;
  }

  #rowsOf(batch: readonly Entry[]): LogRow[] {
    const rows: LogRow[] = [];
    const lastKeys = new Map<string, string>();
    const at = this.#options.now();
    for (const entry of batch) {
      const { did, event } = entry;
      const lastKey = lastKeys.get(did) ?? this.#options.log.lastKey(did) ?? "";
      if (event.key <= lastKey) continue;
      lastKeys.set(did, event.key);
      const seq = this.#nextSeq + rows.length;
      entry.row = { seq, did, key: event.key, kind: event.kind, at, frame: sealFrame(event, seq) };
      rows.push(entry.row);
    }
    return rows;
  }

  async #awaitDisk(batch: readonly Entry[]): Promise<void> {
    await this.#options.log.durable();
    for (const entry of batch) entry.isLogged = true;
    this.#publish();
    await this.#checkpointIfDue();
    this.#actor.send({ type: "logged", waiting: this.#waiting.length });
  }

  /** Publishes, in the order of the seqs, up to the first that is not durable in its repo and in the log. */
  #publish(): void {
    const end = this.#appended.findIndex(({ isLogged, handed }) => !isLogged || !handed.isKept);
    const entries = this.#appended.splice(0, end === -1 ? this.#appended.length : end);
    const rows = entries.flatMap(({ row }) => row ?? []);
    const last = rows.at(-1);
    if (last) {
      this.#publishedSeq = last.seq;
      this.#publishedCount += rows.length;
      for (const listener of [...this.#listeners]) this.#tell(listener, rows);
    }
    for (const { isLast, handed } of entries) {
      if (!isLast) continue;
      this.#underWay--;
      handed.published.resolve();
    }
    if (entries.length > 0) this.#catchUp();
    if (this.#appended.length === 0) this.#drained?.();
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
      this.#restart = this.#tryCheckpoint("restart");
      await this.#restart;
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
