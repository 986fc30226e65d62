/**
 * DID documents: reading what atproto needs of them, and making those of did:plc state and of this server.
 * https://atproto.com/specs/did#did-documents
 */
import { fromBase58Btc } from "@atcute/multibase";
import { KithError } from "../errors.ts";
import { parseDidKey, publicKeyToDidKey } from "./keys/mod.ts";
import { isHandle } from "./syntax.ts";

/** A DID document as it was received: only `id` is sure to have its type. The functions below read the rest. */
export interface DidDocument {
  readonly "@context"?: unknown;
  readonly id: string;
  readonly alsoKnownAs?: unknown;
  readonly verificationMethod?: unknown;
  readonly service?: unknown;
}

/** What a document is made from: key ids and service ids come without `#`, keys as did:key. */
export interface DidState {
  readonly verificationMethods: Readonly<Record<string, string>>;
  readonly alsoKnownAs: readonly string[];
  readonly services: Readonly<Record<string, { readonly type: string; readonly endpoint: string }>>;
}

const CONTEXT_DID = "https://www.w3.org/ns/did/v1";
const CONTEXT_MULTIKEY = "https://w3id.org/security/multikey/v1";
const CONTEXT_BY_TYPE = {
  k256: "https://w3id.org/security/suites/secp256k1-2019/v1",
  p256: "https://w3id.org/security/suites/ecdsa-2019/v1",
} as const;
const PDS_TYPE = "AtprotoPersonalDataServer";
const DID_KEY = "did:key:";
/** A public key in base58 is far shorter; decoding base58 is quadratic. */
const MULTIBASE_CHARS_MAX = 128;
/** Entries of one list that are looked through. */
const ENTRIES_MAX = 1000;

type Entry = Readonly<Record<string, unknown>>;

/** Checks that a JSON value is the DID document of `did`. KithError invalid_request where it is not. */
export function parseDidDocument(json: unknown, options: { did: string }): DidDocument {
  const { did } = options;
  const refuse = (why: string): KithError =>
    new KithError("invalid_request", `Could not use the DID document of "${did}": ${why}`);
  if (!isEntry(json)) throw refuse("not an object");
  if (json.id !== did) throw refuse(`its id is ${JSON.stringify(json.id)?.slice(0, 200)}`);
  for (const field of ["alsoKnownAs", "verificationMethod", "service"] as const) {
    if (json[field] != null && !Array.isArray(json[field])) throw refuse(`${field} is not a list`);
  }
  return json as unknown as DidDocument;
}

/** The did:key that signs for the account (`#atproto`), or undefined: none, malformed, or another kind of key. */
export function signingKeyOf(document: DidDocument): string | undefined {
  return verificationKeyOf(document, "atproto");
}

/** The did:key of the verification method with this id (without `#`), in the current form or one of the legacy ones. */
export function verificationKeyOf(document: DidDocument, id: string): string | undefined {
  const method = entryOf(document.verificationMethod, { did: document.id, id });
  if (method === undefined || method.controller !== document.id) return undefined;
  const { type, publicKeyMultibase: text } = method;
  if (typeof text !== "string" || !text.startsWith("z") || text.length > MULTIBASE_CHARS_MAX)
    return undefined;
  try {
    switch (type) {
      case "Multikey":
        parseDidKey(DID_KEY + text);
        return DID_KEY + text;
      case "EcdsaSecp256k1VerificationKey2019":
        return publicKeyToDidKey("k256", fromBase58Btc(text.slice(1)));
      case "EcdsaSecp256r1VerificationKey2019":
        return publicKeyToDidKey("p256", fromBase58Btc(text.slice(1)));
      default:
        return undefined;
    }
  } catch {
    return undefined;
  }
}

/** The origin of the account's PDS (`#atproto_pds`), or undefined. Only https, unless `allowHttp` (development). */
export function pdsEndpointOf(
  document: DidDocument,
  options: { allowHttp?: boolean } = {},
): string | undefined {
  const service = entryOf(document.service, { did: document.id, id: "atproto_pds" });
  if (service?.type !== PDS_TYPE) return undefined;
  return originOf(service.serviceEndpoint, options);
}

/**
 * True where an origin is this server's own, or was: in dev mode the port is part of it, and a server on this machine may get another one.
 */
export function isOwnOrigin(origin: string | undefined, own: string): boolean {
  if (origin === undefined || origin === own) return origin === own;
  const [theirs, ours] = [new URL(origin), new URL(own)];
  return (
    ours.protocol === "http:" &&
    ours.hostname === "localhost" &&
    theirs.origin.startsWith("http://localhost:")
  );
}

/** The origin of any service by its id (without `#`), as the service proxy needs it; else as `pdsEndpointOf`. */
export function serviceEndpointOf(
  document: DidDocument,
  options: { id: string; allowHttp?: boolean },
): string | undefined {
  const service = entryOf(document.service, { did: document.id, id: options.id });
  return originOf(service?.serviceEndpoint, options);
}

/** The first well-formed handle, in lower case, or undefined. It is a claim: the handle must resolve to the DID. */
export function handleOf(document: DidDocument): string | undefined {
  if (!Array.isArray(document.alsoKnownAs)) return undefined;
  for (const alias of document.alsoKnownAs.slice(0, ENTRIES_MAX)) {
    if (typeof alias !== "string" || !alias.startsWith("at://")) continue;
    const handle = alias.slice("at://".length);
    if (isHandle(handle)) return handle.toLowerCase();
  }
  return undefined;
}

/** The DID document for a DID's keys, aliases and services, as the PLC directory renders it. */
export function buildDidDocument(did: string, state: DidState): DidDocument {
  const contexts = new Set([CONTEXT_DID, CONTEXT_MULTIKEY]);
  const verificationMethod = Object.entries(state.verificationMethods).map(([id, key]) => {
    const context = contextOf(key);
    if (context !== undefined) contexts.add(context);
    const publicKeyMultibase = key.slice(DID_KEY.length);
    return { id: `${did}#${id}`, type: "Multikey", controller: did, publicKeyMultibase };
  });
  const service = Object.entries(state.services).map(([id, { type, endpoint }]) => {
    return { id: `#${id}`, type, serviceEndpoint: endpoint };
  });
  const alsoKnownAs = [...state.alsoKnownAs];
  return { "@context": [...contexts], id: did, alsoKnownAs, verificationMethod, service };
}

/** The document of this server's own did:web: nothing but where the service is. */
export function serviceDidDocument(options: {
  did: string;
  endpoint: string;
  /** Of the same server, beside the PDS; `id` without its "#". */
  services?: readonly { readonly id: string; readonly type: string }[];
}): DidDocument {
  const { did, endpoint, services = [] } = options;
  const all = [{ id: "atproto_pds", type: PDS_TYPE }, ...services];
  const service = all.map(({ id, type }) => ({ id: `#${id}`, type, serviceEndpoint: endpoint }));
  return { "@context": [CONTEXT_DID], id: did, service };
}

function isEntry(value: unknown): value is Entry {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The first entry of a list by its id, `#id` or `did#id`: later ones of the same id do not count. */
function entryOf(list: unknown, wanted: { did: string; id: string }): Entry | undefined {
  if (!Array.isArray(list)) return undefined;
  const ids = [`#${wanted.id}`, `${wanted.did}#${wanted.id}`];
  return list
    .slice(0, ENTRIES_MAX)
    .find((entry): entry is Entry => isEntry(entry) && ids.includes(entry.id as string));
}

function originOf(endpoint: unknown, options: { allowHttp?: boolean }): string | undefined {
  if (typeof endpoint !== "string" || !URL.canParse(endpoint)) return undefined;
  const url = new URL(endpoint);
  const allowed = url.protocol === "https:" || (url.protocol === "http:" && options.allowHttp === true);
  const bare =
    url.pathname === "/" && url.search === "" && url.hash === "" && url.username + url.password === "";
  return allowed && bare ? url.origin : undefined;
}

/** Keys of other kinds are legal in a document, and then without a context of ours. */
function contextOf(didKey: string): string | undefined {
  try {
    return CONTEXT_BY_TYPE[parseDidKey(didKey).type];
  } catch {
    return undefined;
  }
}
