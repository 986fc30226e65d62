/** Where signing keys lie sealed. */
import { type KeyType, type Signer, signerFromPrivateKey } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { Hub } from "./hub.ts";
import type { Keyring, SealedPlace } from "./keyring.ts";

/** The place of an account's key. */
export function accountKeyPlace(did: string): SealedPlace {
  return { purpose: "signing keys", table: "account", column: "signing_key", row: did };
}

/** The account's signing key, unsealed. Throws KithError account_not_found, storage_damaged. */
export function accountSigner(hub: Hub, keyring: Keyring, did: string): Signer {
  const row = hub.readOne<{ key_type: KeyType; signing_key: Uint8Array | null }>(
    "SELECT key_type, signing_key FROM account WHERE did = ?",
    did,
  );
  if (!row?.signing_key) throw new KithError("account_not_found", `There is no signing key of "${did}"`);
  return signerFromPrivateKey(row.key_type, keyring.unseal(row.signing_key, accountKeyPlace(did)));
}
