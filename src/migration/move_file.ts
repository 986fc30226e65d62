/**
 * The file that a move is resumed from: readable by its owner alone, replaced as a whole, on the disk before a step begins.
 * It holds the tokens of both sign-ins, so that a resumed move does not ask for codes again, and never a password. Beside it
 * are the fetched repo, and the lock that keeps two runs from driving one move.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { KithError } from "../errors.ts";
import { errorCodeOf, syncFolder } from "../storage/mod.ts";
import { type Move, moveSchema } from "./move.ts";

const OWNER_ONLY = 0o600;
/** How often a lock is looked at that changes hands meanwhile; so often, with a pause, one that says nothing yet. */
const LOOKS_MAX = 80;
const LOOKS_EMPTY = 60;
const LOOK_MS = 50;

export class MoveFile implements Disposable {
  readonly path: string;
  #move: Move;
  #isGone = false;

  private constructor(path: string, move: Move) {
    this.path = path;
    this.#move = move;
  }

  /** The move that is kept at `path`, or undefined. Throws KithError invalid_request (damaged, or of a newer kith), busy. */
  static open(path: string): MoveFile | undefined {
    if (!existsSync(path)) return undefined;
    lock(path);
    try {
      // Read under the lock: what the run before has left.
      const move = readMove(path);
      if (move !== undefined) return new MoveFile(path, move);
    } catch (error) {
      rmSync(lockOf(path), { force: true });
      throw error;
    }
    rmSync(lockOf(path), { force: true });
    return undefined;
  }

  /** Begins a file for a move. Throws KithError invalid_request (there is one), busy. */
  static create(path: string, move: Move): MoveFile {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    const refuseOther = () => {
      if (existsSync(path)) throw new KithError("invalid_request", `There is a move in "${path}" already`);
    };
    refuseOther();
    lock(path);
    const file = new MoveFile(path, move);
    try {
      // Under the lock: another may have begun one and ended since.
      refuseOther();
      file.patch({});
      return file;
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
  }

  get move(): Move {
    return this.#move;
  }

  /** Where the fetched repo is kept. */
  get carPath(): string {
    return `${this.path}.car`;
  }

  /** On the disk when it returns. */
  patch(change: Partial<Move>): void {
    this.#move = { ...this.#move, ...change };
    if (this.#isGone) return;
    const next = `${this.path}.next`;
    rmSync(next, { force: true });
    const descriptor = openSync(next, "wx", OWNER_ONLY);
    try {
      writeSync(descriptor, `${JSON.stringify(this.#move, null, 2)}\n`);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(next, this.path);
    syncFolder(dirname(this.path));
  }

  /** Removes everything that was kept. */
  remove(): void {
    this.#isGone = true;
    for (const path of [this.path, this.carPath, `${this.carPath}.part`]) rmSync(path, { force: true });
  }

  [Symbol.dispose](): void {
    rmSync(lockOf(this.path), { force: true });
  }
}

/** The move that is kept at `path`, to look at. Throws KithError invalid_request (damaged, or of a newer kith). */
export function readMove(path: string): Move | undefined {
  // Not in two looks: a run that ends removes it.
  const text = textOf(path);
  return text === undefined ? undefined : parse(path, text);
}

function parse(path: string, text: string): Move {
  const refuse = (why: string) =>
    new KithError("invalid_request", `Could not resume the move in "${path}": ${why}`, {
      hint: "Move the file away to begin anew.",
    });
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw refuse("it is not JSON");
  }
  const { data, error } = moveSchema.safeParse(json);
  if (data === undefined) throw refuse(error.issues.map(({ path }) => path.join(".")).join(", "));
  return data;
}

function lockOf(path: string): string {
  return `${path}.lock`;
}

/** The lock of a process that has ended, by whatever, does not count. */
function lock(path: string): void {
  const name = lockOf(path);
  let holder = "another process";
  for (let looks = 1; looks <= LOOKS_MAX; looks += 1) {
    if (makeLock(name)) return;
    const text = textOf(name);
    // Given back since.
    if (text === undefined) continue;
    // Its process is about to say which one it is; where it never does, the machine has stopped just then.
    if (text === "" && looks <= LOOKS_EMPTY) {
      Bun.sleepSync(LOOK_MS);
      continue;
    }
    holder = `process ${text}`;
    if (isRunning(Number(text))) break;
    removeLeft(name, text);
  }
  throw new KithError("busy", `Could not go on with the move in "${path}": ${holder} is at it`, {
    hint: "It may run in another window. Wait until it ends, or stop it there with Ctrl-C.",
  });
}

/** False where there is one. */
function makeLock(name: string): boolean {
  try {
    const descriptor = openSync(name, "wx", OWNER_ONLY);
    writeSync(descriptor, String(process.pid));
    closeSync(descriptor);
    return true;
  } catch (error) {
    if (errorCodeOf(error) !== "EEXIST") throw error;
    return false;
  }
}

/** Undefined where it is not there. */
function textOf(name: string): string | undefined {
  try {
    return readFileSync(name, "utf8");
  } catch (error) {
    if (errorCodeOf(error) !== "ENOENT") throw error;
    return undefined;
  }
}

/** Removes the lock that said `left`; puts back another, which somebody has made since: of two who find it left one may be ahead. */
function removeLeft(name: string, left: string): void {
  const aside = `${name}.${process.pid}`;
  try {
    renameSync(name, aside);
  } catch (error) {
    if (errorCodeOf(error) !== "ENOENT") throw error;
    return;
  }
  if (textOf(aside) === left) rmSync(aside, { force: true });
  else renameSync(aside, name);
}

function isRunning(pid: number): boolean {
  if (!Number.isSafeInteger(pid) || pid <= 0 || pid === process.pid) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
