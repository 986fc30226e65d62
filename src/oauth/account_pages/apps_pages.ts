/** The apps that the account has let in, and its app passwords. */
import { APP_PASSWORDS_MAX, type AppPasswords } from "../../accounts/mod.ts";
import { type Explanation, explain } from "../../atproto/mod.ts";
import { isKithError } from "../../errors.ts";
import type { Notice } from "../../mailer/mod.ts";
import type { OAuthGrantRow, OAuthStore } from "../../storage/mod.ts";
import { appPasswordsPage, appsPage, type ClientName } from "../../web/mod.ts";
import { type PermissionSets, setsOf } from "../permission_sets.ts";
import { type AccountCall, type AccountRoutes, type PageAnswer, REFUSED } from "./account_call.ts";

/** Characters of an app password's name on these pages. */
const NAME_CHARS_MAX = 64;

export interface AppsParts {
  readonly oauth: Pick<OAuthStore, "grant" | "grantsOf" | "removeGrant" | "consentsOf" | "forgetConsent">;
  readonly sets: PermissionSets;
  readonly appPasswords: Pick<AppPasswords, "create" | "list" | "revoke">;
  /** What a client is called: its name only where the operator trusts it. */
  clientName(clientId: string): Promise<ClientName>;
  /** Tells the member by mail. Never rejects. */
  notify(call: AccountCall, notice: Notice): Promise<void>;
  /** Milliseconds since 1970. */
  now(): number;
}

export function appsRoutes(parts: AppsParts): AccountRoutes {
  return {
    apps: { get: (call) => apps(call, parts), isOpenWhenDown: true },
    "apps/remove": { post: (call) => removeApp(call, parts), isOpenWhenDown: true },
    "apps/forget": { post: (call) => forgetApp(call, parts), isOpenWhenDown: true },
    "app-passwords": {
      get: (call) => passwords(call, parts),
      post: (call) => addPassword(call, parts),
      isGuarded: true,
    },
    "app-passwords/remove": { post: (call) => removePassword(call, parts) },
  };
}

async function apps(call: AccountCall, parts: AppsParts): Promise<PageAnswer> {
  const now = parts.now();
  const rows = parts.oauth.grantsOf(call.did).filter((grant) => endOf(grant) > now);
  const grants = await Promise.all(
    rows.map(async (grant) => ({
      client: await parts.clientName(grant.clientId),
      since: new Date(grant.createdAt),
      lastUsed: new Date(grant.updatedAt),
      explanation: await explanationOf(grant, parts),
      remove: call.target("apps/remove", { grant: grant.id }),
    })),
  );
  const live = new Set(rows.map(({ clientId }) => clientId));
  const consents = parts.oauth.consentsOf(call.did).filter(({ clientId }) => !live.has(clientId));
  const remembered = await Promise.all(
    consents.map(async ({ clientId, scope, updatedAt }) => ({
      client: await parts.clientName(clientId),
      allowed: new Date(updatedAt),
      explanation: await explanationOf({ scope, expanded: scope }, parts),
      forget: call.target("apps/forget", { client: clientId }),
    })),
  );
  const { removed, forgotten } = call.view.t.account.apps;
  return { html: appsPage(call.view, { frame: call.frame({ removed, forgotten }), grants, remembered }) };
}

/** When nothing of a grant is good for anything any more. */
function endOf({ expiresAt, accessExpiresAt, refreshExpiresAt }: OAuthGrantRow): number {
  return Math.min(expiresAt, Math.max(accessExpiresAt, refreshExpiresAt));
}

/** With the words of permission sets where they can be had, else with what they have granted one by one. */
async function explanationOf(
  grant: Pick<OAuthGrantRow, "scope" | "expanded">,
  { sets }: AppsParts,
): Promise<Explanation> {
  try {
    return explain(grant.scope, await setsOf(grant.scope, sets));
  } catch (error) {
    if (!isKithError(error)) throw error;
    return explain(grant.expanded);
  }
}

/** Its tokens are looked up at each use, so they end now; and it is asked for again what it may do. */
async function removeApp(call: AccountCall, { oauth }: AppsParts): Promise<PageAnswer> {
  const id = call.field("grant");
  const grant = oauth.grant(id);
  if (grant?.did === call.did) {
    await oauth.removeGrant(id, { did: call.did });
    await oauth.forgetConsent(call.did, grant.clientId);
  }
  return call.to("apps", { done: "removed" });
}

/** It has no access to lose; from now on it has to ask. */
async function forgetApp(call: AccountCall, { oauth }: AppsParts): Promise<PageAnswer> {
  await oauth.forgetConsent(call.did, call.field("client"));
  return call.to("apps", { done: "forgotten" });
}

async function passwords(
  call: AccountCall,
  { appPasswords }: AppsParts,
  more: Pick<Parameters<typeof appPasswordsPage>[1], "made" | "name" | "errors"> = {},
): Promise<PageAnswer> {
  const { t } = call.view;
  const rows = await appPasswords.list(call.did);
  const html = appPasswordsPage(call.view, {
    frame: call.frame({ removed: t.account.appPasswords.removed }),
    passwords: rows.map(({ name, privileged, createdAt }) => ({
      name,
      created: new Date(createdAt),
      isPrivileged: privileged,
      remove: call.target("app-passwords/remove", { name }),
    })),
    form: call.target("app-passwords"),
    ...more,
  });
  return { html, ...(more.errors ? { status: REFUSED } : {}) };
}

async function addPassword(call: AccountCall, parts: AppsParts): Promise<PageAnswer> {
  call.fresh();
  const { errors } = call.view.t;
  const name = call.field("name").trim();
  const refuse = (error: string) => passwords(call, parts, { name, errors: { name: error } });
  if (name === "" || name.length > NAME_CHARS_MAX) return refuse(errors.badName);
  const known = await parts.appPasswords.list(call.did);
  if (known.some((one) => one.name === name)) return refuse(errors.nameTaken);
  if (known.length >= APP_PASSWORDS_MAX) return refuse(errors.tooManyPasswords);
  const privileged = call.field("privileged") === "on";
  try {
    const { password } = await parts.appPasswords.create(call.did, { name, privileged });
    await parts.notify(call, { kind: "app_password_added", name });
    return passwords(call, parts, { made: { name, password } });
  } catch (error) {
    // another request was faster
    if (isKithError(error, "invalid_request")) return refuse(errors.nameTaken);
    throw error;
  }
}

async function removePassword(call: AccountCall, { appPasswords }: AppsParts): Promise<PageAnswer> {
  await appPasswords.revoke(call.did, call.field("name"));
  return call.to("app-passwords", { done: "removed" });
}
