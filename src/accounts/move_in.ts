import { randomBytes } from "node:crypto";
import {
  generatePrivateKey,
  isDid,
  isReservedHandle,
  type KeyType,
  normalizeHandle,
  signerFromPrivateKey,
} from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { Awaitable } from "./account.ts";
import type { HandleClaim, HandleRules } from "./handle_rules.ts";

/** Keys that were made before their account. Every change is durable when its promise resolves. */
export interface ReservedKeyRows {
  find(id: string): Awaitable<ReservedKey | undefined>;
  /** The did:key that stands: one that was there before stays. KithError busy. */
  reserve(key: ReservedKey & { now: number }): Promise<string>;
  forget(id: string): Promise<unknown>;
}

export interface ReservedKey {
  /** The DID that it is for, or its own did:key. */
  readonly id: string;
  readonly didKey: string;
  readonly type: KeyType;
  readonly privateKey: Uint8Array;
}

/** Finds the DID of a handle elsewhere. Undefined or KithError handle_not_found where it has none. */
export interface HandleLookup {
  resolve(handle: string): Promise<string | undefined>;
}

/** Makes and holds signing keys for accounts to come. */
export class KeyReservations {
  readonly #options: {
    readonly rows: ReservedKeyRows;
    readonly keyType: KeyType;
    readonly now: () => number;
  };

  constructor(options: { rows: ReservedKeyRows; keyType: KeyType; now: () => number }) {
    this.#options = options;
  }

  /** The did:key that the account of `did` will sign with; without a DID, a new one. KithErrors invalid_request, busy. */
  async reserve(did?: string): Promise<string> {
    const { rows, keyType: type, now } = this.#options;
    if (did !== undefined) checkDid(did);
    const held = did === undefined ? undefined : await rows.find(did);
    if (held) return held.didKey;
    const key = newKey(type);
    return await rows.reserve({ ...key, id: did ?? key.didKey, now: now() });
  }
}

/** A new signing key. */
export function newKey(type: KeyType): Omit<ReservedKey, "id"> {
  const privateKey = generatePrivateKey(type, randomBytes(32));
  return { type, privateKey, didKey: signerFromPrivateKey(type, privateKey).didKey };
}

/** Throws KithError invalid_request on a DID that no account can have. */
export function checkDid(did: string): void {
  if (isDid(did) && /^did:(plc|web):/.test(did)) return;
  throw new KithError("invalid_request", `Could not use "${did.slice(0, 200)}": only did:plc and did:web`);
}

/** Throws KithError auth_required where the caller has not shown that the DID is theirs. */
export function checkProof(did: string, proven: string | undefined): void {
  if (proven === did) return;
  const message = `Missing auth to create account with did: ${did.slice(0, 200)}`;
  throw new KithError("auth_required", message);
}

/**
 * The handle of an account whose DID is there already: one of this server's, or one of its own that points to the DID, be
 * it a name of the server itself, which the admin gives without that.
 * KithErrors invalid_handle, handle_not_available, upstream_failure.
 */
export async function checkOwnHandle(
  text: string,
  {
    did,
    claim,
    handles,
    resolver,
  }: { did: string; claim: HandleClaim; handles: HandleRules; resolver: HandleLookup },
): Promise<string> {
  const handle = normalizeHandle(text);
  const isGiven = claim === "admin" && handles.isOwnName(handle);
  if (handles.isLocal(handle) || isGiven) return handles.check(handle, claim);
  const refuse = (why: string) =>
    new KithError("invalid_handle", `Could not use the handle "${handle}": ${why}`);
  if (isReservedHandle(handle)) throw refuse("its top-level domain is reserved");
  const found = await resolver.resolve(handle).catch((error: unknown) => {
    if (error instanceof KithError && error.code === "handle_not_found") return undefined;
    throw error;
  });
  if (found === did) return handle;
  throw refuse(found === undefined ? "it does not resolve to a DID" : `it resolves to "${found}"`);
}
