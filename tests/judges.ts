/**
 * Judges that share no code with the server: `@atproto/repo` reads CARs, trees and proofs, `@atproto/crypto` checks
 * signatures. `FirehoseAuditor` follows a stream and holds each account to the rules of Sync 1.1.
 */
import { verifySignature } from "@atproto/crypto";
import { parseToAtprotoDocument } from "@atproto/identity";
import { encode } from "@atproto/lex-cbor";
import { type Cid, isCid, type LexValue } from "@atproto/lex-data";
import {
  type BlockMap,
  type Commit,
  cborToLexRecord,
  MemoryBlockstore,
  MST,
  Repo,
  readCar,
  readCarWithRoot,
  verifyProofs,
  verifyRepoCar,
} from "@atproto/repo";
import { cidText, type Event, type Op, opsOf } from "./firehose.ts";

/** https://atproto.com/specs/sync#firehose */
const COMMIT_OPS_MAX = 200;
const COMMIT_BLOCKS_BYTES_MAX = 2_000_000;
const RECORD_BYTES_MAX = 1_000_000;

function check(condition: unknown, problem: string): asserts condition {
  if (!condition) throw new Error(problem);
}

/** The did:key that an account signs its repo with, from its DID document. */
export function signingKeyOf(document: unknown): string {
  const key = parseToAtprotoDocument(document as Parameters<typeof parseToAtprotoDocument>[0]).signingKey;
  check(key, `No signing key in ${JSON.stringify(document)}`);
  return key;
}

export interface JudgedRepo {
  readonly rev: string;
  readonly commit: string;
  readonly data: string;
  /** Path to record CID. */
  readonly records: ReadonlyMap<string, string>;
  readonly blocks: BlockMap;
}

/**
 * Judges a whole repo: one root, every block's hash, the commit's DID and signature, every node and record there,
 * nothing there that is not reachable, and the tree the one that its records make.
 */
export async function judgeRepo(car: Uint8Array, did: string, didKey: string): Promise<JudgedRepo> {
  const { root, blocks } = await readCarWithRoot(car);
  const { creates } = await verifyRepoCar(car, did, didKey);
  const repo = await Repo.load(new MemoryBlockstore(blocks), root);
  checkCommitShape(repo.commit, did);
  const records = new Map(creates.map((create) => [`${create.collection}/${create.rkey}`, create.cid]));
  let rebuilt = await MST.create(new MemoryBlockstore());
  for (const path of [...records.keys()].sort()) rebuilt = await rebuilt.add(path, records.get(path)!);
  const data = repo.commit.data.toString();
  check(
    (await rebuilt.getPointer()).toString() === data,
    `The tree of "${did}" is not the one of its records`,
  );
  const reachable = new Set((await repo.data.allCids()).toList().map(String));
  for (const cid of records.values()) reachable.add(cid.toString());
  reachable.add(root.toString());
  const stray = blocks.cids().filter((cid) => !reachable.has(cid.toString()));
  check(stray.length === 0, `The repo of "${did}" holds ${stray.length} blocks that nothing refers to`);
  return {
    rev: repo.commit.rev,
    commit: root.toString(),
    data,
    records: new Map([...records].map(([path, cid]) => [path, cid.toString()])),
    blocks,
  };
}

function checkCommitShape(commit: Commit, did: string): void {
  check(commit.did === did, `The commit is of "${commit.did}", not "${did}"`);
  check(commit.version === 3, `The commit has version ${commit.version}`);
  check("prev" in commit && commit.prev === null, "The commit's prev is not null");
  check(commit.sig.length === 64, `The commit's signature has ${commit.sig.length} bytes`);
}

/** The signature of a commit, checked over the bytes that the specification names; low-S is demanded. */
export async function judgeSignature(commit: Commit, didKey: string): Promise<void> {
  const { sig, ...unsigned } = commit;
  const ok = await verifySignature(didKey, encode(unsigned as unknown as LexValue), sig);
  check(ok, `The commit "${commit.rev}" of "${commit.did}" is not signed by "${didKey}"`);
}

/** Judges the answer of `com.atproto.sync.getRecord`: an inclusion proof, or with `cid: null` one of absence. */
export async function judgeProof(
  car: Uint8Array,
  claim: { did: string; didKey: string; path: string; cid: string | null },
): Promise<void> {
  const { root, blocks } = await readCarWithRoot(car);
  const repo = await Repo.load(new MemoryBlockstore(blocks), root);
  const found = await repo.data.get(claim.path);
  check(
    (found?.toString() ?? null) === claim.cid,
    `The proof for "${claim.path}" shows ${found}, not ${claim.cid}`,
  );
  const [collection = "", rkey = ""] = claim.path.split("/");
  const proof = await verifyProofs(car, [{ collection, rkey, cid: found }], claim.did, claim.didKey);
  check(proof.verified.length === 1, `The proof for "${claim.path}" does not hold`);
}

/** A tree from a slice of its blocks. An empty one starts anew: its layer is that of the first key it gets. */
async function settled(tree: MST, storage: MemoryBlockstore): Promise<MST> {
  return (await tree.getEntries()).length === 0 ? MST.create(storage) : tree;
}

async function invertOp(tree: MST, op: Op): Promise<MST> {
  if (op.action === "delete") {
    check(op.cid === null, `The delete of "${op.path}" has a cid`);
    check(isCid(op.prev), `The delete of "${op.path}" has no prev`);
    return tree.add(op.path, op.prev);
  }
  const found = await tree.get(op.path);
  check(isCid(op.cid) && found?.equals(op.cid), `The ${op.action} of "${op.path}" is not in the tree`);
  if (op.action === "create") {
    check(!op.prev, `The create of "${op.path}" has a prev`);
    return tree.delete(op.path);
  }
  check(isCid(op.prev), `The update of "${op.path}" has no prev`);
  return tree.update(op.path, op.prev);
}

/**
 * Undoes a #commit's operations with nothing but the blocks of its own slice, and returns the root that comes out,
 * which the event claims is `prevData`. In a relay's order: deletes first, then by path.
 */
export async function invert(blocks: BlockMap, data: Cid, ops: readonly Op[]): Promise<string> {
  const storage = new MemoryBlockstore(blocks);
  const last = (op: Op) => (op.action === "delete" ? 0 : 1);
  const ordered = [...ops].sort((a, b) => last(a) - last(b) || (a.path < b.path ? -1 : 1));
  let tree = MST.load(storage, data);
  for (const op of ordered) tree = await settled(await invertOp(tree, op), storage);
  return (await tree.getPointer()).toString();
}

/** What the stream has said of one account so far. */
export interface Followed {
  rev: string | null;
  data: string | null;
  commit: string | null;
  active: boolean;
  events: string[];
  readonly records: Map<string, string>;
}

export interface KeyLookup {
  (did: string): Promise<string>;
  /** Told of an #identity: what was known of the DID may be old. */
  forget?(did: string): void;
}

/**
 * Follows a firehose. For each account: every #commit continues the one before (`since`, `prevData`), inverts to it
 * from its own slice, is signed by the account's key, and carries what it creates; no commit while inactive. Because
 * each must continue the one before, a commit that is missing, repeated or out of order is found.
 */
export class FirehoseAuditor {
  readonly accounts = new Map<string, Followed>();
  lastSeq = 0;
  commits = 0;
  readonly #keyOf: KeyLookup;
  #work: Promise<void> = Promise.resolve();
  #problem: unknown;

  constructor(keyOf: KeyLookup) {
    this.#keyOf = keyOf;
  }

  /** Queues an event for judgement; the verdict comes with `finish`. */
  take(event: Event): void {
    this.#work = this.#work.then(() => this.#judge(event)).catch((problem) => this.#note(event, problem));
  }

  /** Waits until all that was taken is judged; throws the first thing found wrong. */
  async finish(): Promise<void> {
    await this.#work;
    if (this.#problem) throw this.#problem;
  }

  /** What is known of an account. */
  of(did: string): Followed {
    const known = this.accounts.get(did);
    if (known) return known;
    const fresh = { rev: null, data: null, commit: null, active: false, events: [], records: new Map() };
    this.accounts.set(did, fresh);
    return fresh;
  }

  #note(event: Event, problem: unknown): void {
    const text = problem instanceof Error ? problem.message : String(problem);
    this.#problem ??= new Error(`seq ${event.seq}, ${event.type} of "${event.did}": ${text}`, {
      cause: problem,
    });
  }

  async #judge(event: Event): Promise<void> {
    check(event.seq > this.lastSeq, `seq ${event.seq} comes after ${this.lastSeq}`);
    this.lastSeq = event.seq;
    check(
      typeof event.body.time === "string" && !Number.isNaN(Date.parse(event.body.time)),
      `time is ${event.body.time}`,
    );
    const account = this.of(event.did);
    account.events.push(event.type);
    if (event.type === "#identity") this.#keyOf.forget?.(event.did);
    if (event.type === "#account") account.active = event.body.active === true;
    if (event.type === "#sync") await this.#judgeSync(event, account);
    if (event.type === "#commit") await this.#judgeCommit(event, account);
  }

  async #judgeSync(event: Event, account: Followed): Promise<void> {
    const { root, blocks } = await readCarWithRoot(event.body.blocks as Uint8Array);
    check(blocks.size === 1, `#sync carries ${blocks.size} blocks`);
    const commit = cborToLexRecord(blocks.get(root)!) as unknown as Commit;
    checkCommitShape(commit, event.did);
    check(commit.rev === event.body.rev, `#sync has rev ${event.body.rev}, its commit ${commit.rev}`);
    if (account.rev !== null)
      check(commit.rev >= account.rev, `#sync goes back from ${account.rev} to ${commit.rev}`);
    await judgeSignature(commit, await this.#keyOf(event.did));
    if (commit.rev === account.rev)
      check(root.toString() === account.commit, "#sync shows another commit with the same rev");
    account.rev = commit.rev;
    account.data = commit.data.toString();
    account.commit = root.toString();
  }

  async #judgeCommit(event: Event, account: Followed): Promise<void> {
    const { body } = event;
    check(account.active, "#commit while the account is not active");
    const blockBytes = body.blocks as Uint8Array;
    check(blockBytes.length <= COMMIT_BLOCKS_BYTES_MAX, `blocks has ${blockBytes.length} bytes`);
    const { root, blocks } = await readCarWithRoot(blockBytes);
    check(root.toString() === cidText(body.commit), "The root of blocks is not the commit");
    const commit = cborToLexRecord(blocks.get(root)!) as unknown as Commit;
    checkCommitShape(commit, event.did);
    check(commit.rev === body.rev, `rev is ${body.rev}, that of the commit ${commit.rev}`);
    check(account.rev === null || commit.rev > account.rev, `rev ${commit.rev} after ${account.rev}`);
    check((body.since ?? null) === account.rev, `since is ${body.since}, the rev before was ${account.rev}`);
    check(body.tooBig === false && body.rebase === false, "tooBig or rebase is not false");
    check(Array.isArray(body.blobs) && body.blobs.length === 0, "blobs is not an empty list");
    await judgeSignature(commit, await this.#keyOf(event.did));
    await this.#judgeOps(event, { account, blocks, data: commit.data });
    account.rev = commit.rev;
    account.data = commit.data.toString();
    account.commit = root.toString();
    this.commits += 1;
  }

  async #judgeOps(
    event: Event,
    { account, blocks, data }: { account: Followed; blocks: BlockMap; data: Cid },
  ): Promise<void> {
    const ops = opsOf(event);
    check(ops.length <= COMMIT_OPS_MAX, `${ops.length} ops`);
    check(new Set(ops.map((op) => op.path)).size === ops.length, "A path occurs twice in the ops");
    const { prevData } = event.body;
    const inverted = await invert(blocks, data, ops);
    if (account.data === null) {
      check(prevData === undefined, "prevData in an account's first commit");
      check(inverted === (await emptyRoot()), `The first commit does not invert to the empty repo`);
    } else {
      check(cidText(prevData) === account.data, `prevData is ${prevData}, the tree was ${account.data}`);
      check(inverted === account.data, `Inversion gives ${inverted}, prevData is ${account.data}`);
    }
    for (const op of ops) this.#applyOp(op, account, blocks);
  }

  #applyOp(op: Op, account: Followed, blocks: BlockMap): void {
    const before = account.records.get(op.path);
    check((op.prev ?? undefined)?.toString() === before, `The prev of "${op.path}" is not ${before}`);
    if (!op.cid) {
      account.records.delete(op.path);
      return;
    }
    const bytes = blocks.get(op.cid);
    check(bytes, `The record of "${op.path}" is not in blocks`);
    check(bytes.length <= RECORD_BYTES_MAX, `The record of "${op.path}" has ${bytes.length} bytes`);
    account.records.set(op.path, op.cid.toString());
  }
}

async function emptyRoot(): Promise<string> {
  return (await (await MST.create(new MemoryBlockstore())).getPointer()).toString();
}

/** The blocks of any CAR, each checked against its CID, with its roots. */
export async function blocksOf(car: Uint8Array): Promise<{ roots: string[]; blocks: BlockMap }> {
  const { roots, blocks } = await readCar(car);
  return { roots: roots.map(String), blocks };
}
