/**
 * Changes of handle or signing key that are under way: names that are reserved, and sealed keys that a DID document may
 * name soon. A change lies here from before the network can know of it until the accounts repeat what the account's file
 * says; what is found here after a crash is looked up at the directory, and finished or dropped.
 */
import { type KeyType, type Signer, signerFromPrivateKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { accountKeyPlace, accountSigner } from "./_signing_keys.ts";
import type { Hub, Run } from "./hub.ts";
import type { Keyring, SealedPlace } from "./keyring.ts";
import type { IdentityFacts } from "./repo_changes.ts";
import { isUniqueViolation } from "./sqlite.ts";

export interface NewIdentityChange {
  readonly did: string;
  /** In lower case. */
  readonly handle?: string | undefined;
  readonly signingKey?:
    | { readonly didKey: string; readonly type: KeyType; readonly privateKey: Uint8Array }
    | undefined;
  /** Unix milliseconds. */
  readonly now: number;
}

/** A change as it waits: either of the two is set. */
export interface IdentityChangeRow {
  readonly did: string;
  readonly handle: string | null;
  readonly didKey: string | null;
}

interface PendingKey {
  readonly type: KeyType;
  readonly privateKey: Uint8Array;
}

export class IdentityChangeStore {
  readonly #hub: Hub;
  readonly #keyring: Keyring;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#keyring = keyring;
  }

  /** Reserves the handle, keeps the key sealed. One change at a time for a DID. Throws KithError handle_not_available. */
  async begin({ did, handle, signingKey: key, now }: NewIdentityChange): Promise<void> {
    const sealed = key ? this.#keyring.seal(key.privateKey, placeOf(did)) : null;
    await this.#hub.write((run) => {
      if (handle !== undefined) this.#refuseTaken(handle, did);
      run(
        `INSERT INTO identity_change (did, handle, did_key, key_type, signing_key, started_at)
         VALUES (?, ?, ?, ?, ?, ?)`,
        did,
        handle ?? null,
        key?.didKey ?? null,
        key?.type ?? null,
        sealed,
        now,
      );
    });
  }

  #refuseTaken(handle: string, did: string): void {
    const holder = this.#hub.readOne<{ did: string }>(
      `SELECT did FROM account WHERE handle = ?1 AND did <> ?2
       UNION ALL SELECT did FROM identity_change WHERE handle = ?1 AND did <> ?2`,
      handle,
      did,
    );
    if (holder) throw handleTaken(handle);
  }

  /** In the order in which they were begun. */
  all(): IdentityChangeRow[] {
    return this.#hub.read(
      "SELECT did, handle, did_key AS didKey FROM identity_change ORDER BY started_at, did",
    );
  }

  find(did: string): IdentityChangeRow | undefined {
    return this.#hub.readOne("SELECT did, handle, did_key AS didKey FROM identity_change WHERE did = ?", did);
  }

  /** The handle is free again; the key stays where it was reserved. */
  async abandon(did: string): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM identity_change WHERE did = ?", did);
    });
  }

  /**
   * Repeats in the accounts what the account's own file says, and ends the change that led to it. Throws KithError
   * handle_not_available where another account has the handle: then the file is of another time than the accounts.
   */
  async project(did: string, { handle, signingKey }: IdentityFacts): Promise<void> {
    await this.#hub.write((run) => {
      if (handle !== undefined) setHandle(run, did, handle);
      if (signingKey !== undefined) this.#takeKey(run, did, signingKey);
      const change = this.find(did);
      const isDone = change?.handle === null ? change.didKey === signingKey : change?.handle === handle;
      if (change && isDone) run("DELETE FROM identity_change WHERE did = ?", did);
    });
  }

  #takeKey(run: Run, did: string, didKey: string): void {
    const key = this.#pendingKey(did, didKey);
    if (!key) return;
    const sealed = this.#keyring.seal(key.privateKey, accountKeyPlace(did));
    run("UPDATE account SET key_type = ?, signing_key = ? WHERE did = ?", key.type, sealed, did);
    run("DELETE FROM reserved_key WHERE did_key = ?", didKey);
  }

  /**
   * The account's signing key, unsealed; with `didKey` that very key, also where the change to it has not been repeated in
   * the accounts yet. Throws KithError account_not_found, storage_damaged.
   */
  signer(did: string, didKey?: string): Signer {
    const signer = accountSigner(this.#hub, this.#keyring, did);
    if (didKey === undefined || signer.didKey === didKey) return signer;
    const pending = this.#pendingKey(did, didKey);
    if (pending) return signerFromPrivateKey(pending.type, pending.privateKey);
    throw new KithError("storage_damaged", `The key "${didKey}", which signs the repo "${did}", is not here`);
  }

  #pendingKey(did: string, didKey: string): PendingKey | undefined {
    const row = this.#hub.readOne<{ key_type: KeyType; signing_key: Uint8Array }>(
      "SELECT key_type, signing_key FROM identity_change WHERE did = ? AND did_key = ?",
      did,
      didKey,
    );
    return row && { type: row.key_type, privateKey: this.#keyring.unseal(row.signing_key, placeOf(did)) };
  }

  /** Seals every key anew under the newest key of the keyring. */
  async resealKeys(): Promise<number> {
    return this.#hub.write((run) => {
      const rows = this.#hub.read<{ did: string; sealed: Uint8Array }>(
        "SELECT did, signing_key AS sealed FROM identity_change WHERE signing_key IS NOT NULL",
      );
      for (const { did, sealed } of rows) {
        const anew = this.#keyring.reseal(sealed, placeOf(did));
        run("UPDATE identity_change SET signing_key = ? WHERE did = ?", anew, did);
      }
      return rows.length;
    });
  }
}

function setHandle(run: Run, did: string, handle: string): void {
  try {
    run("UPDATE account SET handle = ? WHERE did = ? AND state <> 'deleted'", handle, did);
  } catch (error) {
    throw isUniqueViolation(error, "account.handle") ? handleTaken(handle) : error;
  }
}

function handleTaken(handle: string): KithError {
  return new KithError("handle_not_available", `Handle already taken: ${handle}`);
}

function placeOf(did: string): SealedPlace {
  return { purpose: "signing keys", table: "identity_change", column: "signing_key", row: did };
}
