/** Deactivating, coming back, and leaving for good. */
import type { AccountStatus, Credentials, Devices } from "../../accounts/mod.ts";
import { LastOwnerError } from "../../communities/mod.ts";
import { isKithError } from "../../errors.ts";
import {
  accountStatusPage,
  type DeleteAccountData,
  deleteAccountPage,
  signedOutPage,
} from "../../web/mod.ts";
import { type AccountCall, type AccountRoutes, type PageAnswer, REFUSED } from "./account_call.ts";
import { errorText } from "./error_texts.ts";
import { ACCOUNT_PATH } from "./paths.ts";

export interface StatusParts {
  readonly status: Pick<AccountStatus, "activate" | "deactivate">;
  readonly credentials: Pick<Credentials, "requestAccountDelete" | "deleteAccount">;
  readonly devices: Pick<Devices, "signOut">;
  readonly mail: { readonly isConfigured: boolean };
  /** When a deactivated account is to be deleted; milliseconds since 1970. */
  deleteAfter(did: string): number | undefined;
}

export function statusRoutes(parts: StatusParts): AccountRoutes {
  return {
    status: { get: (call) => statusPage(call, parts) },
    "status/deactivate": { post: (call) => deactivate(call, parts) },
    "status/reactivate": { post: (call) => reactivate(call, parts) },
    delete: { get: (call) => deletePage(call), post: (call) => remove(call, parts), isGuarded: true },
    "delete/send-code": { post: (call) => sendCode(call, parts), isGuarded: true },
  };
}

function statusPage(call: AccountCall, parts: StatusParts, error?: string): PageAnswer {
  const texts = call.view.t.account.status;
  const isActive = call.account.state === "active";
  const deleteAfter = isActive ? undefined : parts.deleteAfter(call.did);
  const html = accountStatusPage(call.view, {
    frame: call.frame({ deactivated: texts.deactivated, reactivated: texts.reactivated }),
    state: isActive ? "active" : "deactivated",
    deleteAfter: deleteAfter === undefined ? undefined : new Date(deleteAfter),
    toggle: call.target(isActive ? "status/deactivate" : "status/reactivate"),
    deleteUrl: call.path("delete"),
    error,
  });
  return { html, ...(error === undefined ? {} : { status: REFUSED }) };
}

async function deactivate(call: AccountCall, { status }: StatusParts): Promise<PageAnswer> {
  call.fresh();
  if (call.account.state === "active") await status.deactivate(call.did);
  return call.to("status", { done: "deactivated" });
}

async function reactivate(call: AccountCall, parts: StatusParts): Promise<PageAnswer> {
  const { t } = call.view;
  if (call.account.state === "active") return call.to("status");
  try {
    await parts.status.activate(call.did);
  } catch (error) {
    const own = { invalid_request: t.errors.notHere };
    return statusPage(call, parts, errorText(t, error, own));
  }
  return call.to("status", { done: "reactivated" });
}

function deletePage(call: AccountCall, more: Pick<DeleteAccountData, "sentTo" | "errors"> = {}): PageAnswer {
  const html = deleteAccountPage(call.view, {
    frame: call.frame(),
    sendCode: call.target("delete/send-code"),
    form: call.target("delete"),
    ...(call.query("sent") === "1" ? { sentTo: call.account.email } : {}),
    ...more,
  });
  return { html, ...(more.errors ? { status: REFUSED } : {}) };
}

async function sendCode(call: AccountCall, { mail, credentials }: StatusParts): Promise<PageAnswer> {
  call.fresh();
  const { t } = call.view;
  const { email, handle } = call.account;
  if (!mail.isConfigured || email === null) {
    const form = t.errors.codeOfOperators(`kith account code ${handle} delete_account`);
    return deletePage(call, { sentTo: null, errors: { form } });
  }
  try {
    await credentials.requestAccountDelete(call.did);
  } catch (error) {
    return deletePage(call, { sentTo: email, errors: { form: errorText(t, error) } });
  }
  return call.to("delete", { sent: "1" });
}

async function remove(call: AccountCall, parts: StatusParts): Promise<PageAnswer> {
  call.fresh();
  const { t } = call.view;
  const { did, ip, account } = call;
  const sentTo = parts.mail.isConfigured ? account.email : null;
  const refuse = (errors: DeleteAccountData["errors"]) => deletePage(call, { sentTo, errors });
  if (call.field("understood") !== "on") return refuse({ understood: t.errors.understood });
  try {
    const request = { did, ip, password: call.field("password"), token: call.field("code") };
    await parts.credentials.deleteAccount(request);
  } catch (error) {
    if (error instanceof LastOwnerError) return refuse({ form: t.errors.lastOwner(error.communities) });
    const isCode = isKithError(error, "invalid_token") || isKithError(error, "expired_token");
    return refuse({ [isCode ? "code" : "password"]: errorText(t, error) });
  }
  call.page.become(await parts.devices.signOut(call.device, did));
  return { html: signedOutPage(call.view, { isDeleted: true, signInUrl: ACCOUNT_PATH }) };
}
