/** Signing keys made before their account: whoever moves here may put one into the DID document first. */
import type { KeyType } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { Hub } from "./hub.ts";
import type { Keyring, SealedPlace } from "./keyring.ts";

/** Keys held at a time: anybody may ask for one. */
export const RESERVED_KEYS_MAX = 10_000;
/** A key that no account has taken by then is gone. */
export const RESERVED_KEY_LIFETIME_MS = 30 * 24 * 3_600_000;

export interface ReservedKey {
  /** The DID that it is for, or the key's own did:key. */
  readonly id: string;
  readonly didKey: string;
  readonly type: KeyType;
  readonly privateKey: Uint8Array;
}

export class ReservedKeyStore {
  readonly #hub: Hub;
  readonly #keyring: Keyring;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#keyring = keyring;
  }

  /** The key reserved under an id, or undefined. */
  find(id: string): ReservedKey | undefined {
    const row = this.#hub.readOne<{ did_key: string; key_type: KeyType; signing_key: Uint8Array }>(
      "SELECT did_key, key_type, signing_key FROM reserved_key WHERE id = ?",
      id,
    );
    if (!row) return undefined;
    const privateKey = this.#keyring.unseal(row.signing_key, placeOf(id));
    return { id, didKey: row.did_key, type: row.key_type, privateKey };
  }

  /** Keeps a key, durably, and returns the did:key that stands: one that was there before stays. KithError busy. */
  async reserve(key: ReservedKey & { readonly now: number }): Promise<string> {
    const { id, didKey, type, now } = key;
    const sealed = this.#keyring.seal(key.privateKey, placeOf(id));
    await this.#hub.write((run) => {
      run("DELETE FROM reserved_key WHERE created_at < ?", now - RESERVED_KEY_LIFETIME_MS);
      const held = this.#hub.readOne<{ n: number }>("SELECT count(*) n FROM reserved_key")?.n ?? 0;
      if (held >= RESERVED_KEYS_MAX) {
        throw new KithError("busy", `Could not reserve a key: ${RESERVED_KEYS_MAX} are reserved already`);
      }
      run(
        `INSERT INTO reserved_key (id, did_key, key_type, signing_key, created_at) VALUES (?, ?, ?, ?, ?)
         ON CONFLICT (id) DO NOTHING`,
        id,
        didKey,
        type,
        sealed,
        now,
      );
    });
    return this.find(id)?.didKey ?? didKey;
  }

  /** After an account has taken it. */
  async forget(id: string): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM reserved_key WHERE id = ?", id);
    });
  }

  /** Seals every key anew under the newest key of the keyring. */
  async resealKeys(): Promise<number> {
    return this.#hub.write((run) => {
      const rows = this.#hub.read<{ id: string; signing_key: Uint8Array }>(
        "SELECT id, signing_key FROM reserved_key",
      );
      for (const { id, signing_key } of rows) {
        run(
          "UPDATE reserved_key SET signing_key = ? WHERE id = ?",
          this.#keyring.reseal(signing_key, placeOf(id)),
          id,
        );
      }
      return rows.length;
    });
  }
}

function placeOf(id: string): SealedPlace {
  return { purpose: "signing keys", table: "reserved_key", column: "signing_key", row: id };
}
