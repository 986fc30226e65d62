/** Reads one repo of a reference PDS to its end: its commit, its tree and its records, each block against its CID. */
import {
  type BlobRef,
  type Block,
  blobsInRecord,
  type Cid,
  type Commit,
  cidKey,
  cidToString,
  decodeCbor,
  isTid,
  parseCid,
  parseCommit,
  readBlock,
  subjectOf,
  verifyCommit,
  walkTree,
} from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { ReferenceRepo, StagedBlock, StagedRecord } from "../storage/mod.ts";

/** How many blocks are read before others get their turn. */
const TURN_BLOCKS = 2_000;

/** Takes what is read; absent where a dry run only looks. */
export interface RepoSink {
  addBlocks(blocks: readonly StagedBlock[]): Promise<void>;
  addRecords(records: readonly StagedRecord[]): Promise<void>;
  /** After each batch. */
  turn(): Promise<void>;
}

export interface ScannedRepo {
  readonly commit: Block;
  readonly rev: string;
  readonly data: Cid;
  /** True where the account's own key has signed the commit, under the rev that the reference tells. */
  readonly isOwn: boolean;
  readonly records: number;
  readonly blocks: number;
  readonly takenDown: readonly { readonly path: string; readonly cid: string; readonly ref: string }[];
  readonly notes: readonly string[];
}

export interface ScanOptions {
  readonly did: string;
  /** The account's key. */
  readonly didKey: string;
  readonly sink?: RepoSink | undefined;
}

/** Throws KithError storage_damaged where the repo is not whole. */
export async function scanRepo(repo: ReferenceRepo, options: ScanOptions): Promise<ScannedRepo> {
  const root = repo.root();
  if (root === undefined) throw damaged(repo, "it has no repo");
  const commitBlock = { cid: root.commit, bytes: readBlock(repo, root.commit, "storage_damaged") };
  const commit = commitOf(commitBlock, repo, options.did);
  const scan = new Scan(repo, options);
  try {
    await scan.walk(commit.data);
  } catch (error) {
    if (!isKithError(error)) throw error;
    throw damaged(repo, error.message, error);
  }
  const isOwn = isSignedBy(commitBlock, options.didKey) && commit.rev === root.rev;
  const rev = commit.rev > root.rev || !isTid(root.rev) ? commit.rev : root.rev;
  const notes = scan.notes();
  if (!isOwn) {
    notes.push(
      "its newest commit is not of its own key, as after a move here without a post since: it is signed anew",
    );
  }
  return {
    ...{ commit: commitBlock, rev, data: commit.data, isOwn, notes },
    ...{ records: scan.records, blocks: scan.blocks, takenDown: scan.takenDown },
  };
}

class Scan {
  readonly #repo: ReferenceRepo;
  readonly #options: ScanOptions;
  readonly takenDown: { path: string; cid: string; ref: string }[] = [];
  records = 0;
  blocks = 0;
  #absent = 0;
  #different = 0;
  #unreadable = 0;
  #blocksDue: StagedBlock[] = [];
  #recordsDue: StagedRecord[] = [];

  constructor(repo: ReferenceRepo, options: ScanOptions) {
    this.#repo = repo;
    this.#options = options;
  }

  async walk(data: Cid): Promise<void> {
    for (const item of walkTree(this.#repo, data, { fault: "storage_damaged", verify: true })) {
      if (item.kind === "node") this.#addBlock(item.block);
      else this.#addRecord(item.key, item.value);
      if (this.#blocksDue.length >= TURN_BLOCKS) await this.#flush();
    }
    await this.#flush();
  }

  notes(): string[] {
    const notes: string[] = [];
    const extra = this.#repo.recordCount() - (this.records - this.#absent);
    const off = this.#absent + this.#different;
    if (off > 0) notes.push(`records of its tree that its index had not, or had otherwise: ${off}`);
    if (extra > 0) notes.push(`records of its index that its tree does not have, left behind: ${extra}`);
    if (this.#unreadable > 0)
      notes.push(`records that cannot be decoded, kept as they are: ${this.#unreadable}`);
    return notes;
  }

  #addBlock({ cid, bytes }: Block): void {
    this.blocks += 1;
    this.#blocksDue.push({ cid, bytes, rev: this.#repo.revOf(cid) });
  }

  #addRecord(path: string, cid: Cid): void {
    const bytes = readBlock(this.#repo, cid, "storage_damaged");
    this.#addBlock({ cid, bytes });
    this.records += 1;
    const [collection = "", rkey = ""] = path.split("/");
    const uri = `at://${this.#options.did}/${path}`;
    const name = cidToString(cid);
    const indexed = this.#repo.record(uri);
    if (indexed === undefined) this.#absent += 1;
    else if (indexed.cid !== name) this.#different += 1;
    if (indexed?.takedownRef) this.takenDown.push({ path, cid: name, ref: indexed.takedownRef });
    const { blobs, subject } = this.#contentOf(bytes, collection);
    for (const text of this.#repo.blobsOf(uri)) {
      const blob = cidOf(text);
      if (blob) blobs.set(cidKey(blob), blob);
    }
    const rev = indexed?.rev ?? this.#repo.revOf(cid);
    this.#recordsDue.push({ collection, rkey, cid, blobs: [...blobs.values()], rev, subject });
  }

  #contentOf(
    bytes: Uint8Array,
    collection: string,
  ): { blobs: Map<string, Cid>; subject: string | undefined } {
    try {
      const value = decodeCbor(bytes);
      const refs: BlobRef[] = blobsInRecord(value);
      return {
        blobs: new Map(refs.map(({ cid }) => [cidKey(cid), cid])),
        subject: subjectOf(collection, value),
      };
    } catch {
      this.#unreadable += 1;
      return { blobs: new Map(), subject: undefined };
    }
  }

  async #flush(): Promise<void> {
    const { sink } = this.#options;
    await sink?.addBlocks(this.#blocksDue);
    await sink?.addRecords(this.#recordsDue);
    this.#blocksDue = [];
    this.#recordsDue = [];
    if (sink) await sink.turn();
    else await new Promise((resolve) => setImmediate(resolve));
  }
}

function commitOf(block: Block, repo: ReferenceRepo, did: string): Commit {
  let commit: Commit;
  try {
    commit = parseCommit(block.bytes);
  } catch (cause) {
    throw damaged(repo, cause instanceof Error ? cause.message : String(cause), cause);
  }
  if (commit.did !== did) throw damaged(repo, `its commit is of "${commit.did}"`);
  if (!isTid(commit.rev)) throw damaged(repo, `the rev of its commit, "${commit.rev}", is no TID`);
  return commit;
}

function isSignedBy(block: Block, didKey: string): boolean {
  try {
    verifyCommit(block, didKey);
    return true;
  } catch (error) {
    if (isKithError(error)) return false;
    throw error;
  }
}

/** Undefined for what is no CID. */
export function cidOf(text: string): Cid | undefined {
  try {
    return parseCid(text);
  } catch {
    return undefined;
  }
}

function damaged(repo: ReferenceRepo, why: string, cause?: unknown): KithError {
  return new KithError("storage_damaged", `Its store "${repo.path}" is damaged: ${why}`, { cause });
}
