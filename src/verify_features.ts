/** Opens a data folder that no server runs on, to be verified and repaired. */
import { randomInt } from "node:crypto";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { type DidDocument, TID_CLOCK_IDS } from "./atproto/mod.ts";
import { type Config, checkSecrets, SECRETS_FILE } from "./config/mod.ts";
import { openBlobStore } from "./engine.ts";
import { isKithError, KithError } from "./errors.ts";
import { directoryOf, resolversOf } from "./features.ts";
import { createLogger } from "./logger.ts";
import {
  AccountReads,
  AccountStore,
  DataFolder,
  Hub,
  IdentityChangeStore,
  Keyring,
  LogReads,
  Maintenance,
  RepoFiles,
  RepoReads,
  RepoRepairs,
  reindexFile,
  repairEventLog,
} from "./storage/mod.ts";
import {
  KeptFiles,
  type RepairAccounts,
  type RepairOptions,
  type RepairReport,
  type RepairStep,
  type RepairStores,
  repair,
  type VerifyOptions,
  type VerifyReport,
  verifyFolder,
} from "./verify/mod.ts";

const QUIET_BLOBS = { logger: createLogger({ enabled: false }), onFatal: failAtOnce };
/** Of a file's mode: what anybody but its owner may do. */
const OTHERS_RIGHTS = 0o077;

export interface StillVerifyOptions
  extends Pick<VerifyOptions, "dids" | "readsBlobs" | "signal" | "onProgress"> {
  /** Nobody outside is asked. */
  readonly offline: boolean;
}

/** A data folder under its lock. */
export class StillFolder {
  readonly #config: Config;
  readonly #folder: DataFolder;

  private constructor(config: Config, folder: DataFolder) {
    this.#config = config;
    this.#folder = folder;
  }

  /** Throws KithError data_folder_refused where there is none, or a server runs on it. */
  static open(config: Config, { repairs = false }: { repairs?: boolean } = {}): StillFolder {
    const { dataFolder } = config;
    if (!existsSync(join(dataFolder, "accounts.sqlite"))) {
      throw new KithError(
        "data_folder_refused",
        `Could not verify "${dataFolder}": there is no "accounts.sqlite" in it`,
        {
          hint: "Name the server's data folder with --data DIR, or its settings with --env-file FILE. If the file is lost, restore the server from a backup.",
        },
      );
    }
    try {
      return new StillFolder(config, DataFolder.open(dataFolder));
    } catch (error) {
      if (!isKithError(error, "data_folder_refused") || !error.message.includes("is using it")) throw error;
      throw new KithError(
        "data_folder_refused",
        error.message.replace("Could not open", "Could not verify"),
        {
          cause: error,
          hint: whileServerRuns(config, repairs),
        },
      );
    }
  }

  /** Of DIDs and handles. Throws KithError account_not_found, and for a file that cannot be read. */
  didsOf(names: readonly string[]): string[] {
    const accounts = AccountReads.open(this.#folder.accounts, Keyring.open(this.#folder.masterKey));
    try {
      return names.map((name) => {
        const account = name.startsWith("did:")
          ? accounts.account(name)
          : accounts.byHandle(name.replace(/^@/, ""));
        if (account) return account.did;
        throw new KithError("account_not_found", `There is no account "${name}" in "${this.#folder.path}"`);
      });
    } finally {
      accounts.close();
    }
  }

  /** Throws what `verifyFolder` throws, and KithError config_invalid for a bucket that cannot be used. */
  async verify({ offline, ...options }: StillVerifyOptions): Promise<VerifyReport> {
    await using opened = new AsyncDisposableStack();
    const { blobBucket, blobFolder, port, publicUrl } = this.#config;
    return await verifyFolder({
      ...options,
      folder: this.#folder,
      blobs: await openBlobStore(this.#config, QUIET_BLOBS),
      blobFolder: blobBucket ? undefined : blobFolder,
      document: offline ? undefined : this.#documents(opened),
      secrets: await this.#secrets(),
      // Any port is where a test server listens.
      publicUrl: port === 0 ? undefined : publicUrl,
      now: Date.now,
    });
  }

  async #secrets(): Promise<NonNullable<VerifyOptions["secrets"]>> {
    const wrong = await checkSecrets(this.#config);
    const open = [SECRETS_FILE, "master.key"].flatMap((file) => {
      const found = statSync(join(this.#folder.path, file), { throwIfNoEntry: false });
      if (!found?.isFile() || (found.mode & OTHERS_RIGHTS) === 0) return [];
      const detail = `its mode is ${(found.mode & 0o777).toString(8).padStart(4, "0")}`;
      return [{ code: "secrets_open" as const, file, detail }];
    });
    if (!wrong) return open;
    return [{ code: `secrets_${wrong.kind}` as const, file: SECRETS_FILE, detail: wrong.detail }, ...open];
  }

  /** Throws what `repair` throws. */
  async repair(
    steps: readonly RepairStep[],
    { onStep }: Pick<RepairOptions, "onStep">,
  ): Promise<RepairReport & { kept: string }> {
    await using opened = new AsyncDisposableStack();
    const kept = new KeptFiles(this.#folder.path, new Date().toISOString().replaceAll(":", "-"));
    const stores = await this.#repairStores(opened);
    const report = await repair(steps, { stores, kept, ...(onStep ? { onStep } : {}) });
    return { ...report, kept: kept.folder };
  }

  async #repairStores(opened: AsyncDisposableStack): Promise<RepairStores> {
    const folder = this.#folder;
    const onFatal = failAtOnce;
    const maintenance = opened.adopt(Maintenance.start({ onFatal }), (each) => each.stop());
    const options = { maintenance, onFatal };
    const keyring = Keyring.open(folder.masterKey);
    let accounts: Promise<RepairAccounts> | undefined;
    const openAccounts = async (): Promise<RepairAccounts> => {
      const hub = opened.adopt(await Hub.open(folder.accounts, options), (each) => each.close());
      return { accounts: new AccountStore(hub, keyring), identities: new IdentityChangeStore(hub, keyring) };
    };
    return {
      paths: { accounts: folder.accounts, events: folder.events },
      files: new RepoFiles({ folder: folder.repos, tmp: folder.tmp, ...options }),
      blobs: await openBlobStore(this.#config, QUIET_BLOBS),
      accounts: () => {
        accounts ??= openAccounts();
        return accounts;
      },
      lastKey: (did) => lastKeyOf(folder.events, did),
      read: (path) => RepoReads.open(path),
      openRepo: (path) => RepoRepairs.open(path, options),
      repairLog: (changes) => repairEventLog(folder.events, { ...options, changes }),
      reindex: (path) => reindexFile(path, options),
      fold: (path) => maintenance.recover(path),
      now: Date.now,
      clockId: randomInt(TID_CLOCK_IDS),
    };
  }

  close(): void {
    this.#folder.close();
  }

  #documents(opened: AsyncDisposableStack): ((did: string) => Promise<DidDocument>) | undefined {
    const [config, folder] = [this.#config, this.#folder];
    // Of the directory that dev mode has built in, the file is made by the server.
    if (config.plcEmbedded && !existsSync(join(folder.path, "plc.sqlite"))) return undefined;
    const log = createLogger({ enabled: false });
    const context = {
      config,
      log,
      onFatal: failAtOnce,
      onClose: (close: () => unknown) => opened.defer(() => void close()),
    };
    const { plc } = directoryOf(context, { config, folder });
    const { dids } = resolversOf(config, plc);
    return (did) => dids.resolve(did, { fresh: true });
  }
}

function whileServerRuns({ backup }: Config, repairs: boolean): string {
  const stop = "stop the server, run this command again, and start the server";
  if (repairs) return `What is repaired must be still: ${stop}.`;
  const drill =
    '"kith backup drill" restores the newest backup beside the server and verifies all of that in the same way';
  const how =
    backup.destination !== undefined && backup.key !== undefined
      ? `${drill}. To verify the folder itself, ${stop}.`
      : `Either ${stop}; or set up backups, of which ${drill}.`;
  return `What a verification compares, a running server changes. ${how}`;
}

/** "" where the log cannot be read. */
function lastKeyOf(path: string, did: string): string {
  try {
    const log = LogReads.open(path);
    try {
      return log.lastKey(did) ?? "";
    } finally {
      log.close();
    }
  } catch (error) {
    if (!isKithError(error, "storage_damaged")) throw error;
    return "";
  }
}

function failAtOnce(error: unknown): never {
  throw error;
}
