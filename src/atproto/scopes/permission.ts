import { isDid, isNsid } from "../syntax.ts";
import { type FieldRule, type Fields, fieldsOfScope, readFields } from "./_fields.ts";

export type RepoAction = "create" | "update" | "delete";
export type AccountAttribute = "email" | "repo" | "status";

/** One thing that an app may do. A list that names `*` holds nothing else. */
export type Permission =
  | {
      readonly resource: "repo";
      readonly collections: readonly string[];
      readonly actions: readonly RepoAction[];
    }
  | { readonly resource: "rpc"; readonly lxms: readonly string[]; readonly aud: string }
  | { readonly resource: "blob"; readonly accept: readonly string[] }
  | { readonly resource: "account"; readonly attr: AccountAttribute; readonly action: "read" | "manage" }
  | { readonly resource: "identity"; readonly attr: "handle" | "*" };

/** A permission set, by reference. */
export interface Include {
  readonly resource: "include";
  readonly nsid: string;
  /** `did#service`, inherited by those of its permissions that ask for it. */
  readonly aud?: string;
}

const REPO_ACTIONS: readonly RepoAction[] = ["create", "update", "delete"];
const ANY = "*";
const ACCEPT = /^[^\s/*]+\/([^\s/*]+|\*)$/;
const SERVICE_FRAGMENT = /^[A-Za-z0-9._~!$&'()*+,;=:@/?%-]+$/;

const orAny = (isValid: (value: string) => boolean) => (value: string) => value === ANY || isValid(value);
const oneOf =
  (...values: readonly string[]) =>
  (value: string) =>
    values.includes(value);

/** Whether a text names a service of a DID: `did:web:api.bsky.app#bsky_appview`. */
function isServiceRef(text: string): boolean {
  const hash = text.indexOf("#");
  return hash !== -1 && isDid(text.slice(0, hash)) && SERVICE_FRAGMENT.test(text.slice(hash + 1));
}

const RULES = {
  repo: [
    { name: "collection", isMany: true, isPositional: true, isValid: orAny(isNsid) },
    { name: "action", isMany: true, isValid: oneOf(...REPO_ACTIONS) },
  ],
  rpc: [
    { name: "lxm", isMany: true, isPositional: true, isValid: orAny(isNsid) },
    { name: "aud", isMany: false, isValid: orAny(isServiceRef) },
  ],
  blob: [
    {
      name: "accept",
      isMany: true,
      isPositional: true,
      isValid: (value: string) => value === "*/*" || ACCEPT.test(value),
    },
  ],
  account: [
    { name: "attr", isMany: false, isPositional: true, isValid: oneOf("email", "repo", "status") },
    { name: "action", isMany: true, isValid: oneOf("read", "manage") },
  ],
  identity: [{ name: "attr", isMany: false, isPositional: true, isValid: oneOf("handle", ANY) }],
  include: [
    { name: "nsid", isMany: false, isPositional: true, isValid: isNsid },
    { name: "aud", isMany: false, isValid: isServiceRef },
  ],
} as const satisfies Record<string, readonly FieldRule[]>;

/** Reads one value of a scope; undefined where it is none that is known, which grants nothing. */
export function parsePermission(scope: string): Permission | Include | undefined {
  const fields = fieldsOfScope(scope);
  return fields && permissionOf(fields);
}

/** The permission that fields describe; undefined where a rule of its resource is broken. */
export function permissionOf(fields: Fields): Permission | Include | undefined {
  if (!Object.hasOwn(RULES, fields.resource)) return undefined;
  const resource = fields.resource as keyof typeof RULES;
  const values = readFields(fields, RULES[resource]);
  return values && build(resource, values);
}

function build(
  resource: keyof typeof RULES,
  values: ReadonlyMap<string, readonly string[]>,
): Permission | Include | undefined {
  const many = (name: string) => values.get(name) ?? [];
  const one = (name: string) => values.get(name)?.[0];
  switch (resource) {
    case "repo": {
      const collections = widest(many("collection"), ANY);
      const actions = values.has("action") ? (many("action") as readonly RepoAction[]) : REPO_ACTIONS;
      return collections.length > 0 ? { resource, collections, actions } : undefined;
    }
    case "rpc": {
      const [lxms, aud] = [widest(many("lxm"), ANY), one("aud")];
      if (lxms.length === 0 || aud === undefined) return undefined;
      // Everything at every service is more than anybody could consent to.
      return lxms[0] === ANY && aud === ANY ? undefined : { resource, lxms, aud };
    }
    case "blob": {
      const accept = widest(many("accept"), "*/*");
      return accept.length > 0 ? { resource, accept } : undefined;
    }
    case "account": {
      const attr = one("attr") as AccountAttribute | undefined;
      const action = many("action").includes("manage") ? "manage" : "read";
      return attr && { resource, attr, action };
    }
    case "identity": {
      const attr = one("attr") as "handle" | "*" | undefined;
      return attr && { resource, attr };
    }
    case "include": {
      const [nsid, aud] = [one("nsid"), one("aud")];
      return nsid === undefined ? undefined : { resource, nsid, ...(aud === undefined ? {} : { aud }) };
    }
  }
}

function widest(values: readonly string[], all: string): readonly string[] {
  return values.includes(all) ? [all] : values.toSorted();
}

/** The one way to write a permission as a scope: what two apps mean alike is then spelt alike. */
export function formatPermission(permission: Permission | Include): string {
  switch (permission.resource) {
    case "repo": {
      const { collections, actions } = permission;
      const isAll = REPO_ACTIONS.every((action) => actions.includes(action));
      const named = isAll ? [] : REPO_ACTIONS.filter((action) => actions.includes(action));
      return format("repo", { collection: collections }, { action: named });
    }
    case "rpc":
      return format("rpc", { lxm: permission.lxms }, { aud: [permission.aud] });
    case "blob":
      return format("blob", { accept: permission.accept });
    case "account": {
      const action = permission.action === "manage" ? ["manage"] : [];
      return format("account", { attr: [permission.attr] }, { action });
    }
    case "identity":
      return format("identity", { attr: [permission.attr] });
    case "include":
      return format("include", { nsid: [permission.nsid] }, { aud: permission.aud ? [permission.aud] : [] });
  }
}

function format(
  resource: string,
  positional: Record<string, readonly string[]>,
  named: Record<string, readonly string[]> = {},
): string {
  const [[name, values]] = Object.entries(positional) as [[string, readonly string[]]];
  const isPositional = values.length === 1;
  const query = new URLSearchParams();
  for (const [key, all] of [...(isPositional ? [] : [[name, values] as const]), ...Object.entries(named)]) {
    for (const value of all) query.append(key, value);
  }
  const head = isPositional ? `${resource}:${readable(encodeURIComponent(values[0] ?? ""))}` : resource;
  return query.size > 0 ? `${head}?${readable(query.toString())}` : head;
}

/** Of what encoding has escaped, these mean nothing in a scope and are left as they are, for people to read. */
function readable(encoded: string): string {
  return encoded.replaceAll("%3A", ":").replaceAll("%2F", "/").replaceAll("%2C", ",").replaceAll("%40", "@");
}
