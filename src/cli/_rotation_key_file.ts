/**
 * The file of a rotation key: the private key in its first line, in the multibase form that goat and others print and read, and
 * lines that begin with "#" for people and for going on with a community that was not finished. Made once, never overwritten.
 */
import { createHash, randomBytes } from "node:crypto";
import {
  appendFileSync,
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, resolve } from "node:path";
import { fromBase58Btc, toBase32, toBase58Btc } from "@atcute/multibase";
import { generatePrivateKey, type KeyType, type Signer, signerFromPrivateKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { syncFolder } from "../storage/mod.ts";

const OWNER_ONLY = 0o600;
const OTHERS = 0o077;
const FILE_BYTES_MAX = 64 * 1_024;
const PRIVATE_KEY_BYTES = 32;
/** Longer than any key in base58; decoding base58 is quadratic. */
const KEY_CHARS_MAX = 128;
/** Multicodec varints: secp256k1-priv 0x1301, p256-priv 0x1306. */
const CODECS: Readonly<Record<KeyType, readonly [number, number]>> = {
  k256: [0x81, 0x26],
  p256: [0x86, 0x26],
};
const ROTATION_PURPOSE = [
  "The line above is the private rotation key of a community. Who has it rules the community's identity:",
  "keep it secret, keep a copy elsewhere. No server has it, and nobody can restore it.",
];
const KEY_TYPES = ["p256", "k256"] as const;

export interface RotationKey {
  readonly didKey: string;
  /** For which community it was made. */
  readonly handle: string | undefined;
  readonly idempotencyKey: string | undefined;
  /** The DID that it rules. */
  readonly community: string | undefined;
  /** Whether others than its owner may read the file. */
  readonly isOpen: boolean;
}

/** "z" and base58btc, as `goat key generate` has it. */
export function privateKeyToMultibase(type: KeyType, privateKey: Uint8Array): string {
  return `z${toBase58Btc(Uint8Array.from([...CODECS[type], ...privateKey]))}`;
}

/** Undefined where it is no private key of either curve. */
export function parsePrivateMultibase(text: string): { type: KeyType; privateKey: Uint8Array } | undefined {
  if (!text.startsWith("z") || text.length > KEY_CHARS_MAX) return undefined;
  let bytes: Uint8Array;
  try {
    bytes = fromBase58Btc(text.slice(1));
  } catch {
    return undefined;
  }
  const type = KEY_TYPES.find((one) => bytes[0] === CODECS[one][0] && bytes[1] === CODECS[one][1]);
  const privateKey = bytes.subarray(2);
  return type === undefined || privateKey.length !== PRIVATE_KEY_BYTES ? undefined : { type, privateKey };
}

/** The key in a file, or undefined where there is no file. Throws KithError config_invalid. */
export function readRotationKey(path: string): RotationKey | undefined {
  let text: string;
  let mode: number;
  try {
    const { size, mode: found } = statSync(path);
    mode = found;
    text = size > FILE_BYTES_MAX ? "" : readFileSync(path, "utf8");
  } catch (cause) {
    if ((cause as { code?: unknown }).code === "ENOENT") return undefined;
    throw new KithError("config_invalid", `The key file "${path}" cannot be read`, { cause });
  }
  const lines = text.split(/\r?\n/).map((line) => line.trim());
  const key = parsePrivateMultibase(lines.find((line) => line !== "" && !line.startsWith("#")) ?? "");
  const note = (name: string) =>
    lines.findLast((line) => line.startsWith(`# ${name}: `))?.slice(`# ${name}: `.length);
  try {
    if (key === undefined) throw new RangeError("no private key");
    const { didKey } = signerFromPrivateKey(key.type, key.privateKey);
    return {
      didKey,
      handle: note("handle"),
      idempotencyKey: note("idempotency-key"),
      community: note("community"),
      isOpen: (mode & OTHERS) !== 0,
    };
  } catch {
    throw new KithError("config_invalid", `The first line of "${path}" is no private key as goat prints it`, {
      hint: "Name another file with --key-file FILE: one that is not there yet is made.",
    });
  }
}

/** The private key in a file. Throws KithError config_invalid. */
export function readSigner(path: string): Signer {
  if (readRotationKey(path) === undefined)
    throw new KithError("config_invalid", `There is no key file "${path}"`, {
      hint: "Name it with --key-file FILE.",
    });
  const lines = readFileSync(path, "utf8").split(/\r?\n/);
  const line = lines.map((one) => one.trim()).find((one) => one !== "" && !one.startsWith("#"));
  const { type, privateKey } = parsePrivateMultibase(line ?? "") ?? {};
  if (type === undefined || privateKey === undefined)
    throw new KithError("config_invalid", `The key file "${path}" has changed while it was read`);
  return signerFromPrivateKey(type, privateKey);
}

/** Makes a key and its file, which is on the disk when it returns. Throws KithError config_invalid. */
export function makeRotationKey(
  path: string,
  {
    type,
    handle,
    idempotencyKey,
    purpose = ROTATION_PURPOSE,
  }: {
    type: KeyType;
    handle: string | undefined;
    idempotencyKey: string | undefined;
    /** The lines below the key, for people. */
    purpose?: readonly string[];
  },
): RotationKey {
  const privateKey = randomPrivateKey(type);
  const { didKey } = signerFromPrivateKey(type, privateKey);
  const key = idempotencyKey ?? toBase32(randomBytes(16));
  const text = `${privateKeyToMultibase(type, privateKey)}
${purpose.map((line) => `# ${line}\n`).join("")}# public key: ${didKey}
${handle === undefined ? "" : `# handle: ${handle}\n`}# idempotency-key: ${key}
`;
  const absolute = resolve(path);
  try {
    mkdirSync(dirname(absolute), { recursive: true });
    const descriptor = openSync(absolute, "wx", OWNER_ONLY);
    try {
      writeSync(descriptor, text);
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    syncFolder(dirname(absolute));
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new KithError("config_invalid", `Could not write the key file "${path}": ${reason}`, { cause });
  }
  return { didKey, handle, idempotencyKey: key, community: undefined, isOpen: false };
}

/** Notes which community the key rules. */
export function noteCommunity(path: string, did: string): void {
  appendFileSync(path, `# community: ${did}\n`, { flush: true });
}

/** One that is the same for the same request, where there is no file to keep one in. */
export function derivedIdempotencyKey(parts: readonly (string | undefined)[]): string {
  return `kith-${toBase32(createHash("sha256").update(JSON.stringify(parts)).digest()).slice(0, 32)}`;
}

/** Of P-256, one in 2^32 random numbers is no key. */
function randomPrivateKey(type: KeyType): Uint8Array {
  try {
    return generatePrivateKey(type, randomBytes(PRIVATE_KEY_BYTES));
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return randomPrivateKey(type);
  }
}
