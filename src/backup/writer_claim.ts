/**
 * Which data folder writes to a destination: one at a time, also where several have the same settings. The destination names a turn, a
 * random word that only its writer knows. Whoever begins to write must know the turn that is there, and puts a new one in its place; so a copy
 * of a data folder, an old machine that comes back, and a folder that was begun anew are told from the one that goes on. It needs neither locks
 * nor conditional writes: of two that begin at once the later word stays, and the other one finds that out before it makes anything visible.
 */
import { randomBytes } from "node:crypto";
import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { errorCodeOf, storageError, syncFolder } from "../storage/mod.ts";
import { BackupError, isBackupDamage } from "./backup_error.ts";
import type { Repository, WriterNote } from "./repository.ts";

/** In the data folder: the turns that it knows. */
export const TURNS_FILE = "backup-turns.json";
const TURN_BYTES = 16;
/** Of so many backups the turns are remembered. */
const BACKUPS_MAX = 100;
/** Of one backup. An older turn is there again where the destination itself is put back, or where a write came late that had been given up. */
const TURNS_MAX = 16;

const schema = z.object({ turns: z.record(z.string(), z.array(z.string())) });

/** The turns of a data folder, by the id of the backup: those that it has had or followed, the newest last. */
export class KnownTurns {
  readonly #folder: string;

  constructor(dataFolder: string) {
    this.#folder = dataFolder;
  }

  of(backupId: string): readonly string[] {
    return this.#read()[backupId] ?? [];
  }

  /** Durable when it returns. */
  set(backupId: string, turns: readonly string[]): void {
    const { [backupId]: _, ...others } = this.#read();
    const kept = Object.entries(others).slice(-(BACKUPS_MAX - 1));
    this.#write(Object.fromEntries([...kept, [backupId, [...turns]]]));
  }

  #read(): Record<string, string[]> {
    const path = join(this.#folder, TURNS_FILE);
    let text: string;
    try {
      text = readFileSync(path, "utf8");
    } catch (error) {
      if (errorCodeOf(error) === "ENOENT") return {};
      throw storageError(error, `Could not read "${path}"`);
    }
    try {
      return schema.parse(JSON.parse(text)).turns;
    } catch {
      // Cut off by hand: then it knows none, and is told what to do.
      return {};
    }
  }

  #write(turns: Record<string, string[]>): void {
    const path = join(this.#folder, TURNS_FILE);
    try {
      const fd = openSync(`${path}.part`, "w", 0o600);
      try {
        writeSync(fd, `${JSON.stringify({ turns }, null, 2)}\n`);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(`${path}.part`, path);
      syncFolder(this.#folder);
    } catch (error) {
      throw storageError(error, `Could not write "${path}"`);
    }
  }
}

export interface ClaimOptions {
  readonly known: KnownTurns;
  /** For people: the machine. */
  readonly host: string;
  readonly now: () => number;
  /** Takes the destination from whoever writes to it: the operator has said so. */
  readonly takesOver?: boolean | undefined;
}

export class WriterClaim {
  readonly #turn: string;

  private constructor(turn: string) {
    this.#turn = turn;
  }

  /** Throws BackupError other_writer where another data folder writes there. */
  static async take(repository: Repository, options: ClaimOptions): Promise<WriterClaim> {
    const { known, host, now, takesOver = false } = options;
    const { id } = repository.identity;
    const found = await readNote(repository, takesOver);
    const turns = known.of(id);
    if (found && !takesOver && !turns.includes(found.turn)) throw otherWriter(repository, found);
    const turn = randomBytes(TURN_BYTES).toString("hex");
    // First: cut off in between, it is known whichever is there.
    const before = turns.filter((each) => each !== found?.turn);
    known.set(id, [...before, ...(found ? [found.turn] : []), turn].slice(-TURNS_MAX));
    await repository.putWriter({ turn, host, since: new Date(now()).toISOString() });
    const claim = new WriterClaim(turn);
    await claim.assertHeld(repository);
    return claim;
  }

  async isHeld(repository: Repository): Promise<boolean> {
    return (await repository.writer())?.turn === this.#turn;
  }

  /** Throws BackupError other_writer where another data folder has taken over since. */
  async assertHeld(repository: Repository): Promise<void> {
    const found = await repository.writer();
    if (found?.turn !== this.#turn) throw otherWriter(repository, found);
  }
}

/** A damaged one is replaced only where the operator has said so. */
async function readNote(repository: Repository, takesOver: boolean): Promise<WriterNote | undefined> {
  try {
    return await repository.writer();
  } catch (error) {
    if (!takesOver || !isBackupDamage(error)) throw error;
    return undefined;
  }
}

/** What a restored data folder needs to go on with the backup that it came from, in place of who wrote to it before. */
export async function inheritTurn(repository: Repository, dataFolder: string): Promise<void> {
  const found = await repository.writer();
  if (found) new KnownTurns(dataFolder).set(repository.identity.id, [found.turn]);
}

function otherWriter(repository: Repository, found: WriterNote | undefined): BackupError {
  const { where } = repository.destination;
  const who =
    found === undefined
      ? "the note of who writes there has gone since"
      : `another data folder writes there, on "${found.host}" since ${found.since}`;
  return new BackupError("other_writer", `Could not back up to "${where}": ${who}`);
}
