import { parseDidKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";

/** What is quoted of one in a message; those of both curves have 57 characters. */
const QUOTED_CHARS_MAX = 128;

/** Throws KithError invalid_request for a text that is no did:key of a curve that accounts sign with: `action` failed. */
export function checkDidKey(didKey: string, action: string): void {
  try {
    parseDidKey(didKey);
  } catch (cause) {
    if (!(cause instanceof KithError)) throw cause;
    const quoted = didKey.slice(0, QUOTED_CHARS_MAX);
    const message = `${action} "${quoted}": not a did:key of P-256 or K-256`;
    throw new KithError("invalid_request", message, { cause });
  }
}
