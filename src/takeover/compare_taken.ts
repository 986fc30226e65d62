/** An account in kith's data folder, held against what was taken: that all of it is there, and of its state. What it is made of, `verify` looks at. */
import type { Cid } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { RepoStore } from "../storage/mod.ts";
import type { TakenAccount } from "./take_account.ts";
import type { Target } from "./target.ts";

const PAGE_BLOBS = 500;

/** Throws KithError storage_damaged on anything that is not as it was taken. */
export async function compareTaken(taken: TakenAccount, target: Target): Promise<void> {
  const account = target.accounts.account(taken.did);
  if (!account) throw unlike(taken, "it is not in the accounts store");
  const { didKey } = target.accounts.signer(taken.did);
  const store = await target.files.open(taken.did, account.generation);
  try {
    const state = store.state();
    if (state.signingKey !== didKey) throw unlike(taken, "its key is not the one that its file knows");
    if (state.status !== taken.status || account.state !== taken.status) {
      throw unlike(taken, `it is "${state.status}" in its file and "${account.state}" in the accounts store`);
    }
    const found = {
      records: store.recordCount(),
      blobs: blobsIn(store),
      preferences: store.preferences().length,
    };
    for (const what of ["records", "blobs", "preferences"] as const) {
      if (found[what] !== taken[what])
        throw unlike(taken, `it has ${found[what]} ${what} instead of ${taken[what]}`);
    }
  } finally {
    await store.close();
  }
}

function blobsIn(store: RepoStore): number {
  let blobs = 0;
  for (let after: Cid | undefined; ; ) {
    const page = store.allBlobs({ limit: PAGE_BLOBS, after });
    blobs += page.length;
    const last = page.at(-1);
    if (last === undefined) return blobs;
    after = last.cid;
  }
}

function unlike({ did }: TakenAccount, why: string): KithError {
  return new KithError(
    "storage_damaged",
    `Could not verify the account "${did}" after it was taken over: ${why}`,
    { hint: DISK_HINT },
  );
}

/** The reference was read and checked before: what is wrong now came about on the way to the disk. */
export const DISK_HINT =
  "Nothing was made that a server could use. Look for disk errors in the kernel log, and run the same command again.";
