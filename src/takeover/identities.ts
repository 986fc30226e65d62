/** Where a DID leads, as far as a takeover has to know. */
import { handleOf, pdsEndpointOf, signingKeyOf } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { DidResolver, PlcDirectory } from "../identity/mod.ts";

export interface Identity {
  /** The origin of its server. */
  readonly endpoint: string | undefined;
  /** The did:key of `#atproto`. */
  readonly signingKey: string | undefined;
  readonly handle: string | undefined;
  /** Of a did:plc, as did:key. */
  readonly rotationKeys?: readonly string[];
  /** Why a did:web could not be looked at now: its host is anybody's, and must not hold up all others. */
  readonly problem?: string;
}

export interface Identities {
  /** Undefined where nobody knows the DID, or it was given up. Throws KithError upstream_failure, timeout. */
  find(did: string): Promise<Identity | undefined>;
}

const NOTHING: Identity = { endpoint: undefined, signingKey: undefined, handle: undefined };

export function createIdentities(parts: {
  readonly plc: Pick<PlcDirectory, "data" | "document">;
  /** For did:web. */
  readonly documents: DidResolver;
  /** Whether a server may be named by http, as in development. */
  readonly allowHttp: boolean;
}): Identities {
  const { plc, documents, allowHttp } = parts;
  const load = async (did: string): Promise<Identity> => {
    const isPlc = did.startsWith("did:plc:");
    const document = isPlc ? await plc.document(did) : await documents.resolve(did);
    return {
      endpoint: pdsEndpointOf(document, { allowHttp }),
      signingKey: signingKeyOf(document),
      handle: handleOf(document),
      ...(isPlc ? { rotationKeys: (await plc.data(did)).rotationKeys } : {}),
    };
  };
  return {
    find: async (did) => {
      try {
        return await load(did);
      } catch (error) {
        if (isKithError(error, "did_not_found") || isKithError(error, "did_deactivated")) return undefined;
        if (!did.startsWith("did:plc:") && isKithError(error)) return { ...NOTHING, problem: error.message };
        if (!isKithError(error)) throw error;
        throw new KithError(error.code, `Could not look the DIDs of the accounts up: ${error.message}`, {
          cause: error,
          hint: "Try again when the directory answers (PDS_DID_PLC_URL), or take the accounts over as their rows say, without looking: --offline.",
        });
      }
    },
  };
}
