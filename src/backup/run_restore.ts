/**
 * A restore: the newest snapshot (or another), what the backup has after it, and the step before the network. Everything happens in a folder
 * that no server opens; the last thing is that it gets its place. Cut off anywhere, it is begun again, and finds what was done.
 */
import { existsSync } from "node:fs";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { DidDocument } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import {
  AccountFilesReader,
  type BlobStore,
  RestoreState,
  repoFilePath,
  storageError,
  syncPath,
} from "../storage/mod.ts";
import { BackupError, isBackupDamage } from "./backup_error.ts";
import { BACKUP_STATE_FILE, BackupState } from "./backup_state.ts";
import { fileBytes } from "./cut_file.ts";
import type { FolderCheck, FolderCheckReport } from "./folder_check.ts";
import type { FileEntry } from "./manifest.ts";
import type { Repository } from "./repository.ts";
import { type RestoredAccounts, restoreAccounts } from "./restore_accounts.ts";
import { clearScratch, type Fetched, fetchFiles } from "./restore_files.ts";
import { RestoreFolder } from "./restore_folder.ts";
import { readLater } from "./restore_later.ts";
import { type RestoredLog, readLastKeys, restoreLog } from "./restore_log.ts";
import { askRelays, Documents, nextSeqAfter, type RelayClient } from "./restore_network.ts";
import { plannedFiles, planRestore, type RestorePlan } from "./restore_plan.ts";
import type { RelayAnswer, RestoreProgress, RestoreReport } from "./restore_report.ts";
import { putRows, type RestoredRows, restoreRows } from "./restore_rows.ts";
import { type OpenStores, openRestored } from "./restored_stores.ts";
import { SeenBlobs } from "./seen_blobs.ts";
import { inheritTurn } from "./writer_claim.ts";

const STATE_FILE = "restore.sqlite";
const KEYS_FILE = "events.keys";
/** What is left in the data folder: how it came about. */
export const REPORT_FILE = "restored.json";
/** Repo files that belong to no account, in the data folder. */
const SET_ASIDE = "set-aside";

export interface RestoreOptions {
  readonly repository: Repository;
  readonly dataFolder: string;
  /** The snapshot; the newest where absent. */
  readonly at?: string | undefined;
  /** Takes nothing from snapshots that are newer than that. */
  readonly ignoresNewer?: boolean;
  /** False: repos stay as the snapshot has them. Deletions, takedowns and how accounts sign in are as they were last all the same. */
  readonly isRolledForward: boolean;
  /** Goes on where files are damaged, without them. */
  readonly isPartial: boolean;
  readonly hostname: string;
  readonly publicUrl: string;
  /** Where the blobs go, given the folder that is put together; undefined: they are read, and go nowhere. */
  readonly openBlobs: (scratch: string) => BlobStore | undefined;
  /** They go into the folder that is put together. */
  readonly ownsBlobs?: boolean;
  readonly readsBlob?: (entry: FileEntry) => boolean;
  /** Looks over everything at the end. */
  readonly check: FolderCheck;
  /** Undefined: the network is not asked and nothing is left for it: a drill. */
  readonly network: RestoreNetwork | undefined;
  readonly now: () => number;
  readonly clockId: number;
  /** Told of a failed disk; must not return. */
  readonly onFatal: (error: unknown) => void;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: RestoreProgress) => void;
}

export interface RestoreNetwork {
  readonly relays: RelayClient;
  /** Resolves DIDs, given the folder that is put together; undefined where it cannot be said what they should name. */
  openDocuments(scratch: string): { resolve(did: string): Promise<DidDocument>; close(): void } | undefined;
}

/**
 * Throws BackupError for a source that is damaged, of another server or without a snapshot; KithError data_folder_refused, storage_full,
 * config_invalid. The data folder is then as it was.
 */
export async function runRestore(options: RestoreOptions): Promise<RestoreReport> {
  const { repository, hostname, dataFolder, onProgress } = options;
  onProgress?.({ phase: "look", done: 0, total: 0 });
  const plan = await planRestore(repository, options);
  refuseOtherServer(plan, { where: repository.destination.where, hostname });
  const folder = await RestoreFolder.open(dataFolder, { bytes: plan.bytes });
  try {
    if (!folder.isComplete) await new RestoreRun(options, { plan, folder }).run();
    if (options.network) {
      onProgress?.({ phase: "finish", done: 0, total: 0 });
      await folder.finish();
    }
    const at = options.network ? folder.target : folder.scratch.path;
    const report = JSON.parse(await Bun.file(join(at, REPORT_FILE)).text()) as RestoreReport;
    return folder.isComplete ? { ...report, notes: [...report.notes, ...othersThan(plan, report)] } : report;
  } finally {
    folder.close();
  }
}

/** Says so where what was complete already is not what was asked for. */
function othersThan({ manifest, isRolledForward }: RestorePlan, report: RestoreReport): string[] {
  if (report.snapshot === manifest.name && report.isRolledForward === isRolledForward) return [];
  return [
    `This is the restore that was cut off as it was put into its place, ended: of "${report.snapshot}"${report.isRolledForward ? "" : ", not rolled forward"}. What was asked for now is another one: move the folder away for it, and begin again.`,
  ];
}

interface Found {
  readonly fetched: Fetched;
  readonly log: RestoredLog;
  readonly relays: readonly RelayAnswer[];
  readonly restored: Omit<RestoredAccounts, "formerUrls">;
  readonly nextSeq: number;
  readonly accounts: number;
  readonly check: FolderCheckReport;
}

class RestoreRun {
  readonly #options: RestoreOptions;
  readonly #plan: RestorePlan;
  readonly #folder: RestoreFolder;
  readonly #scratch: string;
  readonly #blobs: BlobStore | undefined;
  readonly #notes: string[];

  constructor(options: RestoreOptions, { plan, folder }: { plan: RestorePlan; folder: RestoreFolder }) {
    this.#options = options;
    this.#plan = plan;
    this.#folder = folder;
    this.#scratch = folder.scratch.path;
    this.#blobs = options.openBlobs(this.#scratch);
    this.#notes = [...plan.problems, ...plan.manifest.problems];
  }

  async run(): Promise<void> {
    const state = await this.#begin();
    try {
      const found = await this.#putTogether(state);
      await this.#report({ ...found, check: await this.#check(state) });
    } finally {
      state.close();
    }
    // Both are removed by the server's next start.
    for (const name of [STATE_FILE, KEYS_FILE]) await this.#discard(name);
    await this.#remember();
    await syncPath(this.#scratch);
  }

  async #putTogether(state: RestoreState): Promise<Omit<Found, "check">> {
    const { onFatal } = this.#options;
    const fetched = await this.#fetch(state);
    const rows = await this.#rows(state, fetched);
    const accounts = this.#accounts();
    const blobs = this.#blobs ?? new SeenBlobs(state);
    const stores = await openRestored(this.#folder.scratch, { blobs, onFatal });
    try {
      const log = await this.#log(state, { stores, fetched });
      const relays = await this.#relays();
      const { formerUrls, ...restored } = await this.#restore(state, {
        stores,
        fetched,
        log,
        accounts,
        rows,
      });
      this.#noteFormer(formerUrls);
      restored.deleted.push(...(await this.#strays(stores, { fetched })));
      const nextSeq = await this.#jump(stores, { log, relays });
      await this.#inherit();
      return { fetched, log, relays, restored, nextSeq, accounts: accounts.length };
    } finally {
      await stores.close();
    }
  }

  /** False: they are in a bucket, and were not backed up. */
  get #looksForBlobs(): boolean {
    const { hasBlobs, manifest } = this.#plan;
    return hasBlobs || manifest.blobStore === "folder";
  }

  async #check(state: RestoreState): Promise<FolderCheckReport> {
    const { check, now, signal } = this.#options;
    this.#tell("verify", 0, 0);
    return await check({
      ...{ folder: this.#folder.scratch, now, signal },
      blobs: this.#blobs ?? (this.#looksForBlobs ? new SeenBlobs(state) : undefined),
      onProgress: (done, total) => this.#tell("verify", done, total),
    });
  }

  /** What an attempt at the same has done stays; of another one only blobs do. */
  async #begin(): Promise<RestoreState> {
    const { manifest, isRolledForward } = this.#plan;
    const state = RestoreState.open(join(this.#scratch, STATE_FILE));
    const alone = this.#options.ignoresNewer ? " alone" : "";
    const name = `${manifest.name}${isRolledForward ? "" : " as it is"}${alone}`;
    if (state.plan === name) return state;
    state.forget();
    await clearScratch(this.#scratch, ["kith.lock", STATE_FILE, "blobs", "tmp"]);
    await mkdir(join(this.#scratch, "repos"), { recursive: true, mode: 0o700 });
    state.begin(name);
    return state;
  }

  async #fetch(state: RestoreState): Promise<Fetched> {
    const { repository, isPartial, readsBlob, signal } = this.#options;
    const total = this.#plan.bytes;
    const fetched = await fetchFiles(plannedFiles(repository, this.#plan), {
      ...{ repository, state, isPartial, signal },
      folder: this.#scratch,
      blobs: this.#blobs,
      ...(readsBlob ? { readsBlob } : {}),
      onProgress: ({ bytes }) => this.#tell("files", bytes, Math.max(total, bytes)),
    });
    this.#notes.push(...fetched.problems);
    if (!existsSync(this.#folder.scratch.masterKey) || !existsSync(this.#folder.scratch.accounts))
      throw new BackupError(
        "altered",
        `The snapshot "${this.#plan.manifest.name}" has no accounts, or no keys`,
      );
    if (!existsSync(join(this.#scratch, "secrets.json"))) {
      this.#notes.push(
        "The secrets of the server were given by its environment, and are not in the backup: give it the same again (PDS_JWT_SECRET, PDS_ADMIN_PASSWORD, PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX). Without the rotation key no account can be moved.",
      );
    }
    if (!this.#plan.hasBlobs)
      this.#notes.push("The backup has no blobs: they were left out (KITH_BACKUP_BLOBS).");
    return fetched;
  }

  async #rows(state: RestoreState, { accountsOrder, repos }: Fetched): Promise<Map<string, RestoredRows>> {
    const { repository, isPartial, isRolledForward } = this.#options;
    const accountsPath = this.#folder.scratch.accounts;
    const parts = { repository, plan: this.#plan, accountsPath, accountsOrder, state };
    const onNote = (note: string) => this.#notes.push(note);
    if (isRolledForward) return await restoreRows({ ...parts, isPartial, onProblem: onNote });
    onNote(
      "Nothing is rolled forward: records, preferences, communities, invite codes and reserved handles are as the snapshot has them, and of the blobs those are there that it has. Deletions, takedowns, and how accounts sign in are as they were last.",
    );
    const found = await readLater({ ...parts, repos, tmp: join(this.#scratch, "tmp"), onNote });
    putRows(found, parts);
    return found;
  }

  #accounts() {
    const reader = new AccountFilesReader(this.#folder.scratch.accounts);
    try {
      return reader.all();
    } finally {
      reader.close();
    }
  }

  async #log(
    state: RestoreState,
    { stores, fetched }: { stores: OpenStores; fetched: Fetched },
  ): Promise<RestoredLog> {
    const { repository, isPartial, isRolledForward, signal } = this.#options;
    const { manifest } = this.#plan;
    const { prunedUpTo, lastSeq } = manifest.log;
    const from = await this.#rollFrom(fetched);
    const log = await restoreLog({
      ...{ repository, log: stores.log, state, prunedUpTo, from, isPartial, signal },
      end: this.#plan.logUpTo,
      shippedUpTo: lastSeq,
      upTo: isRolledForward ? undefined : lastSeq,
      onProgress: (done, total) => this.#tell("log", done, total),
    });
    for await (const lastKeys of readLastKeys(fileBytes(join(this.#scratch, KEYS_FILE))))
      stores.log.restoreMarks({ prunedUpTo: log.begins, lastKeys });
    for (const [after, before] of log.gaps)
      this.#notes.push(`The events after ${after}, up to ${before}, are not in the backup.`);
    this.#notes.push(...log.problems);
    return log;
  }

  /** The seq that every file has at least: files of older snapshots are behind. */
  async #rollFrom({ staleFrom }: Fetched): Promise<number> {
    let from = this.#plan.manifest.log.lastSeq;
    for (const name of staleFrom) {
      const older = await this.#options.repository.snapshot(name).catch((error: unknown) => {
        if (isKithError(error)) return undefined;
        throw error;
      });
      from = Math.min(from, older?.log.lastSeq ?? 0);
    }
    return from;
  }

  async #relays(): Promise<RelayAnswer[]> {
    const { network } = this.#options;
    if (!network) return [];
    this.#tell("relays", 0, 0);
    return await askRelays(network.relays);
  }

  async #restore(
    state: RestoreState,
    parts: {
      stores: OpenStores;
      fetched: Fetched;
      log: RestoredLog;
      accounts: ReturnType<AccountFilesReader["all"]>;
      rows: ReadonlyMap<string, RestoredRows>;
    },
  ): Promise<RestoredAccounts> {
    const { network, isRolledForward, publicUrl, clockId, ownsBlobs = false, signal } = this.#options;
    const { stores, fetched, log, accounts, rows } = parts;
    const opened = network?.openDocuments(this.#scratch);
    const documents = opened && new Documents((did) => opened.resolve(did));
    try {
      return await restoreAccounts({
        ...{ stores, state, accounts, rows, publicUrl, clockId, signal },
        repos: fetched.repos,
        accountsUpTo: fetched.accountsUpTo,
        snapshotAt: this.#plan.snapshotAt,
        logUpTo: log.lastSeq,
        takesCommits: isRolledForward,
        ...{ looksForBlobs: this.#looksForBlobs, ownsBlobs },
        document: documents && ((did) => documents.document(did)),
        now: this.#clock(log),
        onDone: (done, total) => this.#tell("repos", done, total),
      });
    } finally {
      opened?.close();
      if (documents?.problem !== undefined)
        this.#notes.push(`Nobody could say of every DID whether it still leads here: ${documents.problem}`);
    }
  }

  #noteFormer(urls: readonly string[]): void {
    const { publicUrl } = this.#options;
    for (const url of urls)
      this.#notes.push(
        `DID documents of the accounts name ${url}, and the server is set up as ${publicUrl}: start it with the port that it had (PDS_PORT=${new URL(url).port}), so that they lead to it.`,
      );
  }

  /** Not before anything that was told, also where this machine's clock is behind. */
  #clock({ lastAt }: RestoredLog): number {
    const now = this.#options.now();
    if (now > lastAt) return now;
    const behindS = Math.ceil((lastAt - now) / 1000);
    const note = `This machine's clock is ${behindS} s behind the newest event of the backup: set it right before the server starts.`;
    if (!this.#notes.includes(note) && behindS > 5) this.#notes.push(note);
    return lastAt + 1;
  }

  /** Files of accounts that have ended since go, and are returned; those that belong to nobody are set aside. */
  async #strays(stores: OpenStores, { fetched }: { fetched: Fetched }): Promise<string[]> {
    const ended: string[] = [];
    for (const [path, { entry }] of fetched.repos) {
      const { did = "", generation = 0 } = entry;
      const account = stores.accounts.account(did);
      const isTheirs = account && `repos/${repoFilePath(did, account.generation)}` === path;
      if (isTheirs && account.state !== "deleted") continue;
      if (account?.state === "deleted") {
        await stores.files.remove(did, generation);
        await stores.blobs.removeAll(did);
        ended.push(did);
        continue;
      }
      await mkdir(join(this.#scratch, SET_ASIDE), { recursive: true, mode: 0o700 });
      const name = path.split("/").at(-1) ?? "";
      if (existsSync(join(this.#scratch, path)))
        await rename(join(this.#scratch, path), join(this.#scratch, SET_ASIDE, name));
      this.#notes.push(
        `The repo file "${name}" belongs to no account of the backup: it is in "${SET_ASIDE}" of the data folder, and is not served.`,
      );
    }
    return ended;
  }

  /** Stores that every seq is used up that the network may have seen. */
  async #jump(
    stores: OpenStores,
    { log, relays }: { log: RestoredLog; relays: readonly RelayAnswer[] },
  ): Promise<number> {
    const { accounts, log: eventLog } = stores;
    const seqs = [accounts.highWater(), eventLog.highWater(), log.lastSeq, this.#plan.highWater];
    const nextSeq = nextSeqAfter({ seqs, relays, now: this.#clock(log) });
    await accounts.raiseHighWater(nextSeq - 1);
    eventLog.raiseHighWater(nextSeq - 1);
    await eventLog.durable();
    return nextSeq;
  }

  async #report({ fetched, log, relays, restored, nextSeq, accounts, check }: Found): Promise<void> {
    const { manifest, isRolledForward } = this.#plan;
    const report: RestoreReport = {
      snapshot: manifest.name,
      snapshotAt: manifest.startedAt,
      hostname: manifest.hostname,
      endedAt: new Date(this.#options.now()).toISOString(),
      log: log.lastSeq === 0 ? undefined : { lastSeq: log.lastSeq, at: new Date(log.lastAt).toISOString() },
      isRolledForward,
      accounts,
      ...restored,
      blobs: fetched.blobs,
      bytes: fetched.bytes,
      fetchedBytes: fetched.fetchedBytes,
      relays,
      nextSeq,
      check,
      notes: this.#notes,
    };
    await writeSynced(join(this.#scratch, REPORT_FILE), `${JSON.stringify(report, null, 2)}\n`);
  }

  /** The server goes on backing up to where it was restored from. */
  async #remember(): Promise<void> {
    const { where } = this.#options.repository.destination;
    await rm(join(this.#scratch, BACKUP_STATE_FILE), { force: true });
    await BackupState.open(this.#scratch).update({
      destinations: { [where]: this.#options.repository.identity.id },
    });
  }

  /** From its first backup on, this data folder is the one that writes to where it came from. */
  async #inherit(): Promise<void> {
    try {
      await inheritTurn(this.#options.repository, this.#scratch);
    } catch (error) {
      if (!isBackupDamage(error)) throw error;
      this.#notes.push(`${error.message}. Begin the next backup with "kith backup --take-over".`);
    }
  }

  async #discard(name: string): Promise<void> {
    for (const suffix of ["-wal", "-shm"]) await rm(join(this.#scratch, `${name}${suffix}`), { force: true });
    await rename(join(this.#scratch, name), join(this.#folder.scratch.tmp, name));
  }

  #tell(phase: RestoreProgress["phase"], done: number, total: number): void {
    this.#options.onProgress?.({ phase, done, total });
  }
}

function refuseOtherServer(
  { manifest }: RestorePlan,
  { where, hostname }: { where: string; hostname: string },
): void {
  if (manifest.hostname === hostname) return;
  throw new KithError(
    "config_invalid",
    `Could not restore from "${where}": it is the backup of "${manifest.hostname}", and this server is set up as "${hostname}"`,
    {
      hint: "Every account's DID document names the host name. Give the settings that the server had, with PDS_HOSTNAME, in the environment or with --env-file.",
    },
  );
}

async function writeSynced(path: string, text: string): Promise<void> {
  try {
    const file = await open(path, "w", 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw storageError(error, `Could not write "${path}"`);
  }
}
