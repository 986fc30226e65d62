/**
 * For a restore that leaves repos as an older snapshot has them: what holds all the same of what increments and newer snapshots have. That is
 * what moderators have taken down, which accounts have ended, and how they sign in: what was revoked must not let anybody in again.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import {
  type AccountFiles,
  AccountFilesReader,
  type AccountRows,
  AccountRowsReader,
  keepSignInsOf,
  readQuietRows,
  repoFilePath,
  type TableRows,
} from "../storage/mod.ts";
import { isBackupDamage } from "./backup_error.ts";
import type { Repository } from "./repository.ts";
import { bringFile } from "./restore_files.ts";
import type { PlannedFile, RestorePlan } from "./restore_plan.ts";
import { type RestoredRows, readRows, restoredRows } from "./restore_rows.ts";

/** Accounts that are named. */
const NAMED_MAX = 20;

export interface LaterOptions {
  readonly repository: Repository;
  readonly plan: RestorePlan;
  /** Repo files that were fetched, by path in the data folder. */
  readonly repos: ReadonlyMap<string, PlannedFile>;
  /** The accounts store that was fetched, which nobody has open. */
  readonly accountsPath: string;
  /** A folder for what is only looked into. */
  readonly tmp: string;
  readonly onNote: (note: string) => void;
}

/** What later ones have of the accounts of the snapshot. Ends in its accounts store what they are no longer signed in by. */
export async function readLater(options: LaterOptions): Promise<Map<string, RestoredRows>> {
  const run = new LaterRun(options);
  try {
    return await run.read();
  } finally {
    run.close();
  }
}

class LaterRun {
  readonly #options: LaterOptions;
  readonly #found = new Map<string, RestoredRows>();
  /** Of accounts that the snapshot does not have what is known last: the handle of one that is there. */
  readonly #made = new Map<string, { order: number; handle: string | undefined }>();
  /** Of the accounts store that was fetched. */
  readonly #ownRows: AccountRowsReader;

  constructor(options: LaterOptions) {
    this.#options = options;
    this.#ownRows = new AccountRowsReader(options.accountsPath);
  }

  async read(): Promise<Map<string, RestoredRows>> {
    const { repository, plan, accountsPath, onNote } = this.#options;
    const reader = new AccountFilesReader(accountsPath);
    const accounts = new Map(reader.all().map((account) => [account.did, account]));
    reader.close();
    const rows = await readRows({ repository, plan, isPartial: true, onProblem: onNote });
    for (const [did, each] of rows) {
      if (accounts.has(did)) this.#found.set(did, each);
      else this.#noteMade(each);
    }
    const quietOrders = new Map([...this.#found].map(([did, { order }]) => [did, order]));
    await this.#store(accounts);
    for (const account of accounts.values())
      await this.#takedowns(account, quietOrders.get(account.did) ?? Number.NEGATIVE_INFINITY);
    this.#keepOwn(accounts);
    this.#tellMade();
    return this.#found;
  }

  /** The newest whole accounts store over the rows that are older. */
  async #store(accounts: ReadonlyMap<string, AccountFiles>): Promise<void> {
    await this.#look(this.#options.plan.newer.get("accounts.sqlite"), (path, { upTo, order }) => {
      keepSignInsOf(this.#options.accountsPath, path);
      const files = new AccountFilesReader(path);
      const all = files.all();
      files.close();
      const reader = new AccountRowsReader(path);
      for (const did of new Set([...accounts.keys(), ...all.map((account) => account.did)])) {
        const before = this.#found.get(did);
        if (before && before.order > order) continue;
        const { store } = reader.read(did);
        const found = restoredRows({ did, store, quiet: before?.quiet }, { upTo, order });
        if (accounts.has(did)) this.#found.set(did, found);
        else this.#noteMade(found);
      }
      reader.close();
    });
  }

  /** Of the newest file of the account, where that is another than the one that was fetched, and newer than its rows. */
  async #takedowns({ did, generation }: AccountFiles, order: number): Promise<void> {
    const { plan, repos } = this.#options;
    const path = `repos/${repoFilePath(did, generation)}`;
    const file = plan.newer.get(path);
    if (!file || file.order <= order || file.entry.sha256 === repos.get(path)?.entry.sha256) return;
    await this.#look(file, (copy, { upTo, order: fileOrder }) => {
      const { record_takedown, blob_takedown } = readQuietRows(copy);
      const quiet: TableRows = { record_takedown: record_takedown ?? [], blob_takedown: blob_takedown ?? [] };
      const rows = this.#found.get(did);
      const store = rows ?? { store: this.#own(did), upTo, order: fileOrder };
      this.#found.set(did, restoredRows({ did, store: store.store, quiet }, store));
    });
  }

  /** What belongs to the repo as the snapshot has it stays: which file it is, and the keys that have signed it. */
  #keepOwn(accounts: ReadonlyMap<string, AccountFiles>): void {
    for (const [did, { generation, state }] of accounts) {
      const rows = this.#found.get(did);
      if (!rows) continue;
      const own = this.#own(did);
      const [before, after] = [own.account?.[0], rows.store.account?.[0]];
      // Who has ended keeps a row: a later store that has none has lost it.
      const isUnderWay =
        after === undefined ||
        [state, after.state].some((each) => each === "creating" || each === "deleting");
      const isEnded = after?.state === "deleted";
      const { key_type, signing_key } = before ?? {};
      const keys = { ...(key_type === undefined ? {} : { key_type }), signing_key: signing_key ?? null };
      let store = rows.store;
      if (isUnderWay) store = own;
      else if (!isEnded) {
        const { identity_change: _, ...others } = rows.store;
        store = {
          ...others,
          account: [{ ...after, ...keys, generation }],
          ...(own.identity_change ? { identity_change: own.identity_change } : {}),
        };
      }
      this.#found.set(did, restoredRows({ did, store, quiet: rows.quiet }, rows));
    }
  }

  #own(did: string): AccountRows["store"] {
    return this.#ownRows.read(did).store;
  }

  close(): void {
    this.#ownRows.close();
  }

  /** Brings a file, or where it is damaged an older one, and has it looked into. */
  async #look(file: PlannedFile | undefined, use: (path: string, file: PlannedFile) => void): Promise<void> {
    const { repository, tmp, onNote } = this.#options;
    const path = join(tmp, "later.sqlite");
    for (let each = file; each; each = each.older) {
      try {
        await bringFile(repository, { entry: each.entry, path });
        return use(path, each);
      } catch (error) {
        if (!isBackupDamage(error)) throw error;
        onNote(
          `"${each.entry.path}" of after the snapshot is damaged: what was taken down or revoked since may not be so again: ${error.message}`,
        );
      } finally {
        for (const suffix of ["", "-wal", "-shm"]) await rm(`${path}${suffix}`, { force: true });
      }
    }
  }

  #noteMade({ did, store, order }: RestoredRows): void {
    if ((this.#made.get(did)?.order ?? order) > order) return;
    const { handle, state } = store.account?.[0] ?? {};
    const isThere = ["active", "deactivated", "takendown", "suspended"].includes(String(state));
    this.#made.set(did, { order, handle: isThere ? String(handle ?? "handle.invalid") : undefined });
  }

  #tellMade(): void {
    const made = [...this.#made].flatMap(([did, { handle }]) =>
      handle === undefined ? [] : [`${handle} (${did})`],
    );
    if (made.length === 0) return;
    const more = made.length > NAMED_MAX ? ` and ${made.length - NAMED_MAX} more` : "";
    this.#options.onNote(
      `Made after the snapshot, and not restored, as nothing is rolled forward: ${made.slice(0, NAMED_MAX).join(", ")}${more}`,
    );
  }
}
