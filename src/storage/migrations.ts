/** Numbered migrations, one list per kind of file; the schema version is the length of the list (PRAGMA user_version). */
import type { Database } from "bun:sqlite";
import { KithError } from "../errors.ts";
import type { Maintenance } from "./maintenance.ts";

/** SQL of one step. Steps are only ever appended: a published one is never changed. */
export type Migration = string;

/** The schema version of an open database. */
export function schemaVersionOf(db: Database): number {
  const statement = db.prepare<{ user_version: number }, []>("PRAGMA user_version");
  try {
    return statement.get()?.user_version ?? 0;
  } finally {
    statement.finalize();
  }
}

/**
 * Throws KithError data_folder_refused where a file is newer than this version of kith.
 * True: the file has had all steps.
 */
export function checkSchema(path: string, version: number, latest: number): boolean {
  if (version <= latest) return version === latest;
  throw new KithError(
    "data_folder_refused",
    `Could not open "${path}": its schema is version ${version}, and this kith knows ${latest} at most`,
    { hint: "Run the newer version of kith, or restore a backup that was made by this one." },
  );
}

/**
 * Brings a file that nobody has open to the latest version, in the maintenance worker; makes it if absent.
 * Before the first change a copy is kept as "<file>.before-<version>". A failed step leaves the one before it.
 */
export async function migrate(
  path: string,
  { migrations, maintenance }: { migrations: readonly Migration[]; maintenance: Maintenance },
): Promise<void> {
  checkSchema(path, await maintenance.migrate(path, migrations), migrations.length);
}

/** The same, after what a crash may have left was made durable. */
export async function recoverAndMigrate(
  path: string,
  { migrations, maintenance }: { migrations: readonly Migration[]; maintenance: Maintenance },
): Promise<void> {
  checkSchema(path, await maintenance.prepare(path, migrations), migrations.length);
}
