/** How far something is, on standard error: one line of a terminal that is drawn anew; elsewhere, if at all, a line now and then. */
import type { Io } from "./command.ts";

const DRAW_EVERY_MS = 100;
/** Where no person looks, what is over sooner writes no line. */
const FIRST_TOLD_MS = 2_000;
const CLEAR = "\r\u001b[K";

export interface ProgressLineOptions {
  /** Where no person looks, a line is written so often; none where absent. */
  readonly tellEveryMs?: number;
  /** Monotonic milliseconds. */
  readonly elapsed?: () => number;
}

export class ProgressLine {
  readonly #io: Pick<Io, "err" | "isTerminal">;
  readonly #tellEveryMs: number;
  readonly #elapsed: () => number;
  #dueMs: number;
  #isDrawn = false;

  constructor(
    io: Pick<Io, "err" | "isTerminal">,
    { tellEveryMs = Number.POSITIVE_INFINITY, elapsed = () => performance.now() }: ProgressLineOptions = {},
  ) {
    this.#io = io;
    this.#tellEveryMs = tellEveryMs;
    this.#elapsed = elapsed;
    const isTold = !io.isTerminal && Number.isFinite(tellEveryMs);
    this.#dueMs = isTold ? elapsed() + FIRST_TOLD_MS : Number.NEGATIVE_INFINITY;
  }

  /** On a terminal what is news is shown at once. */
  show(text: () => string, { isNews = false }: { isNews?: boolean } = {}): void {
    const { isTerminal } = this.#io;
    const everyMs = isTerminal ? DRAW_EVERY_MS : this.#tellEveryMs;
    const nowMs = this.#elapsed();
    const isDue = Number.isFinite(everyMs) && nowMs >= this.#dueMs;
    if (!isDue && !(isNews && isTerminal)) return;
    this.#dueMs = nowMs + everyMs;
    this.#io.err(isTerminal ? `${CLEAR}${text()}` : `${text()}\n`);
    this.#isDrawn = isTerminal;
  }

  /** Before anything else is written. */
  clear(): void {
    if (this.#isDrawn) this.#io.err(CLEAR);
    this.#isDrawn = false;
  }
}
