/**
 * The power is cut at each step of the disk that bringing a repo file to a newer schema takes: at the next opening it has what it had,
 * and the newest schema. `KITH_TEST_SEED` says what the cuts keep.
 */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { REPO_MIGRATIONS } from "../../src/storage/_repo_schema.ts";
import { Maintenance, RepoFiles } from "../../src/storage/mod.ts";
import { seededRandom } from "../wait.ts";
import { FaultDisk } from "./fault_disk.ts";
import { tally } from "./tally.ts";

const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
const DID = "did:plc:migrating";
const BLOCKS = 200;
const BLOCK_BYTES = 900;
const LIMIT_MS = 600_000;
/** The schema of the first release, which had no preferences, takedowns, handle and key in an account's file. */
const FIRST_STEPS = 2;

class OldFile implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "kith-migration-"));
  readonly repos = join(this.folder, "repos");
  readonly kept = mkdtempSync(join(tmpdir(), "kith-migration-kept-"));
  readonly path: string;

  constructor(maintenance: Maintenance) {
    this.path = new RepoFiles({ folder: this.repos, maintenance, onFatal: () => {} }).path(DID, 1);
    mkdirSync(dirname(this.path), { recursive: true });
    const db = new Database(this.path, { create: true });
    db.run("PRAGMA journal_mode = WAL");
    for (const step of REPO_MIGRATIONS.slice(0, FIRST_STEPS)) db.run(step);
    db.run(`PRAGMA user_version = ${FIRST_STEPS}`);
    db.run("UPDATE meta SET did = ?, generation = 1, status = 'deactivated'", [DID]);
    const insert = db.prepare("INSERT INTO block (cid, rev, bytes) VALUES (?, ?, ?)");
    for (let i = 0; i < BLOCKS; i += 1)
      insert.run(Buffer.alloc(36, i), `rev${i}`, Buffer.alloc(BLOCK_BYTES, i));
    insert.finalize();
    db.close(true);
    cpSync(this.repos, join(this.kept, "repos"), { recursive: true });
  }

  /** As it was before any migration. */
  reset(): void {
    rmSync(this.repos, { recursive: true, force: true });
    cpSync(join(this.kept, "repos"), this.repos, { recursive: true });
  }

  get content(): { blocks: number; status: string; owner: string; schema: number; sound: string } {
    using db = new Database(this.path, { readwrite: true });
    const one = (sql: string): unknown =>
      Object.values(db.query<Record<string, unknown>, []>(sql).get() ?? {})[0];
    return {
      blocks: Number(one("SELECT count(*) FROM block WHERE length(bytes) = 900")),
      status: String(one("SELECT status FROM meta")),
      owner: String(one("SELECT owner_status FROM meta")),
      schema: Number(one("PRAGMA user_version")),
      sound: String(one("PRAGMA integrity_check")),
    };
  }

  [Symbol.dispose](): void {
    for (const folder of [this.folder, this.kept]) rmSync(folder, { recursive: true, force: true });
  }
}

async function open(folder: string, env: Readonly<Record<string, string>> = {}): Promise<number | null> {
  const script = join(import.meta.dir, "open_repo_process.ts");
  const child = Bun.spawn([process.execPath, script, folder, DID], {
    env: { ...process.env, ...env },
    stdout: "ignore",
    stderr: "pipe",
  });
  const errors = await new Response(child.stderr).text();
  await child.exited;
  if (child.exitCode !== 0 && child.signalCode === null) throw new Error(errors);
  return child.exitCode;
}

test(
  `a migration of the schema outlives a power cut at any of its steps (seed ${SEED})`,
  async () => {
    const maintenance = Maintenance.start({ onFatal: () => {} });
    using file = new OldFile(maintenance);
    await maintenance.stop();
    using disk = FaultDisk.below(file.folder);
    const random = seededRandom(SEED);
    const expected = {
      blocks: BLOCKS,
      status: "deactivated",
      owner: "deactivated",
      schema: REPO_MIGRATIONS.length,
      sound: "ok",
    };
    expect(await open(file.repos, disk.env)).toBe(0);
    expect(file.content).toEqual(expected);
    const steps = disk.steps().length;
    for (let step = 1; step <= steps; step += 1) {
      file.reset();
      disk.cutAt(step, { seed: Math.floor(random() * 2 ** 31) });
      await open(file.repos, disk.env);
      disk.disarm();
      expect(await open(file.repos)).toBe(0);
      expect({ step, ...file.content }).toEqual({ step, ...expected });
    }
    expect(readdirSync(dirname(file.path)).some((name) => name.includes(".before-"))).toBe(true);
    tally("cuts in a migration of the schema", steps);
  },
  LIMIT_MS,
);
