/** Whether another process has a SQLite file open, without opening it as SQLite does: asked of the kernel's record locks. */
import { dlopen, FFIType, ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";

/** Linux, 64 bits: fcntl(2). Elsewhere the layout of `struct flock` differs. */
const F_GETLK = 5;
const F_WRLCK = 1;
const F_UNLCK = 2;
const FLOCK_BYTES = 32;
const TYPE_AT = 0;
const START_AT = 8;
const LENGTH_AT = 16;
const PID_AT = 24;
const LIBRARIES = ["libc.so.6", `libc.musl-${process.arch === "arm64" ? "aarch64" : "x86_64"}.so.1`];

/** Where SQLite locks: https://www.sqlite.org/walformat.html#wal_locks and the pending byte of the file itself. */
const SHM_LOCKS = { start: 120, length: 9 };
const FILE_LOCKS = { start: 0x40000000, length: 512 };

type Fcntl = (fd: number, command: number, lock: ReturnType<typeof ptr>) => number;
let fcntl: Fcntl | null | undefined;

/** False where it cannot be found out on this system. */
export function canSeeLocks(): boolean {
  return loadFcntl() !== null;
}

/**
 * The process that has a SQLite database open, by its locks on the file and on its -shm: in WAL mode a connection holds one as long as it
 * is open. 0 where the process is in another container. Undefined where there is none, or where it cannot be found out.
 */
export function databaseUser(path: string): number | undefined {
  return lockHolder(`${path}-shm`, SHM_LOCKS) ?? lockHolder(path, FILE_LOCKS);
}

function lockHolder(path: string, range: { start: number; length: number }): number | undefined {
  const call = loadFcntl();
  if (call === null) return undefined;
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch {
    return undefined;
  }
  try {
    const lock = Buffer.alloc(FLOCK_BYTES);
    lock.writeInt16LE(F_WRLCK, TYPE_AT);
    lock.writeBigInt64LE(BigInt(range.start), START_AT);
    lock.writeBigInt64LE(BigInt(range.length), LENGTH_AT);
    if (call(fd, F_GETLK, ptr(lock)) !== 0) return undefined;
    return lock.readInt16LE(TYPE_AT) === F_UNLCK ? undefined : lock.readInt32LE(PID_AT);
  } finally {
    // Of this process nobody has a lock on the file, which the closing would drop.
    closeSync(fd);
  }
}

function loadFcntl(): Fcntl | null {
  fcntl ??= process.platform === "linux" ? fromLibrary() : null;
  return fcntl;
}

function fromLibrary(): Fcntl | null {
  for (const name of LIBRARIES) {
    try {
      const { symbols } = dlopen(name, {
        fcntl: { args: [FFIType.i32, FFIType.i32, FFIType.ptr], returns: FFIType.i32 },
      });
      return symbols.fcntl as unknown as Fcntl;
    } catch {
      // The other C library, perhaps.
    }
  }
  return null;
}
