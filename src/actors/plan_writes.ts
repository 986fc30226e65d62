/**
 * Decides what a write request means for the repo as it is now: puts become creates, updates or nothing, swaps are
 * checked, earlier likes make room, referenced blobs must be there. Reads only; the turn of the repo actor acts on it.
 */
import {
  type BlobRef,
  type Cid,
  cidEquals,
  cidKey,
  cidToString,
  type Head,
  type Write,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { RecordKey, RecordPut } from "../storage/mod.ts";
import type { BlobRow, RecordWrite, WriteRequest, WriteResult } from "./repo_types.ts";

/** What planning needs to know of the repo; `RepoStore` has it. */
export interface RepoView {
  readonly did: string;
  recordCid(collection: string, rkey: string): Cid | undefined;
  recordWithSubject(collection: string, subject: string): string | undefined;
  blob(cid: Cid): BlobRow | undefined;
  /** What is taken down may not be referred to anew. */
  readonly takedowns: { blob(cid: Cid): string | undefined };
}

export interface WritePlan {
  /** What the commit does, at most one write a path. Empty: there is nothing to commit. */
  readonly writes: Write[];
  readonly puts: RecordPut[];
  readonly deletes: RecordKey[];
  /** One a requested write. */
  readonly results: WriteResult[];
}

/**
 * Throws KithError: "invalid_swap" where a swap does not match; "blob_not_found", "invalid_mime_type" or "invalid_size"
 * where a referenced blob was not uploaded as the record says. (That a record to be created is there already, or one to be
 * updated is not, `buildCommit` finds.)
 */
export function planWrites(
  repo: RepoView,
  { request, head }: { request: WriteRequest; head: Head },
): WritePlan {
  const { swapCommit, writes } = request;
  if (swapCommit && !cidEquals(swapCommit, head.commit)) {
    throw new KithError(
      "invalid_swap",
      `Could not write to "${repo.did}": its commit is ${cidToString(head.commit)}, not ${cidToString(swapCommit)}`,
    );
  }
  const plan: WritePlan = { writes: [], puts: [], deletes: [], results: [] };
  for (const write of writes) planWrite(repo, write, plan);
  return plan;
}

function planWrite(repo: RepoView, write: RecordWrite, plan: WritePlan): void {
  const path = `${write.collection}/${write.rkey}`;
  const uri = `at://${repo.did}/${path}`;
  if ("swapRecord" in write) checkSwapRecord(repo, write);
  if (write.action === "delete") {
    planDelete(repo, write, plan);
    return;
  }
  const { record, collection, rkey, subject } = write;
  const current = write.action === "put" ? repo.recordCid(collection, rkey) : undefined;
  if (current && cidEquals(current, record.cid)) {
    plan.results.push({ action: "none", uri, cid: record.cid });
    return;
  }
  for (const blob of write.blobs) checkBlob(repo, blob, uri);
  if (write.action === "create" && write.replacesSubject) makeRoom(repo, write, plan);
  const action = write.action === "put" ? (current ? "update" : "create") : write.action;
  plan.writes.push({ action, path, record });
  const isNew = action === "create";
  plan.puts.push({ collection, rkey, cid: record.cid, blobs: distinct(write.blobs), subject, isNew });
  plan.results.push({ action, uri, cid: record.cid });
}

function planDelete(repo: RepoView, write: RecordWrite & { action: "delete" }, plan: WritePlan): void {
  const { collection, rkey } = write;
  const uri = `at://${repo.did}/${collection}/${rkey}`;
  if (write.ifExists && !repo.recordCid(collection, rkey)) {
    plan.results.push({ action: "none", uri });
    return;
  }
  plan.writes.push({ action: "delete", path: `${collection}/${rkey}` });
  plan.deletes.push({ collection, rkey });
  plan.results.push({ action: "delete", uri });
}

/** Deletes the earlier like, repost, follow or block of the same subject in the same commit. */
function makeRoom(repo: RepoView, write: RecordWrite & { action: "create" }, plan: WritePlan): void {
  const { collection, rkey, subject } = write;
  const earlier = subject === undefined ? undefined : repo.recordWithSubject(collection, subject);
  if (earlier === undefined || earlier === rkey) return;
  plan.writes.push({ action: "delete", path: `${collection}/${earlier}` });
  plan.deletes.push({ collection, rkey: earlier });
}

function checkSwapRecord(repo: RepoView, write: RecordWrite & { action: "put" | "delete" }): void {
  const { swapRecord, collection, rkey } = write;
  if (swapRecord === undefined) return;
  const current = repo.recordCid(collection, rkey);
  const matches = swapRecord === null ? !current : current !== undefined && cidEquals(current, swapRecord);
  if (matches) return;
  const is = current ? cidToString(current) : "no record";
  const expected = swapRecord ? cidToString(swapRecord) : "no record";
  throw new KithError(
    "invalid_swap",
    `Could not write "${collection}/${rkey}": there is ${is}, not ${expected}`,
  );
}

function checkBlob(repo: RepoView, ref: BlobRef, uri: string): void {
  const row = repo.takedowns.blob(ref.cid) === undefined ? repo.blob(ref.cid) : undefined;
  const name = `Could not write "${uri}": the blob ${cidToString(ref.cid)}`;
  if (!row) throw new KithError("blob_not_found", `${name} is not here`);
  if (row.mimeType !== ref.mimeType) {
    throw new KithError("invalid_mime_type", `${name} is "${row.mimeType}", not "${ref.mimeType}"`);
  }
  if (row.size !== ref.size) {
    throw new KithError("invalid_size", `${name} has ${row.size} bytes, not ${ref.size}`);
  }
}

function distinct(blobs: readonly BlobRef[]): Cid[] {
  return [...new Map(blobs.map(({ cid }) => [cidKey(cid), cid])).values()];
}
