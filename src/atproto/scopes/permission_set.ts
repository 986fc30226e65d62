import { isNsid } from "../syntax.ts";
import { fieldsOfJson } from "./_fields.ts";
import { type Include, type Permission, permissionOf } from "./permission.ts";

/** Entries of one set that are read; a set that nobody could read to its end is cut there. */
const SET_PERMISSIONS_MAX = 1_000;

/** A lexicon of type `permission-set`, as its publisher wrote it. */
export interface PermissionSet {
  readonly nsid: string;
  /** What to call it, by language tag; "" where no language is said. */
  readonly titles: ReadonlyMap<string, string>;
  readonly details: ReadonlyMap<string, string>;
  readonly permissions: readonly unknown[];
}

/** Reads a lexicon document; undefined where it is not the permission set `nsid`. */
export function parsePermissionSet(document: unknown, { nsid }: { nsid: string }): PermissionSet | undefined {
  const { id, defs } = asObject(document);
  const main = asObject(asObject(defs).main);
  if (id !== nsid || main.type !== "permission-set" || !Array.isArray(main.permissions)) return undefined;
  return {
    nsid,
    titles: textsOf(main, "title"),
    details: textsOf(main, "detail"),
    permissions: main.permissions.slice(0, SET_PERMISSIONS_MAX),
  };
}

/**
 * What a set grants to an app that includes it: only what lies under the set's own NSID group, no wildcard, nothing but
 * `repo` and `rpc`. The audience of an `rpc` is `*` or, with `inheritAud`, that of the include.
 */
export function expandInclude(include: Include, set: PermissionSet): Permission[] {
  const granted: Permission[] = [];
  for (const entry of set.permissions) {
    const permission = permissionOfEntry(entry, include);
    if (permission === undefined) continue;
    if (namesOf(permission)?.every((name) => isUnder(name, set.nsid))) granted.push(permission);
  }
  return granted;
}

function permissionOfEntry(entry: unknown, include: Include): Permission | undefined {
  const { inheritAud, ...json } = asObject(entry);
  if (inheritAud !== undefined && typeof inheritAud !== "boolean") return undefined;
  if (json.resource === "rpc" && inheritAud === true) {
    if (json.aud !== undefined || include.aud === undefined) return undefined;
    json.aud = include.aud;
  } else if (json.aud !== undefined && json.aud !== "*") {
    return undefined;
  }
  const fields = fieldsOfJson(json);
  const permission = fields && permissionOf(fields);
  return permission?.resource === "include" ? undefined : permission;
}

/** The NSIDs that a permission of a set is about; undefined for one that has no place in a set. */
function namesOf(permission: Permission): readonly string[] | undefined {
  if (permission.resource === "repo") return permission.collections;
  return permission.resource === "rpc" ? permission.lxms : undefined;
}

/** Whether a name is in the group of the set (`com.example.app` of `com.example.app.authFull`), or deeper. */
function isUnder(name: string, setNsid: string): boolean {
  return isNsid(name) && name.startsWith(setNsid.slice(0, setNsid.lastIndexOf(".") + 1));
}

function textsOf(main: Record<string, unknown>, field: "title" | "detail"): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [language, text] of Object.entries(asObject(main[`${field}:lang`]))) {
    if (typeof text === "string") texts.set(language, text);
  }
  const plain = main[field];
  if (typeof plain === "string") texts.set("", plain);
  return texts;
}

function asObject(value: unknown): Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {};
}
