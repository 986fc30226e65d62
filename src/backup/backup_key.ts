/** The key of a backup: 32 random bytes, written as text with a checksum, so that a mistyped one is told from a wrong one. */
import { createHash, createHmac, hkdfSync, randomBytes, timingSafeEqual } from "node:crypto";
import { KithError } from "../errors.ts";

const PREFIX = "kithbk1_";
const KEY_BYTES = 32;
const CHECKSUM_BYTES = 4;
const SUBKEY_BYTES = 32;

/** A new key, as text. */
export function newBackupKey(): string {
  const key = randomBytes(KEY_BYTES);
  return `${PREFIX}${Buffer.concat([key, checksum(key)]).toString("base64url")}`;
}

export class BackupKey {
  readonly #subkeys: Readonly<Record<"name" | "seal" | "check", Uint8Array>>;

  private constructor(key: Uint8Array) {
    const subkey = (purpose: string) =>
      new Uint8Array(hkdfSync("sha256", key, "", `kith backup ${purpose}`, SUBKEY_BYTES));
    this.#subkeys = { name: subkey("name"), seal: subkey("seal"), check: subkey("check") };
  }

  /** Throws KithError config_invalid, which does not show the text. */
  static parse(text: string): BackupKey {
    const trimmed = text.trim();
    const bytes = Buffer.from(trimmed.slice(PREFIX.length), "base64url");
    const key = bytes.subarray(0, KEY_BYTES);
    const isWhole =
      trimmed.startsWith(PREFIX) &&
      bytes.length === KEY_BYTES + CHECKSUM_BYTES &&
      timingSafeEqual(bytes.subarray(KEY_BYTES), checksum(key));
    if (isWhole) return new BackupKey(key);
    throw new KithError("config_invalid", "Could not use the backup key: it is no whole key of kith", {
      hint: `A key begins with "${PREFIX}" and is what "kith backup new-key" printed, to the last letter.`,
    });
  }

  /** What an object with this content is called: only who has the key can tell which content a name stands for. */
  objectId(plain: Uint8Array): string {
    return createHmac("sha256", this.#subkeys.name).update(plain).digest("hex");
  }

  /** For AES-256-GCM. */
  get sealingKey(): Uint8Array {
    return this.#subkeys.seal;
  }

  /** What a repository keeps to know its key again; tells nothing about the key. */
  checkOf(repository: string): string {
    return createHmac("sha256", this.#subkeys.check).update(repository).digest("hex");
  }

  isKeyOf({ id, check }: { id: string; check: string }): boolean {
    const own = Buffer.from(this.checkOf(id));
    const given = Buffer.from(check);
    return own.length === given.length && timingSafeEqual(own, given);
  }
}

function checksum(key: Uint8Array): Uint8Array {
  return createHash("sha256").update("kith backup key").update(key).digest().subarray(0, CHECKSUM_BYTES);
}
