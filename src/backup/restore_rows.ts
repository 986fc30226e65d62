/** What increments have of single accounts that no event tells: read, and put into the accounts store that was fetched. */
import { createHash } from "node:crypto";
import { type AccountRows, applyAccountRows, encodeAccountRows, type RestoreState } from "../storage/mod.ts";
import { readRowsFile } from "./account_rows_file.ts";
import { isBackupDamage } from "./backup_error.ts";
import type { Repository } from "./repository.ts";
import type { PlannedFile, RestorePlan } from "./restore_plan.ts";

/** The newest rows of an account. */
export interface RestoredRows extends AccountRows {
  /** They hold at least what events up to this seq tell. */
  readonly upTo: number;
  readonly order: number;
  /** Tells them from others of the same account. */
  readonly sha256: string;
}

export interface RowsOptions {
  readonly repository: Repository;
  readonly plan: RestorePlan;
  readonly state: RestoreState;
  /** The accounts store that was fetched, and its order. */
  readonly accountsPath: string;
  readonly accountsOrder: number;
  /** Leaves out what is damaged, instead of refusing. */
  readonly isPartial: boolean;
  readonly onProblem: (problem: string) => void;
}

/**
 * Puts them into the accounts store, which nobody has open; those that an attempt before has put there are left as it went on with them.
 * Returns the newest of each account. Throws BackupError.
 */
export async function restoreRows(options: RowsOptions): Promise<Map<string, RestoredRows>> {
  const found = await readRows(options);
  putRows(found, options);
  return found;
}

/** The newest of each account that increments have. */
export async function readRows(
  options: Pick<RowsOptions, "plan" | "repository" | "isPartial" | "onProblem">,
): Promise<Map<string, RestoredRows>> {
  const found = new Map<string, RestoredRows>();
  for (const file of options.plan.rows)
    for (const rows of await read(file, options)) found.set(rows.did, rows);
  return found;
}

/** Puts those into the accounts store that are newer, unless an attempt before has done so. */
export function putRows(
  found: ReadonlyMap<string, RestoredRows>,
  { state, accountsPath, accountsOrder }: Pick<RowsOptions, "state" | "accountsPath" | "accountsOrder">,
): void {
  const store = state.fetched("accounts.sqlite") ?? "";
  const mark = ({ sha256 }: RestoredRows) => `${store} ${sha256}`;
  const news = [...found.values()].filter(
    (rows) => rows.order >= accountsOrder && state.fetched(pathOf(rows)) !== mark(rows),
  );
  // Of two that have the same name the newer one keeps it.
  news.sort((a, b) => a.order - b.order);
  if (news.length > 0) applyAccountRows(accountsPath, news);
  for (const rows of news) state.noteFetched(pathOf(rows), mark(rows));
  state.flush();
}

async function read(
  { entry, upTo, order }: PlannedFile,
  { repository, isPartial, onProblem }: Pick<RowsOptions, "repository" | "isPartial" | "onProblem">,
): Promise<RestoredRows[]> {
  try {
    return (await readRowsFile(repository, entry)).map((rows) => restoredRows(rows, { upTo, order }));
  } catch (error) {
    if (!isPartial || !isBackupDamage(error)) throw error;
    onProblem(`"${entry.path}" is left out: ${error.message}`);
    return [];
  }
}

export function restoredRows(
  { did, store, quiet }: AccountRows,
  { upTo, order }: Pick<RestoredRows, "upTo" | "order">,
): RestoredRows {
  const rows = { did, store, quiet };
  const sha256 = createHash("sha256").update(encodeAccountRows(rows)).digest("hex");
  return { ...rows, upTo, order, sha256 };
}

function pathOf({ did }: AccountRows): string {
  return `rows of ${did}`;
}
