/** What a permission lets an app do, in words that somebody who knows no protocol understands. */
import type { ExplainedScope, Meaning, Permission } from "../atproto/mod.ts";
import { pickText } from "./locale.ts";
import type { View } from "./view.ts";

export interface PermissionWords {
  readonly title: string;
  readonly detail?: string | undefined;
  /** The protocol's own names for it: record kinds, methods. */
  readonly names: readonly string[];
  /** What a permission set holds. */
  readonly parts: readonly PermissionWords[];
}

type Words = Pick<View, "t" | "locale">;

/** The longest title or detail of a publisher that is shown, in characters. */
const PUBLISHED_CHARS_MAX = 300;

export function permissionWords(view: Words, meaning: Meaning): PermissionWords {
  const { permissions } = view.t;
  switch (meaning.resource) {
    case "session":
      return plain(permissions.session);
    case "transition":
      return plain(
        {
          generic: permissions.generic,
          email: permissions.email,
          "chat.bsky": permissions.chat,
        }[meaning.name],
      );
    case "include":
      return setWords(view, meaning);
    default:
      return wordsOf(view, meaning);
  }
}

/** Why to take care, or undefined. */
export function riskWords({ t }: Words, { risk }: ExplainedScope): string | undefined {
  return risk && t.permissions.risks[risk];
}

function setWords(
  view: Words,
  { set, permissions }: Extract<Meaning, { resource: "include" }>,
): PermissionWords {
  const title = published(pickText(set.titles, view));
  const from = view.t.consent.setFrom(authorityOf(set.nsid));
  const detail = published(pickText(set.details, view));
  return {
    title: title || view.t.permissions.set(set.nsid),
    detail: detail ? `${detail} (${from})` : from,
    names: [set.nsid],
    parts: permissions.map((permission) => wordsOf(view, permission)),
  };
}

/** Who stands behind an NSID: `app.example.com` of `com.example.app.authFull`. Where a domain's owner begins, it does not say. */
function authorityOf(nsid: string): string {
  return nsid.split(".").slice(0, -1).reverse().join(".");
}

/** What a publisher wrote, without what turns the words around it: it stands among our own. */
function published(text: string | undefined): string | undefined {
  const plain = text?.replace(/[\p{Cc}\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, "").trim();
  return plain && [...plain].slice(0, PUBLISHED_CHARS_MAX).join("");
}

function wordsOf(view: Words, permission: Permission): PermissionWords {
  const { t } = view;
  switch (permission.resource) {
    case "repo":
      return repoWords(view, permission);
    case "rpc":
      return rpcWords(view, permission);
    case "blob":
      return named(t.permissions.blob(list(view, fileKinds(t, permission.accept))), []);
    case "account":
      return plain(t.permissions.account[permission.attr][permission.action]);
    case "identity":
      return plain(t.permissions.identity[permission.attr]);
  }
}

function repoWords(view: Words, permission: Extract<Permission, { resource: "repo" }>): PermissionWords {
  const { permissions } = view.t;
  const all = ["create", "update", "delete"] as const;
  const verbs = all
    .filter((action) => permission.actions.includes(action))
    .map((action) => permissions.verbs[action]);
  if (permission.collections[0] === "*")
    return named(permissions.repo(list(view, verbs), permissions.everything), []);
  const known: Readonly<Record<string, string>> = permissions.collections;
  const others = permission.collections.filter((collection) => !Object.hasOwn(known, collection));
  const things = permission.collections.flatMap((collection) =>
    Object.hasOwn(known, collection) ? (known[collection] ?? []) : [],
  );
  if (others.length > 0) things.push(permissions.ofKinds(others.length));
  return named(permissions.repo(list(view, verbs), list(view, things)), permission.collections);
}

function rpcWords(view: Words, { aud, lxms }: Extract<Permission, { resource: "rpc" }>): PermissionWords {
  const { permissions } = view.t;
  const names = aud === "*" ? lxms : [...lxms, aud];
  const service = serviceName(aud);
  const acts = methodWords(permissions.methods, lxms);
  if (acts.length > 0) {
    const detail = aud === "*" ? permissions.anywhere : permissions.at(service);
    return { title: sentence(list(view, acts)), detail, names, parts: [] };
  }
  if (aud === "*") return named(permissions.rpcAnywhere(lxms.length), names);
  return lxms[0] === "*"
    ? named(permissions.rpcEverything(service), [aud])
    : named(permissions.rpc(lxms.length, service), names);
}

/** What the methods do, where that is known of every one of them: else it would tell less than is asked for. */
function methodWords(known: Readonly<Record<string, string>>, lxms: readonly string[]): readonly string[] {
  if (!lxms.every((lxm) => Object.hasOwn(known, lxm))) return [];
  return lxms.map((lxm) => known[lxm] ?? lxm);
}

/** The host of a did:web, else the DID. */
function serviceName(aud: string): string {
  const did = aud.split("#", 1)[0] ?? aud;
  return did.startsWith("did:web:") ? did.slice("did:web:".length).replace(/%3A/gi, ":") : did;
}

function fileKinds(t: View["t"], accept: readonly string[]): string[] {
  const { files } = t.permissions;
  return accept.map((glob) => {
    if (glob === "*/*") return files.any;
    const kind = /^(image|video|audio|text)\/\*$/.exec(glob)?.[1] as
      | "image"
      | "video"
      | "audio"
      | "text"
      | undefined;
    return kind ? files[kind] : files.other(glob);
  });
}

/** With a capital at its start. */
function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function list({ locale }: Words, items: readonly string[]): string {
  // "," at the end of a German clause meets the list's own
  return new Intl.ListFormat(locale, { type: "conjunction" }).format(items).replaceAll(",,", ",");
}

function plain({ title, detail }: { title: string; detail: string }): PermissionWords {
  return { title, detail: detail || undefined, names: [], parts: [] };
}

function named(title: string, names: readonly string[]): PermissionWords {
  return { title, names, parts: [] };
}
