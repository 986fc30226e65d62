import {
  cidOfOperation,
  didOfGenesis,
  type LegacyPlcCreate,
  type PlcOperation,
  type PlcState,
  type PlcTombstone,
  plcBytes,
  plcStateOf,
  type UnsignedPlcOperation,
} from "./_plc_operation.ts";
import type { Signer } from "./signer.ts";

export interface GenesisOptions {
  /** did:key that signs the repo. */
  readonly signingKey: string;
  /** did:keys in falling order of authority, 1 to 5; the signer's must be among them. */
  readonly rotationKeys: readonly string[];
  readonly handle: string;
  /** Origin, such as `https://pds.example.com`. */
  readonly pdsEndpoint: string;
  readonly signer: Signer;
}

/** The signed first operation of an account, and the DID that it makes. */
export function createGenesis(options: GenesisOptions): { did: string; operation: PlcOperation } {
  const { signingKey, rotationKeys, handle, pdsEndpoint, signer } = options;
  const unsigned: UnsignedPlcOperation = {
    type: "plc_operation",
    rotationKeys,
    verificationMethods: { atproto: signingKey },
    alsoKnownAs: [`at://${handle}`],
    services: { atproto_pds: { type: "AtprotoPersonalDataServer", endpoint: pdsEndpoint } },
    prev: null,
  };
  const operation = signOperation(unsigned, signer);
  return { did: didOfGenesis(operation), operation };
}

/** Adds the signature. An operation signed already is signed anew. */
export function signOperation(unsigned: UnsignedPlcOperation, signer: Signer): PlcOperation {
  const { type, rotationKeys, verificationMethods, alsoKnownAs, services, prev } = unsigned;
  const bare = { type, rotationKeys, verificationMethods, alsoKnownAs, services, prev };
  return { ...bare, sig: sign(bare, signer) };
}

/** The signed operation that follows `last`, in the state that `change` makes of the present one. */
export function createUpdate(
  last: PlcOperation | LegacyPlcCreate,
  options: { signer: Signer; change: (state: PlcState) => PlcState },
): PlcOperation {
  const state = plcStateOf(last) as PlcState;
  const prev = cidOfOperation(last);
  return signOperation({ type: "plc_operation", ...options.change(state), prev }, options.signer);
}

/** The signed operation that ends the DID for good. */
export function createTombstone(
  last: PlcOperation | LegacyPlcCreate,
  options: { signer: Signer },
): PlcTombstone {
  const bare = { type: "plc_tombstone" as const, prev: cidOfOperation(last) };
  return { ...bare, sig: sign(bare, options.signer) };
}

/** The state with another handle in the place of the first one; other aliases stay. */
export function withHandle(state: PlcState, handle: string): PlcState {
  const alias = `at://${handle}`;
  const at = state.alsoKnownAs.findIndex((entry) => entry.startsWith("at://"));
  const others = state.alsoKnownAs.filter((entry, i) => i !== at && entry !== alias);
  const before = Math.max(at, 0);
  return { ...state, alsoKnownAs: [...others.slice(0, before), alias, ...others.slice(before)] };
}

function sign(unsigned: object, signer: Signer): string {
  return Buffer.from(signer.sign(plcBytes(unsigned))).toString("base64url");
}
