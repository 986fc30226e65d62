import { KithError } from "../errors.ts";

/** Tasks of one DID that may wait for another. */
export const WAITING_MAX = 8;

/** Runs the tasks of each DID one after the other. */
export class DidLocks {
  readonly #lines = new Map<string, { tail: Promise<unknown>; waiting: number }>();

  /** Throws KithError busy where too many wait already. */
  async run<T>(did: string, task: () => Promise<T>): Promise<T> {
    const line = this.#lines.get(did) ?? { tail: Promise.resolve(), waiting: 0 };
    if (line.waiting > WAITING_MAX) {
      throw new KithError("busy", `Could not change "${did}": ${WAITING_MAX} changes wait already`);
    }
    this.#lines.set(did, line);
    line.waiting++;
    const turn = line.tail.then(task);
    line.tail = turn.catch(() => {});
    try {
      return await turn;
    } finally {
      line.waiting--;
      if (line.waiting === 0) this.#lines.delete(did);
    }
  }
}
