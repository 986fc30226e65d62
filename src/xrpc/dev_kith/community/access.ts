/** Who may call dev.kith.community.*: sessions, apps by a permission of their own, and other services for their users. */
import type { Permissions } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { type Call, callerDid } from "../../method.ts";
import { missingRpc } from "../../oauth_rules.ts";
import { mayCall } from "../../proxy/guarded_methods.ts";

/** The one place that names our namespace for communities. */
export const COMMUNITY_NAMESPACE = "dev.kith.community";
/** The service of this server's DID document that answers them: what other servers proxy to, and apps ask a permission for. */
export const COMMUNITY_SERVICE_ID = "kith_community";

/** `oauth` of a method: `rpc:<nsid>?aud=<our DID>#kith_community`. */
export function needsCommunityRpc(
  serviceDid: string,
): (nsid: string) => (permissions: Permissions) => string | undefined {
  const aud = `${serviceDid}#${COMMUNITY_SERVICE_ID}`;
  return (nsid) => (permissions) => missingRpc(permissions, { lxm: nsid, aud });
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
