/**
 * What docs/adr/0001 says in figures: transactions of one size over 16 files, durable either by fsync on the event loop
 * (synchronous=FULL) or by an awaited fdatasync in the thread pool. `bun bench/durability.ts [seconds]`
 */
import { Database } from "bun:sqlite";
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { WalSync } from "../src/storage/mod.ts";

const FILES = 16;
const SECONDS = Number(process.argv[2] ?? 3);

/** As a small commit: seven tree nodes and records, and an event. */
const SIZES = [700, 700, 700, 700, 700, 700, 700, 6000];

interface File {
  readonly db: Database;
  readonly insert: ReturnType<Database["prepare"]>;
  readonly sync: WalSync;
}

function openFile(path: string, full: boolean): File {
  const db = new Database(path, { create: true, readwrite: true, strict: true });
  for (const pragma of [
    "journal_mode = WAL",
    "wal_autocheckpoint = 0",
    `synchronous = ${full ? "FULL" : "NORMAL"}`,
  ]) {
    db.run(`PRAGMA ${pragma}`);
  }
  db.run("CREATE TABLE block (id INTEGER PRIMARY KEY, cid BLOB UNIQUE, bytes BLOB)");
  const onFatal = (error: unknown): never => {
    throw error;
  };
  return {
    db,
    insert: db.prepare("INSERT INTO block (cid, bytes) VALUES (?, ?)"),
    sync: new WalSync(`${path}-wal`, { onFatal }),
  };
}

async function write({ db, insert, sync }: File, full: boolean): Promise<void> {
  db.run("BEGIN IMMEDIATE");
  for (const size of SIZES) insert.run(crypto.getRandomValues(new Uint8Array(36)), new Uint8Array(size));
  db.run("COMMIT");
  sync.noteCommit();
  // The other way has had its fsync: it only lets the others have their turn.
  await (full ? new Promise<void>((resolve) => setImmediate(resolve)) : sync.sync());
}

async function measure(writers: number, full: boolean): Promise<string> {
  const folder = mkdtempSync(join(import.meta.dir, ".durability-"));
  const files = Array.from({ length: FILES }, (_, at) => openFile(join(folder, `${at}.sqlite`), full));
  const waits: number[] = [];
  const end = performance.now() + SECONDS * 1000;
  const loop = async (file: File): Promise<void> => {
    while (performance.now() < end) {
      const began = performance.now();
      await write(file, full);
      waits.push(performance.now() - began);
    }
  };
  await Promise.all(files.slice(0, writers).map(loop));
  for (const { db } of files) db.close();
  rmSync(folder, { recursive: true });
  waits.sort((a, b) => a - b);
  const at = (share: number): string => (waits[Math.floor(waits.length * share)] ?? 0).toFixed(2);
  const way = full ? "fsync on the loop" : "fdatasync in the pool";
  return `${way.padEnd(22)} ${String(writers).padStart(2)} writers: ${(waits.length / SECONDS).toFixed(0).padStart(5)}/s, p50 ${at(0.5)} ms, p99 ${at(0.99)} ms`;
}

for (const writers of [1, 16]) {
  for (const full of [true, false]) console.log(await measure(writers, full));
}
