/** What methods declare as their `oauth`: which permission of an app a call needs. https://atproto.com/specs/permission */
import {
  type AccountAttribute,
  formatPermission,
  type Permissions,
  type RepoAction,
} from "../atproto/mod.ts";
import type { Principal } from "../auth/mod.ts";
import { type Call, requireScope } from "./method.ts";
import { isDeciding } from "./proxy/guarded_methods.ts";
import type { ProxyTargets, ServiceRef } from "./proxy/proxy_targets.ts";

/** Stands for any service: where a call goes to none, only a permission for all of them covers it. */
const ANY_SERVICE = "*";

type Rule = (permissions: Permissions, call: Call<unknown, unknown>) => string | undefined;

/** The scope that is missing for acts on records; undefined where none is. */
export function missingRepo(
  permissions: Permissions,
  acts: readonly { readonly collection: string; readonly action: RepoAction }[],
): string | undefined {
  const missing = acts.find((act) => !permissions.allowsRepo(act));
  if (!missing) return undefined;
  const { collection, action } = missing;
  return formatPermission({ resource: "repo", collections: [collection], actions: [action] });
}

/** The scope that is missing for calls of `lxm` at a service, `did#service`; undefined where none is. */
export function missingRpc(
  permissions: Permissions,
  { lxm, aud }: { readonly lxm: string; readonly aud: string },
): string | undefined {
  if (permissions.allowsRpc({ lxm, aud }, { byName: isDeciding(lxm) })) return undefined;
  return formatPermission({ resource: "rpc", lxms: [lxm], aud });
}

/** A method that another service answers: the one that the call names, or the one for the method. */
export function needsRpc(nsid: string, targets: Pick<ProxyTargets, "wanted">): Rule {
  return (permissions, { request }) => {
    const to = targets.wanted(request, nsid);
    return missingRpc(permissions, { lxm: nsid, aud: to ? audienceOf(to) : ANY_SERVICE });
  };
}

/** Within a handler: throws KithError scope_missing where the caller is an app that may not have `lxm` called there. */
export function requireRpc(
  principal: Principal | null,
  { nsid, lxm, to }: { readonly nsid: string; readonly lxm: string; readonly to: ServiceRef },
): void {
  if (principal?.kind !== "oauth") return;
  requireScope(missingRpc(principal.permissions, { lxm, aud: audienceOf(to) }), nsid);
}

/** The scope that is missing for the upload of a blob of a type; undefined where none is. */
export function missingBlob(permissions: Permissions, mimeType: string): string | undefined {
  if (permissions.allowsBlob(mimeType)) return undefined;
  const type = mimeType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  const isType = /^[^\s/*]+\/[^\s/*]+$/.test(type);
  return formatPermission({ resource: "blob", accept: [isType ? type : "*/*"] });
}

export function needsAccount(attr: AccountAttribute, action: "read" | "manage"): Rule {
  return (permissions) =>
    permissions.allowsAccount({ attr, action })
      ? undefined
      : formatPermission({ resource: "account", attr, action });
}

export function needsIdentity(attr: "handle" | "*"): Rule {
  return (permissions) =>
    permissions.allowsIdentity(attr) ? undefined : formatPermission({ resource: "identity", attr });
}

export function audienceOf({ did, serviceId }: ServiceRef): string {
  return `${did}#${serviceId}`;
}
