import { toBase32 } from "@atcute/multibase";
import { KithError } from "../errors.ts";
import { encodeCbor } from "./cbor.ts";
import { cidOfCbor, cidToString, sha256 } from "./cid.ts";
import { buildDidDocument, type DidDocument, type DidState } from "./did_doc.ts";

/** What an operation says of a DID. Rotation keys in falling order of authority. */
export interface PlcState extends DidState {
  readonly rotationKeys: readonly string[];
}

export interface UnsignedPlcOperation extends PlcState {
  readonly type: "plc_operation";
  /** The CID of the operation before, as text; null in a genesis. */
  readonly prev: string | null;
}

export interface PlcOperation extends UnsignedPlcOperation {
  /** 64 bytes r||s, low-S, base64url without padding. */
  readonly sig: string;
}

export interface PlcTombstone {
  readonly type: "plc_tombstone";
  readonly prev: string;
  readonly sig: string;
}

/** The genesis of 2022: only read, never made. */
export interface LegacyPlcCreate {
  readonly type: "create";
  readonly signingKey: string;
  readonly recoveryKey: string;
  readonly handle: string;
  readonly service: string;
  readonly prev: null;
  readonly sig: string;
}

export type AnyPlcOperation = PlcOperation | PlcTombstone | LegacyPlcCreate;

type Json = Readonly<Record<string, unknown>>;

const FIELDS: Readonly<Record<AnyPlcOperation["type"], readonly string[]>> = {
  plc_operation: ["type", "rotationKeys", "verificationMethods", "alsoKnownAs", "services", "prev", "sig"],
  plc_tombstone: ["type", "prev", "sig"],
  create: ["type", "signingKey", "recoveryKey", "handle", "service", "prev", "sig"],
};

/** Checks the shape of a signed operation, and nothing else. KithError invalid_request where a field is wrong. */
export function parsePlcOperation(json: unknown): AnyPlcOperation {
  if (!isObject(json)) throw plcRefusal("not an object");
  const { type } = json;
  if (type !== "plc_operation" && type !== "plc_tombstone" && type !== "create") {
    throw plcRefusal(`its type is ${JSON.stringify(type)?.slice(0, 100)}`);
  }
  for (const field of FIELDS[type]) {
    if (!hasShape(type, field, json[field])) throw plcRefusal(`"${field}" is missing or malformed`);
  }
  for (const field of Object.keys(json)) {
    if (!FIELDS[type].includes(field)) throw plcRefusal(`"${field.slice(0, 100)}" is no field of it`);
  }
  return json as unknown as AnyPlcOperation;
}

export function plcRefusal(why: string): KithError {
  return new KithError("invalid_request", `Could not accept the PLC operation: ${why}`);
}

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const isText = (value: unknown): boolean => typeof value === "string";
const isService = (value: unknown): boolean =>
  isObject(value) && isText(value.type) && isText(value.endpoint) && Object.keys(value).length === 2;

function hasShape(type: AnyPlcOperation["type"], field: string, value: unknown): boolean {
  switch (field) {
    case "rotationKeys":
    case "alsoKnownAs":
      return Array.isArray(value) && value.every(isText);
    case "verificationMethods":
      return isObject(value) && Object.values(value).every(isText);
    case "services":
      return isObject(value) && Object.values(value).every(isService);
    case "prev":
      if (type === "create") return value === null;
      return isText(value) || (type === "plc_operation" && value === null);
    default:
      return isText(value);
  }
}

/** DRISL of an operation, with or without its signature. */
export function plcBytes(operation: object): Uint8Array {
  try {
    return encodeCbor(operation);
  } catch {
    throw plcRefusal("it cannot be encoded");
  }
}

/** The CID of a signed operation as text, to be the `prev` of the next. */
export function cidOfOperation(operation: AnyPlcOperation): string {
  return cidToString(cidOfCbor(plcBytes(operation)));
}

/** The DID that a signed genesis makes. */
export function didOfGenesis(operation: PlcOperation | LegacyPlcCreate): string {
  return `did:plc:${toBase32(sha256(plcBytes(operation))).slice(0, 24)}`;
}

/** What the operation says of the DID, the legacy form translated; null for a tombstone. */
export function plcStateOf(operation: AnyPlcOperation): PlcState | null {
  switch (operation.type) {
    case "plc_tombstone":
      return null;
    case "create":
      return legacyState(operation);
    default: {
      const { rotationKeys, verificationMethods, alsoKnownAs, services } = operation;
      return { rotationKeys, verificationMethods, alsoKnownAs, services };
    }
  }
}

function legacyState(operation: LegacyPlcCreate): PlcState {
  const { signingKey, recoveryKey, handle, service } = operation;
  const endpoint = /^https?:\/\//.test(service) ? service : `https://${service}`;
  return {
    rotationKeys: [recoveryKey, signingKey],
    verificationMethods: { atproto: signingKey },
    alsoKnownAs: [handle.startsWith("at://") ? handle : `at://${handle.replace(/^https?:\/\//, "")}`],
    services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint } },
  };
}

/** The DID document of a did:plc in the given state. */
export function plcStateToDidDocument(did: string, state: PlcState): DidDocument {
  return buildDidDocument(did, state);
}
