/** Mends one account: its file's rows, its blobs, what the accounts database says of it, and what the network was told. */
import {
  accountEvent,
  type Cid,
  cidFromBytes,
  cidToString,
  type EventBody,
  type Head,
  identityEvent,
  nextTid,
  parseCid,
  parseCommit,
  syncEvent,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { BlobUpload, RepoReads, RepoRepairs, RepoRowChange, RepoStore } from "../storage/mod.ts";
import { QUARANTINED } from "./check_blobs.ts";
import { blobsAt, compareTree, type TreeDifference } from "./compare_tree.ts";
import type { Finding, FindingCode } from "./findings.ts";
import { openAccounts, type RepairOptions } from "./repair_stores.ts";

/** Rows that are changed in one transaction, and differences that are held at a time. */
const BATCH_ROWS = 2_000;
const HELD_MAX = 50_000;

const OF_ROWS: readonly FindingCode[] = ["index_differs", "references_differ", "stray_blocks"];
/** The network is to be told of the repo as it is. */
const OF_EVENTS: readonly FindingCode[] = ["events_missing", "event_damaged", "log_branched"];

export class AccountRepair {
  readonly #did: string;
  readonly #findings: readonly Finding[];
  readonly #options: RepairOptions;

  constructor(did: string, findings: readonly Finding[], options: RepairOptions) {
    this.#did = did;
    this.#findings = findings;
    this.#options = options;
  }

  /** Throws KithError where the account cannot be mended; what was done so far stays. */
  async run(): Promise<void> {
    const { stores, kept } = this.#options;
    const { accounts } = await openAccounts(this.#options);
    const account = accounts.account(this.#did);
    if (!account || account.state === "deleted") return;
    if (this.#has("account_deleted")) return await this.#delete();
    const path = stores.files.path(this.#did, account.generation);
    // The next start looks at the file, whatever happens here.
    await accounts.markOpen(this.#did);
    if (this.#findings.every(({ code }) => code === "pending_forgotten")) return;
    await kept.keep(path);
    if (this.#has("repo_index_damaged")) return await stores.reindex(path);
    // It settles the tail, and brings the file up to this version.
    await (await stores.files.recover(this.#did, account.generation)).close();
    await this.#mendRows(path);
    await this.#mendBlobs(path);
    await this.#tell(account.generation);
  }

  /** What the log has told already, under its key there: the next start passes it over, and goes on from it. */
  async #delete(): Promise<void> {
    const { stores } = this.#options;
    const { accounts } = await openAccounts(this.#options);
    const [did, key] = [this.#did, stores.lastKey(this.#did)];
    if (key === "")
      throw new KithError("storage_damaged", `Could not delete "${did}": the event log is lost`);
    const time = new Date(stores.now()).toISOString();
    await accounts.beginDeletion(did, {
      key,
      ...accountEvent({ did, active: false, status: "deleted", time }),
    });
  }

  #has(...codes: readonly FindingCode[]): boolean {
    return this.#findings.some(({ code }) => codes.includes(code));
  }

  #items(code: FindingCode): readonly string[] {
    return this.#findings.flatMap((finding) => (finding.code === code ? (finding.items ?? []) : []));
  }

  async #mendRows(path: string): Promise<void> {
    if (this.#has("head_differs")) {
      await this.#write(path, (reads) => {
        const { rev, data } = headOf(reads);
        return [{ kind: "putHead", rev, data, lastTid: rev }];
      });
    }
    if (!this.#has(...OF_ROWS)) return;
    for (let isMore = true; isMore; ) {
      await this.#write(path, (reads) => {
        const changes = differences(reads);
        isMore = changes.length >= HELD_MAX;
        return changes;
      });
    }
  }

  /** Reads, then writes what that has come to. */
  async #write(
    path: string,
    changesOf: (reads: RepoReads) => RepoRowChange[] | Promise<RepoRowChange[]>,
  ): Promise<void> {
    const { stores } = this.#options;
    const reads = stores.read(path);
    let changes: RepoRowChange[];
    try {
      changes = await changesOf(reads);
    } finally {
      reads.close();
    }
    let repairs: RepoRepairs | undefined;
    try {
      for (let at = 0; at < changes.length; at += BATCH_ROWS) {
        repairs ??= await stores.openRepo(path);
        await repairs.apply(changes.slice(at, at + BATCH_ROWS));
      }
    } finally {
      await repairs?.close();
    }
  }

  async #mendBlobs(path: string): Promise<void> {
    await this.#renameBlobs();
    await this.#write(path, async (reads) => {
      const drop = (name: string): RepoRowChange => ({ kind: "dropBlob", cid: parseCid(name) });
      const changes = [...this.#items("blob_missing"), ...this.#items("blob_damaged")].map(drop);
      changes.push(...(await this.#rowsOfBlobs(reads)));
      if (changes.length > 0 || this.#has("blob_bytes_differ")) changes.push({ kind: "countBlobBytes" });
      return changes;
    });
    // The rows decide; files follow, so that what is cut short here is found again.
    for (const name of this.#items("blob_damaged")) await this.#putAside(parseCid(name), [false, true]);
    for (const item of this.#items("blob_stray")) {
      if (item.startsWith("/")) await this.#options.kept.moveAside(item);
      else if (item.startsWith(QUARANTINED)) {
        await this.#putAside(parseCid(item.slice(QUARANTINED.length)), [true]);
      } else await this.#putAside(parseCid(item), [false]);
    }
    await this.#placeBlobs(path);
  }

  /** Those that have each other's names: all are read before the first is written. */
  async #renameBlobs(): Promise<void> {
    const { stores, kept } = this.#options;
    const did = this.#did;
    const uploads: { upload: BlobUpload; cid: Cid }[] = [];
    try {
      for (const item of this.#items("blob_misnamed")) {
        const [wanted = "", from = ""] = item.split(" ");
        const found = await stores.blobs.open(did, parseCid(from));
        const upload = await stores.blobs.begin(did);
        uploads.push({ upload, cid: parseCid(wanted) });
        for await (const chunk of (await found?.stream()) ?? []) await upload.write(chunk);
        if (cidToString((await upload.finish()).cid) !== wanted)
          throw new KithError(
            "storage_damaged",
            `Could not give "${wanted}" its name: "${from}" has changed`,
          );
      }
      for (const { upload, cid } of uploads) {
        await kept.keepBlob(stores.blobs, { did, cid, quarantined: false });
        await stores.blobs.keep(upload, { did, cid });
      }
    } finally {
      for (const { upload } of uploads) await upload.discard();
    }
  }

  async #rowsOfBlobs(reads: RepoReads): Promise<RepoRowChange[]> {
    const { stores } = this.#options;
    const changes: RepoRowChange[] = [];
    const rowless = new Set(this.#items("blob_row_missing"));
    for (const { cid: bytes, collection, rkey } of rowless.size > 0 ? reads.missingBlobs() : []) {
      const cid = cidFromBytes(bytes);
      const name = cidToString(cid);
      if (!rowless.delete(name)) continue;
      const refs = blobsAt(reads, headOf(reads), { collection, rkey });
      const mimeType = refs.find((ref) => cidToString(ref.cid) === name)?.mimeType;
      const quarantined = reads.isTakenDown(cid);
      const size = (await stores.blobs.open(this.#did, cid, { quarantined }))?.size;
      if (mimeType === undefined || size === undefined) continue;
      changes.push({ kind: "putBlob", row: { cid, mimeType, size, createdAt: stores.now() } });
    }
    const sizes = new Map(
      this.#items("blob_size_differs").map((item) => item.split(" ") as [string, string]),
    );
    for (const row of sizes.size > 0 ? reads.blobs() : []) {
      const cid = cidFromBytes(row.cid);
      const size = sizes.get(cidToString(cid));
      if (size === undefined) continue;
      const { mimeType, createdAt } = row;
      changes.push({ kind: "putBlob", row: { cid, mimeType, size: Number(size), createdAt } });
    }
    return changes;
  }

  /** Files of a blob, in its place and in the quarantine or in one of them, as far as they are there. */
  async #putAside(cid: Cid, places: readonly boolean[]): Promise<void> {
    const { stores, kept } = this.#options;
    for (const quarantined of places) {
      if (!(await kept.keepBlob(stores.blobs, { did: this.#did, cid, quarantined }))) continue;
      if (quarantined) await stores.blobs.removeQuarantined(this.#did, cid);
      else await stores.blobs.remove(this.#did, cid);
    }
  }

  async #placeBlobs(path: string): Promise<void> {
    const { stores } = this.#options;
    const misplaced = this.#items("blob_misplaced").map(parseCid);
    if (misplaced.length === 0) return;
    const reads = stores.read(path);
    try {
      for (const cid of misplaced) {
        if (reads.isTakenDown(cid)) await stores.blobs.quarantine(this.#did, cid);
        else await stores.blobs.release(this.#did, cid);
      }
    } finally {
      reads.close();
    }
  }

  /** The accounts, and by a pending event the network. */
  async #tell(generation: number): Promise<void> {
    if (!this.#has("status_differs", "handle_differs", ...OF_EVENTS)) return;
    const { stores } = this.#options;
    const { accounts, identities } = await openAccounts(this.#options);
    const store = await stores.files.open(this.#did, generation);
    try {
      const state = store.state();
      if (this.#has("status_differs")) await accounts.projectState(this.#did, state, { now: stores.now() });
      if (this.#has("handle_differs") && state.handle !== null)
        await identities.project(this.#did, { handle: state.handle });
      if (!this.#has(...OF_EVENTS) || state.status !== "active") return;
      await store.prepareWrites();
      this.#announce(store, state.handle ?? accounts.account(this.#did)?.handle);
      await store.durable();
    } finally {
      await store.close();
    }
  }

  /** The repo as it is; where the log has never had anything of it, who it is as well. */
  #announce(store: RepoStore, handle: string | undefined): void {
    const { stores } = this.#options;
    const { did } = store;
    const { head, lastTid } = store.state();
    const bytes = head && store.get(head.commit);
    if (!bytes)
      throw new KithError("storage_damaged", `Could not tell of the repo "${did}": it has no commit`);
    const time = new Date(stores.now()).toISOString();
    const logged = stores.lastKey(did);
    const bodies: EventBody[] = [];
    if (logged === "") {
      bodies.push(identityEvent({ did, time, ...(handle === undefined ? {} : { handle }) }));
      bodies.push(accountEvent({ did, active: true, time }));
    }
    bodies.push(syncEvent({ did, rev: head.rev, commit: { cid: head.commit, bytes }, time }));
    let last = lastTid !== null && lastTid > logged ? lastTid : logged === "" ? lastTid : logged;
    const events = bodies.map((body) => {
      last = nextTid(last, stores.now() * 1_000, stores.clockId);
      return { ...body, key: last };
    });
    store.appendEvents({ lastTid: last ?? "", events });
  }
}

/** By the commit itself. */
function headOf(reads: RepoReads): Head {
  const meta = reads.meta();
  const commit = meta?.head ? cidFromBytes(meta.head) : undefined;
  const block = commit && reads.block(commit);
  if (!block)
    throw new KithError("storage_damaged", `Could not repair "${reads.file.path}": it has no commit`);
  const { rev, data } = parseCommit(block.bytes);
  return { commit, rev, data };
}

function differences(reads: RepoReads): RepoRowChange[] {
  const changes: RepoRowChange[] = [];
  for (const difference of compareTree(reads, headOf(reads), { records: 0, bytes: 0 })) {
    if (difference) changes.push(...changesFor(difference));
    if (changes.length >= HELD_MAX) break;
  }
  return changes;
}

function changesFor(difference: TreeDifference): RepoRowChange[] {
  switch (difference.kind) {
    case "record":
      return [{ kind: "putRecord", row: difference.row }];
    case "extraRecord": {
      const { collection, rkey } = difference;
      return [{ kind: "dropRecord", collection, rkey }];
    }
    case "references": {
      const { collection, rkey, add, remove } = difference;
      return [
        ...add.map(({ bytes }) => ({ kind: "addReference", collection, rkey, cid: bytes }) as const),
        ...remove.map((cid) => ({ kind: "dropReference", collection, rkey, cid }) as const),
      ];
    }
    case "strayBlock":
      return [{ kind: "dropBlock", id: difference.id }];
    case "hiddenBlock":
      return [{ kind: "showBlock", id: difference.id }];
    case "damagedRecord":
      return [];
  }
}
