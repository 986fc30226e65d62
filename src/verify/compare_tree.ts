/**
 * A repo's tree against the tables beside it, both ways. The tree is the truth, as its root is signed: what differs from it is yielded
 * as it would have to be, so that a check counts it and a repair writes it. One node a layer is held, and a bit for each block.
 */
import {
  type BlobRef,
  type BlockReader,
  blobsInRecord,
  type Cid,
  cidEquals,
  cidFromBytes,
  cidKey,
  cidOfCbor,
  cidToString,
  decodeCbor,
  type Head,
  isTid,
  proveKey,
  scanRecord,
  subjectOf,
  walkTree,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { BlockRead, RecordRead, RepoReads } from "../storage/mod.ts";
import { IdSet } from "./id_set.ts";

/** Records between two turns of others. */
const TURN_RECORDS = 500;

/** The row of the index as the tree wants it. */
export type RecordWanted = Omit<RecordRead, "cid"> & { readonly cid: Cid };

export type TreeDifference =
  | {
      readonly kind: "record";
      readonly path: string;
      readonly was: RecordRead | undefined;
      readonly row: RecordWanted;
    }
  | {
      readonly kind: "extraRecord";
      readonly path: string;
      readonly collection: string;
      readonly rkey: string;
    }
  | {
      readonly kind: "references";
      readonly path: string;
      readonly collection: string;
      readonly rkey: string;
      readonly add: readonly Cid[];
      readonly remove: readonly Uint8Array[];
    }
  | { readonly kind: "strayBlock"; readonly id: number; readonly cid: string }
  /** A block of the tree that is marked as removed from it. */
  | { readonly kind: "hiddenBlock"; readonly id: number; readonly cid: string }
  /** Cannot be made again. */
  | { readonly kind: "damagedRecord"; readonly path: string; readonly why: string };

export interface TreeTotals {
  records: number;
  /** Of blocks. */
  bytes: number;
}

/** What tables should say of one record. */
interface RecordFacts {
  readonly subject: string | undefined;
  readonly blobs: readonly Cid[];
}

/**
 * Yields differences, and undefined from time to time so that others have a turn. Throws KithError storage_damaged where the tree itself
 * is damaged: what was yielded before then counts for nothing.
 */
export function compareTree(
  reads: RepoReads,
  head: Head,
  totals: TreeTotals,
): Generator<TreeDifference | undefined, void> {
  return new TreeComparison(reads, { head, totals }).run();
}

/** The blobs that the record at a path refers to; empty where there is none. */
export function blobsAt(
  reads: RepoReads,
  head: Head,
  { collection, rkey }: { collection: string; rkey: string },
): BlobRef[] {
  const blocks = { get: (cid: Cid) => reads.block(cid)?.bytes };
  const { value } = proveKey(blocks, head.data, { key: `${collection}/${rkey}` });
  const bytes = value && blocks.get(value);
  return bytes ? blobsInRecord(decodeCbor(bytes)) : [];
}

class TreeComparison {
  readonly #reads: RepoReads;
  readonly #head: Head;
  readonly #totals: TreeTotals;
  readonly #seen = new IdSet();
  readonly #hidden: { id: number; cid: string }[] = [];
  /** Rows of the tables that the tree knows. */
  #records = 0;
  #references = 0;

  constructor(reads: RepoReads, { head, totals }: { head: Head; totals: TreeTotals }) {
    this.#reads = reads;
    this.#head = head;
    this.#totals = totals;
  }

  *run(): Generator<TreeDifference | undefined, void> {
    const counts = this.#reads.counts();
    this.#take(this.#head.commit);
    for (const item of walkTree(this.#nodes, this.#head.data, { verify: true })) {
      if (item.kind === "node") continue;
      yield* this.#compareRecord(item.key, item.value);
      this.#totals.records += 1;
      if (this.#totals.records % TURN_RECORDS === 0) yield undefined;
    }
    if (counts.records > this.#records) yield* this.#extraRecords();
    if (counts.recordBlobs > this.#references) yield* this.#extraReferences();
    for (const block of this.#hidden) yield { kind: "hiddenBlock", ...block };
    if (counts.blocks + this.#hidden.length > this.#seen.size) yield* this.#strayBlocks();
  }

  /** Every node is checked against its CID as it is read. */
  readonly #nodes: BlockReader = {
    get: (cid) => {
      const found = this.#take(cid);
      if (found && !isWhole(found, cid)) {
        throw damaged(`the block "${cidToString(cid)}" has other bytes than its CID says`);
      }
      return found?.bytes;
    },
  };

  #take(cid: Cid): BlockRead | undefined {
    const found = this.#reads.block(cid);
    if (found && this.#seen.add(found.id)) {
      this.#totals.bytes += found.bytes.length;
      if (found.removed !== 0) this.#hidden.push({ id: found.id, cid: cidToString(cid) });
    }
    return found;
  }

  *#compareRecord(path: string, cid: Cid): Generator<TreeDifference, void> {
    const { collection, rkey } = keyOf(path);
    const row = this.#reads.record(collection, rkey);
    if (row) this.#records += 1;
    const block = this.#take(cid);
    const facts = block && isWhole(block, cid) ? factsOf(collection, block.bytes) : undefined;
    if (!block || !facts) {
      const why = block ? "it has other bytes than its CID says" : "its block is missing";
      yield { kind: "damagedRecord", path, why };
      this.#references += this.#reads.blobsOf(collection, rkey).length;
      if (!block) return;
    }
    const wanted = this.#wanted({ collection, rkey, cid }, { row, block, facts });
    if (!row || !isSame(row, wanted)) yield { kind: "record", path, was: row, row: wanted };
    if (facts && facts.blobs.length > 0) yield* this.#compareReferences(path, facts.blobs);
  }

  #wanted(
    record: { collection: string; rkey: string; cid: Cid },
    { row, block, facts }: { row: RecordRead | undefined; block: BlockRead; facts: RecordFacts | undefined },
  ): RecordWanted {
    const revs = [row?.rev, block.rev, this.#head.rev];
    const rev = revs.find((each) => each !== undefined && isTid(each) && each <= this.#head.rev);
    // Of a record that cannot be read, the row keeps what it says.
    const subject = facts ? (facts.subject ?? null) : (row?.subject ?? null);
    return { ...record, rev: rev ?? this.#head.rev, subject, block: block.id };
  }

  *#compareReferences(path: string, blobs: readonly Cid[]): Generator<TreeDifference, void> {
    const { collection, rkey } = keyOf(path);
    const rows = this.#reads.blobsOf(collection, rkey);
    this.#references += rows.length;
    const wanted = new Map(blobs.map((cid) => [hex(cid.bytes), cid]));
    const found = new Set(rows.map(hex));
    const add = [...wanted].filter(([key]) => !found.has(key)).map(([, cid]) => cid);
    const remove = rows.filter((row) => !wanted.has(hex(row)));
    if (add.length + remove.length > 0) yield { kind: "references", path, collection, rkey, add, remove };
  }

  *#extraRecords(): Generator<TreeDifference | undefined, void> {
    let looked = 0;
    for (const { collection, rkey } of this.#reads.records()) {
      const path = `${collection}/${rkey}`;
      if (++looked % TURN_RECORDS === 0) yield undefined;
      if (!this.#valueAt(path)) yield { kind: "extraRecord", path, collection, rkey };
    }
  }

  /** Of records that are not there, or that refer to no blob at all; the others were compared. */
  *#extraReferences(): Generator<TreeDifference | undefined, void> {
    let looked = 0;
    for (const { collection, rkey, cid } of this.#reads.recordBlobs()) {
      const path = `${collection}/${rkey}`;
      if (++looked % TURN_RECORDS === 0) yield undefined;
      const value = this.#valueAt(path);
      const block = value && this.#reads.block(value);
      const facts = value && block && isWhole(block, value) ? factsOf(collection, block.bytes) : undefined;
      if (value && (!facts || facts.blobs.length > 0)) continue;
      yield { kind: "references", path, collection, rkey, add: [], remove: [cid] };
    }
  }

  #valueAt(path: string): Cid | null {
    return proveKey(this.#nodes, this.#head.data, { key: path }).value;
  }

  *#strayBlocks(): Generator<TreeDifference | undefined, void> {
    let looked = 0;
    for (const { id, cid } of this.#reads.blockIds()) {
      if (++looked % TURN_RECORDS === 0) yield undefined;
      if (!this.#seen.has(id)) yield { kind: "strayBlock", id, cid: nameOf(cid) };
    }
  }
}

function isWhole(block: BlockRead, cid: Cid): boolean {
  return cidEquals(cidOfCbor(block.bytes), cid);
}

function isSame(row: RecordRead, wanted: RecordWanted): boolean {
  return (
    row.block === wanted.block &&
    row.rev === wanted.rev &&
    row.subject === wanted.subject &&
    Buffer.compare(row.cid, wanted.cid.bytes) === 0
  );
}

/** undefined: no record that could have been stored. */
function factsOf(collection: string, bytes: Uint8Array): RecordFacts | undefined {
  const scanned = scanRecord(collection, bytes);
  if (scanned) return { subject: scanned.subject, blobs: [] };
  try {
    const value = decodeCbor(bytes);
    const blobs = new Map(blobsInRecord(value).map(({ cid }) => [cidKey(cid), cid]));
    return { subject: subjectOf(collection, value), blobs: [...blobs.values()] };
  } catch {
    return undefined;
  }
}

function keyOf(path: string): { collection: string; rkey: string } {
  const slash = path.indexOf("/");
  return { collection: path.slice(0, slash), rkey: path.slice(slash + 1) };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** A CID's text, or what there is instead. */
function nameOf(bytes: Uint8Array): string {
  try {
    return cidToString(cidFromBytes(bytes));
  } catch {
    return `0x${hex(bytes)}`;
  }
}

function damaged(why: string): KithError {
  return new KithError("storage_damaged", `Could not read the tree: ${why}`);
}
