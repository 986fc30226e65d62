/** The handle and the e-mail address. */
import type { Account, Credentials, HandleClaim, IdentityChanges } from "../../accounts/mod.ts";
import { isKithError } from "../../errors.ts";
import type { Notice } from "../../mailer/mod.ts";
import {
  type ChangeEmailData,
  type ChangeHandleData,
  changeEmailPage,
  changeHandlePage,
} from "../../web/mod.ts";
import { type AccountCall, type AccountRoutes, type PageAnswer, REFUSED } from "./account_call.ts";
import { errorText } from "./error_texts.ts";

const HANDLE_CHARS_MAX = 253;
const EMAIL_CHARS_MAX = 320;

export interface AddressParts {
  readonly identityChanges: Pick<IdentityChanges, "updateHandle">;
  readonly credentials: Pick<
    Credentials,
    "requestEmailConfirmation" | "confirmEmail" | "requestEmailUpdate" | "updateEmail"
  >;
  readonly accounts: { account(did: string): Account | undefined };
  readonly mail: { readonly isConfigured: boolean };
  /** Those that members may have a handle under, each with its leading dot. */
  readonly handleDomains: readonly string[];
  readonly handleClaim: HandleClaim;
  /** Tells the member by mail. Never rejects. */
  notify(call: AccountCall, notice: Notice): Promise<void>;
}

export function addressRoutes(parts: AddressParts): AccountRoutes {
  return {
    handle: {
      get: (call) => handlePage(call, parts),
      post: (call) => changeHandleHere(call, parts),
      isGuarded: true,
    },
    "handle/own": { post: (call) => changeHandleOwn(call, parts), isGuarded: true },
    email: { get: (call) => emailPage(call, parts), post: (call) => changeEmail(call, parts) },
    "email/send-code": { post: (call) => sendCode(call, parts) },
    "email/confirm": { post: (call) => confirmEmail(call, parts) },
  };
}

function handlePage(
  call: AccountCall,
  { handleDomains }: AddressParts,
  more: Pick<ChangeHandleData, "values" | "errors"> = {},
): PageAnswer {
  const { handle } = call.account;
  const html = changeHandlePage(call.view, {
    frame: call.frame({ changed: call.view.t.account.handle.changed(handle) }),
    domains: handleDomains,
    here: call.target("handle"),
    own: call.target("handle/own"),
    ...more,
  });
  return { html, ...(more.errors ? { status: REFUSED } : {}) };
}

async function changeHandleHere(call: AccountCall, parts: AddressParts): Promise<PageAnswer> {
  call.fresh();
  const { errors } = call.view.t;
  const handle = call.field("handle").trim().toLowerCase().replace(/^@/, "").slice(0, HANDLE_CHARS_MAX);
  const domain = call.field("domain").toLowerCase();
  const refuse = (text: string) =>
    handlePage(call, parts, { values: { handle, domain }, errors: { handle: text } });
  if (!parts.handleDomains.includes(domain)) return refuse(errors.badHandle);
  // People type the whole of it too.
  const name = handle.endsWith(domain) ? handle : handle + domain;
  const own = {
    invalid_handle: errors.badHandle,
    unsupported_domain: errors.badHandle,
    handle_not_available: errors.handleTaken,
    invalid_request: errors.notFromHere,
  };
  return update(call, parts, { name, refuse: (error) => refuse(errorText(call.view.t, error, own)) });
}

async function changeHandleOwn(call: AccountCall, parts: AddressParts): Promise<PageAnswer> {
  call.fresh();
  const { errors } = call.view.t;
  const typed = call.field("ownHandle").trim().toLowerCase().replace(/^@/, "");
  const ownHandle = typed.slice(0, HANDLE_CHARS_MAX);
  const refuse = (text: string) =>
    handlePage(call, parts, { values: { ownHandle }, errors: { ownHandle: text } });
  const isName =
    /^(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]/.test(typed) && typed.length <= HANDLE_CHARS_MAX;
  if (!isName) return refuse(errors.badOwnHandle);
  // Whoever wants a name of this server gets it by its rules; here it is a domain that has to point to the account.
  if (parts.handleDomains.some((domain) => typed.endsWith(domain))) return refuse(errors.handleTaken);
  const own = {
    invalid_handle: errors.handleNotFound(ownHandle),
    unsupported_domain: errors.badOwnHandle,
    handle_not_available: errors.handleTaken,
    invalid_request: errors.notFromHere,
  };
  return update(call, parts, {
    name: ownHandle,
    refuse: (error) => refuse(errorText(call.view.t, error, own)),
  });
}

async function update(
  call: AccountCall,
  { identityChanges, handleClaim, notify }: AddressParts,
  { name, refuse }: { name: string; refuse: (error: unknown) => PageAnswer },
): Promise<PageAnswer> {
  try {
    await identityChanges.updateHandle(call.did, name, handleClaim);
  } catch (error) {
    return refuse(error);
  }
  await notify(call, { kind: "handle_changed", name });
  return call.to("handle", { done: "changed" });
}

function emailPage(
  call: AccountCall,
  { mail }: AddressParts,
  more: Partial<Pick<ChangeEmailData, "isCodeSent" | "needsChangeCode" | "email" | "errors">> = {},
): PageAnswer {
  const { email, emailConfirmedAt } = call.account;
  const texts = call.view.t.account.email;
  // A change of a confirmed address is a matter of a fresh sign-in: nobody is to type for nothing.
  if (emailConfirmedAt !== null) call.fresh();
  const html = changeEmailPage(call.view, {
    frame: call.frame({ changed: texts.changed, confirmed: texts.confirmed }),
    address: email ?? undefined,
    isConfirmed: emailConfirmedAt !== null,
    sendCode: call.target("email/send-code"),
    confirm: call.target("email/confirm"),
    isCodeSent: call.query("sent") === "1",
    change: call.target("email"),
    needsChangeCode: false,
    isMailless: !mail.isConfigured,
    email: call.query("email").slice(0, EMAIL_CHARS_MAX) || undefined,
    ...more,
  });
  return { html, ...(more.errors ? { status: REFUSED } : {}) };
}

async function sendCode(call: AccountCall, parts: AddressParts): Promise<PageAnswer> {
  const { account, view } = call;
  if (!parts.mail.isConfigured) {
    const form = view.t.errors.codeOfOperators(`kith account code ${account.handle} confirm_email`);
    return emailPage(call, parts, { isCodeSent: true, errors: { form } });
  }
  if (account.email === null) return call.to("email");
  try {
    await parts.credentials.requestEmailConfirmation(call.did);
  } catch (error) {
    return emailPage(call, parts, { isCodeSent: true, errors: { form: errorText(view.t, error) } });
  }
  return call.to("email", { sent: "1" });
}

async function confirmEmail(call: AccountCall, parts: AddressParts): Promise<PageAnswer> {
  const { email } = call.account;
  if (email === null) return call.to("email");
  try {
    await parts.credentials.confirmEmail(call.did, { email, token: call.field("code") });
  } catch (error) {
    const own = { invalid_email: call.view.t.errors.wrongCode };
    return emailPage(call, parts, { isCodeSent: true, errors: { code: errorText(call.view.t, error, own) } });
  }
  return call.to("", { done: "confirmed" });
}

/** In two steps where the present address is confirmed: it gets a code first. */
async function changeEmail(call: AccountCall, parts: AddressParts): Promise<PageAnswer> {
  call.fresh();
  const { t } = call.view;
  const { emailConfirmedAt, handle } = call.account;
  const email = call.field("email").trim();
  const isConfirmed = emailConfirmedAt !== null;
  const again = (errors: ChangeEmailData["errors"], needsChangeCode = isConfirmed) =>
    emailPage(call, parts, { email: email.slice(0, EMAIL_CHARS_MAX), needsChangeCode, errors });
  const token = call.field("changeCode").trim();
  const looksRight = /^[^@\s]+@[^@\s]+$/.test(email) && email.length <= EMAIL_CHARS_MAX;
  if (!looksRight) return again({ email: t.errors.badEmail }, token !== "");
  if (isConfirmed && token === "") {
    if (!parts.mail.isConfigured)
      return again({ form: t.errors.codeOfOperators(`kith account code ${handle} update_email`) });
    try {
      await parts.credentials.requestEmailUpdate(call.did);
      return again(undefined);
    } catch (error) {
      return again({ form: errorText(t, error) });
    }
  }
  try {
    await parts.credentials.updateEmail(call.did, { email, token: token || undefined });
  } catch (error) {
    const isCode = isKithError(error, "invalid_token") || isKithError(error, "expired_token");
    const text = errorText(t, error, { invalid_request: t.errors.emailTaken });
    return again(isCode ? { changeCode: text } : { email: text });
  }
  return afterChange(call, parts);
}

/** The new address is to be confirmed: its code is on the way at once. */
async function afterChange(
  call: AccountCall,
  { credentials, mail, accounts }: AddressParts,
): Promise<PageAnswer> {
  const isOpen = accounts.account(call.did)?.emailConfirmedAt === null;
  const isSent =
    mail.isConfigured &&
    isOpen &&
    (await credentials.requestEmailConfirmation(call.did).then(
      () => true,
      (error: unknown) => {
        if (isKithError(error)) return false;
        throw error;
      },
    ));
  return call.to("email", { done: isOpen ? "changed" : "confirmed", ...(isSent ? { sent: "1" } : {}) });
}
