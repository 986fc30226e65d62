/**
 * The blob files of one open repo. A blob's file is there before its row and goes after it, so between an upload and a
 * removal of the same bytes one waits for the other.
 */
import { type Cid, cidKey } from "../atproto/mod.ts";
import type { QuarantineFiles } from "./blob_quarantine.ts";

/** The blob files as the registry uses them. */
export interface RegistryBlobs<Upload> extends QuarantineFiles {
  keep(upload: Upload, target: { did: string; cid: Cid }): Promise<void>;
  remove(did: string, cid: Cid): Promise<void>;
  removeAll(did: string): Promise<void>;
  /** True while removeAll() would wait for a backup. Absent: never. */
  isHeld?(): boolean;
}

export class RepoBlobs<Upload> {
  readonly #did: string;
  readonly #blobs: RegistryBlobs<Upload>;
  /** Uploads whose file is in place and whose row is not yet durable, by CID. */
  readonly #uploads = new Map<string, number>();
  /** Uploads on their way into the account's folder. */
  readonly #moves = new Set<Promise<void>>();
  /** Blobs whose row is gone and whose file is being removed, by CID. */
  readonly #dying = new Map<string, Promise<void>>();

  constructor(did: string, blobs: RegistryBlobs<Upload>) {
    this.#did = did;
    this.#blobs = blobs;
  }

  /** Puts the upload in its place, then its row, by `putRow`. Before, `assertAlive` says whether it may still be. */
  async keep<T>(
    { upload, cid }: { upload: Upload; cid: Cid },
    { assertAlive, putRow }: { assertAlive: () => unknown; putRow: () => Promise<T> },
  ): Promise<T> {
    const key = cidKey(cid);
    const dying = this.#dying;
    // Looked at and marked in one turn: a removal begins either before both or not at all.
    for (let removal = dying.get(key); removal; removal = dying.get(key)) await removal.catch(() => {});
    this.#uploads.set(key, (this.#uploads.get(key) ?? 0) + 1);
    try {
      assertAlive();
      const move = this.#blobs.keep(upload, { did: this.#did, cid });
      this.#moves.add(move);
      await move.finally(() => this.#moves.delete(move));
      return await putRow();
    } finally {
      const left = (this.#uploads.get(key) ?? 1) - 1;
      if (left > 0) this.#uploads.set(key, left);
      else this.#uploads.delete(key);
    }
  }

  /** Unlinks blobs whose row is durably gone, unless an upload has brought them back meanwhile. Returns how many. */
  async remove(cids: readonly Cid[], hasRow: (cid: Cid) => boolean): Promise<number> {
    let removed = 0;
    for (const cid of cids) {
      const key = cidKey(cid);
      if (this.#uploads.has(key) || hasRow(cid)) continue;
      const removal = this.#blobs.remove(this.#did, cid).finally(() => this.#dying.delete(key));
      this.#dying.set(key, removal);
      await removal;
      removed += 1;
    }
    return removed;
  }

  /** Removes every file of an account that is dead. */
  async removeAll(): Promise<void> {
    await Promise.allSettled(this.#moves);
    await this.#blobs.removeAll(this.#did);
  }
}
