/** Where backups are kept: a store of whole files by name, in a folder or a bucket. It knows nothing of what is in them. */

/** What is asked of a destination at a time: enough to hide its latency, few enough for its limits. */
export const REQUESTS_AT_ONCE = 8;

export interface StoredFile {
  /** With forward slashes: "objects/ab/ab12...". */
  readonly name: string;
  readonly size: number;
  /** Unix milliseconds of its writing, by the clock of the destination. */
  readonly at: number;
}

export interface Destination {
  /** For people: the folder, or s3://bucket/prefix. */
  readonly where: string;
  /** Writes a file under its name, durable and whole when it resolves; one that was there is replaced at once. */
  put(name: string, bytes: Uint8Array): Promise<void>;
  /** Undefined where there is no such file. */
  get(name: string): Promise<Uint8Array | undefined>;
  /** Undefined where there is no such file. */
  size(name: string): Promise<number | undefined>;
  /** Every file below a folder ("objects/", "" for all), in the order of the names. Half-written ones are not among them. */
  list(folder: string): AsyncIterable<StoredFile>;
  /** Nothing where it is not there. */
  remove(name: string): Promise<void>;
  /** Removes what runs have left behind that were cut off; nothing that is being written. */
  sweep(): Promise<void>;
}

/** A name that `put` takes: parts of letters, digits, dots, dashes and underscores, none of them "." or "..". */
export function assertFileName(name: string): void {
  if (/^(?!.*(?:^|\/)\.{1,2}(?:\/|$))[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/.test(name)) return;
  throw new TypeError(`"${name}" is no name of a file in a backup`);
}
