/**
 * The operations of a community's DID: which keys it gets, in which order, and what a server may recommend. Pure: keys, bytes
 * and times come in, signed operations go out.
 *
 * The caller's rotation key is first in every one of them, so that it can undo whatever a key below it does.
 */
import {
  type AnyPlcOperation,
  cidOfOperation,
  createGenesis,
  createTombstone,
  createUpdate,
  decodeCbor,
  didOfGenesis,
  encodeCbor,
  type PlcLogEntry,
  type PlcOperation,
  type PlcState,
  type PlcTombstone,
  parseDidKey,
  parsePlcOperation,
  plcStateOf,
  type Signer,
  signOperation,
  validateOperation,
} from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { RecommendedCredentials } from "./hosts/host.ts";

/** https://web.plc.directory/spec/v0.1/did-plc: a directory takes no more. */
const ROTATION_KEYS_MAX = 5;
const PDS_TYPE = "AtprotoPersonalDataServer";
const ENDPOINT_CHARS_MAX = 256;
const QUOTED_CHARS_MAX = 150;

export interface CommunityGenesis {
  /** The caller's, as did:key. */
  readonly rotationKey: string;
  /** Of the key below it, which signs the operation. */
  readonly subordinate: Signer;
  /** did:key that signs the repo. */
  readonly signingKey: string;
  readonly handle: string;
  readonly pdsEndpoint: string;
}

export interface SignedGenesis {
  readonly did: string;
  /** DAG-CBOR. */
  readonly genesis: Uint8Array;
}

/** The first operation of a community with an account. */
export function buildGenesis(options: CommunityGenesis): SignedGenesis {
  const { rotationKey, subordinate, signingKey, handle, pdsEndpoint } = options;
  const { did, operation } = createGenesis({
    signingKey,
    rotationKeys: [rotationKey, subordinate.didKey],
    handle,
    pdsEndpoint,
    signer: subordinate,
  });
  return { did, genesis: encodeCbor(operation) };
}

/**
 * Both operations of an identity without an account: the signer's key, which makes it, is gone with the second one. Who calls
 * this throws that key away; then the caller's alone has any power.
 */
export function buildMint(options: {
  rotationKey: string;
  handle: string | null;
  signer: Signer;
}): SignedGenesis & { readonly update: Uint8Array } {
  const { rotationKey, handle, signer } = options;
  const bare = {
    type: "plc_operation" as const,
    verificationMethods: {},
    alsoKnownAs: handle === null ? [] : [`at://${handle}`],
    services: {},
  };
  const genesis = signOperation({ ...bare, rotationKeys: [rotationKey, signer.didKey], prev: null }, signer);
  const update = createUpdate(genesis, {
    signer,
    change: (state) => ({ ...state, rotationKeys: [rotationKey] }),
  });
  return { did: didOfGenesis(genesis), genesis: encodeCbor(genesis), update: encodeCbor(update) };
}

export interface UpdateOptions {
  readonly did: string;
  /** The directory's log of the DID, oldest first. */
  readonly log: readonly PlcLogEntry[];
  readonly recommended: RecommendedCredentials;
  readonly rotationKey: string;
  readonly subordinate: Signer;
  readonly handle: string;
  /** The origin that was asked for. */
  readonly endpoint: string;
  readonly nowMs: number;
}

/**
 * The operation that gives the DID to its server: what the server recommends for itself, and nothing else, on top of what is
 * there. KithError upstream_failure where it recommends what it should not.
 */
export function buildUpdate(options: UpdateOptions): Uint8Array {
  const { did, log, rotationKey, subordinate, nowMs } = options;
  const last = lastOf(log);
  if (last === undefined || last.type === "plc_tombstone") {
    throw new KithError("upstream_failure", `The DID "${did}" is not in the PLC directory, or was given up`);
  }
  const { rotationKeys: keys } = plcStateOf(last) as PlcState;
  if (keys[0] !== rotationKey || keys[1] !== subordinate.didKey) {
    throw new KithError(
      "upstream_failure",
      `The rotation keys of "${did}" have been changed by somebody else: they are ${quote(keys)}`,
    );
  }
  const { pdsKeys, signingKey, pdsEndpoint } = checkRecommended(options);
  const update = createUpdate(last, {
    signer: subordinate,
    change: (state) => ({
      rotationKeys: [rotationKey, subordinate.didKey, ...pdsKeys],
      alsoKnownAs: [`at://${options.handle}`],
      verificationMethods: { ...state.verificationMethods, atproto: signingKey },
      services: { ...state.services, atproto_pds: { type: PDS_TYPE, endpoint: pdsEndpoint } },
    }),
  });
  try {
    validateOperation(log, update, { did, nowMs });
  } catch (error) {
    if (!isKithError(error)) throw error;
    throw refusal(options.endpoint, error.message);
  }
  return encodeCbor(update);
}

interface Checked {
  readonly pdsKeys: readonly string[];
  readonly signingKey: string;
  readonly pdsEndpoint: string;
}

/** What a server recommends is as untrusted as any answer. Throws KithError upstream_failure. */
function checkRecommended(options: UpdateOptions): Checked {
  const { recommended, rotationKey, subordinate, handle, endpoint } = options;
  const ours = [rotationKey, subordinate.didKey];
  const refuse = (why: string) => refusal(endpoint, why);
  const { rotationKeys: pdsKeys, alsoKnownAs, verificationMethods, services } = recommended;
  if (!isTexts(pdsKeys) || pdsKeys.length === 0) throw refuse("it recommends no rotation keys");
  if (pdsKeys.length > ROTATION_KEYS_MAX - ours.length) {
    throw refuse(
      `it recommends ${pdsKeys.length} rotation keys, and ${ROTATION_KEYS_MAX} are the most with ours`,
    );
  }
  for (const [i, key] of pdsKeys.entries()) {
    if (!isDidKey(key)) throw refuse(`its rotation key ${quote(key)} is no did:key of K-256 or P-256`);
    if (ours.includes(key)) throw refuse(`it recommends the key ${quote(key)}, which is not its own`);
    if (pdsKeys.indexOf(key) !== i) throw refuse(`it recommends the key ${quote(key)} twice`);
  }
  const names = alsoKnownAs ?? [`at://${handle}`];
  if (!isTexts(names) || names.length !== 1 || names[0]?.toLowerCase() !== `at://${handle}`) {
    throw refuse(`it recommends the names ${quote(names)}, not "at://${handle}"`);
  }
  const signingKey: unknown = verificationMethods?.atproto;
  if (typeof signingKey !== "string" || !isDidKey(signingKey)) {
    throw refuse(`its signing key ${quote(signingKey)} is no did:key of K-256 or P-256`);
  }
  if (ours.includes(signingKey))
    throw refuse(`it recommends ${quote(signingKey)} to sign, which is not its own`);
  const pds: unknown = services?.atproto_pds;
  return { pdsKeys, signingKey, pdsEndpoint: checkService(pds, { endpoint, refuse }) };
}

/** The endpoint as it was recommended: a server compares it as text with its own. */
function checkService(
  service: unknown,
  { endpoint, refuse }: { endpoint: string; refuse: (why: string) => KithError },
): string {
  const { type, endpoint: named } = (service ?? {}) as { type?: unknown; endpoint?: unknown };
  if (type !== PDS_TYPE) throw refuse(`it recommends a service of the type ${quote(type)}`);
  const url = typeof named === "string" && named.length <= ENDPOINT_CHARS_MAX ? URL.parse(named) : null;
  if (!url || typeof named !== "string") throw refuse(`its endpoint ${quote(named)} is no address`);
  const rest = `${url.username}${url.password}${url.search}${url.hash}`;
  if (url.origin !== endpoint || url.pathname !== "/" || rest !== "") {
    throw refuse(`it recommends the endpoint ${quote(named)}, not "${endpoint}"`);
  }
  return named;
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}

export function isDidKey(text: string): boolean {
  try {
    parseDidKey(text);
    return true;
  } catch {
    return false;
  }
}

function quote(value: unknown): string {
  return String(JSON.stringify(value)).slice(0, QUOTED_CHARS_MAX);
}

function refusal(endpoint: string, why: string): KithError {
  return new KithError("upstream_failure", `Could not use what "${endpoint}" recommends: ${why}`);
}

/** The present last operation of a log; undefined where the DID is not registered. */
export function lastOf(log: readonly PlcLogEntry[]): AnyPlcOperation | undefined {
  return log.findLast(({ nullified }) => !nullified)?.operation;
}

/** Whether the operation with this CID stands. */
export function stands(log: readonly PlcLogEntry[], cid: string): boolean {
  return log.some((entry) => entry.cid === cid && !entry.nullified);
}

/** A stored operation. Throws KithError invalid_request where it is none. */
export function operationFrom(bytes: Uint8Array): PlcOperation {
  const operation = parsePlcOperation(decodeCbor(bytes));
  if (operation.type !== "plc_operation") throw new TypeError(`a stored ${operation.type}`);
  return operation;
}

export function cidOfStored(bytes: Uint8Array): string {
  return cidOfOperation(operationFrom(bytes));
}

export interface Tombstone {
  readonly operation: PlcTombstone;
  readonly cid: string;
}

/** Ends the DID, for 72 hours in a way that the caller's key can undo. */
export function buildTombstone(last: AnyPlcOperation, signer: Signer): Tombstone {
  if (last.type === "plc_tombstone") throw new TypeError("nothing follows a tombstone");
  const operation = createTombstone(last, { signer });
  return { operation, cid: cidOfOperation(operation) };
}

/** Throws KithError invalid_request for a key that cannot be the caller's. */
export function checkRotationKey(key: string, { not }: { not: readonly string[] }): void {
  const refuse = (why: string) =>
    new KithError("invalid_request", `Could not use the rotation key ${quote(key)}: ${why}`);
  if (!isDidKey(key)) throw refuse("it is no did:key of K-256 or P-256");
  if (not.includes(key)) throw refuse("it is this server's, and must be your own");
}
