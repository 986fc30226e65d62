import {
  type AnyPlcOperation,
  cidOfOperation,
  didOfGenesis,
  type PlcState,
  parsePlcOperation,
  plcBytes,
  plcRefusal,
  plcStateOf,
} from "./_plc_operation.ts";
import { parseDidKey, verifySignature } from "./keys/mod.ts";

/** An operation as the directory keeps and publishes it. */
export interface PlcLogEntry {
  readonly did: string;
  readonly operation: AnyPlcOperation;
  readonly cid: string;
  readonly nullified: boolean;
  /** ISO 8601. */
  readonly createdAt: string;
}

export interface PlcVerdict {
  /** The CID of the accepted operation. */
  readonly cid: string;
  /** The CIDs of the operations that it overrides, oldest first. */
  readonly nullified: string[];
}

/** How long a key of higher authority can override an operation, counted from that operation. */
const RECOVERY_MS = 72 * 60 * 60 * 1000;

const OPERATION_BYTES_MAX = 7500;
const ROTATION_KEYS_MAX = 5;
const VERIFICATION_METHODS_MAX = 10;
const ALIASES_MAX = 10;
/** A handle of 253 characters behind `at://`. */
const ALIAS_CHARS_MAX = 258;
const SERVICES_MAX = 10;
const SERVICE_TYPE_CHARS_MAX = 96;
const SERVICE_ENDPOINT_CHARS_MAX = 256;
const ID_CHARS_MAX = 32;
const DID_KEY_CHARS_MAX = 256;
const LOG_ENTRIES_MAX = 10_000;

/** Keys of any kind may stand in a document; only their outer form is looked at. */
const ANY_DID_KEY = /^did:key:z[1-9A-HJ-NP-Za-km-z]+$/;
const SIGNATURE = /^[A-Za-z0-9_-]{86}$/;

/**
 * Judges a new operation for `did` after its log so far, as a directory does. The operation is a JSON value from outside.
 * KithError invalid_request says what is wrong with it.
 */
export function validateOperation(
  log: readonly PlcLogEntry[],
  operation: unknown,
  options: { did: string; nowMs: number },
): PlcVerdict {
  const parsed = parsePlcOperation(operation);
  if (parsed.type === "create") throw plcRefusal('the legacy type "create" is read, not written');
  if (plcBytes(parsed).length > OPERATION_BYTES_MAX) {
    throw plcRefusal(`larger than ${OPERATION_BYTES_MAX} bytes`);
  }
  if (parsed.type === "plc_operation") checkNewState(parsed);
  const active = log.filter(({ nullified }) => !nullified);
  const overridden = judge(active, parsed, { did: options.did, atMs: options.nowMs });
  return { cid: cidOfOperation(parsed), nullified: overridden.map(({ cid }) => cid) };
}

/**
 * Judges the whole log of a DID, oldest entry first, down to the nullified flags; milder than `validateOperation`
 * on what the directory once let through. Returns the present state, or null after a tombstone. KithError
 * invalid_request where the log is not right.
 */
export function validateLog(log: readonly PlcLogEntry[], options: { did: string }): PlcState | null {
  if (log.length === 0 || log.length > LOG_ENTRIES_MAX) throw plcRefusal(`a log of ${log.length} entries`);
  let active: PlcLogEntry[] = [];
  for (const entry of log) {
    const operation = parsePlcOperation(entry.operation);
    if (entry.did !== options.did) throw plcRefusal(`it is for "${entry.did}", not "${options.did}"`);
    if (entry.cid !== cidOfOperation(operation)) throw plcRefusal(`its CID is not "${entry.cid}"`);
    const overridden = judge(active, operation, { did: options.did, atMs: timeOf(entry) });
    active = [...active.slice(0, active.length - overridden.length), entry];
  }
  const standing = new Set(active);
  for (const entry of log) {
    if (entry.nullified === standing.has(entry)) {
      throw plcRefusal(`"${entry.cid}" is ${entry.nullified ? "" : "not "}marked as nullified`);
    }
  }
  return plcStateOf((active.at(-1) as PlcLogEntry).operation);
}

function timeOf(entry: PlcLogEntry): number {
  const ms = Date.parse(entry.createdAt);
  if (Number.isNaN(ms)) throw plcRefusal(`"${entry.createdAt}" is not a time`);
  return ms;
}

/** The operations of `active` (oldest first, none nullified) that `operation` would override; refuses by throwing. */
function judge(
  active: readonly PlcLogEntry[],
  operation: AnyPlcOperation,
  options: { did: string; atMs: number },
): PlcLogEntry[] {
  if (active.length === 0) {
    judgeGenesis(operation, options.did);
    return [];
  }
  const at = active.findIndex(({ cid }) => cid === operation.prev);
  const last = active[at];
  if (last === undefined) throw plcRefusal(`its prev "${operation.prev}" is not in the present log`);
  const state = plcStateOf(last.operation);
  if (state === null) throw plcRefusal("nothing follows a tombstone");
  const overridden = active.slice(at + 1);
  const first = overridden[0];
  if (first === undefined) {
    if (signerOf(operation, state.rotationKeys) < 0) throw plcRefusal("not signed by a rotation key");
    return [];
  }
  const stronger = state.rotationKeys.slice(0, signerOf(first.operation, state.rotationKeys));
  if (signerOf(operation, stronger) < 0) {
    throw plcRefusal(`to override "${first.cid}" takes a rotation key above the one that signed it`);
  }
  if (options.atMs - timeOf(first) > RECOVERY_MS) {
    throw plcRefusal(`"${first.cid}" is more than 72 hours old and cannot be overridden`);
  }
  return overridden;
}

function judgeGenesis(operation: AnyPlcOperation, did: string): void {
  if (operation.type === "plc_tombstone") throw plcRefusal("a log cannot begin with a tombstone");
  if (operation.prev !== null) throw plcRefusal("the first operation has a prev");
  const { rotationKeys } = plcStateOf(operation) as PlcState;
  if (signerOf(operation, rotationKeys) < 0) throw plcRefusal("not signed by a rotation key");
  const made = didOfGenesis(operation);
  if (made !== did) throw plcRefusal(`it makes "${made}", not "${did}"`);
}

/** The position of the key that signed the operation, or -1. */
function signerOf(operation: AnyPlcOperation, didKeys: readonly string[]): number {
  const { sig, ...unsigned } = operation;
  const signature = Buffer.from(sig, "base64url");
  // any other spelling of the same bytes would be another CID with a signature that still verifies
  if (!SIGNATURE.test(sig) || signature.toString("base64url") !== sig) {
    throw plcRefusal("its signature is not 64 bytes of base64url without padding");
  }
  const bytes = plcBytes(unsigned);
  return didKeys.findIndex((didKey) => isSupported(didKey) && verifySignature(didKey, bytes, signature));
}

function isSupported(didKey: string): boolean {
  try {
    parseDidKey(didKey);
    return true;
  } catch {
    return false;
  }
}

function checkNewState(state: PlcState): void {
  const { rotationKeys, alsoKnownAs } = state;
  checkCount("rotationKeys", rotationKeys.length, ROTATION_KEYS_MAX);
  if (rotationKeys.length === 0) throw plcRefusal("it has no rotation key");
  if (new Set(rotationKeys).size < rotationKeys.length) throw plcRefusal("it repeats a rotation key");
  for (const key of rotationKeys) {
    if (!isSupported(key)) throw plcRefusal(`the rotation key "${key.slice(0, 100)}" is not supported`);
  }
  checkCount("alsoKnownAs", alsoKnownAs.length, ALIASES_MAX);
  if (new Set(alsoKnownAs).size < alsoKnownAs.length) throw plcRefusal("it repeats an alias");
  for (const alias of alsoKnownAs) checkLength("alias", alias, ALIAS_CHARS_MAX);
  checkVerificationMethods(state);
  checkServices(state);
}

function checkVerificationMethods(state: PlcState): void {
  const methods = Object.entries(state.verificationMethods);
  checkCount("verificationMethods", methods.length, VERIFICATION_METHODS_MAX);
  for (const [id, key] of methods) {
    checkLength("verification method's id", id, ID_CHARS_MAX);
    checkLength("verification method", key, DID_KEY_CHARS_MAX);
    if (!ANY_DID_KEY.test(key)) throw plcRefusal(`the verification method "${key}" is not a did:key`);
  }
}

function checkServices(state: PlcState): void {
  const services = Object.entries(state.services);
  checkCount("services", services.length, SERVICES_MAX);
  for (const [id, { type, endpoint }] of services) {
    checkLength("service's id", id, ID_CHARS_MAX);
    checkLength("service's type", type, SERVICE_TYPE_CHARS_MAX);
    checkLength("service's endpoint", endpoint, SERVICE_ENDPOINT_CHARS_MAX);
  }
}

function checkCount(what: string, count: number, max: number): void {
  if (count > max) throw plcRefusal(`${count} ${what}: ${max} at most`);
}

function checkLength(what: string, text: string, max: number): void {
  if (text.length > max) throw plcRefusal(`a ${what} of ${text.length} characters: ${max} at most`);
}
