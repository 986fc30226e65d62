/**
 * Brings one repo from where its file is to where the shipped events end. A commit is taken only where it continues the one before, its
 * tree comes out of that one's and the ops, and the account's key has signed it; after the first that is not so no further one is.
 */
import { isBytes, isCidLink } from "@atcute/cbor";
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
  decodeFrame,
  fromBytes,
  fromCidLink,
  MemoryBlocks,
  parseCommit,
  readCar,
  subjectOf,
  tidToMicros,
  verifySignature,
  type Write,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type {
  LoggedEvent,
  OwnerStatus,
  RecordKey,
  RecordPut,
  RepoStatus,
  RepoStore,
} from "../storage/mod.ts";

export interface RollOptions {
  readonly events: Iterable<LoggedEvent>;
  /** Those that may have signed: did:keys. */
  readonly keys: readonly string[];
  /** The newest key of the file as it was fetched: what an attempt before has made of it counts as news once more. */
  readonly lastTid: string | null;
  /** False: commits are passed over. */
  readonly takesCommits: boolean;
  readonly now: number;
}

export interface Rolled {
  /** Commits that were applied. */
  readonly commits: number;
  /** Why a commit could not be applied; it and all later ones are lost. */
  readonly stopped: { readonly seq: number; readonly why: string } | undefined;
  /** What the newest #account says that the file did not know yet. */
  readonly status: { readonly seq: number; readonly status: RepoStatus | "deleted" } | undefined;
  /** What the newest #account says that tells what the owner made of the account, which none of a takedown does. */
  readonly owner: { readonly seq: number; readonly status: OwnerStatus } | undefined;
  /** The same of the newest #identity with a handle. */
  readonly handle: { readonly seq: number; readonly handle: string } | undefined;
  /** Blobs whose last reference went. */
  readonly released: readonly Cid[];
}

/** The WAL is measured after so many events. */
const MEASURE_EVERY = 32;

type Payload = Readonly<Record<string, unknown>>;

export async function rollForward(store: RepoStore, options: RollOptions): Promise<Rolled> {
  const roll = new Roll(store, options);
  let count = 0;
  for (const event of options.events) {
    roll.take(event);
    count += 1;
    // What has grown so much is brought into the file before more comes.
    if (count % MEASURE_EVERY === 0 && store.checkpointDue() === "restart") await store.checkpoint("restart");
  }
  return roll.result();
}

class Roll {
  readonly #store: RepoStore;
  readonly #options: RollOptions;
  /** The newest moment that the file knew of, in microseconds. */
  readonly #knownMicros: number;
  readonly #released: Cid[] = [];
  /** True from the first event on that the file does not know. */
  #isNews = false;
  #commits = 0;
  #stopped: Rolled["stopped"];
  #status: Rolled["status"];
  #owner: Rolled["owner"];
  #handle: Rolled["handle"];

  constructor(store: RepoStore, options: RollOptions) {
    this.#store = store;
    this.#options = options;
    this.#knownMicros = options.lastTid === null ? 0 : tidToMicros(options.lastTid);
  }

  result(): Rolled {
    return {
      commits: this.#commits,
      stopped: this.#stopped,
      status: this.#status,
      owner: this.#owner,
      handle: this.#handle,
      released: this.#released,
    };
  }

  take({ seq, kind, frame }: LoggedEvent): void {
    const { payload } = decodeFrame(frame);
    if (kind === "commit" || kind === "sync") return void this.#takeHead(seq, kind, payload);
    const time = typeof payload.time === "string" ? Date.parse(payload.time) : Number.NaN;
    if (time * 1000 > this.#knownMicros) this.#isNews = true;
    if (!this.#isNews) return;
    if (kind === "account") this.#standing(seq, statusOf(payload));
    else if (typeof payload.handle === "string") this.#handle = { seq, handle: payload.handle };
  }

  #standing(seq: number, status: RepoStatus | "deleted"): void {
    this.#status = { seq, status };
    if (status === "active" || status === "deactivated") this.#owner = { seq, status };
  }

  #takeHead(seq: number, kind: "commit" | "sync", payload: Payload): void {
    const { head } = this.#store.state();
    const { rev } = payload;
    if (typeof rev !== "string") return;
    if (rev > (this.#options.lastTid ?? "")) this.#isNews = true;
    if (head !== null && rev <= head.rev) return;
    if (!this.#options.takesCommits || this.#stopped) return;
    try {
      if (kind === "commit") this.#commit(payload);
      else this.#sync(payload);
      this.#commits += 1;
    } catch (error) {
      if (!(error instanceof KithError) || error.code === "storage_full") throw error;
      this.#stopped = { seq, why: error.message };
    }
  }

  /** The commit in the blocks of an event, signed by one of the keys. */
  #signed(payload: Payload): { block: Block; blocks: MemoryBlocks } {
    const { blocks: bytes, rev } = payload;
    if (!isBytes(bytes)) throw refusal("it has no blocks");
    const { roots, blocks } = readCar(fromBytes(bytes));
    const [root] = roots;
    const found = root && blocks.find(({ cid }) => cidEquals(cid, root));
    if (!found) throw refusal("its commit is not in its blocks");
    const commit = parseCommit(found.bytes);
    if (commit.did !== this.#store.did || commit.rev !== rev)
      throw refusal("its repo or rev is not that of its commit");
    const isSigned = this.#options.keys.some((key) => verifySignature(key, commit.unsigned, commit.sig));
    if (!isSigned) throw refusal("its commit is signed by none of the account's keys");
    return { block: found, blocks: new MemoryBlocks(blocks) };
  }

  #commit(payload: Payload): void {
    const { did } = this.#store;
    const { head } = this.#store.state();
    if (payload.tooBig === true) throw refusal("it was too big to be told with its blocks");
    if ((payload.since ?? null) !== (head?.rev ?? null))
      throw refusal(
        `it follows "${String(payload.since ?? "nothing")}", and the repo is at "${head?.rev ?? "nothing"}"`,
      );
    const { block, blocks } = this.#signed(payload);
    const { data, rev } = parseCommit(block.bytes);
    const writes = writesOf(payload.ops, blocks);
    const draft = buildCommit({ did, head, writes, rev, blocks: this.#store });
    if (!cidEquals(draft.data, data)) throw refusal("its tree is not that of its ops");
    const puts = writes.flatMap((write) => (write.action === "delete" ? [] : [this.#put(write)]));
    const deletes = writes.flatMap(({ action, path }) => (action === "delete" ? [keyOf(path)] : []));
    this.#keep({
      block,
      data,
      rev,
      newBlocks: draft.newBlocks,
      removed: draft.removed,
      replaced: draft.replaced,
      puts,
      deletes,
    });
  }

  /** The same tree under another commit, as a change of the key or a restore leaves it. */
  #sync(payload: Payload): void {
    const { head } = this.#store.state();
    const { block } = this.#signed(payload);
    const { data, rev } = parseCommit(block.bytes);
    if (!head || !cidEquals(data, head.data))
      throw refusal("it stands for a whole repo, whose file was not shipped with it");
    this.#keep({
      block,
      data,
      rev,
      newBlocks: [],
      removed: [head.commit],
      replaced: [],
      puts: [],
      deletes: [],
    });
  }

  #keep(commit: {
    block: Block;
    data: Cid;
    rev: string;
    newBlocks: readonly Block[];
    removed: readonly Cid[];
    replaced: readonly Cid[];
    puts: readonly RecordPut[];
    deletes: readonly RecordKey[];
  }): void {
    const { block, data, rev, newBlocks, removed, replaced, puts, deletes } = commit;
    const { lastTid } = this.#store.state();
    const { unreferenced } = this.#store.commit({
      head: { commit: block.cid, data, rev },
      lastTid: lastTid !== null && lastTid > rev ? lastTid : rev,
      newBlocks: [...newBlocks, block],
      ...{ removed, replaced, puts, deletes },
      events: [],
      now: this.#options.now,
    });
    this.#released.push(...unreferenced);
  }

  /** A record, with rows for blobs that were uploaded after the file was copied: whether their own files are here is seen later. */
  #put({ path, record }: Write & { action: "create" | "update" }): RecordPut {
    const { collection, rkey } = keyOf(path);
    const value = decodeCbor(record.bytes);
    const refs: BlobRef[] = blobsInRecord(value);
    const blobs = new Map(refs.map((ref) => [cidKey(ref.cid), ref]));
    for (const { cid, mimeType, size } of blobs.values()) {
      if (this.#store.blob(cid)) continue;
      this.#store.putBlob({ cid, mimeType, size: Math.max(0, size), createdAt: this.#options.now });
    }
    const cids = [...blobs.values()].map(({ cid }) => cid);
    return { collection, rkey, cid: record.cid, blobs: cids, subject: subjectOf(collection, value) };
  }
}

function writesOf(ops: unknown, blocks: MemoryBlocks): Write[] {
  if (!Array.isArray(ops)) throw refusal("it has no ops");
  return ops.map((op: unknown): Write => {
    const { action, path, cid } = (op ?? {}) as Record<string, unknown>;
    if (typeof path !== "string") throw refusal("an op has no path");
    if (action === "delete") return { action, path };
    if ((action !== "create" && action !== "update") || !isCidLink(cid)) throw refusal("an op is none");
    const link = fromCidLink(cid);
    const bytes = blocks.get(link);
    if (!bytes) throw refusal(`the record ${cidToString(link)} is not in its blocks`);
    return { action, path, record: { cid: link, bytes } };
  });
}

function keyOf(path: string): RecordKey {
  const [collection = "", rkey = ""] = path.split("/");
  return { collection, rkey };
}

function statusOf({ active, status }: Payload): RepoStatus | "deleted" {
  if (active === true) return "active";
  if (status === "takendown" || status === "suspended" || status === "deleted") return status;
  return "deactivated";
}

/** Whether a #commit is the first of its repo. */
export function isBirth({ frame }: LoggedEvent): boolean {
  const { since, prevData } = decodeFrame(frame).payload;
  return (since ?? null) === null && (prevData ?? null) === null;
}

/** Whether an #account tells of the account's end. */
export function isDeletion({ frame }: LoggedEvent): boolean {
  return statusOf(decodeFrame(frame).payload) === "deleted";
}

function refusal(why: string): KithError {
  return new KithError("invalid_request", `Could not apply the event: ${why}`);
}
