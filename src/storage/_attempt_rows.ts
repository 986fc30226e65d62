/** Rows of attempts at a community: their shape, and which of their columns are sealed. */
import type { KeyType } from "../atproto/mod.ts";
import { SealedColumns } from "./_sealed_columns.ts";
import type { Keyring } from "./keyring.ts";

export type AttemptState =
  | "planned"
  | "preflighted"
  | "genesisReady"
  | "genesisSubmitted"
  | "accountCreated"
  | "plcReady"
  | "plcUpdated"
  | "activated"
  | "credentialReady"
  | "declared"
  | "graduated"
  | "failed"
  | "reaping"
  | "archived";
export type AttemptKind = "native" | "loopback" | "remote" | "mint";

export interface AttemptError {
  /** The state in which the step that failed was taken. */
  readonly step: AttemptState;
  readonly code: string;
  readonly message: string;
  readonly at: number;
}

/** An attempt at a community. Times are Unix milliseconds. */
export interface Attempt {
  readonly id: string;
  /** The DID of who asked for it, whom alone it serves. */
  readonly caller: string;
  readonly idempotencyKey: string;
  /** SHA-256 of the request, hex. */
  readonly requestDigest: string;
  readonly kind: AttemptKind;
  readonly state: AttemptState;
  readonly handle: string | null;
  readonly pdsEndpoint: string | null;
  readonly pdsDid: string | null;
  /** The caller's did:key, whose private half was never here. */
  readonly rotationKey: string;
  readonly did: string | null;
  /** DAG-CBOR of the signed operations. */
  readonly genesis: Uint8Array | null;
  readonly update: Uint8Array | null;
  readonly tombstoneCid: string | null;
  /** Rises with every lease: whoever holds an older one keeps nothing any more. */
  readonly fence: number;
  readonly leaseUntil: number | null;
  readonly lastError: AttemptError | null;
  readonly createdAt: number;
  readonly updatedAt: number;
}

export interface AttemptSecrets {
  /** What was asked for, with its e-mail address and invite code; undefined once it is of no more use. */
  readonly request: unknown;
  /** The account's signing key: the temporary one of the stock flow, or the final one of a native account. */
  readonly signingKey: Uint8Array | null;
  readonly signingKeyType: KeyType | null;
  /** Our rotation key, P-256, below the caller's. */
  readonly subordinateKey: Uint8Array | null;
  readonly accountPassword: string | null;
  readonly appPassword: string | null;
}

export type AttemptSecret = "request" | "signingKey" | "subordinateKey" | "accountPassword" | "appPassword";

/** An attempt that is over without a community. */
export interface ArchivedAttempt {
  readonly id: string;
  readonly caller: string;
  readonly idempotencyKey: string;
  readonly kind: AttemptKind;
  /** The state that it was left in. */
  readonly state: AttemptState;
  readonly handle: string | null;
  readonly pdsEndpoint: string | null;
  readonly did: string | null;
  readonly rotationKey: string;
  readonly lastError: AttemptError | null;
  readonly tombstoneCid: string | null;
  readonly note: string;
  /** When its keys are erased; null where there are none (any more). */
  readonly eraseAt: number | null;
  readonly createdAt: number;
  readonly archivedAt: number;
}

export const ATTEMPT_COLUMNS = `id, caller, idempotency_key AS idempotencyKey, request_digest AS requestDigest, kind,
  state, handle, pds_endpoint AS pdsEndpoint, pds_did AS pdsDid, rotation_key AS rotationKey, did,
  genesis_op AS genesis, update_op AS "update", tombstone_cid AS tombstoneCid, fence, lease_until AS leaseUntil,
  last_error AS lastError, created_at AS createdAt, updated_at AS updatedAt`;

export const ARCHIVE_COLUMNS = `id, caller, idempotency_key AS idempotencyKey, kind, state, handle,
  pds_endpoint AS pdsEndpoint, did, rotation_key AS rotationKey, last_error AS lastError,
  tombstone_cid AS tombstoneCid, note, erase_at AS eraseAt, created_at AS createdAt, archived_at AS archivedAt`;

/** With the error as the JSON that is stored. */
export type Stored<Row extends { readonly lastError: AttemptError | null }> = Omit<Row, "lastError"> & {
  lastError: string | null;
};

export function fromStored<Row extends { readonly lastError: AttemptError | null }>(
  stored: Stored<Row>,
): Row {
  const { lastError } = stored;
  return { ...stored, lastError: lastError === null ? null : JSON.parse(lastError) } as unknown as Row;
}

export type SealedAttemptColumn =
  | "request"
  | "signing_key"
  | "subordinate_key"
  | "account_password"
  | "app_password";

export const COLUMN_OF: Readonly<Record<AttemptSecret, SealedAttemptColumn>> = {
  request: "request",
  signingKey: "signing_key",
  subordinateKey: "subordinate_key",
  accountPassword: "account_password",
  appPassword: "app_password",
};

export type SecretsRow = Record<SealedAttemptColumn, Uint8Array | null> & {
  signing_key_type: KeyType | null;
};

export const SECRET_COLUMNS = [...Object.values(COLUMN_OF), "signing_key_type"].join(", ");

/** Of the archive only the two keys are sealed columns. */
export const ARCHIVED_KEYS = ["signing_key", "subordinate_key"] as const;

export function attemptColumns(
  keyring: Keyring,
  table: "attempt" | "attempt_archive",
): SealedColumns<SealedAttemptColumn> {
  return new SealedColumns(keyring, { table, purpose: "communities" });
}
