import { sha256 } from "../cid.ts";

/** Longest repo path: an NSID of 317 bytes, a slash, a record key of 512. */
export const KEY_BYTES_MAX = 830;

const REPO_PATH = /^[A-Za-z0-9.-]{1,317}\/[A-Za-z0-9._:~-]{1,512}$/;

/**
 * True for the shape of a repo path, `collection/rkey`: two segments of their allowed characters.
 * That the collection is a valid NSID is the caller's to check.
 * https://atproto.com/specs/repository#repo-data-structure-v3
 */
export function isRepoPath(text: string): boolean {
  return REPO_PATH.test(text) && !text.endsWith("/.") && !text.endsWith("/..");
}

/** The layer of a key in the tree: leading zero bits of its SHA-256, in pairs. 0 for three keys of four. */
export function keyDepth(key: string): number {
  const digest = sha256(Buffer.from(key, "latin1"));
  let depth = 0;
  for (const byte of digest) {
    if (byte !== 0) return depth + ((Math.clz32(byte) - 24) >> 1);
    depth += 4;
  }
  return depth;
}

/** Length of the prefix that two keys share. */
export function commonPrefix(left: string, right: string): number {
  const end = Math.min(left.length, right.length);
  let at = 0;
  while (at < end && left.charCodeAt(at) === right.charCodeAt(at)) at++;
  return at;
}

/** Index of the first of the ascending `keys` that is not below `key`. ASCII: string order is byte order. */
export function lowerBound(keys: readonly string[], key: string): number {
  let low = 0;
  let high = keys.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((keys[middle] as string) < key) low = middle + 1;
    else high = middle;
  }
  return low;
}
