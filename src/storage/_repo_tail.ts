/**
 * The tail of a repo: commits that its file holds as one row each, their event with what it does not say, and that are not in
 * the tables of records and blocks yet. A commit of one record changes dozens of pages there, most of them of indexes
 * over hashes, and the next commit replaces half of what it put in; in the tail it is three or four pages, and the tables
 * get many at once. The tail is short and also held here, so that the next commit is built without the tables.
 */
import {
  type Block,
  CID_BYTES,
  type Cid,
  cidFromBytes,
  cidKey,
  decodeCbor,
  decodeFrame,
  encodeCbor,
  fromBytes,
  readCar,
  sealFrame,
  toBytes,
} from "../atproto/mod.ts";
import type { PendingEvent, RecordKey, RecordPut, RepoCommit } from "./repo_changes.ts";

/** Commits in the tail, and bytes of their blocks, at which the tables are brought up to it. */
export const TAIL_COMMITS_MAX = 32;
export const TAIL_BYTES_MAX = 256 * 1024;

/** What the tables need to know of a commit. */
export type TailCommit = Pick<RepoCommit, "newBlocks" | "removed" | "replaced" | "puts" | "deletes"> & {
  readonly rev: string;
};

/** A block that has come with a commit of the tail. */
export interface NewBlock {
  readonly block: Block;
  readonly rev: string;
}

/** A record as the tail leaves it; undefined `put`: deleted. */
interface TailRecord {
  readonly collection: string;
  readonly put: RecordPut | undefined;
}

export class RepoTail {
  readonly commits: (TailCommit & { readonly records: readonly Block[] })[] = [];
  /** MST nodes and the commit, as far as no commit of the tail has removed them again; by `cidKey`. */
  readonly nodes = new Map<string, NewBlock>();
  /** MST nodes and the commit in the tables that the tail has removed; by `cidKey`. */
  readonly gone = new Map<string, Cid>();
  readonly #records = new Map<string, TailRecord>();
  readonly #recordBytes = new Map<string, Uint8Array>();
  #bytes = 0;
  #replaces = false;

  get isEmpty(): boolean {
    return this.commits.length === 0;
  }

  get isFull(): boolean {
    return this.commits.length >= TAIL_COMMITS_MAX || this.#bytes >= TAIL_BYTES_MAX;
  }

  /** True where a record was replaced or deleted: whether its block stays, and whose its subject is, the tables know. */
  get replaces(): boolean {
    return this.#replaces;
  }

  add(commit: TailCommit): void {
    const { rev, newBlocks, removed, replaced, puts, deletes } = commit;
    const recordKeys = new Set(puts.map(({ cid }) => cidKey(cid)));
    const replacedKeys = new Set(replaced.map(cidKey));
    const records: Block[] = [];
    this.commits.push({ ...commit, records });
    // `replaced` says nothing of a record whose block another path has got in the same commit.
    this.#replaces ||= deletes.length > 0 || puts.some(({ isNew }) => !isNew);
    for (const cid of removed) {
      const key = cidKey(cid);
      if (!replacedKeys.has(key) && !this.nodes.delete(key)) this.gone.set(key, cid);
    }
    for (const block of newBlocks) {
      const key = cidKey(block.cid);
      this.#bytes += block.bytes.length;
      if (recordKeys.has(key)) {
        records.push(block);
        this.#recordBytes.set(key, block.bytes);
      } else this.nodes.set(key, { block, rev });
    }
    for (const { collection, rkey } of deletes) {
      this.#records.set(`${collection}/${rkey}`, { collection, put: undefined });
    }
    for (const put of puts) {
      this.#records.set(`${put.collection}/${put.rkey}`, { collection: put.collection, put });
    }
  }

  clear(): void {
    this.commits.length = 0;
    for (const map of [this.nodes, this.gone, this.#records, this.#recordBytes]) map.clear();
    this.#bytes = 0;
    this.#replaces = false;
  }

  /** The bytes of a block that the tail has brought. */
  bytes(key: string): Uint8Array | undefined {
    return this.nodes.get(key)?.block.bytes ?? this.#recordBytes.get(key);
  }

  /** The record at a path as the tail leaves it, null where it is deleted; undefined where the tables know. */
  record({ collection, rkey }: RecordKey): { cid: Cid; bytes: Uint8Array } | null | undefined {
    const found = this.#records.get(`${collection}/${rkey}`);
    if (found === undefined) return undefined;
    const bytes = found.put && this.#recordBytes.get(cidKey(found.put.cid));
    return found.put && bytes ? { cid: found.put.cid, bytes } : null;
  }

  /** True where a record of the tail refers to blobs. */
  hasBlobs({ collection, rkey }: RecordKey): boolean {
    return (this.#records.get(`${collection}/${rkey}`)?.put?.blobs.length ?? 0) > 0;
  }

  /** The newest rkey with that subject among the tail's records. */
  recordWithSubject(collection: string, subject: string): string | undefined {
    let newest: string | undefined;
    for (const { put } of this.#records.values()) {
      if (put?.collection !== collection || put.subject !== subject) continue;
      if (newest === undefined || put.rkey > newest) newest = put.rkey;
    }
    return newest;
  }
}

/** What is stored of a commit beside its event: nothing that the event says. */
export function encodeEffects({ newBlocks, removed, replaced, puts }: TailCommit): Uint8Array {
  const more = puts.flatMap(({ collection, rkey, blobs, subject }) =>
    blobs.length === 0 && subject === undefined
      ? []
      : [[`${collection}/${rkey}`, subject ?? null, toBytes(joined(blobs))]],
  );
  return encodeCbor({
    blocks: newBlocks.length,
    removed: toBytes(joined(removed)),
    replaced: toBytes(joined(replaced)),
    more,
  });
}

interface Effects {
  readonly blocks: number;
  readonly removed: ReturnType<typeof toBytes>;
  readonly replaced: ReturnType<typeof toBytes>;
  readonly more: readonly (readonly [string, string | null, ReturnType<typeof toBytes>])[];
}

interface CommitPayload {
  readonly rev: string;
  readonly blocks: ReturnType<typeof toBytes>;
  readonly ops: readonly { readonly action: string; readonly path: string; readonly cid: unknown }[];
}

/** A commit of the tail as a crash has left it: from its event, whose first blocks are the new ones, and its effects. */
export function decodeTailCommit({
  before,
  after,
  effects,
}: Pick<PendingEvent, "before" | "after"> & { effects: Uint8Array }): TailCommit {
  const { blocks, removed, replaced, more } = decodeCbor(effects) as Effects;
  const payload = decodeFrame(sealFrame({ before, after }, 1)).payload as unknown as CommitPayload;
  const told = new Map(more.map(([path, ...rest]) => [path, rest] as const));
  const puts: RecordPut[] = [];
  const deletes: RecordKey[] = [];
  for (const { action, path, cid } of payload.ops) {
    const slash = path.indexOf("/");
    const key = { collection: path.slice(0, slash), rkey: path.slice(slash + 1) };
    if (action === "delete") {
      deletes.push(key);
      continue;
    }
    const [subject, blobs] = told.get(path) ?? [null, undefined];
    puts.push({
      ...key,
      cid: cidFromBytes((cid as { bytes: Uint8Array }).bytes),
      blobs: blobs ? parted(fromBytes(blobs)) : [],
      subject: subject ?? undefined,
      isNew: action === "create",
    });
  }
  return {
    rev: payload.rev,
    newBlocks: readCar(fromBytes(payload.blocks)).blocks.slice(0, blocks),
    removed: parted(fromBytes(removed)),
    replaced: parted(fromBytes(replaced)),
    puts,
    deletes,
  };
}

function joined(cids: readonly Cid[]): Uint8Array {
  const bytes = new Uint8Array(cids.length * CID_BYTES);
  for (const [at, cid] of cids.entries()) bytes.set(cid.bytes, at * CID_BYTES);
  return bytes;
}

function parted(bytes: Uint8Array): Cid[] {
  const cids: Cid[] = [];
  for (let at = 0; at < bytes.length; at += CID_BYTES) {
    cids.push(cidFromBytes(bytes.slice(at, at + CID_BYTES)));
  }
  return cids;
}
