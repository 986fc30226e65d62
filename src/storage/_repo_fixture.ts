/** For tests of this folder: a repo that is written to as its actor does. */
import {
  type Block,
  buildCommit,
  type Cid,
  cidOfCbor,
  commitEvent,
  encodeCbor,
  type Head,
  nextTid,
  type Signer,
  signCommit,
  type Write,
} from "../atproto/mod.ts";
import type { Fixture } from "./_fixture.ts";
import type { PendingEvent, RepoCommit } from "./repo_changes.ts";
import { RepoFiles } from "./repo_files.ts";
import type { RepoStore } from "./repo_store.ts";

export const DID = "did:plc:repostore";
const SIGNER: Signer = { didKey: "did:key:none", jwtAlg: "ES256K", sign: () => new Uint8Array(64) };
export const COLLECTION = "app.bsky.feed.post";

export function record(text: string): Block {
  const bytes = encodeCbor({ $type: COLLECTION, text });
  return { cid: cidOfCbor(bytes), bytes };
}

/** A repo in a temporary folder, written through the real commit builder. */
export class Repo {
  #micros = 1_700_000_000_000_000;
  readonly store: RepoStore;
  constructor(store: RepoStore) {
    this.store = store;
  }
  static async open(folder: Fixture): Promise<Repo> {
    const files = new RepoFiles({ folder: folder.path, ...folder.options });
    await files.create(DID, 1);
    const store = await files.open(DID, 1);
    await store.prepareWrites();
    return new Repo(store);
  }
  tid(): string {
    this.#micros += 10;
    return nextTid(this.store.state().lastTid, this.#micros, 1);
  }
  event(key = this.tid()): PendingEvent {
    return { key, kind: "commit", before: Uint8Array.of(1, 2), after: Uint8Array.of(3) };
  }
  /** Writes as the actor does. `more` holds blobs and subjects by rkey, and overrides. */
  write(
    writes: Write[],
    more: { blobs?: Cid[]; subject?: string; tx?: Partial<RepoCommit> } = {},
  ): { head: Head; unreferenced: Cid[] } {
    const rev = this.tid();
    const { head } = this.store.state();
    const signed = signCommit(buildCommit({ did: DID, head, writes, rev, blocks: this.store }), SIGNER);
    const split = (path: string) => {
      const [collection = "", rkey = ""] = path.split("/");
      return { collection, rkey };
    };
    const { unreferenced } = this.store.commit({
      head: signed.head,
      lastTid: rev,
      newBlocks: [signed.commit, ...signed.newBlocks],
      removed: signed.removed,
      replaced: signed.replaced,
      puts: writes.flatMap((write) =>
        write.action === "delete"
          ? []
          : [
              {
                ...split(write.path),
                cid: write.record.cid,
                blobs: more.blobs ?? [],
                subject: more.subject,
                isNew: write.action === "create",
              },
            ],
      ),
      deletes: writes.flatMap((write) => (write.action === "delete" ? [split(write.path)] : [])),
      events: [{ key: rev, ...commitEvent(signed, { time: "2026-01-01T00:00:00.000Z" }) }],
      now: 0,
      ...more.tx,
    });
    return { head: signed.head, unreferenced };
  }
  create(rkey: string, text: string, more = {}) {
    return this.write([{ action: "create", path: `${COLLECTION}/${rkey}`, record: record(text) }], more);
  }
  remove(rkey: string) {
    return this.write([{ action: "delete", path: `${COLLECTION}/${rkey}` }]);
  }
}
