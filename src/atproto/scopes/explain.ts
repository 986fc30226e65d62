import { type Permission, parsePermission } from "./permission.ts";
import { expandInclude, type PermissionSet } from "./permission_set.ts";
import { scopeValues } from "./scope.ts";

/** What one value of a scope stands for. */
export type Meaning =
  | Permission
  | { readonly resource: "session" }
  | { readonly resource: "transition"; readonly name: "generic" | "email" | "chat.bsky" }
  | {
      readonly resource: "include";
      readonly set: PermissionSet;
      /** What of the set is granted. */
      readonly permissions: readonly Permission[];
    };

/** Why somebody should think twice. */
export type Risk = "all" | "records" | "private" | "takeover" | "name" | "services";

export interface ExplainedScope {
  /** As it was asked for. */
  readonly scope: string;
  readonly meaning: Meaning;
  readonly risk?: Risk;
}

export const PERMISSION_GROUPS = [
  "session",
  "whole",
  "sets",
  "records",
  "files",
  "services",
  "account",
  "identity",
] as const;
export type PermissionGroupName = (typeof PERMISSION_GROUPS)[number];

export interface PermissionGroup {
  readonly name: PermissionGroupName;
  readonly scopes: readonly ExplainedScope[];
}

export interface Explanation {
  /** In the order in which they are shown; none is empty. */
  readonly groups: readonly PermissionGroup[];
  /** Values that grant nothing. */
  readonly unknown: readonly string[];
}

const GROUP_OF: Readonly<Record<Meaning["resource"], PermissionGroupName>> = {
  session: "session",
  transition: "whole",
  include: "sets",
  repo: "records",
  blob: "files",
  rpc: "services",
  account: "account",
  identity: "identity",
};

/** Takes a scope apart for the person who is asked for it. `sets` has the permission sets that it includes. */
export function explain(scope: string, sets: ReadonlyMap<string, PermissionSet> = new Map()): Explanation {
  const values = scopeValues(scope);
  const unknown: string[] = [];
  const groups = new Map<PermissionGroupName, ExplainedScope[]>();
  for (const value of values) {
    const meaning = meaningOf(value, { values, sets });
    if (meaning === undefined) {
      unknown.push(value);
      continue;
    }
    const risk = riskOf(meaning);
    const name = GROUP_OF[meaning.resource];
    groups.set(name, [...(groups.get(name) ?? []), { scope: value, meaning, ...(risk && { risk }) }]);
  }
  return {
    groups: PERMISSION_GROUPS.flatMap((name) => {
      const scopes = groups.get(name);
      return scopes ? [{ name, scopes }] : [];
    }),
    unknown,
  };
}

function meaningOf(
  value: string,
  { values, sets }: { values: readonly string[]; sets: ReadonlyMap<string, PermissionSet> },
): Meaning | undefined {
  switch (value) {
    case "atproto":
      return { resource: "session" };
    case "transition:generic":
      return { resource: "transition", name: "generic" };
    case "transition:email":
      return { resource: "transition", name: "email" };
    case "transition:chat.bsky":
      return values.includes("transition:generic")
        ? { resource: "transition", name: "chat.bsky" }
        : undefined;
  }
  const permission = parsePermission(value);
  if (permission?.resource !== "include") return permission;
  const set = sets.get(permission.nsid);
  const permissions = set ? expandInclude(permission, set) : [];
  return set && permissions.length > 0 ? { resource: "include", set, permissions } : undefined;
}

/** What is dangerous about a permission; undefined for what an app usually needs. */
export function riskOf(meaning: Meaning): Risk | undefined {
  switch (meaning.resource) {
    case "transition":
      if (meaning.name === "generic") return "all";
      return meaning.name === "chat.bsky" ? "private" : undefined;
    case "identity":
      return meaning.attr === "handle" ? "name" : "takeover";
    case "account":
      if (meaning.action !== "manage") return undefined;
      return meaning.attr === "email" ? "takeover" : "all";
    case "repo": {
      if (meaning.collections[0] !== "*") return undefined;
      return meaning.actions.includes("create") && meaning.actions.length === 1 ? undefined : "records";
    }
    case "rpc":
      if (meaning.lxms.some(isChat)) return "private";
      return meaning.lxms[0] === "*" ? "services" : undefined;
    case "include":
      return meaning.permissions.map(riskOf).find((risk) => risk !== undefined);
    default:
      return undefined;
  }
}

function isChat(lxm: string): boolean {
  return lxm.toLowerCase().startsWith("chat.bsky.");
}
