/**
 * Files that are open and that nobody uses: each holds some 200 kB of statements and cached pages, and hundreds may be open. They
 * give both back after about a second, and get them again with the next use, which takes it a fraction of a millisecond.
 */

/** How often files are looked at, and how many looks in a row must find one unused. */
const LOOK_MS = 250;
const UNUSED_LOOKS = 4;
/** Files that rest in one turn of the event loop. */
const FILES_A_TURN = 16;

export interface Restable {
  readonly isClosed: boolean;
  /** Whether it was used since this was asked last. */
  takeUsed(): boolean;
  rest(): void;
}

export class RestingFiles {
  /** By how many looks in a row they were not used. Who rests or is closed is not among them. */
  readonly #awake = new Map<Restable, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** Files that do not rest. */
  get awakeCount(): number {
    return this.#awake.size;
  }

  /** To be called by a file that rests, or is new, when it is used. */
  wake(file: Restable): void {
    this.#awake.set(file, 0);
    this.#lookLater();
  }

  #lookLater(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.look();
    }, LOOK_MS);
    this.#timer.unref?.();
  }

  /** Looks at all once. */
  look(): void {
    const idle: Restable[] = [];
    for (const [file, looks] of this.#awake) {
      if (file.isClosed) this.#awake.delete(file);
      else if (file.takeUsed()) this.#awake.set(file, 0);
      else if (looks + 1 < UNUSED_LOOKS) this.#awake.set(file, looks + 1);
      else idle.push(file);
    }
    this.#restSome(idle);
    if (this.#awake.size > 0) this.#lookLater();
  }

  #restSome(idle: readonly Restable[]): void {
    for (const file of idle.slice(0, FILES_A_TURN)) {
      if (file.isClosed || file.takeUsed()) continue;
      this.#awake.delete(file);
      file.rest();
    }
    if (idle.length > FILES_A_TURN) setImmediate(() => this.#restSome(idle.slice(FILES_A_TURN)));
  }
}
