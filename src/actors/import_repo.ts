/**
 * The import of a whole repo, which has the account's file to itself while it runs: blocks are staged as they stream in,
 * the tree is checked and its records are staged, and one transaction puts all of it in the place of what was there,
 * under a fresh commit by the account's key. Until that transaction nothing has changed, whatever goes wrong.
 */
import {
  type BlobRef,
  type Block,
  blobsInRecord,
  buildCommit,
  type Cid,
  cidEquals,
  cidKey,
  cidToString,
  decodeCbor,
  type Head,
  nextTid,
  parseCommit,
  REPEATED_BYTES_MAX,
  type RepoRecord,
  readCarStream,
  type Signer,
  scanRecord,
  signCommit,
  subjectOf,
  syncEvent,
  tidToMicros,
  type VerifiedRepo,
  verifyCommit,
  verifyRepoSteps,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { RepoStaging, RepoStore, StagedRecord } from "../storage/mod.ts";
import { pendingOf } from "./pending_events.ts";
import type { ImportTask } from "./repo_types.ts";

/** Blocks of one import, nodes and records together. */
export const IMPORT_BLOCKS_MAX = 10_000_000;
/** What is staged in one transaction. The larger, the less is written: their CIDs are all over the indexes. */
const BATCH_BLOCKS_MAX = 4_000;
const BATCH_BYTES_MAX = 1024 * 1024;
const BATCH_RECORDS_MAX = 4_000;
/** How long an import may keep other work of this process waiting at a time. */
const SLICE_MS = 5;
/** Relays refuse a rev that is further ahead of their clock. */
const REV_AHEAD_MAX_MS = 5 * 60_000;

/** What is imported, and what it is checked against. */
export interface ImportSource {
  /** The CAR. */
  readonly chunks: AsyncIterable<Uint8Array>;
  readonly bytesMax: number;
  /** The key that the account's DID document names now; asked only where its own key has not signed. */
  documentKey(): Promise<string | undefined>;
  /**
   * The keys that it named before, the newest first; asked where that one has not signed either: a server that a repo was moved to
   * may still hold the commit that the server before has signed.
   */
  earlierKeys(): Promise<readonly string[]>;
}

export interface ImportOptions extends ImportSource {
  /** The account's own key: it signs the new commit. */
  readonly signer: Signer;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly clockId: number;
  /** By `performance.now()`: an import that has not ended then is given up. */
  readonly deadlineMs: number;
  /** Told of what could not be removed; the next opening of the file tries again. */
  readonly onLeftover: (error: unknown) => void;
}

/** The task that imports. It throws KithError invalid_request on anything wrong with what comes, timeout, storage_full. */
export function importTask(options: ImportOptions): ImportTask {
  return async (store) => {
    await store.clearStaging();
    const rev = nextTid(store.state().lastTid, options.now() * 1000, options.clockId);
    const staging = store.beginStaging(rev);
    try {
      const run = new ImportRun(store, staging, options);
      await run.stageAndSwitch();
    } finally {
      await staging.end().catch(options.onLeftover);
      await store.clearStaging().catch(options.onLeftover);
    }
  };
}

class ImportRun {
  readonly #store: RepoStore;
  readonly #staging: RepoStaging;
  readonly #options: ImportOptions;
  #sliceEndsMs = 0;

  constructor(store: RepoStore, staging: RepoStaging, options: ImportOptions) {
    this.#store = store;
    this.#staging = staging;
    this.#options = options;
  }

  async stageAndSwitch(): Promise<void> {
    const { root, didKey, bytes } = await this.#stageBlocks();
    const repo = await this.#stageRecords({ root, didKey, bytes });
    const { head, nodeCount: nodes } = repo;
    const tree = { root: head.commit, data: head.data, nodes };
    for await (const _ of this.#staging.dropStrays(tree)) await this.#turn();
    this.#switch(head);
  }

  /** Takes the CAR in, its blocks in any order. The commit is checked as soon as it comes. */
  async #stageBlocks(): Promise<{ root: Cid; didKey: string; bytes: number }> {
    const { chunks, bytesMax } = this.#options;
    const car = await readCarStream(chunks, { bytesMax, blocksMax: IMPORT_BLOCKS_MAX });
    const [root, ...others] = car.roots;
    if (!root || others.length > 0) throw refusal(`its CAR has ${car.roots.length} roots instead of one`);
    let [bytes, batchBytes] = [0, 0];
    let didKey: string | undefined;
    let batch: Block[] = [];
    for await (const blocks of car.batches) {
      for (const block of blocks) {
        if (didKey === undefined && cidEquals(block.cid, root)) didKey = await this.#keyOf(block);
        batch.push(block);
        batchBytes += block.bytes.length;
      }
      if (batch.length < BATCH_BLOCKS_MAX && batchBytes < BATCH_BYTES_MAX) continue;
      await this.#staging.addBlocks(batch);
      bytes += batchBytes;
      [batch, batchBytes] = [[], 0];
      await this.#turn();
    }
    await this.#staging.addBlocks(batch);
    if (didKey === undefined) throw refusal(`its root, "${cidToString(root)}", is not in it`);
    return { root, didKey, bytes: bytes + batchBytes };
  }

  /** The key that has signed the commit: the account's own, the one that its DID document names now, or one that it has named. */
  async #keyOf(block: Block): Promise<string> {
    const { did } = this.#store;
    const commit = parseCommit(block.bytes);
    if (commit.did !== did) throw refusal(`it is the repo of "${commit.did}", not of "${did}"`);
    const own = this.#options.signer.didKey;
    if (isSignedBy(block, own)) return own;
    const current = await this.#options.documentKey();
    if (current === undefined) throw refusal(`the DID document of "${did}" names no signing key`);
    if (isSignedBy(block, current)) return current;
    const earlier = (await this.#options.earlierKeys()).find((didKey) => isSignedBy(block, didKey));
    if (earlier === undefined) {
      throw refusal(
        `its commit is signed neither by "${current}", the key of "${did}", nor by an earlier one, nor by this server's`,
      );
    }
    return earlier;
  }

  /** Checks the tree, and stages its records as they are met. */
  async #stageRecords(found: { root: Cid; didKey: string; bytes: number }): Promise<VerifiedRepo> {
    await this.#staging.readable();
    const source = {
      root: found.root,
      blocks: this.#staging,
      recordBytesMax: found.bytes + REPEATED_BYTES_MAX,
    };
    const steps = verifyRepoSteps(source, { did: this.#store.did, didKey: found.didKey });
    let batch: StagedRecord[] = [];
    for (;;) {
      const verified = this.#staging.reading(() => this.#takeRecords(steps, batch));
      if (verified || batch.length >= BATCH_RECORDS_MAX) {
        await this.#staging.addRecords(batch);
        batch = [];
      }
      await this.#turn();
      if (verified) return verified;
    }
  }

  /** Checks on until the batch is full, or it is time to let others have their turn. What verified it has when it is at the end. */
  #takeRecords(steps: ReturnType<typeof verifyRepoSteps>, batch: StagedRecord[]): VerifiedRepo | undefined {
    while (batch.length < BATCH_RECORDS_MAX && !this.#sliceIsOver()) {
      const step = steps.next();
      if (step.done) return step.value;
      batch.push(stagedRecord(step.value));
    }
    return undefined;
  }

  /** Fresh rev, fresh commit, and where the account is active the #sync: in one transaction, without an await. */
  #switch(imported: Head): void {
    const { did } = this.#store;
    const { now, clockId, signer } = this.#options;
    const { lastTid, status } = this.#store.state();
    if (tidToMicros(imported.rev) / 1000 > now() + REV_AHEAD_MAX_MS) {
      throw refusal(`its rev "${imported.rev}" is in the future`);
    }
    const next = (last: string | null) => nextTid(last, now() * 1000, clockId);
    const rev = next(lastTid !== null && lastTid > imported.rev ? lastTid : imported.rev);
    const draft = buildCommit({ did, head: imported, writes: [], rev, blocks: this.#staging });
    const { head, commit } = signCommit(draft, signer);
    const time = new Date(now()).toISOString();
    const key = next(rev);
    const events = status === "active" ? [pendingOf(key, syncEvent({ did, rev, commit, time }))] : [];
    this.#store.switchStaging({ head, commit, lastTid: key, events });
  }

  #sliceIsOver(): boolean {
    return performance.now() > this.#sliceEndsMs;
  }

  /** Lets others have their turn, and bounds the WAL; nobody else writes to the file, so there is no need to begin sooner. */
  async #turn(): Promise<void> {
    if (performance.now() > this.#options.deadlineMs) {
      throw new KithError("timeout", `Could not import the repo of "${this.#store.did}": it took too long`);
    }
    if (this.#store.checkpointDue() === "restart") await this.#store.checkpoint("restart");
    else await new Promise((resolve) => setImmediate(resolve));
    this.#sliceEndsMs = performance.now() + SLICE_MS;
  }
}

function isSignedBy(block: Block, didKey: string): boolean {
  try {
    verifyCommit(block, didKey);
    return true;
  } catch (error) {
    if (error instanceof KithError) return false;
    throw error;
  }
}

function stagedRecord({ path, cid, bytes }: RepoRecord): StagedRecord {
  const slash = path.indexOf("/");
  const [collection, rkey] = [path.slice(0, slash), path.slice(slash + 1)];
  const scanned = scanRecord(collection, bytes);
  if (scanned) return { collection, rkey, cid, blobs: [], ...scanned };
  let value: unknown;
  let refs: BlobRef[];
  try {
    value = decodeCbor(bytes);
    refs = blobsInRecord(value);
  } catch (cause) {
    throw new KithError("invalid_request", `Could not import the repo: the record "${path}" is malformed`, {
      cause,
    });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refusal(`the record "${path}" is not an object`);
  }
  return { collection, rkey, cid, blobs: distinctBlobs(refs), subject: subjectOf(collection, value) };
}

function distinctBlobs(refs: readonly BlobRef[]): Cid[] {
  if (refs.length === 0) return [];
  return [...new Map(refs.map(({ cid }) => [cidKey(cid), cid])).values()];
}

function refusal(why: string): KithError {
  return new KithError("invalid_request", `Could not import the repo: ${why}`);
}
