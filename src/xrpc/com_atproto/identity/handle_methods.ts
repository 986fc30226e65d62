/** com.atproto.identity.resolveHandle. */
import { ComAtprotoIdentityResolveHandle } from "@atcute/atproto";
import type { AccountLookup, HandleRules } from "../../../accounts/mod.ts";
import { normalizeHandle } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";

export interface HandleMethodsOptions {
  readonly accounts: Pick<AccountLookup, "accountByHandle">;
  readonly handles: Pick<HandleRules, "isLocal">;
  /** Finds the DID of a handle elsewhere, by DNS and https. Undefined or KithError handle_not_found where it has none. */
  readonly resolver: { resolve(handle: string): Promise<string | undefined> };
}

/** The DID of any handle: the accounts here first; what is under our domains and not here is nowhere. */
export function handleFinder({ accounts, handles, resolver }: HandleMethodsOptions): {
  resolve(handle: string): Promise<string | undefined>;
} {
  return {
    resolve: async (handle) => {
      const account = await accounts.accountByHandle(handle);
      if (account?.state === "active") return account.did;
      // An account that has moved away leaves an inactive row, and its own domain then speaks for it.
      return handles.isLocal(handle) ? undefined : await resolver.resolve(handle);
    },
  };
}

/** resolveHandle. */
export function handleMethods(options: HandleMethodsOptions): Method[] {
  const finder = handleFinder(options);
  return [
    method(ComAtprotoIdentityResolveHandle.mainSchema, {
      auth: "none",
      handler: async ({ params }) => {
        const handle = normalizeHandle(params.handle);
        const did = await finder.resolve(handle);
        if (did === undefined) throw new KithError("handle_not_found", `Unable to resolve handle: ${handle}`);
        return { did };
      },
    }),
  ];
}
