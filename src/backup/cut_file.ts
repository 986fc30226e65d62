/**
 * Cuts files into pieces. A SQLite file is cut between pages, at places that its content decides: where rows were added or
 * removed the cuts before and soon after are as they were, and so are the pieces. Everything else is cut by length.
 */
import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { open } from "node:fs/promises";
import type { ChunkRef } from "./manifest.ts";
import type { ObjectWriter } from "./object_writer.ts";

/** A piece of a blob and the like. */
export const PIECE_BYTES = 1024 * 1024;
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
  let size = 0;
  let waiting = new Uint8Array(0);
  const take = async (isEnd: boolean): Promise<void> => {
    while (waiting.length >= PIECE_BYTES || (isEnd && waiting.length > 0)) {
      const length = cut(waiting);
      // A copy: what is on its way must not hold what is not.
      const { stored } = await writer.put(waiting.slice(0, length));
      pieces.push(stored);
      waiting = waiting.subarray(length);
    }
  };
  for await (const bytes of source) {
    hash.update(bytes);
    size += bytes.length;
    waiting = waiting.length === 0 ? new Uint8Array(bytes) : joined(waiting, bytes);
    await take(false);
  }
  await take(true);
  const stored = Promise.all(pieces);
  stored.catch(() => {});
  return { size, sha256: hash.digest("hex"), stored };
}

/** The bytes of a file. */
export async function* fileBytes(path: string): AsyncIterable<Uint8Array> {
  let file: FileHandle | undefined;
  try {
    file = await open(path, "r");
    const buffer = new Uint8Array(PIECE_BYTES);
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, buffer.length, null);
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file?.close();
  }
}

function joined(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}
