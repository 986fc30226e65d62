/**
 * Sealing of what must be read back: AES-256-GCM under a subkey per purpose of one master key. The associated data names
 * the place of the value, so that a sealed value which was moved elsewhere does not open.
 */
import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { KithError } from "../errors.ts";
import { syncFolder } from "./data_folder.ts";

const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** A sealed value: key version (4 bytes, big endian), nonce, ciphertext, tag. */
const VERSION_BYTES = 4;
const CIPHER = "aes-256-gcm";

/** Where a sealed value lives, and what for. */
export interface SealedPlace {
  /** What the key is used for: a subkey of its own. */
  readonly purpose: string;
  readonly table: string;
  readonly column: string;
  /** The row's primary key. */
  readonly row: string;
}

interface KeyFile {
  /** Version -> key as hex. */
  readonly keys: Readonly<Record<string, string>>;
}

export class Keyring {
  readonly #path: string;
  readonly #keys: Map<number, Uint8Array>;
  readonly #subkeys = new Map<string, Uint8Array>();

  private constructor(path: string, keys: Map<number, Uint8Array>) {
    this.#path = path;
    this.#keys = keys;
  }

  /**
   * Reads the keyring, and makes it, mode 0600, where there is none. For start-up: blocks.
   * Throws KithError data_folder_refused on a file that is no keyring.
   */
  static open(path: string): Keyring {
    if (existsSync(path)) return new Keyring(path, readKeys(path));
    const keyring = new Keyring(path, new Map([[1, randomBytes(KEY_BYTES)]]));
    keyring.#save();
    return keyring;
  }

  /** The version that new values are sealed with. */
  get currentVersion(): number {
    return Math.max(...this.#keys.keys());
  }

  /** Adds a key, durably: values sealed from now on use it. Those sealed before open as ever; reseal them. */
  rotate(): number {
    const version = this.currentVersion + 1;
    this.#keys.set(version, randomBytes(KEY_BYTES));
    this.#save();
    return version;
  }

  seal(plain: Uint8Array, place: SealedPlace): Uint8Array {
    const version = this.currentVersion;
    const nonce = randomBytes(NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#subkey(version, place.purpose), nonce);
    cipher.setAAD(associatedData(version, place));
    const head = Buffer.alloc(VERSION_BYTES);
    head.writeUInt32BE(version);
    return Buffer.concat([head, nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** Throws KithError storage_damaged where the value was altered, moved, or sealed by a key that is not here. */
  unseal(sealed: Uint8Array, place: SealedPlace): Uint8Array {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    try {
      const version = bytes.readUInt32BE(0);
      const nonce = bytes.subarray(VERSION_BYTES, VERSION_BYTES + NONCE_BYTES);
      const decipher = createDecipheriv(CIPHER, this.#subkey(version, place.purpose), nonce);
      decipher.setAAD(associatedData(version, place));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      const body = bytes.subarray(VERSION_BYTES + NONCE_BYTES, -TAG_BYTES);
      return Buffer.concat([decipher.update(body), decipher.final()]);
    } catch (cause) {
      const { table, column, row } = place;
      throw new KithError(
        "storage_damaged",
        `Could not open the sealed value ${table}.${column} of "${row}"`,
        {
          cause,
          hint: `It was altered or moved, or "${this.#path}" is not the keyring that it was sealed with.`,
        },
      );
    }
  }

  /** The same value under the newest key. */
  reseal(sealed: Uint8Array, place: SealedPlace): Uint8Array {
    return this.seal(this.unseal(sealed, place), place);
  }

  #subkey(version: number, purpose: string): Uint8Array {
    const name = `${version}|${purpose}`;
    let subkey = this.#subkeys.get(name);
    if (!subkey) {
      const key = this.#keys.get(version);
      if (!key) throw new RangeError(`the keyring has no key of version ${version}`);
      subkey = new Uint8Array(hkdfSync("sha256", key, "", `kith ${purpose}`, KEY_BYTES));
      this.#subkeys.set(name, subkey);
    }
    return subkey;
  }

  /** Whole or not at all, also in a power cut. */
  #save(): void {
    const keys = Object.fromEntries(
      [...this.#keys].map(([version, key]) => [version, Buffer.from(key).toString("hex")]),
    );
    const part = `${this.#path}.part`;
    const fd = openSync(part, "w", 0o600);
    try {
      writeSync(fd, `${JSON.stringify({ keys } satisfies KeyFile)}\n`);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(part, this.#path);
    syncFolder(dirname(this.#path));
  }
}

function associatedData(version: number, { table, column, row }: SealedPlace): Uint8Array {
  return Buffer.from(JSON.stringify([table, column, row, version]));
}

function readKeys(path: string): Map<number, Uint8Array> {
  try {
    if (!statSync(path).isFile()) throw new Error("it is no regular file");
    const { keys } = JSON.parse(readFileSync(path, "utf8")) as KeyFile;
    const parsed = Object.entries(keys).map(
      ([version, hex]) => [Number(version), Buffer.from(hex, "hex")] as const,
    );
    const valid = parsed.every(([version, key]) => Number.isSafeInteger(version) && key.length === KEY_BYTES);
    if (parsed.length === 0 || !valid) throw new Error("it holds no keys");
    return new Map(parsed);
  } catch (cause) {
    throw new KithError("data_folder_refused", `Could not read the keyring "${path}"`, {
      cause,
      hint: "Restore it from a backup: without it the accounts' signing keys cannot be opened.",
    });
  }
}
