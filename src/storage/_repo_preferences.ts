/** Preferences in an account's file. The caller owns the transaction. */
import type { SqliteFile } from "./_sqlite_file.ts";

/** Something that an app keeps with the account, seen by nobody else. */
export interface Preference {
  /** The $type of the value. */
  readonly name: string;
  /** JSON. */
  readonly value: string;
}

export interface PreferencesChange {
  /** All preferences in this namespace are replaced... */
  readonly namespace: string;
  /** ...but those of these names. */
  readonly kept: readonly string[];
  readonly preferences: readonly Preference[];
}

/** In the order in which they were put. */
export function readPreferences(file: SqliteFile): Preference[] {
  return file.statement<Preference>("SELECT name, value FROM preference ORDER BY id").all();
}

export function replacePreferences(
  file: SqliteFile,
  { namespace, kept, preferences }: PreferencesChange,
): void {
  file
    .statement(
      `DELETE FROM preference WHERE (name = ?1 OR substr(name, 1, length(?1) + 1) = ?1 || '.')
       AND name NOT IN (SELECT value FROM json_each(?2))`,
    )
    .run(namespace, JSON.stringify(kept));
  for (const { name, value } of preferences) {
    file.statement("INSERT INTO preference (name, value) VALUES (?, ?)").run(name, value);
  }
}
