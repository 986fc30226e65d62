/** Backups in tests: the command line against a server, what a destination holds, and repos judged from their copied files. */
import { Database } from "bun:sqlite";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { cidFromBytes, encodeCar } from "../src/atproto/mod.ts";
import {
  BackupKey,
  checkRepository,
  type FileEntry,
  type FileTable,
  newBackupKey,
  openDestination,
  Repository,
} from "../src/backup/mod.ts";
import { Maintenance, RepoFiles } from "../src/storage/mod.ts";
import { kithCommand, serverEnv } from "./harness.ts";
import { type JudgedRepo, judgeRepo } from "./judges.ts";

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

export class BackupPlace implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "kith-backups-"));
  readonly key = newBackupKey();
  /** A folder, or s3://... */
  readonly where: string;
  readonly #s3: Readonly<Record<string, string>>;

  constructor({ where, s3 = {} }: { where?: string; s3?: Readonly<Record<string, string>> } = {}) {
    this.where = where ?? join(this.path, "destination");
    this.#s3 = s3;
  }

  /** The settings of a server that backs up there; by itself only where `more` says so. */
  env(more: Readonly<Record<string, string>> = {}): Record<string, string> {
    return {
      KITH_BACKUP_DESTINATION: this.where,
      KITH_BACKUP_KEY: this.key,
      KITH_BACKUP_INTERVAL_HOURS: "0",
      KITH_BACKUP_LOG_SHIP_SECONDS: "0",
      ...this.#s3,
      ...more,
    };
  }

  /** Runs a command as the operator does. */
  async run(
    args: readonly string[],
    { folder, env = {} }: { folder: string; env?: Readonly<Record<string, string | undefined>> },
  ): Promise<Ran> {
    const child = this.spawn(args, { folder, env });
    const [out, err] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    return { code: await child.exited, out, err };
  }

  spawn(
    args: readonly string[],
    { folder, env = {} }: { folder: string; env?: Readonly<Record<string, string | undefined>> },
  ): Bun.Subprocess<"ignore", "pipe", "pipe"> {
    return Bun.spawn(kithCommand(...args), {
      cwd: this.path,
      env: serverEnv({ PDS_DATA_DIRECTORY: folder, ...this.env(), ...env }),
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
  }

  open(): Promise<Repository> {
    const s3 = this.#s3;
    const destination = openDestination(this.where, {
      region: "us-east-1",
      endpoint: s3.KITH_BACKUP_S3_ENDPOINT,
      forcePathStyle: false,
      accessKeyId: s3.KITH_BACKUP_S3_ACCESS_KEY_ID,
      secretAccessKey: s3.KITH_BACKUP_S3_SECRET_ACCESS_KEY,
    });
    return Repository.open(destination, BackupKey.parse(this.key));
  }

  /** Throws where anything is missing or damaged. */
  async assertWhole(): Promise<void> {
    const { problems, gaps } = await checkRepository(await this.open(), { all: true });
    if (problems.length + gaps.length > 0)
      throw new Error(`Not whole: ${JSON.stringify({ problems, gaps })}`);
  }

  /** The seqs that the shipped log has, in order. */
  async seqs(): Promise<number[]> {
    const repository = await this.open();
    const seqs: number[] = [];
    for (const segment of await repository.segments()) {
      for (const { seq } of (await repository.segment(segment)).events) {
        if (seq > (seqs.at(-1) ?? 0)) seqs.push(seq);
      }
    }
    return seqs;
  }

  /** The files of the newest snapshot, by path. */
  async newest(): Promise<{ repository: Repository; files: Map<string, FileEntry> }> {
    const repository = await this.open();
    const name = (await repository.snapshots()).at(-1)?.name ?? "";
    return { repository, files: await filesOf(repository, (await repository.snapshot(name)).files) };
  }

  /** Writes a file of a backup to where it can be opened. */
  async extract(repository: Repository, file: FileEntry): Promise<string> {
    const path = join(this.path, "extracted", file.sha256, file.path);
    mkdirSync(dirname(path), { recursive: true });
    const handle = await open(path, "w");
    try {
      for await (const bytes of repository.content(file)) await handle.write(bytes);
    } finally {
      await handle.close();
    }
    return path;
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

export async function filesOf(repository: Repository, table: FileTable): Promise<Map<string, FileEntry>> {
  const files = new Map<string, FileEntry>();
  for await (const file of repository.files(table)) files.set(file.path, file);
  return files;
}

/** The integrity of a copied database, as SQLite sees it. */
export function integrityOf(path: string): unknown {
  const db = new Database(path);
  try {
    return Object.values(db.query("PRAGMA integrity_check").get() ?? {})[0];
  } finally {
    db.close();
  }
}

/** Judges the repo in a copied file: its tree, its signature, nothing missing and nothing left over. */
export async function judgeFile(
  path: string,
  { did, didKey }: { did: string; didKey: string },
): Promise<JudgedRepo> {
  if (integrityOf(path) !== "ok") throw new Error(`"${path}" is damaged`);
  const folder = mkdtempSync(join(tmpdir(), "kith-judged-"));
  try {
    const settled = await settledCopy(path, { did, folder });
    return await judgeTables(settled, { did, didKey });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The file may have commits that its tables do not have yet: a copy of it, as the server has it after an open. */
async function settledCopy(path: string, { did, folder }: { did: string; folder: string }): Promise<string> {
  const onFatal = (error: unknown) => {
    throw error;
  };
  const maintenance = Maintenance.start({ onFatal });
  try {
    const files = new RepoFiles({ folder, maintenance, onFatal });
    const source = new Database(path);
    const generation = source
      .query<{ generation: number }, []>("SELECT generation FROM meta")
      .get()?.generation;
    source.close();
    const copy = files.path(did, generation ?? 0);
    mkdirSync(dirname(copy), { recursive: true });
    copyFileSync(path, copy);
    const store = await files.open(did, generation ?? 0);
    await store.prepareWrites();
    store.settle();
    await store.close();
    return copy;
  } finally {
    await maintenance.stop();
  }
}

async function judgeTables(
  path: string,
  { did, didKey }: { did: string; didKey: string },
): Promise<JudgedRepo> {
  const db = new Database(path);
  try {
    const head = db.query<{ head: Uint8Array }, []>("SELECT head FROM meta").get()?.head ?? new Uint8Array();
    const rows = db.query<{ cid: Uint8Array; bytes: Uint8Array }, []>(
      "SELECT cid, bytes FROM block WHERE removed = 0",
    );
    const blocks = rows.all().map(({ cid, bytes }) => ({ cid: cidFromBytes(cid), bytes }));
    return await judgeRepo(encodeCar([cidFromBytes(head)], blocks), did, didKey);
  } finally {
    db.close();
  }
}
