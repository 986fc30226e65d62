/** The blobs of a drill, which keeps none of them: what the manifest says of each, as if they were there. */
import { type Cid, cidToString, parseCid } from "../atproto/mod.ts";
import { eachBlob, type ListedBlob, type OpenBlob, type RestoreState } from "../storage/mod.ts";
import type { CheckedBlob, CheckedBlobs } from "./folder_check.ts";

export class SeenBlobs implements CheckedBlobs {
  readonly #state: RestoreState;

  /** The state must be open for as long as this is used. */
  constructor(state: RestoreState) {
    this.#state = state;
  }

  async open(
    did: string,
    cid: Cid,
    { quarantined = false }: OpenBlob = {},
  ): Promise<CheckedBlob | undefined> {
    const name = cidToString(cid);
    const seen = this.#state.seenBlob(did, name, { quarantined });
    if (!seen) return undefined;
    const stream = () =>
      Promise.reject(new TypeError(`The bytes of the blob "${name}" are in the backup alone`));
    return { size: seen.size, sha256: seen.sha256, stream };
  }

  async list(
    did: string,
    { limit, after = "", quarantined = false }: { limit: number; after?: string; quarantined?: boolean },
  ): Promise<ListedBlob[]> {
    const names = this.#state.seenBlobs(did, { quarantined, after, limit });
    return names.map((name) => ({ cid: parseCid(name), name, storedAt: 0 }));
  }

  async quarantined(did: string): Promise<Cid[]> {
    const found: Cid[] = [];
    for await (const { cid } of eachBlob(this, { did, quarantined: true })) found.push(cid);
    return found;
  }

  async remove(did: string, cid: Cid): Promise<void> {
    this.#state.forgetSeen(did, cidToString(cid));
  }

  async quarantine(did: string, cid: Cid): Promise<void> {
    this.#state.moveSeen(did, cidToString(cid), { quarantined: true });
  }

  async release(did: string, cid: Cid): Promise<void> {
    this.#state.moveSeen(did, cidToString(cid), { quarantined: false });
  }

  async removeQuarantined(did: string, cid: Cid): Promise<void> {
    this.#state.forgetSeen(did, cidToString(cid), { quarantined: true });
  }

  async removeAll(did: string): Promise<void> {
    this.#state.forgetSeen(did);
  }
}
