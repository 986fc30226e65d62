/** Who may call dev.kith.community.*: sessions, apps by a permission of their own, and other services for their users. */
import { KithError } from "../../../errors.ts";
import {
  type Call,
  callerDid,
  type Method,
  type MethodOptions,
  type MethodParts,
  type MethodSchema,
  method,
} from "../../method.ts";
import { missingRpc } from "../../oauth_rules.ts";
import { mayCall } from "../../proxy/guarded_methods.ts";
import { namedService } from "../../proxy/proxy_targets.ts";

/** The one place that names our namespace for communities. */
export const COMMUNITY_NAMESPACE = "dev.kith.community";
/** The service of this server's DID document that answers them: what other servers proxy to, and apps ask a permission for. */
export const COMMUNITY_SERVICE = {
  id: "kith_community",
  type: "KithCommunity",
  prefix: `${COMMUNITY_NAMESPACE}.`,
} as const;

/**
 * Makes our methods: sessions may call them, other services for their users, and apps with the permission
 * `rpc:<nsid>?aud=<our DID>#kith_community`. A call that names another server's service is passed on to it.
 */
export function communityMethod(
  serviceDid: string,
): <S extends MethodSchema>(schema: S, parts: MethodParts<S>) => Method {
  const aud = `${serviceDid}#${COMMUNITY_SERVICE.id}`;
  return <S extends MethodSchema>(schema: S, parts: MethodParts<S>) =>
    method(schema, {
      auth: "accessOrService",
      oauth: (permissions) => missingRpc(permissions, { lxm: schema.nsid, aud }),
      goesOn: (request) => {
        const to = namedService(request);
        return to !== undefined && to.did !== serviceDid;
      },
      ...parts,
    } as MethodOptions<S>);
}

/**
 * The DID of the caller of a method that decides about a community as a whole. Throws KithError auth_required for a session of
 * an app password that is not privileged: such passwords are given to apps that post.
 */
export function decidingCaller(call: Call, nsid: string): string {
  const { principal } = call;
  if (principal?.kind === "user" && !mayCall(principal, nsid)) {
    throw new KithError(
      "auth_required",
      `Could not call "${nsid}": an app password may not, unless it was made a privileged one`,
    );
  }
  return callerDid(call);
}
