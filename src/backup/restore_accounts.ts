/**
 * Brings each account to where the shipped log ends: rolls its repo forward, verifies it, decides how it stands, and leaves with the next
 * start what the network is to be told. May be cut off and repeated: what was done is found done, and told by a newer commit.
 */
import {
  type Cid,
  cidToString,
  type DidDocument,
  isOwnOrigin,
  nextTid,
  pdsEndpointOf,
  type Signer,
  signingKeyOf,
} from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { forEach } from "../for_each.ts";
import {
  type Account,
  type AccountFiles,
  type AccountStore,
  type EventLog,
  type IdentityChangeStore,
  isDamage,
  PAGE_ROWS_MAX,
  type RepoBase,
  type RepoFiles,
  type RepoStore,
  type RestoreState,
  repoFilePath,
  type Standing,
} from "../storage/mod.ts";
import { announceRestored, announceStanding, tombstoneOf } from "./announce_restored.ts";
import { type PlannedFile, SNAPSHOT_ORDER } from "./restore_plan.ts";
import type { AccountTrouble } from "./restore_report.ts";
import type { RestoredRows } from "./restore_rows.ts";
import { isFetched, settleFetched } from "./restored_quarantine.ts";
import { restoredStanding } from "./restored_standing.ts";
import type { RestoredBlobs } from "./restored_stores.ts";
import { isBirth, isDeletion, type Rolled, rollForward } from "./roll_forward.ts";
import { verifyRestored } from "./verify_restored.ts";

/** Accounts at a time. */
const AT_ONCE = 6;
/** In place of the end of the log, in an outcome that is none yet. */
const UNDER_WAY = -1;

export interface RestoredStores {
  readonly accounts: AccountStore;
  readonly identities: IdentityChangeStore;
  readonly log: EventLog;
  readonly files: RepoFiles;
  readonly blobs: Omit<RestoredBlobs, "removeAll">;
}

export interface RestoreAccountsOptions {
  readonly stores: RestoredStores;
  readonly state: RestoreState;
  /** Every account that is not deleted. */
  readonly accounts: readonly AccountFiles[];
  /** Repo files that were fetched, by path in the data folder. */
  readonly repos: ReadonlyMap<string, PlannedFile>;
  /** What increments have of single accounts; it is in the accounts store already. */
  readonly rows?: ReadonlyMap<string, RestoredRows>;
  /** The accounts store holds at least what events up to this seq tell. */
  readonly accountsUpTo: number;
  /** When the newest snapshot that files were taken from was begun, in Unix milliseconds. */
  readonly snapshotAt: number;
  /** The newest event there is. */
  readonly logUpTo: number;
  readonly takesCommits: boolean;
  /** False: the blobs are kept elsewhere, and were not backed up. */
  readonly looksForBlobs: boolean;
  /** Where they go nothing is but what restores have put there. */
  readonly ownsBlobs?: boolean;
  /** Undefined where nobody is asked; throws where the DID cannot be resolved. */
  readonly document: ((did: string) => Promise<DidDocument | undefined>) | undefined;
  readonly publicUrl: string;
  readonly now: number;
  readonly clockId: number;
  readonly signal?: AbortSignal | undefined;
  readonly onDone?: (done: number, total: number) => void;
}

export interface RestoredAccounts {
  repos: number;
  reposMade: number;
  commits: number;
  deleted: string[];
  troubles: AccountTrouble[];
  /** In dev mode: where DID documents lead that name this server by a port that it had. */
  formerUrls: string[];
}

export async function restoreAccounts(options: RestoreAccountsOptions): Promise<RestoredAccounts> {
  const { accounts, onDone, signal } = options;
  const total = nothingYet();
  let done = 0;
  await forEach(accounts, { atOnce: AT_ONCE, signal }, async (each) => {
    add(total, await restoreOne(each, options));
    onDone?.(++done, accounts.length);
  });
  return total;
}

function add(total: RestoredAccounts, one: RestoredAccounts): void {
  total.repos += one.repos;
  total.reposMade += one.reposMade;
  total.commits += one.commits;
  total.deleted.push(...one.deleted);
  total.troubles.push(...one.troubles);
  for (const url of one.formerUrls) if (!total.formerUrls.includes(url)) total.formerUrls.push(url);
}

function nothingYet(): RestoredAccounts {
  return { repos: 0, reposMade: 0, commits: 0, deleted: [], troubles: [], formerUrls: [] };
}

/** What an attempt before has brought to the same end is left as it is. */
async function restoreOne(account: AccountFiles, options: RestoreAccountsOptions): Promise<RestoredAccounts> {
  const { state, logUpTo } = options;
  const { did, generation } = account;
  // A newer accounts store does not know what has to be told.
  const paths = [`repos/${repoFilePath(did, generation)}`, "accounts.sqlite"];
  const known = [...paths.map((path) => state.fetched(path)), options.rows?.get(did)?.sha256];
  const sha256 = known.map((each) => each ?? "").join(" ");
  const before = state.outcome(did, sha256);
  if (before?.logUpTo === logUpTo) return before.result as RestoredAccounts;
  // What could not be applied then, or was not there, is lost, though its rev is passed by now, or its row gone.
  const lost = ((before?.result as RestoredAccounts | undefined)?.troubles ?? []).filter(
    ({ isLoss }) => isLoss,
  );
  const withLost = (result: RestoredAccounts): RestoredAccounts => {
    const isNew = ({ what }: AccountTrouble) => !result.troubles.some((each) => each.what === what);
    return { ...result, troubles: [...result.troubles, ...lost.filter(isNew)] };
  };
  const run = new AccountRun(options, (result) =>
    state.noteOutcome(did, { sha256, logUpTo: UNDER_WAY, result: withLost(result) }),
  );
  const result = withLost(await run.restore(account));
  state.noteOutcome(did, { sha256, logUpTo, result });
  return result;
}

class AccountRun {
  readonly #options: RestoreAccountsOptions;
  readonly #result = nothingYet();
  readonly #keep: (result: RestoredAccounts) => void;

  /** `keep` stores durably what has come of it so far. */
  constructor(options: RestoreAccountsOptions, keep: (result: RestoredAccounts) => void) {
    this.#options = options;
    this.#keep = keep;
  }

  async restore(account: AccountFiles): Promise<RestoredAccounts> {
    await this.#account(account);
    return this.#result;
  }

  #trouble({ did, handle }: Pick<Account, "did" | "handle">, what: string): void {
    this.#result.troubles.push({ did, handle, what, isLoss: false });
  }

  /** Before anything is done by which another attempt would not find it any more: `#keep`. */
  #loss({ did, handle }: Pick<Account, "did" | "handle">, what: string): void {
    this.#result.troubles.push({ did, handle, what, isLoss: true });
  }

  async #account({ did, generation }: AccountFiles): Promise<void> {
    const { stores } = this.#options;
    const account = stores.accounts.account(did);
    if (!account || account.state === "deleted") return;
    // A deletion that was decided is finished by the next start.
    if (account.state === "deleting") return void this.#result.deleted.push(did);
    const store = await this.#open(account, generation);
    if (store === undefined) return;
    try {
      await this.#restore(account, store);
    } finally {
      await store.close();
    }
  }

  /** The account's file; one without a file gets it where nothing else can have been in it. */
  async #open(account: Account, generation: number): Promise<RepoStore | undefined> {
    const { stores, state, snapshotAt } = this.#options;
    const { did } = account;
    if (stores.files.exists(did, generation)) return await this.#openFile(account, generation);
    let hasBirth = false;
    for (const event of state.eventsOf(did))
      if (!hasBirth && event.kind === "commit") hasBirth = isBirth(event);
    const isYoung = account.createdAt >= snapshotAt;
    if (this.#wasDeleted(did)) {
      await this.#delete(account);
      return undefined;
    }
    if (!hasBirth && account.state === "creating" && !(await this.#isRegistered(account))) return undefined;
    if (!hasBirth && !isYoung && account.state !== "creating") {
      this.#loss(account, "its repo is in no snapshot: it is deactivated, and nothing is served of it");
      await this.#project(did, { status: "deactivated", ownerStatus: "deactivated", takedownRef: null });
      return undefined;
    }
    await stores.files.create(did, generation);
    this.#result.reposMade += 1;
    return await this.#openFile(account, generation);
  }

  async #openFile(account: Account, generation: number): Promise<RepoStore | undefined> {
    const { files, accounts } = this.#options.stores;
    try {
      const store = await files.recover(account.did, generation);
      await accounts.markOpen(account.did);
      await store.prepareWrites();
      // Commits that the tables of the copied file did not have yet.
      store.settle();
      return store;
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#loss(account, `its repo file is damaged: ${(error as Error).message}`);
      return undefined;
    }
  }

  /** Whether an account that was being created has come into being. One that moves in is left to whoever moves it. */
  async #isRegistered({ did, movesIn }: Account): Promise<boolean> {
    if (movesIn) return false;
    const document = await this.#options.document?.(did).catch(() => undefined);
    return document !== undefined;
  }

  #wasDeleted(did: string): boolean {
    let isDeleted = false;
    for (const event of this.#options.state.eventsOf(did))
      if (event.kind === "account") isDeleted = isDeletion(event);
    return isDeleted;
  }

  async #delete(account: Account, lastTid: string | null = null): Promise<void> {
    const { stores, now, clockId } = this.#options;
    const lastKey = [stores.log.lastKey(account.did), lastTid ?? undefined].sort().at(-1);
    await stores.accounts.beginDeletion(account.did, tombstoneOf(account.did, { lastKey, now, clockId }));
    this.#result.deleted.push(account.did);
  }

  async #restore(account: Account, store: RepoStore): Promise<void> {
    const { stores, state, takesCommits, now, clockId } = this.#options;
    const { did } = account;
    const accountsUpTo = this.#accountsUpTo(did);
    // It was only begun, and whoever moves it begins again.
    if (account.movesIn && !store.state().head) return;
    const signers = this.#signers(account, store);
    const keys = signers.map(({ didKey }) => didKey);
    const events = state.eventsOf(did);
    const path = `repos/${repoFilePath(did, account.generation)}`;
    const base = state.base(did, state.fetched(path) ?? "", () => store.state());
    const { lastTid } = base;
    const rolled = await rollForward(store, { events, keys, lastTid, takesCommits, now });
    if (rolled.status?.status === "deleted") return await this.#delete(account, store.state().lastTid);
    this.#result.repos += 1;
    this.#result.commits += rolled.commits;
    this.#quiet(account, store);
    if (this.#options.repos.get(path)?.isInstead)
      this.#loss(
        account,
        "its newest file in the backup is damaged, and an older one was rolled forward: takedowns of its records and blobs, and its preferences, may be older",
      );
    const document = await this.#document(account);
    const signer = this.#signer(account, { store, signers, document });
    const isWhole = this.#verify(account, { store, keys });
    this.#stand(account, { store, base, rolled, document, isWhole });
    const isLogNewer = rolled.handle !== undefined && rolled.handle.seq > accountsUpTo;
    const handle = isLogNewer ? (rolled.handle?.handle ?? account.handle) : account.handle;
    if (takesCommits && rolled.stopped) this.#stopped(account, { store, rolled });
    const told = { handle, lastKey: stores.log.lastKey(did), now, clockId };
    if (signer && isWhole) announceRestored(store, { ...told, signer });
    else announceStanding(store, told);
    await this.#settleBlobs(account, { store, released: rolled.released });
    const { looksForBlobs, ownsBlobs = false } = this.#options;
    if (looksForBlobs) await settleFetched(store, { state, blobs: stores.blobs, ownsBlobs });
    await store.durable();
  }

  /** What the accounts store has of it holds at least what events up to this seq tell. */
  #accountsUpTo(did: string): number {
    const { rows, accountsUpTo } = this.#options;
    return Math.max(accountsUpTo, rows?.get(did)?.upTo ?? 0);
  }

  /** What no event tells, where an increment has it newer than the file. */
  #quiet({ did, generation }: Account, store: RepoStore): void {
    const { rows, repos, takesCommits } = this.#options;
    const found = rows?.get(did);
    const file = repos.get(`repos/${repoFilePath(did, generation)}`);
    if (!found?.quiet || found.order < (file?.order ?? SNAPSHOT_ORDER)) return;
    store.replaceQuiet(found.quiet, { takedownsAlone: !takesCommits });
  }

  /** Keys of the account that are here, the one that its file names first. */
  #signers({ did }: Account, store: RepoStore): Signer[] {
    const { identities } = this.#options.stores;
    const { signingKey } = store.state();
    const change = identities.find(did);
    const wanted = [signingKey ?? undefined, undefined, change?.didKey ?? undefined];
    const found = wanted.flatMap((didKey) => {
      try {
        return [identities.signer(did, didKey)];
      } catch (error) {
        if (!isKithError(error)) throw error;
        return [];
      }
    });
    return [...new Map(found.map((signer) => [signer.didKey, signer])).values()];
  }

  /** The key that the DID document names, where it is here; else that of the file. */
  #signer(
    account: Account,
    { store, signers, document }: { store: RepoStore; signers: Signer[]; document: DidDocument | undefined },
  ): Signer | undefined {
    const { signingKey } = store.state();
    const named = document && signingKeyOf(document);
    const own = signers.find(({ didKey }) => didKey === named);
    if (own) return own;
    if (document && named !== undefined && this.#leadsHere(document) && !this.#movesFrom(account, document)) {
      this.#trouble(
        account,
        `its DID document names the signing key "${named}", which is not in the backup: change its key, so that the network takes its commits again`,
      );
    }
    if (signingKey !== null && !signers.some(({ didKey }) => didKey === signingKey))
      this.#loss(account, `the key "${signingKey}", which signed its repo, is not in the backup`);
    return signers[0];
  }

  async #document(account: Account): Promise<DidDocument | undefined> {
    return await this.#options.document?.(account.did).catch((error: unknown) => {
      if (!isKithError(error)) throw error;
      if (account.state === "active") {
        this.#trouble(account, `nobody could say whether its DID still leads here: ${error.message}`);
      }
      return undefined;
    });
  }

  #leadsHere(document: DidDocument): boolean {
    const { publicUrl } = this.#options;
    const url = pdsEndpointOf(document, { allowHttp: publicUrl.startsWith("http:") });
    return isOwnOrigin(url, publicUrl);
  }

  /** In dev mode another server of this machine may be one that the account is moving in from: its key is not to be here. */
  #movesFrom({ state }: Account, document: DidDocument): boolean {
    const { publicUrl } = this.#options;
    return state === "deactivated" && pdsEndpointOf(document, { allowHttp: true }) !== publicUrl;
  }

  #noteFormer(document: DidDocument): void {
    const url = pdsEndpointOf(document, { allowHttp: true });
    if (url !== undefined && url !== this.#options.publicUrl) this.#result.formerUrls = [url];
  }

  /** The tree, its records and its signature, and the record index against it. A repo without a commit yet is whole. */
  #verify(account: Account, { store, keys }: { store: RepoStore; keys: readonly string[] }): boolean {
    const { head } = store.state();
    if (!head) return true;
    try {
      verifyRestored(store, keys);
      return true;
    } catch (error) {
      if (!isKithError(error) && !isDamage(error)) throw error;
      this.#loss(
        account,
        `its repo is damaged in the backup, so it is deactivated: ${(error as Error).message}`,
      );
      return false;
    }
  }

  /** How the account stands from now on. */
  #stand(
    account: Account,
    {
      store,
      base,
      rolled,
      document,
      isWhole,
    }: {
      store: RepoStore;
      base: RepoBase;
      rolled: Rolled;
      document: DidDocument | undefined;
      isWhole: boolean;
    },
  ): void {
    const { repos } = this.#options;
    const accountsUpTo = this.#accountsUpTo(account.did);
    const before = store.state();
    const path = `repos/${repoFilePath(account.did, account.generation)}`;
    const fileUpTo = repos.get(path)?.upTo ?? 0;
    const isBlank = base.lastTid === null;
    const decided = restoredStanding({
      ...{ account, fileUpTo, accountsUpTo },
      before: base,
      told: rolled.status,
      toldOwner: rolled.owner,
      isBlank,
    });
    // Of a birth here events tell.
    if (isBlank && account.state === "deactivated" && !rolled.status) {
      const what =
        "it was moving in, and nothing of its repo was shipped yet: it is empty, and can be imported again";
      this.#trouble(account, what);
    }
    if (decided.doubt !== undefined) this.#trouble(account, decided.doubt);
    let { standing } = decided;
    const inactive = (what: string | undefined) => {
      if (what !== undefined && standing.status === "active") this.#trouble(account, what);
      if (standing.status !== "active") return;
      standing = { status: "deactivated", ownerStatus: "deactivated", takedownRef: null };
    };
    if (document && !this.#leadsHere(document)) {
      const where = pdsEndpointOf(document, { allowHttp: true }) ?? "no server";
      inactive(`its DID document names ${where} as its PDS by now: it has moved, and is not activated`);
    } else if (document && !this.#movesFrom(account, document)) this.#noteFormer(document);
    if (!isWhole) inactive(undefined);
    const isSame =
      before.status === standing.status &&
      before.ownerStatus === standing.ownerStatus &&
      before.takedownRef === standing.takedownRef;
    if (isSame) return;
    const { now, clockId } = this.#options;
    const lastTid = before.lastTid ?? nextTid(null, now * 1000, clockId);
    store.setStatus({ ...standing, lastTid, events: [] });
  }

  #stopped(account: Account, { store, rolled }: { store: RepoStore; rolled: Rolled }): void {
    const { seq, why } = rolled.stopped ?? { seq: 0, why: "" };
    const rev = store.state().head?.rev ?? "nothing";
    this.#loss(
      account,
      `its commits from event ${seq} on could not be applied (${why}); it is as it was before, at "${rev}"`,
    );
    this.#keep(this.#result);
  }

  /** Files that nothing refers to any more go; rows without a file go, so that they are listed as missing. */
  async #settleBlobs(
    account: Account,
    { store, released }: { store: RepoStore; released: readonly Cid[] },
  ): Promise<void> {
    const { stores, looksForBlobs } = this.#options;
    const { did } = account;
    for (const cid of released)
      if (!store.blob(cid) && store.takedowns.blob(cid) === undefined) await stores.blobs.remove(did, cid);
    if (!looksForBlobs) return;
    const lost: Cid[] = [];
    for (let cursor: string | undefined; ; ) {
      const page = store.listBlobs({
        limit: PAGE_ROWS_MAX,
        takenDownToo: true,
        ...(cursor === undefined ? {} : { cursor }),
      });
      for (const cid of page) if (store.blob(cid) && !(await this.#hasBlob(did, cid))) lost.push(cid);
      const last = page.at(-1);
      if (!last || page.length < PAGE_ROWS_MAX) break;
      cursor = cidToString(last);
    }
    if (lost.length === 0) return;
    this.#loss(
      account,
      `${lost.length} of its blobs are not in the backup, such as ${cidToString(lost[0] as Cid)}; its apps can upload them again`,
    );
    this.#keep(this.#result);
    store.forgetBlobs(lost);
  }

  async #hasBlob(did: string, cid: Cid): Promise<boolean> {
    const { state, stores } = this.#options;
    if ([false, true].some((quarantined) => isFetched(state, { did, cid, quarantined }))) return true;
    for (const quarantined of [false, true])
      if (await stores.blobs.open(did, cid, { quarantined })) return true;
    return false;
  }

  async #project(did: string, standing: Standing): Promise<void> {
    const { stores, now } = this.#options;
    await stores.accounts.projectState(did, standing, { now });
  }
}
