/**
 * Holds the removal of blobs and of dead accounts' files while a backup reads them (docs/storage_rules.md, 22). A blob that is to go
 * stays until nothing holds it any more, and goes then only if it still has no row; an account's files wait.
 */
import { type Cid, cidKey } from "../atproto/mod.ts";
import type { Logger } from "../logger.ts";
import type { RegistryBlobs } from "./repo_blobs.ts";

/** Blobs remembered for later; what is beyond is found by the sweeper's walk. */
export const HELD_BLOBS_MAX = 100_000;

export interface BlobHoldOptions<Upload> {
  readonly blobs: RegistryBlobs<Upload>;
  /** Removes those of the files that have no row, in a turn of the repo. */
  readonly removeStrays: (did: string, cids: readonly Cid[]) => Promise<unknown>;
  readonly logger: Logger;
}

export class BlobHold<Upload> {
  readonly #options: BlobHoldOptions<Upload>;
  readonly #listeners = new Set<(did: string, cid: Cid) => void>();
  /** By DID, by CID. */
  #later = new Map<string, Map<string, Cid>>();
  #laterCount = 0;
  #holds = 0;
  #free = Promise.withResolvers<void>();

  constructor(options: BlobHoldOptions<Upload>) {
    this.#options = options;
    this.#free.resolve();
  }

  /** The blob files as the registry and the sweeper are to use them. */
  get blobs(): RegistryBlobs<Upload> {
    const { blobs } = this.#options;
    return {
      keep: async (upload, target) => {
        await blobs.keep(upload, target);
        for (const listener of this.#listeners) listener(target.did, target.cid);
      },
      remove: async (did, cid) => {
        if (this.#holds === 0) await blobs.remove(did, cid);
        else this.#keepForLater(did, cid);
      },
      removeAll: async (did) => {
        while (this.#holds > 0) await this.#free.promise;
        await blobs.removeAll(did);
      },
      isHeld: () => this.#holds > 0,
      quarantine: (did, cid) => blobs.quarantine(did, cid),
      release: (did, cid) => blobs.release(did, cid),
      removeQuarantined: (did, cid) => blobs.removeQuarantined(did, cid),
      quarantined: (did) => blobs.quarantined(did),
    };
  }

  /** Calls `listener` for each blob that is put into its place, until the returned function is called. */
  onKept(listener: (did: string, cid: Cid) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** From now on nothing is removed, until the returned function is called. */
  begin(): () => void {
    if (this.#holds === 0) this.#free = Promise.withResolvers();
    this.#holds += 1;
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#holds -= 1;
      if (this.#holds > 0) return;
      this.#free.resolve();
      void this.#removeLater();
    };
  }

  #keepForLater(did: string, cid: Cid): void {
    if (this.#laterCount >= HELD_BLOBS_MAX) return;
    this.#laterCount += 1;
    const cids = this.#later.get(did) ?? new Map<string, Cid>();
    cids.set(cidKey(cid), cid);
    this.#later.set(did, cids);
  }

  async #removeLater(): Promise<void> {
    const later = this.#later;
    [this.#later, this.#laterCount] = [new Map(), 0];
    for (const [did, cids] of later) {
      try {
        await this.#options.removeStrays(did, [...cids.values()]);
      } catch (error) {
        // Gone by now, or the server stops: the sweeper's walk finds what is left.
        this.#options.logger.debug("Blobs that were held for a backup stay for the sweeper", { did, error });
      }
    }
  }
}
