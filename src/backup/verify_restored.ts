/** Whether a repo's file holds a whole, signed repo. */
import { type Cid, cidToString, verifyCommit, verifyRepoSteps } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { RepoStore } from "../storage/mod.ts";

/**
 * Checks that the repo's commit is signed by one of the keys, that its tree and records are there and right, and that the index of records
 * is that of the tree. Throws KithError invalid_request or storage_damaged on the first thing that is wrong.
 */
export function verifyRestored(store: RepoStore, keys: readonly string[]): void {
  const { did } = store;
  const { head } = store.state();
  if (!head) throw new KithError("storage_damaged", `The repo "${did}" has no commit`);
  const bytes = store.get(head.commit);
  if (!bytes) throw new KithError("storage_damaged", `The repo "${did}" lacks its newest commit`);
  const block = { cid: head.commit, bytes };
  const didKey = keys.find((key) => isSignedBy(block, key));
  if (didKey === undefined)
    throw new KithError("invalid_request", "its commit is signed by none of the keys that are here");
  const source = { root: head.commit, blocks: store, recordBytesMax: Number.POSITIVE_INFINITY };
  const steps = verifyRepoSteps(source, { did, didKey });
  let count = 0;
  for (let step = steps.next(); !step.done; step = steps.next()) {
    checkIndex(store, step.value);
    count += 1;
  }
  const indexed = store.recordCount();
  if (indexed !== count)
    throw new KithError("storage_damaged", `the index has ${indexed} records, and the tree ${count}`);
}

function checkIndex(store: RepoStore, { path, cid }: { path: string; cid: Cid }): void {
  const [collection = "", rkey = ""] = path.split("/");
  const indexed = store.recordCid(collection, rkey);
  if (indexed && cidToString(indexed) === cidToString(cid)) return;
  throw new KithError("storage_damaged", `the index of records does not have "${path}" as the tree has it`);
}

function isSignedBy(block: { cid: Cid; bytes: Uint8Array }, didKey: string): boolean {
  try {
    verifyCommit(block, didKey);
    return true;
  } catch (error) {
    if (isKithError(error, "invalid_request")) return false;
    throw error;
  }
}
