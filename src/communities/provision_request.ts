/** What a caller asks for, in the one form that is compared, stored and acted upon. Pure. */
import { encodeCbor, isNsid, isRecordKey, normalizeHandle, recordFromJson, sha256 } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { AttemptKind } from "../storage/mod.ts";
import type { HostKind } from "./hosts/host.ts";
import { checkRotationKey } from "./plc_operations.ts";

/** A record to be written into the community's repo once it is active. */
export interface Declaration {
  readonly collection: string;
  readonly rkey: string;
  readonly record: unknown;
}

export interface ProvisionRequest {
  /** Of the caller's choice, new for each community. */
  readonly idempotencyKey: string;
  readonly handle: string;
  /** The caller's public key as did:key. */
  readonly rotationKey: string;
  readonly hosting?: "native" | "stock" | undefined;
  readonly pdsEndpoint?: string | undefined;
  readonly email?: string | undefined;
  readonly inviteCode?: string | undefined;
  readonly declaration?: Declaration | undefined;
}

export interface MintRequest {
  readonly idempotencyKey: string;
  readonly rotationKey: string;
  readonly handle?: string | undefined;
}

/** Of a request what is sealed in its attempt. */
export interface SealedRequest {
  readonly email?: string;
  readonly inviteCode?: string;
  readonly declaration?: Declaration;
}

export interface PlannedRequest {
  readonly idempotencyKey: string;
  readonly kind: AttemptKind;
  /** In lower case; null only for a minted identity. */
  readonly handle: string | null;
  /** A normalised origin; null for a minted identity. */
  readonly pdsEndpoint: string | null;
  readonly rotationKey: string;
  readonly request: SealedRequest;
  /** SHA-256 of all of it, hex. */
  readonly digest: string;
}

export const IDEMPOTENCY_KEY_CHARS_MIN = 8;
export const IDEMPOTENCY_KEY_CHARS_MAX = 128;
const FIELD_CHARS_MAX = 512;
const DECLARATION_BYTES_MAX = 65_536;
const KEY_FORM = /^[\x21-\x7e]+$/;

/** Throws KithError invalid_request, invalid_handle, invalid_record. `host` is where the request leads, `ownKeys` are our did:keys. */
export function planProvision(
  request: ProvisionRequest,
  { host, ownKeys }: { host: { kind: HostKind; endpoint: string }; ownKeys: readonly string[] },
): PlannedRequest {
  const { idempotencyKey, rotationKey, email, inviteCode, declaration } = request;
  checkKey(idempotencyKey);
  checkRotationKey(rotationKey, { not: ownKeys });
  checkText("email", email);
  checkText("inviteCode", inviteCode);
  const sealed = {
    ...(email ? { email } : {}),
    ...(inviteCode ? { inviteCode } : {}),
    ...(declaration ? { declaration: checkDeclaration(declaration) } : {}),
  };
  return withDigest({
    idempotencyKey,
    kind: host.kind,
    handle: normalizeHandle(request.handle),
    pdsEndpoint: host.endpoint,
    rotationKey,
    request: sealed,
  });
}

/** Throws KithError invalid_request, invalid_handle. */
export function planMint(
  { idempotencyKey, rotationKey, handle }: MintRequest,
  { ownKeys }: { ownKeys: readonly string[] },
): PlannedRequest {
  checkKey(idempotencyKey);
  checkRotationKey(rotationKey, { not: ownKeys });
  return withDigest({
    idempotencyKey,
    kind: "mint",
    handle: handle ? normalizeHandle(handle) : null,
    pdsEndpoint: null,
    rotationKey,
    request: {},
  });
}

function checkKey(key: string): void {
  const { length } = key;
  if (length >= IDEMPOTENCY_KEY_CHARS_MIN && length <= IDEMPOTENCY_KEY_CHARS_MAX && KEY_FORM.test(key))
    return;
  const form = `${IDEMPOTENCY_KEY_CHARS_MIN} to ${IDEMPOTENCY_KEY_CHARS_MAX} visible ASCII characters`;
  throw new KithError("invalid_request", `Could not use the idempotency key: it must have ${form}`);
}

function checkText(name: string, text: string | undefined): void {
  if (text === undefined || (text.length <= FIELD_CHARS_MAX && text.isWellFormed())) return;
  throw new KithError("invalid_request", `Could not use "${name}": ${FIELD_CHARS_MAX} characters at most`);
}

function checkDeclaration(declaration: Declaration): Declaration {
  const { collection, rkey, record }: { collection: string; rkey: string; record: unknown } = declaration;
  const refuse = (why: string) => new KithError("invalid_request", `Could not use the declaration: ${why}`);
  if (!isNsid(collection as unknown)) throw refuse(`"${collection.slice(0, 100)}" is no collection`);
  if (!isRecordKey(rkey as unknown)) throw refuse(`"${rkey.slice(0, 100)}" is no record key`);
  const { bytes, blobs } = recordFromJson(record, { collection });
  if (bytes.length > DECLARATION_BYTES_MAX) {
    throw refuse(`its record has ${bytes.length} bytes, and ${DECLARATION_BYTES_MAX} are allowed`);
  }
  // There is no repo yet that they could be in.
  if (blobs.length > 0) throw refuse("its record has blobs");
  return { collection, rkey, record };
}

/** Whatever order the fields of the request came in. */
function withDigest(planned: Omit<PlannedRequest, "digest">): PlannedRequest {
  const { idempotencyKey: _, request, ...rest } = planned;
  const { declaration, ...fields } = request;
  const declared = declaration && {
    ...declaration,
    record: recordFromJson(declaration.record, { collection: declaration.collection }).bytes,
  };
  const canonical = encodeCbor({
    ...rest,
    ...fields,
    ...(declared
      ? { declaration: { ...declared, record: Buffer.from(declared.record).toString("hex") } }
      : {}),
  });
  return { ...planned, digest: Buffer.from(sha256(canonical)).toString("hex") };
}
