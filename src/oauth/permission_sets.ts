/** Scopes that name permission sets, written out. https://atproto.com/specs/permission#permission-sets */
import { type PermissionSet, Permissions, parsePermission, scopeValues } from "../atproto/mod.ts";
import { OAuthError } from "./oauth_error.ts";

/** Sets of one scope: each may have to be looked up on the network. */
export const INCLUDES_MAX = 20;
/** Of a scope with its sets written out: it is stored with the session and read on every call. */
export const WRITTEN_CHARS_MAX = 64 * 1024;
const SESSION_VALUE = /^(?:atproto|transition:.*)$/;

/** Finds permission sets on the network. */
export interface PermissionSets {
  /** Undefined where there is none of that name, or it cannot be had. */
  resolve(nsid: string): Promise<PermissionSet | undefined>;
}

/**
 * The sets that a scope includes, by NSID. Throws OAuthError invalid_scope where one cannot be had, there are too many, or they
 * hold too much.
 */
export async function setsOf(scope: string, sets: PermissionSets): Promise<Map<string, PermissionSet>> {
  const includes = scopeValues(scope).flatMap((value) => {
    const permission = parsePermission(value);
    return permission?.resource === "include" ? permission.nsid : [];
  });
  // One set may be included for several services.
  if (includes.length > INCLUDES_MAX) throw refusal(`it includes more than ${INCLUDES_MAX} permission sets`);
  const nsids = [...new Set(includes)];
  const found = await Promise.all(nsids.map(async (nsid) => [nsid, await sets.resolve(nsid)] as const));
  const known = new Map<string, PermissionSet>();
  for (const [nsid, set] of found) {
    if (!set) throw refusal(`the permission set "${nsid}" cannot be found`);
    known.set(nsid, set);
  }
  if (writtenOut(scope, known).length > WRITTEN_CHARS_MAX) {
    throw refusal(`its permission sets hold more than ${WRITTEN_CHARS_MAX} characters`);
  }
  return known;
}

/** A scope with its sets written out, so that it means the same when they have changed. Throws as `setsOf`. */
export async function expandScope(scope: string, sets: PermissionSets): Promise<string> {
  return writtenOut(scope, await setsOf(scope, sets));
}

function writtenOut(scope: string, sets: ReadonlyMap<string, PermissionSet>): string {
  const session = scopeValues(scope).filter((value) => SESSION_VALUE.test(value));
  return [...session, ...Permissions.of(scope, sets).scopes()].join(" ");
}

function refusal(why: string): OAuthError {
  return new OAuthError("invalid_scope", `Could not use the scope: ${why}`);
}
