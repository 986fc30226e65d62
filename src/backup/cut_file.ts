/**
 * Cuts files into pieces. A SQLite file is cut between pages, at places that its content decides: where rows were added or
 * removed the cuts before and soon after are as they were, and so are the pieces. Everything else is cut by length.
 */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync } from "node:fs";
import type { ChunkRef } from "./manifest.ts";
import type { ObjectWriter } from "./object_writer.ts";

/** A piece of a blob and the like. */
export const PIECE_BYTES = 1024 * 1024;
const READ_BYTES = 256 * 1024;
const PAGE_BYTES = 4096;
const PAGES_MIN = 16;
const PAGES_MAX = 128;
/** One page in so many ends a piece. */
const CUT_EVERY_PAGES = 32;

/** Where a piece of these bytes ends that begins at their beginning: all of them where nothing ends it before. */
export type Cut = (bytes: Uint8Array) => number;

export function cutByLength(bytes: Uint8Array): number {
  return Math.min(bytes.length, PIECE_BYTES);
}

export function cutByPages(bytes: Uint8Array): number {
  const pages = Math.min(Math.floor(bytes.length / PAGE_BYTES), PAGES_MAX);
  for (let page = PAGES_MIN; page <= pages; page += 1) {
    const last = bytes.subarray((page - 1) * PAGE_BYTES, page * PAGE_BYTES);
    if (Bun.hash.xxHash32(last) % CUT_EVERY_PAGES === 0) return page * PAGE_BYTES;
  }
  return pages === PAGES_MAX ? PAGES_MAX * PAGE_BYTES : bytes.length;
}

export interface PutFile {
  readonly size: number;
  readonly sha256: string;
  /** Once all of it is in the destination. */
  readonly stored: Promise<ChunkRef[]>;
}

/** Puts the bytes that `source` gives into the destination. Resolves when all were read. */
export async function putStream(
  source: AsyncIterable<Uint8Array>,
  { writer, cut }: { writer: ObjectWriter; cut: Cut },
): Promise<PutFile> {
  const hash = createHash("sha256");
  const pieces: Promise<ChunkRef>[] = [];
  // What has been read and not been cut: one buffer for the whole file.
  const waiting = new Uint8Array(PIECE_BYTES);
  let [size, filled] = [0, 0];
  const putOne = async (): Promise<void> => {
    const length = cut(waiting.subarray(0, filled));
    const { stored } = await writer.put(waiting.slice(0, length));
    pieces.push(stored);
    waiting.copyWithin(0, length, filled);
    filled -= length;
  };
  for await (const bytes of source) {
    hash.update(bytes);
    size += bytes.length;
    for (let at = 0; at < bytes.length; ) {
      const part = bytes.subarray(at, at + PIECE_BYTES - filled);
      waiting.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled === PIECE_BYTES) await putOne();
    }
  }
  while (filled > 0) await putOne();
  const stored = Promise.all(pieces);
  stored.catch(() => {});
  return { size, sha256: hash.digest("hex"), stored };
}

/** The bytes of a file, in the thread of the caller; each time in the same buffer. */
export async function* fileBytes(path: string): AsyncIterable<Uint8Array> {
  const fd = openSync(path, "r");
  try {
    const buffer = new Uint8Array(READ_BYTES);
    for (;;) {
      const read = readSync(fd, buffer, 0, buffer.length, null);
      if (read === 0) return;
      yield buffer.subarray(0, read);
    }
  } finally {
    closeSync(fd);
  }
}
