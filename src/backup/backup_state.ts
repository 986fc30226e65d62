/** What a server remembers of its backups: a small file in its data folder. It is told to people, and decides nothing of what is in a backup. */
import { readFileSync } from "node:fs";
import { open, rename } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { storageError, syncPath } from "../storage/mod.ts";

export const BACKUP_STATE_FILE = "backup.json";

const schema = z.object({
  /** The id of the backup that each destination had, by its name. */
  destinations: z.record(z.string(), z.string()).default({}),
  lastBackup: z
    .object({
      at: z.string(),
      snapshot: z.string(),
      destination: z.string(),
      seconds: z.number(),
      bytes: z.number(),
      writtenBytes: z.number(),
      problems: z.number(),
    })
    .optional(),
  /** The newest run that failed since then. */
  lastFailure: z.object({ at: z.string(), message: z.string() }).optional(),
  lastShipped: z.object({ at: z.string(), seq: z.number(), destination: z.string() }).optional(),
  lastProven: z.object({ at: z.string(), snapshot: z.string() }).optional(),
  /** The newest drill; with what was wrong with the backup, where it has proved nothing. */
  lastDrill: z.object({ at: z.string(), seconds: z.number(), problem: z.string().optional() }).optional(),
});

export type BackupStateValues = z.infer<typeof schema>;

export class BackupState {
  readonly #folder: string;
  #values: BackupStateValues;
  #writing: Promise<void> = Promise.resolve();

  private constructor(folder: string, values: BackupStateValues) {
    this.#folder = folder;
    this.#values = values;
  }

  /** A file that is absent or cannot be read counts as empty: nothing hangs on it that a backup needs. */
  static open(dataFolder: string): BackupState {
    let text = "{}";
    try {
      text = readFileSync(join(dataFolder, BACKUP_STATE_FILE), "utf8");
    } catch {
      // Absent.
    }
    let value: unknown = {};
    try {
      value = JSON.parse(text);
    } catch {
      // Cut off by hand: it is written anew.
    }
    const parsed = schema.safeParse(value);
    return new BackupState(dataFolder, parsed.success ? parsed.data : { destinations: {} });
  }

  get values(): BackupStateValues {
    return this.#values;
  }

  /** Durable when it resolves; one write after another. */
  update(change: Partial<BackupStateValues>): Promise<void> {
    this.#values = { ...this.#values, ...change };
    this.#writing = this.#writing.catch(() => {}).then(() => this.#write());
    return this.#writing;
  }

  async #write(): Promise<void> {
    const path = join(this.#folder, BACKUP_STATE_FILE);
    const part = `${path}.part`;
    try {
      const file = await open(part, "w", 0o600);
      try {
        await file.writeFile(`${JSON.stringify(this.#values, null, 2)}\n`);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, path);
      await syncPath(this.#folder);
    } catch (error) {
      throw storageError(error, `Could not write "${path}"`);
    }
  }
}
