/** com.atproto.identity: resolveDid, resolveIdentity and refreshIdentity, for any identity of the network. */
import {
  ComAtprotoIdentityRefreshIdentity,
  ComAtprotoIdentityResolveDid,
  ComAtprotoIdentityResolveIdentity,
} from "@atcute/atproto";
import { type DidDocument, handleOf, isDid, normalizeHandle } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";

/** What a handle is shown as that does not lead back to its DID. */
const INVALID_HANDLE = "handle.invalid";

export interface ResolveMethodsOptions {
  readonly dids: { resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument> };
  /** The DID of any handle, here or elsewhere; undefined, or KithError handle_not_found, where it has none. */
  readonly handles: { resolve(handle: string): Promise<string | undefined> };
}

/** resolveDid, resolveIdentity and refreshIdentity, which asks anew and so is for the accounts of this server. */
export function resolveMethods({ dids, handles }: ResolveMethodsOptions): Method[] {
  const identity = (identifier: string, options: { fresh: boolean }) =>
    resolveIdentity(identifier, { dids, handles, ...options });
  return [
    method(ComAtprotoIdentityResolveDid.mainSchema, {
      auth: "none",
      handler: async ({ params }) => ({ didDoc: await dids.resolve(params.did) }),
    }),
    method(ComAtprotoIdentityResolveIdentity.mainSchema, {
      auth: "none",
      handler: ({ params }) => identity(params.identifier, { fresh: false }),
    }),
    method(ComAtprotoIdentityRefreshIdentity.mainSchema, {
      auth: "access",
      oauth: "any",
      handler: ({ input }) => identity(input.identifier, { fresh: true }),
    }),
  ];
}

/** A DID document, and its handle where both lead to each other. KithErrors handle_not_found, did_not_found, did_deactivated. */
async function resolveIdentity(
  identifier: string,
  { dids, handles, fresh }: ResolveMethodsOptions & { fresh: boolean },
): Promise<{ did: string; handle: string; didDoc: DidDocument }> {
  const asked = isDid(identifier) ? undefined : normalizeHandle(identifier);
  const did = asked === undefined ? identifier : await handles.resolve(asked);
  if (did === undefined) throw new KithError("handle_not_found", `Unable to resolve handle: ${asked}`);
  const didDoc = await dids.resolve(did, { fresh });
  const claimed = handleOf(didDoc);
  if (claimed === undefined) return { did, handle: INVALID_HANDLE, didDoc };
  const isTrue = claimed === asked || (await pointsTo(did, { handle: claimed, handles }));
  return { did, handle: isTrue ? claimed : INVALID_HANDLE, didDoc };
}

/** A handle that cannot be asked about now is not known to be right. */
async function pointsTo(
  did: string,
  { handle, handles }: { handle: string; handles: ResolveMethodsOptions["handles"] },
): Promise<boolean> {
  try {
    return (await handles.resolve(handle)) === did;
  } catch {
    return false;
  }
}
