/** Who is told of changes that no event tells: backups, which would not know of them before the next snapshot. */

type Listener = (did: string) => void;

export class UntoldChanges {
  readonly #isActive: (did: string) => boolean;
  readonly #quiet: Listener[] = [];
  readonly #repos: Listener[] = [];

  constructor(isActive: (did: string) => boolean) {
    this.#isActive = isActive;
  }

  /** Calls `listener` with the account of each change that never has an event, such as of preferences, before its answer. */
  onQuiet(listener: Listener): void {
    this.#quiet.push(listener);
  }

  /** Calls `listener` with the account of each change of a repo, or of its blobs, that has no event since the account is not active. */
  onRepo(listener: Listener): void {
    this.#repos.push(listener);
  }

  tellQuiet(did: string): void {
    for (const listener of this.#quiet) listener(did);
  }

  /** Nothing of an active account. */
  tellRepo(did: string): void {
    if (this.#repos.length === 0 || this.#isActive(did)) return;
    for (const listener of this.#repos) listener(did);
  }
}
