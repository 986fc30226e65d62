/** Base32 of CIDs, ten bits at a time: several times what a general encoder of bytes does. */

/** Bytes of a CID: 35 in seven groups of 40 bits, and one more. */
const GROUPS = 7;
/** The text form with its prefix. */
export const CID_TEXT_BYTES = 59;

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
/** The two characters of ten bits, the first in the low byte. */
const PAIRS = Uint16Array.from(
  { length: 1024 },
  (_, bits) => ALPHABET.charCodeAt(bits >> 5) | (ALPHABET.charCodeAt(bits & 31) << 8),
);

/** Writes the 36 bytes of a CID at `from` as text at `to`, which takes CID_TEXT_BYTES. */
export function writeCidText(source: Uint8Array, from: number, target: Uint8Array, to: number): void {
  let at = to;
  target[at++] = 0x62; // "b"
  for (let group = 0; group < GROUPS; group++) {
    const start = from + group * 5;
    const first = source[start] as number;
    const second = source[start + 1] as number;
    const third = source[start + 2] as number;
    const fourth = source[start + 3] as number;
    const fifth = source[start + 4] as number;
    at = writePair(target, at, (first << 2) | (second >> 6));
    at = writePair(target, at, ((second & 0x3f) << 4) | (third >> 4));
    at = writePair(target, at, ((third & 0x0f) << 6) | (fourth >> 2));
    at = writePair(target, at, ((fourth & 0x03) << 8) | fifth);
  }
  writePair(target, at, (source[from + GROUPS * 5] as number) << 2);
}

function writePair(target: Uint8Array, at: number, bits: number): number {
  const pair = PAIRS[bits] as number;
  target[at] = pair & 0xff;
  target[at + 1] = pair >> 8;
  return at + 2;
}
