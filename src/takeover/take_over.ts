/** The whole takeover: what a stopped reference PDS has, put into a data folder of kith's that nobody serves yet. */

import { signerFromPrivateKey } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { AdoptedInvite, BlobStore, DataFolder, ReferenceInvite } from "../storage/mod.ts";
import type { BlobSource } from "./blob_source.ts";
import { compareTaken, DISK_HINT } from "./compare_taken.ts";
import type { Plan, RefusedAccount } from "./plan.ts";
import type { Reference } from "./reference.ts";
import { type TakenAccount, takeAccount } from "./take_account.ts";
import { type TakenEvents, takeEvents } from "./take_events.ts";
import type { Target } from "./target.ts";

/** What a look over the whole target has found. */
export interface TakenCheck {
  /** By so many faults something would be lost, or served wrongly. */
  readonly harms: number;
  /** Of these, those that can be mended in the folder itself. */
  readonly mendable: number;
}

/** Looks over everything in the folder; handed in, for `verify` is a neighbour of this folder. */
export type CheckTaken<Check extends TakenCheck = TakenCheck> = (request: {
  /** Its lock is held, and none of its stores is open. */
  readonly folder: DataFolder;
  readonly blobs: BlobStore;
  readonly now: () => number;
  readonly onProgress: (done: number, total: number) => void;
}) => Promise<Check>;

export interface TakeoverProgress<Check extends TakenCheck = TakenCheck> {
  /** One account has been read, or taken. */
  account?(account: TakenAccount | RefusedAccount, at: { readonly done: number; readonly all: number }): void;
  /** One account has been verified. */
  verified?(at: { readonly done: number; readonly all: number }): void;
  /** Everything has been verified. */
  checked?(check: Check): void;
}

export interface TakeoverOptions<Check extends TakenCheck = TakenCheck> {
  readonly reference: Reference;
  readonly plan: Plan;
  readonly blobs: BlobSource;
  /** Absent in a dry run. Its stores are closed when all is there. */
  readonly target?: Target | undefined;
  readonly check: CheckTaken<Check>;
  /** DIDs and handles that are to be left behind; "damaged": every account that cannot be taken over. */
  readonly leaveOut: ReadonlySet<string>;
  readonly keepsSessions: boolean;
  readonly backfillMs: number;
  readonly uploadLifetimeMs: number;
  readonly now: () => number;
  readonly progress?: TakeoverProgress<Check>;
}

export interface TakeoverReport {
  readonly accounts: readonly TakenAccount[];
  /** Accounts that cannot be taken over. */
  readonly refused: readonly RefusedAccount[];
  /** Those that were left behind because it was asked for. */
  readonly leftOut: readonly string[];
  readonly events: TakenEvents;
  readonly invites: number;
  readonly reservedKeys: number;
  readonly notes: readonly string[];
  /** Absent in a dry run. */
  readonly check?: TakenCheck;
}

/**
 * Reads everything there is, and with a target writes and verifies it. Accounts that cannot be taken over are told with all others; with a
 * target KithError storage_damaged then, unless they are to be left out: the target is not usable. Throws KithErrors
 * invalid_request (the reference runs), storage_full, storage_damaged.
 */
export async function takeOver<Check extends TakenCheck>(
  options: TakeoverOptions<Check>,
): Promise<TakeoverReport> {
  const { reference, plan, target, leaveOut } = options;
  const isLeft = ({ did, handle }: { did: string; handle: string | null }): boolean =>
    leaveOut.has(did) || (handle !== null && leaveOut.has(handle.toLowerCase()));
  const wanted = plan.accounts.filter(({ source }) => !isLeft(source));
  const leftOut = plan.accounts.filter(({ source }) => isLeft(source)).map(({ source }) => source.did);
  const refused = plan.refused.filter((account) => !isLeft(account));
  leftOut.push(...plan.refused.filter(isLeft).map(({ did }) => did));
  const strangers = strangersIn(leaveOut, plan);
  const all = wanted.length + refused.length;
  const accounts: TakenAccount[] = [];
  for (const account of refused) options.progress?.account?.(account, { done: 0, all });
  for (const account of wanted) {
    const { did, handle } = account.source;
    try {
      const taken = await takeAccount(account, options);
      accounts.push(taken);
      options.progress?.account?.(taken, { done: accounts.length, all });
    } catch (error) {
      const why =
        isKithError(error, "storage_damaged") || isKithError(error, "invalid_request")
          ? error.message
          : undefined;
      if (why === undefined) throw error;
      refused.push({ did, handle, why });
      options.progress?.account?.({ did, handle, why }, { done: accounts.length, all });
      if (target) await takeBack(did, { target, isShared: options.blobs.isShared });
    }
  }
  if (target && refused.length > 0 && !leaveOut.has("damaged")) throw cannotTake(refused);
  const events = await takeEvents(reference.events, {
    log: target?.eventLog,
    since: options.now() - options.backfillMs,
  });
  const invites = reference.accounts.invites();
  const reserved = reference.reservedKeys();
  if (target) {
    await target.adoption.adoptInvites(invites.map((invite) => adopted(invite, options.now())));
    for (const { id, privateKey } of reserved) {
      const { didKey } = signerFromPrivateKey("k256", privateKey);
      await target.reservedKeys.reserve({ id, didKey, type: "k256", privateKey, now: options.now() });
    }
  }
  reference.checkUnchanged();
  const check = target && (await verifyAll(accounts, { ...options, target }));
  const notes =
    events.damaged > 0
      ? [
          `Events of the log that cannot be read, or are another account's than they say, left behind: ${events.damaged}`,
        ]
      : [];
  return {
    ...{ accounts, refused, leftOut, events, invites: invites.length, reservedKeys: reserved.length },
    notes: [...plan.notes, ...strangers, ...notes],
    ...(check ? { check } : {}),
  };
}

/** Told of whoever is to be left behind and is not here: a name that was mistyped. */
function strangersIn(leaveOut: ReadonlySet<string>, { accounts, refused }: Plan): string[] {
  const all = [...accounts.map(({ source }) => source), ...refused];
  const here = new Set(all.flatMap(({ did, handle }) => [did, handle?.toLowerCase() ?? did]));
  return [...leaveOut]
    .filter((name) => name !== "damaged" && !here.has(name))
    .map((name) => `Nobody here is "${name}", whom you wanted to leave out`);
}

/** In a bucket that both use the blobs are the reference's too, and stay. */
async function takeBack(
  did: string,
  { target, isShared }: { target: Target; isShared: boolean },
): Promise<void> {
  const account = target.accounts.account(did);
  await target.adoption.forget(did);
  if (account) await target.files.remove(did, account.generation);
  if (!isShared) await target.blobs.removeAll(did);
}

/** That everything is there which was taken, and then that all that is there is sound. */
async function verifyAll<Check extends TakenCheck>(
  accounts: readonly TakenAccount[],
  { target, check, now, progress }: TakeoverOptions<Check> & { target: Target },
): Promise<Check> {
  for (const account of accounts) await compareTaken(account, target);
  const counts = target.adoption.counts();
  if (counts.accounts !== accounts.length)
    throw unverified(`there are ${counts.accounts} accounts instead of ${accounts.length}`);
  await target.closeStores();
  const { folder, blobs } = target;
  const onProgress = (done: number, all: number) => progress?.verified?.({ done, all });
  const found = await check({ folder, blobs, now, onProgress });
  progress?.checked?.(found);
  const lasting = found.harms - found.mendable;
  if (lasting > 0) throw unverified(`${lasting} faults that cannot be mended are in what was written`);
  return found;
}

function unverified(why: string): KithError {
  return new KithError("storage_damaged", `Could not verify the takeover: ${why}`, { hint: DISK_HINT });
}

function adopted(invite: ReferenceInvite, now: number): AdoptedInvite {
  const usedBy = invite.usedBy.map(({ did, at }) => ({ did, at: at ?? now }));
  return { ...invite, createdAt: invite.createdAt ?? now, usedBy };
}

function cannotTake(refused: readonly RefusedAccount[]): KithError {
  const names = refused.map(({ did, handle }) => handle ?? did);
  const shown = names.slice(0, 3).join('", "');
  return new KithError(
    "storage_damaged",
    `Could not take over ${refused.length} of the accounts: "${shown}"${names.length > 3 ? " and others" : ""}`,
    {
      hint: `Mend what is told above of each, or leave them behind: --leave-out ${names.slice(0, 3).join(",")} (--leave-out damaged: all of them). Then run this again.`,
    },
  );
}
