/**
 * What events do not say: the accounts store, repos that were imported, blobs. It is shipped beside the event log as
 * increments, each before the segment whose events it belongs to.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseCid } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { AccountFilesReader, repoFilePath } from "../storage/mod.ts";
import { rowsFileHead, rowsOf } from "./account_rows_file.ts";
import { copyBlob } from "./copy_blobs.ts";
import { FileCopier } from "./copy_files.ts";
import { FileTableWriter, PreviousFiles } from "./file_table.ts";
import type { IncrementManifest, LogRange } from "./manifest.ts";
import type { ObjectWriter } from "./object_writer.ts";
import { readBack } from "./prove_written.ts";
import { INCREMENTS_FOLDER, manifestName, type Repository } from "./repository.ts";
import type { BackupMaker, BackupSource } from "./snapshot_source.ts";

/** A blob that was kept. */
export interface ShippedBlob {
  readonly did: string;
  readonly cid: string;
}

export interface IncrementNeeds {
  readonly accounts: boolean;
  /** Accounts of which what no event tells is to be shipped. */
  readonly rows: readonly string[];
  /** Accounts whose whole file is to be shipped. */
  readonly repos: readonly string[];
  readonly blobs: readonly ShippedBlob[];
}

export interface IncrementOptions {
  readonly repository: Repository;
  readonly source: BackupSource;
  readonly writer: ObjectWriter;
  readonly maker: BackupMaker;
  readonly needs: IncrementNeeds;
  readonly log: LogRange;
  /** The hash of the accounts store that was shipped last: the same is not shipped again. */
  readonly lastAccounts?: string | undefined;
  /** The time in the newest name so far. */
  readonly after: number;
  readonly now: () => number;
  /** Called with each object that was read back. */
  readonly onProven?: (id: string, stored: number) => void;
}

export interface ShippedIncrement {
  readonly manifest: IncrementManifest | undefined;
  /** The time in its name. */
  readonly at: number | undefined;
  /** The hash of the accounts store, where that was copied. */
  readonly accounts: string | undefined;
}

/** Ships what is needed, as far as it is there; no increment where nothing is. */
export async function shipIncrement(options: IncrementOptions): Promise<ShippedIncrement> {
  const { repository, source, writer, maker, needs, log, now } = options;
  const startedAt = now();
  const table = new FileTableWriter(writer);
  const copier = new FileCopier({
    ...{ source, writer, table, now },
    previous: new PreviousFiles(repository, undefined),
    previousName: undefined,
    onProblem: () => {},
  });
  await copyRepos(needs.repos, { source, copier });
  let accounts: string | undefined;
  if (needs.accounts) {
    const head = { path: "accounts.sqlite", kind: "accounts" as const };
    const copied = await copier.sqliteCopy(head, source.paths.accounts);
    accounts = copied.sha256;
    await copied.drop();
    const isNews =
      accounts !== options.lastAccounts || needs.repos.length + needs.blobs.length + needs.rows.length > 0;
    if (!isNews) return { manifest: undefined, at: undefined, accounts };
  }
  // Without it dev mode would know no account that was made since the snapshot, nor a new key or handle.
  if (needs.rows.length > 0 && existsSync(source.paths.directory))
    await copier.sqliteFile({ path: "plc.sqlite", kind: "directory" }, source.paths.directory);
  if (needs.accounts) for (const path of source.paths.secrets) await copier.plainFile("secret", path);
  // After all that they are newer than.
  if (needs.rows.length > 0) await copier.bytesAs(rowsFileHead(), rowsOf(needs.rows, source.paths));
  for (const { did, cid } of needs.blobs) {
    await copyBlob(
      { did, blob: { cid: parseCid(cid) }, quarantined: false },
      { source, copier, onProblem: () => {} },
    );
  }
  await copier.end();
  const files = await table.end();
  if (files.count === 0) return { manifest: undefined, at: undefined, accounts };
  for (const { id, stored } of await readBack(repository, { writer })) options.onProven?.(id, stored);
  const at = Math.max(startedAt, options.after + 1);
  const manifest: IncrementManifest = {
    name: manifestName(INCREMENTS_FOLDER, at),
    startedAt: new Date(startedAt).toISOString(),
    endedAt: new Date(now()).toISOString(),
    ...maker,
    log,
    files,
  };
  await repository.putManifest(manifest);
  return { manifest, at, accounts };
}

async function copyRepos(
  dids: readonly string[],
  { source, copier }: { source: BackupSource; copier: FileCopier },
): Promise<void> {
  if (dids.length === 0) return;
  const accounts = new AccountFilesReader(source.paths.accounts);
  try {
    for (const did of dids) {
      const account = accounts.account(did);
      if (!account) continue;
      const { generation } = account;
      const path = join(source.paths.repos, repoFilePath(did, generation));
      if (!existsSync(path)) continue;
      const head = { path: `repos/${repoFilePath(did, generation)}`, kind: "repo" as const, did, generation };
      await copier.sqliteFile(head, path).catch((error: unknown) => {
        // Damaged, it is told by the next snapshot; deleted meanwhile, by an event.
        if (!isKithError(error, "storage_damaged")) throw error;
      });
    }
  } finally {
    accounts.close();
  }
}
