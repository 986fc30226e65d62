/** What a snapshot and an increment say of themselves, and the list of files that belongs to either. */
import { z } from "zod";
import { BackupError } from "./backup_error.ts";

/** A piece of a file: its object, its bytes, and those of the object in the destination. */
export interface ChunkRef {
  readonly id: string;
  readonly size: number;
  readonly stored: number;
}

/**
 * "repo": an account's SQLite file. "accounts": the accounts store, accounts.sqlite. "directory": plc.sqlite of dev mode.
 * "secret": secrets.json, master.key. "event_keys": the last key of each DID in the event log, as lines [did, key] of JSON.
 * "blob": a blob, in its place or in the quarantine. "rows": of an increment, no file of a data folder: what no event tells of single
 * accounts (account_rows_file.ts).
 */
export type FileKind = "repo" | "accounts" | "directory" | "secret" | "event_keys" | "blob" | "rows";

export interface FileEntry {
  /** In the data folder: "repos/ab/did_plc_x.1.sqlite", "blobs/did_plc_x/bafk...", "blobs/quarantine/...". */
  readonly path: string;
  readonly kind: FileKind;
  readonly size: number;
  /** Of the whole, in hexadecimal digits. */
  readonly sha256: string;
  readonly chunks: readonly ChunkRef[];
  /** Of a repo and a blob. */
  readonly did?: string | undefined;
  /** Of a repo: the N of its file name. */
  readonly generation?: number | undefined;
  /** Of a blob. */
  readonly cid?: string | undefined;
  /** Of a blob that is taken down. */
  readonly quarantined?: boolean | undefined;
  /** By which a later run knows that the file has not changed since. */
  readonly evidence?: string | undefined;
  /** The file could not be read: this is what the snapshot of that name had of it. */
  readonly staleFrom?: string | undefined;
}

/** How far the event log goes that belongs to it. */
export interface LogRange {
  /** The newest seq that retention had removed from the server's own log. */
  readonly prunedUpTo: number;
  /** Of a snapshot: the newest seq that `log/` has with it. Of an increment: its files hold at least what events up to it tell. */
  readonly lastSeq: number;
  /** No seq up to this one may be given again. */
  readonly highWater: number;
}

export interface FileTable {
  /** Each object holds whole lines of JSON, one FileEntry a line. */
  readonly chunks: readonly ChunkRef[];
  readonly count: number;
}

interface Made {
  /** Its name in the destination: "snapshots/20260131T031200.000Z-1a2b3c4d". */
  readonly name: string;
  /** When its first byte was read, and when it was complete; ISO 8601. */
  readonly startedAt: string;
  readonly endedAt: string;
  /** The version of kith. */
  readonly kith: string;
  readonly hostname: string;
  readonly serviceDid: string;
  readonly log: LogRange;
  readonly files: FileTable;
}

export interface SnapshotManifest extends Made {
  readonly counts: SnapshotCounts;
  /** Where the server keeps its blobs. */
  readonly blobStore: "folder" | "bucket";
  /** False where blobs were left out, as the operator wished. */
  readonly hasBlobs: boolean;
  /** What could not be copied as it should be, in words. */
  readonly problems: readonly string[];
}

export interface SnapshotCounts {
  readonly accounts: number;
  readonly repos: number;
  readonly blobs: number;
  /** Of all files, and of what this run has written into the destination. */
  readonly bytes: number;
  readonly writtenBytes: number;
  readonly writtenObjects: number;
}

/**
 * Between two snapshots: files that are newer than those of the snapshot before, each whole. Whoever restores takes of each
 * path the newest there is.
 */
export interface IncrementManifest extends Made {}

const chunk = z
  .tuple([z.string().regex(/^[0-9a-f]{64}$/), z.number().int().min(0), z.number().int().min(0)])
  .transform(([id, size, stored]): ChunkRef => ({ id, size, stored }));

const PATH = /^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/;

const entry = z.object({
  path: z.string().max(500).regex(PATH),
  kind: z.enum(["repo", "accounts", "directory", "secret", "event_keys", "blob", "rows"]),
  size: z.number().int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  chunks: z.array(chunk),
  did: z.string().optional(),
  generation: z.number().int().optional(),
  cid: z.string().optional(),
  quarantined: z.boolean().optional(),
  evidence: z.string().optional(),
  staleFrom: z.string().optional(),
});

const whole = z.number().int().min(0);
const made = {
  name: z.string(),
  startedAt: z.string(),
  endedAt: z.string(),
  kith: z.string(),
  hostname: z.string(),
  serviceDid: z.string(),
  log: z.object({ prunedUpTo: whole, lastSeq: whole, highWater: whole }),
  files: z.object({ chunks: z.array(chunk), count: whole }),
};
const snapshot = z.object({
  ...made,
  counts: z.object({
    accounts: whole,
    repos: whole,
    blobs: whole,
    bytes: whole,
    writtenBytes: whole,
    writtenObjects: whole,
  }),
  blobStore: z.enum(["folder", "bucket"]),
  hasBlobs: z.boolean(),
  problems: z.array(z.string()),
});
const increment = z.object(made);

/** One line of a file table, without its line end: the same bytes for the same entry, wherever it comes from. */
export function writeEntry(file: FileEntry): string {
  const { path, kind, size, sha256, chunks, did, generation, cid, quarantined, evidence, staleFrom } = file;
  return JSON.stringify({
    ...{ path, kind, size, sha256, chunks: chunks.map(tupleOf) },
    ...{ did, generation, cid, quarantined, evidence, staleFrom },
  });
}

/** Throws BackupError altered: the bytes are authentic, so another program wrote them. */
export function readEntry(line: string): FileEntry {
  return parsed(entry, line, "a line of a file table");
}

export function writeManifest({ files, ...rest }: SnapshotManifest | IncrementManifest): string {
  return JSON.stringify({ ...rest, files: { ...files, chunks: files.chunks.map(tupleOf) } });
}

export function readSnapshot(text: string, name: string): SnapshotManifest {
  return parsed(snapshot, text, `"${name}"`);
}

export function readIncrement(text: string, name: string): IncrementManifest {
  return parsed(increment, text, `"${name}"`);
}

function tupleOf({ id, size, stored }: ChunkRef): [string, number, number] {
  return [id, size, stored];
}

function parsed<T>(schema: z.ZodType<T>, text: string, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    value = undefined;
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new BackupError(
    "altered",
    `Could not read ${what} of the backup: ${issue?.path.join(".") ?? ""} ${issue?.message ?? ""}`.trim(),
  );
}
