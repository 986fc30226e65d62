/**
 * One file of a destination: what is in it is compressed where that helps, then sealed with AES-256-GCM. The associated data
 * is its name, so that a file which was moved to another name does not open.
 */
import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { BackupError } from "./backup_error.ts";
import type { BackupKey } from "./backup_key.ts";

const CIPHER = "aes-256-gcm";
/** Every sealed file begins with it. */
const MAGIC = Buffer.from("KBK1");
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const FRAME_BYTES = MAGIC.length + NONCE_BYTES + TAG_BYTES;
/** The first byte of what is sealed. */
const STORED = 0;
const COMPRESSED = 1;
const ZSTD_LEVEL = 3;
/** Below this there is nothing to gain. */
const COMPRESS_FROM_BYTES = 128;
/** Whether a larger one is compressed says a part of it: images and films are so already. */
const SAMPLE_BYTES = 32 * 1024;
const SAMPLE_RATIO_MAX = 0.97;

/** The file that holds `plain` under `name`. Takes some milliseconds of its thread for a large one. */
export function seal(key: BackupKey, name: string, plain: Uint8Array): Uint8Array {
  const packed = isWorthPacking(plain) ? Bun.zstdCompressSync(plain, { level: ZSTD_LEVEL }) : undefined;
  const isSmaller = packed !== undefined && packed.length < plain.length;
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key.sealingKey, nonce);
  cipher.setAAD(Buffer.from(name));
  const head = cipher.update(Uint8Array.of(isSmaller ? COMPRESSED : STORED));
  const body = cipher.update(isSmaller ? packed : plain);
  return Buffer.concat([MAGIC, nonce, head, body, cipher.final(), cipher.getAuthTag()]);
}

function isWorthPacking(plain: Uint8Array): boolean {
  if (plain.length <= 2 * SAMPLE_BYTES) return plain.length >= COMPRESS_FROM_BYTES;
  const middle = Math.floor((plain.length - SAMPLE_BYTES) / 2);
  const sample = plain.subarray(middle, middle + SAMPLE_BYTES);
  return Bun.zstdCompressSync(sample, { level: 1 }).length < SAMPLE_BYTES * SAMPLE_RATIO_MAX;
}

export interface OpenOptions {
  readonly name: string;
  /** Of the file, where it is known: another size is told as such. */
  readonly storedBytes?: number;
}

/** What `seal` was given. Throws BackupError truncated, altered. */
export function unseal(key: BackupKey, file: Uint8Array, { name, storedBytes }: OpenOptions): Uint8Array {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  if (bytes.length <= FRAME_BYTES || (storedBytes !== undefined && bytes.length < storedBytes)) {
    const expected = storedBytes === undefined ? "" : ` of ${storedBytes}`;
    throw new BackupError(
      "truncated",
      `Could not read "${name}" of the backup: only ${bytes.length} bytes${expected} are there`,
    );
  }
  const altered = (why: string, cause?: unknown) =>
    new BackupError("altered", `Could not read "${name}" of the backup: ${why}`, { cause });
  if (!bytes.subarray(0, MAGIC.length).equals(MAGIC)) throw altered("kith did not write what is there");
  let plain: Buffer;
  try {
    const nonce = bytes.subarray(MAGIC.length, MAGIC.length + NONCE_BYTES);
    const decipher = createDecipheriv(CIPHER, key.sealingKey, nonce);
    decipher.setAAD(Buffer.from(name));
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
    const sealed = bytes.subarray(MAGIC.length + NONCE_BYTES, -TAG_BYTES);
    plain = decipher.update(sealed);
    decipher.final();
  } catch (cause) {
    throw altered("it was altered, or is a file of another place or backup", cause);
  }
  const body = plain.subarray(1);
  if (plain[0] === STORED) return body;
  if (plain[0] !== COMPRESSED) throw altered(`it is packed in an unknown way (${plain[0]})`);
  return Bun.zstdDecompressSync(body);
}
