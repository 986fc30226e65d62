/**
 * What a start repeats, so that a crash at any step of anything is as if it had not been: every part may be interrupted and
 * run again. It costs what was open at the crash, not the number of accounts.
 */
import { isKithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import {
  type Account,
  isDamage,
  isWithoutRight,
  type PendingEvent,
  type RepoStore,
  type Standing,
} from "../storage/mod.ts";
import { type QuarantineFiles, settleQuarantine } from "./blob_quarantine.ts";
import type { Identities } from "./change_identity.ts";
import type { Sequencer } from "./sequencer.ts";

/** Repos recovered at a time. */
const RECOVER_AT_ONCE = 8;
const MICROS_PER_MS = 1_000;

export interface StartUpAccounts {
  account(did: string): Account | undefined;
  openRepos(): { did: string; generation: number }[];
  unmarkOpen(did: string): Promise<void>;
  creating(): Account[];
  deleting(): (Account & { tombstone: PendingEvent })[];
  finishDeletion(did: string): Promise<void>;
  projectState(did: string, standing: Standing, options: { now: number }): Promise<void>;
  highWater(): number;
  raiseHighWater(seq: number): Promise<void>;
}

export interface StartUpIdentities extends Pick<Identities, "project"> {
  /** A change of handle or key that was begun and not ended. */
  find(did: string): object | undefined;
}

export interface StartUpFiles {
  exists(did: string, generation: number): boolean;
  recover(did: string, generation: number): Promise<RepoStore>;
  remove(did: string, generation: number): Promise<void>;
}

export interface StartUpOptions {
  readonly accounts: StartUpAccounts;
  readonly identities: StartUpIdentities;
  readonly files: StartUpFiles;
  readonly blobs: QuarantineFiles & {
    removeAll(did: string): Promise<void>;
    sweepTemporary(): Promise<void>;
  };
  readonly sequencer: Sequencer;
  readonly logger: Logger;
  readonly now: () => number;
}

/**
 * Reserves where this run's seqs begin: above both stored high-water marks and the clock's microseconds, so that no seq is
 * ever given twice, not even after a restore. Durable when it resolves.
 */
export async function reserveFirstSeq(options: {
  accounts: Pick<StartUpAccounts, "highWater" | "raiseHighWater">;
  log: { highWater(): number };
  now: () => number;
}): Promise<number> {
  const { accounts, log, now } = options;
  const first = Math.max(accounts.highWater() + 1, log.highWater() + 1, now() * MICROS_PER_MS);
  await accounts.raiseHighWater(first - 1);
  return first;
}

/** A run has given fewer seqs than these, of which the accounts store knows the first. */
const SEQS_OF_A_RUN_MAX = 1_000_000_000;

/**
 * Where accounts are active, and the event log never had an event, the one that had theirs was lost, and this one is new. It begins above every
 * seq that was given, also where the clock is behind by now, and has it that all before is gone: a cursor to there is too old, and not from
 * the future.
 */
export async function beginLostLog({
  accounts,
  log,
  logger,
}: {
  accounts: Pick<StartUpAccounts, "highWater"> & { countByState(): { readonly active?: number } };
  log: { highWater(): number; beginAfter(seq: number): void; durable(): Promise<void> };
  logger: Logger;
}): Promise<void> {
  const known = accounts.highWater();
  if (known === 0 || log.highWater() > 0 || (accounts.countByState().active ?? 0) === 0) return;
  log.beginAfter(known + SEQS_OF_A_RUN_MAX);
  await log.durable();
  logger.error(
    "The event log was lost, and is made anew: events that subscribers had not fetched are lost to them",
    {
      file: "events.sqlite",
      after: known + SEQS_OF_A_RUN_MAX,
      hint: "Accounts and their repos are whole. Subscribers that were behind must fetch repos again, as relays do by themselves; to tell them of every repo, stop the server and run kith verify --repair.",
    },
  );
}

/** Finishes deletions and brings every repo that was open at the crash to rest. Resolves when all of it is durable. */
export async function recoverRepos(options: StartUpOptions): Promise<{ recovered: number; deleted: number }> {
  const { accounts, files, blobs } = options;
  await blobs.sweepTemporary();
  const deleting = accounts.deleting();
  for (const account of deleting) await finishDeletion(account, options);
  // A `creating` account's file is finished with the account; here it only gets what any file gets after a crash.
  for (const account of accounts.creating()) {
    if (files.exists(account.did, account.generation)) await (await recoverFile(account, options))?.close();
  }
  const open = accounts.openRepos();
  for (let at = 0; at < open.length; at += RECOVER_AT_ONCE) {
    await Promise.all(
      open
        .slice(at, at + RECOVER_AT_ONCE)
        .map((row) => unlessDamaged(row.did, options.logger, () => recoverRepo(row, options))),
    );
  }
  options.sequencer.recovered();
  return { recovered: open.length, deleted: deleting.length };
}

/** One damaged file must not keep all other accounts from being served: it is left as it is, its row with it. */
async function unlessDamaged(did: string, logger: Logger, recover: () => Promise<void>): Promise<void> {
  try {
    await recover();
  } catch (error) {
    if (!isDamage(error)) throw error;
    logger.error(unusable(error), { did, error });
  }
}

function unusable(error: unknown): string {
  const why = isWithoutRight(error) ? "may not be opened by this user" : "is damaged";
  return `The repo file of an account ${why}; its account cannot be used`;
}

async function finishDeletion(
  account: Account & { tombstone: PendingEvent },
  options: StartUpOptions,
): Promise<void> {
  const { did, generation, tombstone } = account;
  await options.sequencer.hand(did, [tombstone]);
  await options.blobs.removeAll(did);
  await options.files.remove(did, generation);
  await options.accounts.finishDeletion(did);
}

/** The open file; undefined where it is damaged, which hurts its account and nobody else. */
async function recoverFile(
  { did, generation }: { did: string; generation: number },
  { files, logger }: StartUpOptions,
): Promise<RepoStore | undefined> {
  try {
    return await files.recover(did, generation);
  } catch (error) {
    if (!isKithError(error, "storage_damaged")) throw error;
    logger.error(unusable(error), { did, generation, error });
    return undefined;
  }
}

async function recoverRepo(row: { did: string; generation: number }, options: StartUpOptions): Promise<void> {
  const { accounts, files, blobs, sequencer, logger, now } = options;
  const account = accounts.account(row.did);
  if (account?.state === "creating") return;
  if (!account || account.generation !== row.generation || account.state === "deleted") {
    await accounts.unmarkOpen(row.did);
    return;
  }
  if (!files.exists(row.did, row.generation)) {
    logger.error("The repo file of an account is missing; its account cannot be used", { ...row });
    return;
  }
  const store = await recoverFile(row, options);
  if (!store) return;
  await sequencer.dropUnkept(row.did, store.state());
  const pending = store.pendingEvents();
  await sequencer.hand(row.did, pending);
  const last = pending.at(-1);
  if (last) {
    await store.prepareWrites();
    store.forgetPending(last.key);
  }
  // What an import has left that was cut off.
  if (store.hasStaging()) await store.prepareWrites();
  // The row decides what is served, wherever the file is: a bucket that is down must not stop the start.
  // An older file does not know what was put away since, or that it was.
  if (!sequencer.isOlder(row.did))
    await settleQuarantine(blobs, store).catch((error: unknown) => {
      logger.warn("Files of blobs are not where their takedowns say", { did: row.did, error });
    });
  const standing = store.state();
  if (!isProjected(account, standing)) await accounts.projectState(row.did, standing, { now: now() });
  await projectIdentity(store, account, options);
  await store.close();
  await accounts.unmarkOpen(row.did);
}

/** Whether the accounts store knows how the account stands. */
function isProjected(account: Account, { status, ownerStatus, takedownRef }: Standing): boolean {
  const isDeactivated = account.deactivatedAt !== null;
  return (
    account.state === status &&
    account.takedownRef === takedownRef &&
    isDeactivated === (ownerStatus === "deactivated")
  );
}

/** The handle and the key that the file says; of an unfinished change the rest is looked up at the directory later. */
async function projectIdentity(
  store: RepoStore,
  account: Account,
  { identities, logger }: StartUpOptions,
): Promise<void> {
  const { did } = store;
  const { handle, signingKey } = store.state();
  if ((handle === null || handle === account.handle) && !identities.find(did)) return;
  try {
    await identities.project(did, { handle: handle ?? undefined, signingKey: signingKey ?? undefined });
  } catch (error) {
    if (!isKithError(error, "handle_not_available")) throw error;
    logger.error("The handle of an account is another's now; it keeps the one that it had", {
      did,
      handle,
      error,
    });
  }
}
