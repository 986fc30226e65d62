/**
 * A backup: snapshots, increments and the shipped event log, over a destination. Everything but its first file is sealed with
 * the operator's key, and authenticated when it is read. docs/backup_format.md has the layout.
 */
import { createHash, randomBytes } from "node:crypto";
import { z } from "zod";
import { BackupError } from "./backup_error.ts";
import type { BackupKey } from "./backup_key.ts";
import type { Destination, StoredFile } from "./destination.ts";
import {
  decodeSegment,
  encodeSegment,
  LOG_FOLDER,
  parseSegmentName,
  type Segment,
  type SegmentName,
  segmentName,
} from "./log_segments.ts";
import {
  type ChunkRef,
  type FileEntry,
  type FileTable,
  type IncrementManifest,
  readEntry,
  readIncrement,
  readSnapshot,
  type SnapshotManifest,
  writeManifest,
} from "./manifest.ts";
import { seal, unseal } from "./sealing.ts";

export const IDENTITY_FILE = "kith-backup.json";
/** Who writes there, sealed. */
export const WRITER_FILE = "writer";
export const OBJECTS_FOLDER = "objects/";
export const SNAPSHOTS_FOLDER = "snapshots/";
export const INCREMENTS_FOLDER = "increments/";
const FORMAT_VERSION = 1;
const ID_BYTES = 16;
/** After so much the buffers of before are collected: their memory is outside the heap, whose collector would wait far longer. */
const COLLECT_BYTES = 32 * 1024 * 1024;

const identitySchema = z.object({
  format: z.literal("kith backup"),
  version: z.number().int(),
  id: z.string().min(1),
  /** Knows the key again. */
  check: z.string(),
  hostname: z.string(),
  createdAt: z.string(),
});

/** The one file that is not sealed; nothing in it is secret. */
export type RepositoryIdentity = z.infer<typeof identitySchema>;

const writerSchema = z.object({ turn: z.string().min(1), host: z.string(), since: z.string() });

/** Which data folder writes to a backup: writer_claim.ts. */
export type WriterNote = z.infer<typeof writerSchema>;

/** What `list` tells without opening anything. */
export interface ManifestName {
  readonly name: string;
  /** From the name: when it was begun, Unix milliseconds. */
  readonly at: number;
  readonly stored: number;
}

/** How often the segments are listed until two listings agree on what is missing. */
const LISTINGS_MAX = 5;

/** Where events lie between segments that follow one another, as text. */
function gapsBetween(segments: readonly SegmentName[]): string {
  const gaps: string[] = [];
  let read = segments[0]?.after ?? 0;
  for (const { after, last } of segments) {
    if (after > read) gaps.push(`${read}-${after}`);
    read = Math.max(read, last);
  }
  return gaps.join(" ");
}

export class Repository {
  readonly destination: Destination;
  readonly identity: RepositoryIdentity;
  readonly #key: BackupKey;
  #passedBytes = 0;
  /** Throws where nothing may be made visible. */
  #assertWriter: () => Promise<void> = async () => {};

  private constructor(destination: Destination, identity: RepositoryIdentity, key: BackupKey) {
    this.destination = destination;
    this.identity = identity;
    this.#key = key;
  }

  /** Throws BackupError empty, foreign, newer, wrong_key. */
  static async open(destination: Destination, key: BackupKey): Promise<Repository> {
    const bytes = await destination.get(IDENTITY_FILE);
    if (!bytes) throw await notThere(destination);
    const identity = parseIdentity(bytes, destination.where);
    if (!key.isKeyOf(identity)) {
      throw new BackupError(
        "wrong_key",
        `Could not open the backup "${destination.where}": the key is not the one that it was made with`,
      );
    }
    return new Repository(destination, identity, key);
  }

  /** Begins a backup in an empty destination. Throws BackupError foreign where it is not empty. */
  static async create(
    destination: Destination,
    key: BackupKey,
    { hostname, now }: { hostname: string; now: number },
  ): Promise<Repository> {
    const problem = await notThere(destination);
    if ((await destination.get(IDENTITY_FILE)) !== undefined || problem.problem !== "empty") throw problem;
    const id = randomBytes(ID_BYTES).toString("hex");
    const identity: RepositoryIdentity = {
      format: "kith backup",
      version: FORMAT_VERSION,
      id,
      check: key.checkOf(id),
      hostname,
      createdAt: new Date(now).toISOString(),
    };
    await destination.put(IDENTITY_FILE, Buffer.from(`${JSON.stringify(identity, null, 2)}\n`));
    return new Repository(destination, identity, key);
  }

  // Reading

  /** The time in the newest name of a snapshot or increment; 0 where there is none. */
  async newestAt(): Promise<number> {
    const newest = [(await this.snapshots()).at(-1), (await this.increments()).at(-1)];
    return Math.max(0, ...newest.map((found) => found?.at ?? 0));
  }

  /** Every complete snapshot, oldest first, whatever the clock said when they were taken. */
  snapshots(): Promise<ManifestName[]> {
    return this.#names(SNAPSHOTS_FOLDER);
  }

  increments(): Promise<ManifestName[]> {
    return this.#names(INCREMENTS_FOLDER);
  }

  /** Throws BackupError no_snapshot, truncated, altered. */
  async snapshot(name: string): Promise<SnapshotManifest> {
    const full = name.startsWith(SNAPSHOTS_FOLDER) ? name : `${SNAPSHOTS_FOLDER}${name}`;
    return readSnapshot(await this.#text(full), full);
  }

  async increment(name: string): Promise<IncrementManifest> {
    return readIncrement(await this.#text(name), name);
  }

  /** The files of a snapshot or an increment, in the order in which they were written; flat in memory. */
  async *files({ chunks }: FileTable): AsyncIterable<FileEntry> {
    for (const chunk of chunks) yield* await this.tablePart(chunk);
  }

  /** The entries of one object of a file table. */
  async tablePart(chunk: ChunkRef): Promise<FileEntry[]> {
    const text = Buffer.from(await this.object(chunk)).toString();
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map(readEntry);
  }

  /** The bytes of a file, piece by piece; its hash is checked with the last. Throws BackupError missing, truncated, altered. */
  async *content(file: FileEntry): AsyncIterable<Uint8Array> {
    const hash = createHash("sha256");
    for (const chunk of file.chunks) {
      const bytes = await this.object(chunk);
      hash.update(bytes);
      yield bytes;
    }
    if (hash.digest("hex") === file.sha256) return;
    throw new BackupError("altered", `Could not read "${file.path}" of the backup: it has another hash`);
  }

  /** The content of one object. */
  async object({ id, size, stored }: ChunkRef): Promise<Uint8Array> {
    const name = objectName(id);
    const bytes = await this.destination.get(name);
    if (!bytes) throw new BackupError("missing", `Could not read "${name}" of the backup: it is not there`);
    this.#collect(bytes.length);
    const plain = unseal(this.#key, bytes, { name, storedBytes: stored });
    if (plain.length === size && this.#key.objectId(plain) === id) return plain;
    throw new BackupError("altered", `Could not read "${name}" of the backup: it holds other bytes`);
  }

  /** Every segment of the shipped event log, in order of seq. */
  async segments(): Promise<SegmentName[]> {
    let found = await this.#listSegments();
    // A listing takes its time: of segments that a server joins meanwhile it may show neither the parts nor the whole.
    for (let tries = 1; tries < LISTINGS_MAX; tries += 1) {
      const gaps = gapsBetween(found);
      if (gaps === "") break;
      found = await this.#listSegments();
      if (gapsBetween(found) === gaps) break;
    }
    return found;
  }

  async #listSegments(): Promise<SegmentName[]> {
    const found: SegmentName[] = [];
    for await (const file of this.destination.list(LOG_FOLDER)) {
      const segment = parseSegmentName(file);
      if (segment) found.push(segment);
    }
    return found.sort((a, b) => a.last - b.last || a.after - b.after);
  }

  /** Throws BackupError missing, truncated, altered. */
  async segment(segment: SegmentName): Promise<Segment> {
    return decodeSegment(await this.#file(segment.name, segment.stored), segment);
  }

  /** Undefined where nobody has written with a version of kith that says so. Throws BackupError truncated, altered. */
  async writer(): Promise<WriterNote | undefined> {
    const bytes = await this.destination.get(WRITER_FILE);
    if (!bytes) return undefined;
    try {
      const text = Buffer.from(unseal(this.#key, bytes, { name: WRITER_FILE })).toString();
      return writerSchema.parse(JSON.parse(text));
    } catch (cause) {
      if (cause instanceof BackupError) throw cause;
      throw new BackupError("altered", `Could not read "${WRITER_FILE}" of the backup: it is no note`, {
        cause,
      });
    }
  }

  async #names(folder: string): Promise<ManifestName[]> {
    const found: ManifestName[] = [];
    for await (const { name, size } of this.destination.list(folder)) {
      const at = timeOfName(name.slice(folder.length));
      if (at !== undefined) found.push({ name, at, stored: size });
    }
    return found.sort((a, b) => a.at - b.at || (a.name < b.name ? -1 : 1));
  }

  async #text(name: string): Promise<string> {
    return Buffer.from(await this.#file(name)).toString();
  }

  async #file(name: string, storedBytes?: number): Promise<Uint8Array> {
    const bytes = await this.destination.get(name);
    if (bytes)
      return unseal(this.#key, bytes, { name, ...(storedBytes === undefined ? {} : { storedBytes }) });
    if (!name.startsWith(SNAPSHOTS_FOLDER))
      throw new BackupError("missing", `Could not read "${name}" of the backup: it is not there`);
    throw new BackupError(
      "no_snapshot",
      `The backup "${this.destination.where}" has no snapshot "${name.slice(SNAPSHOTS_FOLDER.length)}"`,
    );
  }

  // Writing

  /** From now on nothing becomes visible, or goes, where this throws. */
  guardBy(assertWriter: () => Promise<void>): void {
    this.#assertWriter = assertWriter;
  }

  /** Throws where another data folder writes there by now: to be called before anything is removed. */
  async assertWriter(): Promise<void> {
    await this.#assertWriter();
  }

  async putWriter(note: WriterNote): Promise<void> {
    await this.#putSealed(WRITER_FILE, Buffer.from(JSON.stringify(note)));
  }

  objectId(plain: Uint8Array): string {
    return this.#key.objectId(plain);
  }

  /** Writes an object; the bytes that it takes in the destination. */
  async putObject(id: string, plain: Uint8Array): Promise<ChunkRef> {
    const name = objectName(id);
    const sealed = seal(this.#key, name, plain);
    await this.destination.put(name, sealed);
    this.#collect(sealed.length);
    return { id, size: plain.length, stored: sealed.length };
  }

  #collect(bytes: number): void {
    this.#passedBytes += bytes;
    if (this.#passedBytes < COLLECT_BYTES) return;
    this.#passedBytes = 0;
    Bun.gc(true);
  }

  /** Makes a snapshot visible: the last thing that its run does. */
  async putManifest(manifest: SnapshotManifest | IncrementManifest): Promise<void> {
    await this.#assertWriter();
    await this.#putProven(manifest.name, Buffer.from(writeManifest(manifest)));
  }

  async putSegment(segment: Segment): Promise<SegmentName> {
    const name = segmentName(segment);
    await this.#assertWriter();
    const stored = await this.#putProven(name, encodeSegment(segment));
    return { name, after: segment.after, last: segment.last, stored, at: Date.parse(segment.shippedAt) };
  }

  /** Reads back what it has written: only then does it count. What the destination does not give back does not stay. */
  async #putProven(name: string, plain: Uint8Array): Promise<number> {
    const sealed = seal(this.#key, name, plain);
    await this.destination.put(name, sealed);
    const found = await this.destination.get(name);
    if (found && Buffer.compare(found, sealed) === 0) return sealed.length;
    await this.destination.remove(name);
    throw new BackupError(
      found ? "altered" : "missing",
      `Could not write "${name}" of the backup: the destination ${found ? "gives back other bytes" : "does not have it afterwards"}`,
      { hint: "It is written again with the next try; if it happens again, do not trust the destination." },
    );
  }

  async #putSealed(name: string, plain: Uint8Array): Promise<number> {
    const sealed = seal(this.#key, name, plain);
    await this.destination.put(name, sealed);
    return sealed.length;
  }

  /** Every object there is: its id and the bytes that it takes. */
  async *objects(): AsyncIterable<StoredFile & { readonly id: string }> {
    for await (const file of this.destination.list(OBJECTS_FOLDER)) {
      const id = /^objects\/[0-9a-f]{2}\/([0-9a-f]{64})$/.exec(file.name)?.[1];
      if (id !== undefined) yield { ...file, id };
    }
  }
}

export function objectName(id: string): string {
  return `${OBJECTS_FOLDER}${id.slice(0, 2)}/${id}`;
}

/** The name of a snapshot or increment that is begun now: later than `after`, also where the clock was set back since. */
export function manifestName(folder: string, now: number, after = 0): string {
  const time = new Date(Math.max(now, after + 1)).toISOString().replaceAll(/[-:]/g, "");
  return `${folder}${time}-${randomBytes(4).toString("hex")}`;
}

/** Unix milliseconds; undefined for what is no such name. */
function timeOfName(name: string): number | undefined {
  const found = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d\.\d{3})Z-[0-9a-f]{8}$/.exec(name);
  if (!found) return undefined;
  const [, year, month, day, hour, minute, second] = found;
  const at = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(at) ? undefined : at;
}

function parseIdentity(bytes: Uint8Array, where: string): RepositoryIdentity {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    value = undefined;
  }
  const parsed = identitySchema.safeParse(value);
  if (!parsed.success) {
    throw new BackupError(
      "altered",
      `Could not open the backup "${where}": its file "${IDENTITY_FILE}" is not as kith wrote it`,
      { hint: "It is in plain text: put it back as it was, from a copy of the destination." },
    );
  }
  if (parsed.data.version === FORMAT_VERSION) return parsed.data;
  throw new BackupError(
    "newer",
    `Could not open the backup "${where}": its format is ${parsed.data.version}, and this version of kith knows ${FORMAT_VERSION}`,
  );
}

/** Why a destination without identity is no backup. */
async function notThere(destination: Destination): Promise<BackupError> {
  for await (const { name } of destination.list("")) {
    return new BackupError(
      "foreign",
      `"${destination.where}" is no backup of kith: it has "${name}" and no "${IDENTITY_FILE}"`,
    );
  }
  return new BackupError("empty", `There is no backup in "${destination.where}"`, {
    hint: '"kith backup" begins one. If there was one, is the disk mounted, and is the name right?',
  });
}
