/**
 * Keeps the files of blobs where their takedowns say: in the quarantine, or in their place. The row decides what is served, and
 * is durable first; the files follow, and follow again at a start that a crash has made necessary.
 */
import { type Cid, cidKey } from "../atproto/mod.ts";
import type { RepoStore } from "../storage/mod.ts";

/** The blob files as the quarantine uses them. Each does nothing where there is nothing to do. */
export interface QuarantineFiles {
  quarantine(did: string, cid: Cid): Promise<void>;
  /** Back into its place. */
  release(did: string, cid: Cid): Promise<void>;
  removeQuarantined(did: string, cid: Cid): Promise<void>;
  quarantined(did: string): Promise<readonly Cid[]>;
}

type Blobs = Pick<RepoStore, "did" | "blob" | "takedowns">;

export class BlobQuarantine {
  readonly #files: QuarantineFiles;
  /** By DID and CID: the last move of its file. */
  readonly #moves = new Map<string, Promise<void>>();

  constructor(files: QuarantineFiles) {
    this.#files = files;
  }

  /** Moves the file of one blob to where it belongs by now; one move after another. */
  async settle(repo: Blobs, cid: Cid): Promise<void> {
    const key = `${repo.did} ${cidKey(cid)}`;
    const before = this.#moves.get(key) ?? Promise.resolve();
    const move = before.catch(() => {}).then(() => settleFile(this.#files, { repo, cid }));
    this.#moves.set(key, move);
    try {
      await move;
    } finally {
      if (this.#moves.get(key) === move) this.#moves.delete(key);
    }
  }
}

/** What a crash may have left undone for one account. */
export async function settleQuarantine(files: QuarantineFiles, repo: Blobs): Promise<void> {
  const found = await files.quarantined(repo.did);
  const all = new Map([...found, ...repo.takedowns.blobs()].map((cid) => [cidKey(cid), cid]));
  for (const cid of all.values()) await settleFile(files, { repo, cid });
}

async function settleFile(files: QuarantineFiles, { repo, cid }: { repo: Blobs; cid: Cid }): Promise<void> {
  const { did } = repo;
  if (repo.takedowns.blob(cid) !== undefined) return files.quarantine(did, cid);
  if (repo.blob(cid)) return files.release(did, cid);
  // Lifted after its last record had gone.
  return files.removeQuarantined(did, cid);
}
