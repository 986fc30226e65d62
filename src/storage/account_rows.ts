/**
 * What belongs to one account and no event tells, as rows: of the accounts store its keys, passwords and second factors, of its own file
 * preferences and takedowns. A backup ships them between snapshots, for a copy of the whole store would cost too much each time.
 */
import type { Database } from "bun:sqlite";
import { Database as SqliteDatabase } from "bun:sqlite";
import { z } from "zod";
import { ACCOUNT_TABLES } from "./_account_tables.ts";
import { closeRead, openToRead } from "./_open_to_read.ts";
import type { SqliteFile } from "./_sqlite_file.ts";
import { endOldSignIns } from "./restored_sign_ins.ts";
import { storageError, transaction } from "./sqlite.ts";

const TAKEDOWN_TABLES = ["record_takedown", "blob_takedown"] as const;
/** Tables of an account's file that no event tells of. */
const QUIET_TABLES = ["preference", ...TAKEDOWN_TABLES] as const;
/** Of the accounts store, what no two accounts may have. */
const UNIQUE_COLUMNS = ["handle", "email"] as const;

type Value = string | number | null | Uint8Array;
type Row = Readonly<Record<string, Value>>;
export type TableRows = Readonly<Record<string, readonly Row[]>>;

export interface AccountRows {
  readonly did: string;
  /** No rows of it at all: it is no account any more. */
  readonly store: TableRows;
  /** Of its own file; undefined where that is not there. */
  readonly quiet: TableRows | undefined;
}

const packed = z.union([z.string(), z.number(), z.null(), z.object({ base64: z.string() })]);
const tables = z.record(z.string(), z.array(z.record(z.string(), packed)));
const line = z.object({ did: z.string(), store: tables, quiet: tables.optional() });

export function encodeAccountRows({ did, store, quiet }: AccountRows): string {
  return JSON.stringify({ did, store: pack(store), ...(quiet ? { quiet: pack(quiet) } : {}) });
}

/** Undefined for what is none. */
export function decodeAccountRows(text: string): AccountRows | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  const parsed = line.safeParse(value);
  if (!parsed.success) return undefined;
  const { did, store, quiet } = parsed.data;
  return { did, store: unpack(store), quiet: quiet && unpack(quiet) };
}

function pack(rows: TableRows): unknown {
  const value = (each: Value) =>
    each instanceof Uint8Array ? { base64: Buffer.from(each).toString("base64") } : each;
  return mapped(rows, value);
}

function unpack(rows: z.infer<typeof tables>): TableRows {
  const value = (each: z.infer<typeof packed>): Value =>
    typeof each === "object" && each !== null ? new Uint8Array(Buffer.from(each.base64, "base64")) : each;
  return mapped(rows, value);
}

function mapped<A, B>(
  rows: Readonly<Record<string, readonly Readonly<Record<string, A>>[]>>,
  value: (each: A) => B,
): Record<string, Record<string, B>[]> {
  const row = (each: Readonly<Record<string, A>>) =>
    Object.fromEntries(Object.entries(each).map(([column, one]) => [column, value(one)]));
  return Object.fromEntries(Object.entries(rows).map(([table, all]) => [table, all.map(row)]));
}

// Reading

export class AccountRowsReader {
  readonly #db: Database;

  /** Of the live accounts store, or of a copy. */
  constructor(path: string) {
    this.#db = openToRead(path);
  }

  /** As they are at one moment; with the number of the account's file. */
  read(did: string): { store: TableRows; generation: number | undefined } {
    const store = this.#db.transaction(() => rowsIn(this.#db, did))();
    const generation = store.account?.[0]?.generation;
    return { store, generation: typeof generation === "number" ? generation : undefined };
  }

  close(): void {
    this.#db.close();
  }
}

/** Without tables that have none, or that a version of kith before did not have. */
function rowsIn(db: Database, did: string): TableRows {
  const names = tablesIn(db);
  const found = ACCOUNT_TABLES.filter((table) => names.has(table)).map((table): [string, Row[]] => [
    table,
    db.query<Row, [string]>(`SELECT * FROM ${table} WHERE did = ?`).all(did),
  ]);
  return Object.fromEntries(found.filter(([, rows]) => rows.length > 0));
}

function tablesIn(db: Database): ReadonlySet<string> {
  const sql = "SELECT name FROM sqlite_schema WHERE type = 'table'";
  return new Set(
    db
      .query<{ name: string }, []>(sql)
      .all()
      .map(({ name }) => name),
  );
}

/** Of the account's own file at this path. Throws KithError storage_damaged, storage_full, busy. */
export function readQuietRows(path: string): TableRows {
  const db = openToRead(path);
  try {
    return db.transaction(() => {
      const names = tablesIn(db);
      const found = QUIET_TABLES.filter((table) => names.has(table)).map((table): [string, Row[]] => [
        table,
        db.query<Row, []>(`SELECT * FROM ${table}`).all(),
      ]);
      return Object.fromEntries(found);
    })();
  } catch (error) {
    throw storageError(error, `Could not read "${path}"`);
  } finally {
    closeRead(db, path);
  }
}

// Writing

/** Into an accounts store that nobody has open: what it has of these accounts is replaced. One transaction. */
export function applyAccountRows(path: string, accounts: readonly AccountRows[]): void {
  try {
    const db = new SqliteDatabase(path, { readwrite: true, create: false, strict: true });
    try {
      db.run("PRAGMA synchronous = FULL");
      transaction(db, () => {
        const run = (sql: string, values: readonly Value[]) => void db.query(sql).run(...(values as Value[]));
        const columnsOf = (table: string) => columns(db, table);
        for (const { did, store } of accounts)
          endOldSignIns((sql, ...values) => db.query(sql).run(...values), {
            ...{ did, before: rowsIn(db, did), after: store },
          });
        // All of them first: a name may have gone from one account to another.
        for (const { did } of accounts)
          for (const table of ACCOUNT_TABLES) run(`DELETE FROM ${table} WHERE did = ?`, [did]);
        for (const { did, store } of accounts) {
          for (const row of store.account ?? [])
            for (const column of UNIQUE_COLUMNS) yieldTo(run, { did, row, column });
          insert(run, store, { tables: ACCOUNT_TABLES, columnsOf });
        }
        db.run(
          "UPDATE meta SET last_generation = max(last_generation, (SELECT coalesce(max(generation), 0) FROM account))",
        );
      });
    } finally {
      db.close();
    }
  } catch (error) {
    throw storageError(error, `Could not write "${path}"`);
  }
}

type Run = (sql: string, values: readonly Value[]) => void;

/** The older row of another account gives up a name that has gone over. */
function yieldTo(run: Run, { did, row, column }: { did: string; row: Row; column: string }): void {
  const value = row[column] ?? null;
  if (value !== null)
    run(`UPDATE account SET ${column} = NULL WHERE ${column} = ? AND did <> ?`, [value, did]);
}

/** Into an account's file. The caller owns the transaction. */
export function replaceQuietRows(
  file: SqliteFile,
  rows: TableRows,
  { takedownsAlone = false }: { takedownsAlone?: boolean } = {},
): void {
  const run: Run = (sql, values) => void file.statement(sql).run(...(values as Value[]));
  const tables = takedownsAlone ? TAKEDOWN_TABLES : QUIET_TABLES;
  for (const table of tables) run(`DELETE FROM ${table}`, []);
  const columnsOf = (table: string) =>
    file
      .statement<{ name: string }>(`SELECT name FROM pragma_table_info('${table}')`)
      .all()
      .map(({ name }) => name);
  insert(run, rows, { tables, columnsOf });
}

/** Columns that the other schema does not have are left out: another version of kith made the rows, or the file. */
function insert(
  run: Run,
  rows: TableRows,
  { tables: into, columnsOf }: { tables: readonly string[]; columnsOf: (table: string) => readonly string[] },
): void {
  for (const table of into) {
    for (const row of rows[table] ?? []) {
      const known = columnsOf(table).filter((column) => column in row);
      const places = known.map(() => "?").join(", ");
      run(
        `INSERT OR REPLACE INTO ${table} (${known.join(", ")}) VALUES (${places})`,
        known.map((column) => row[column] ?? null),
      );
    }
  }
}

function columns(db: Database, table: string): string[] {
  const rows = db.query<{ name: string }, []>(`SELECT name FROM pragma_table_info('${table}')`).all();
  return rows.map(({ name }) => name);
}
