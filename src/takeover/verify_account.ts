/** An account in kith's data folder, held against itself: its signature, its tree, its index, and its blobs against their CIDs. */
import { type Cid, cidEquals, cidToString, REPEATED_BYTES_MAX, verifyRepoSteps } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { RepoStore } from "../storage/mod.ts";
import { hashesTo } from "./copy_blobs.ts";
import type { TakenAccount } from "./take_account.ts";
import type { Target } from "./target.ts";

const PAGE_BLOBS = 500;
/** Of records: more than any repo has, as each was counted when it was read. */
const RECORD_BYTES_MAX = Number.MAX_SAFE_INTEGER - REPEATED_BYTES_MAX;

/** Throws KithError storage_damaged on anything that is not as it was taken. `rehash`: whether each blob is read once more. */
export async function verifyAccount(
  taken: TakenAccount,
  { target, rehash }: { target: Target; rehash: boolean },
): Promise<void> {
  const account = target.accounts.account(taken.did);
  if (!account) throw unlike(taken, "it is not in the accounts store");
  const { didKey } = target.accounts.signer(taken.did);
  const store = await target.files.open(taken.did, account.generation);
  try {
    await verifyRepo(store, { taken, didKey });
    const state = store.state();
    if (state.signingKey !== didKey) throw unlike(taken, "its key is not the one that its file knows");
    if (state.status !== taken.status || account.state !== taken.status) {
      throw unlike(taken, `it is "${state.status}" in its file and "${account.state}" in the accounts store`);
    }
    if (store.preferences().length !== taken.preferences) throw unlike(taken, "preferences are missing");
    await verifyBlobs(store, { taken, target, rehash });
  } finally {
    await store.close();
  }
}

async function verifyRepo(
  store: RepoStore,
  { taken, didKey }: { taken: TakenAccount; didKey: string },
): Promise<void> {
  const { head } = store.state();
  if (!head) throw unlike(taken, "its repo has no commit");
  let records = 0;
  const source = { root: head.commit, blocks: store, recordBytesMax: RECORD_BYTES_MAX };
  for (const { path, cid } of verifyRepoSteps(source, { did: taken.did, didKey })) {
    const [collection = "", rkey = ""] = path.split("/");
    const indexed = store.recordCid(collection, rkey);
    if (!indexed || !cidEquals(indexed, cid)) throw unlike(taken, `the record "${path}" is not in its index`);
    records += 1;
  }
  if (records === taken.records && store.recordCount() === records) return;
  throw unlike(
    taken,
    `it has ${records} records, and ${store.recordCount()} in its index, instead of ${taken.records}`,
  );
}

async function verifyBlobs(
  store: RepoStore,
  { taken, target, rehash }: { taken: TakenAccount; target: Target; rehash: boolean },
): Promise<void> {
  let blobs = 0;
  for (let after: Cid | undefined; ; ) {
    const page = store.allBlobs({ limit: PAGE_BLOBS, after });
    for (const { cid, size } of page) {
      blobs += 1;
      const quarantined = store.takedowns.blob(cid) !== undefined;
      const found = await target.blobs.open(taken.did, cid, { quarantined });
      const isWhole = found?.size === size && (!rehash || (await hashesTo(found, cid)));
      if (!isWhole) throw unlike(taken, `the blob "${cidToString(cid)}" is not whole`);
    }
    const last = page.at(-1);
    if (last === undefined) break;
    after = last.cid;
  }
  if (blobs !== taken.blobs) throw unlike(taken, `it has ${blobs} blobs instead of ${taken.blobs}`);
}

function unlike({ did }: TakenAccount, why: string): KithError {
  return new KithError(
    "storage_damaged",
    `Could not verify the account "${did}" after it was taken over: ${why}`,
    {
      hint: "Nothing was made that a server could use. Look for disk errors in the kernel log, and run the same command again.",
    },
  );
}
