/** Password, passkeys, authenticator app, codes by mail, backup codes. All of it asks for a fresh sign-in. */
import type { Credentials, Devices, FactorList, Passkeys, SecondFactors } from "../../accounts/mod.ts";
import { isChoosablePassword, PASSKEY_NAME_CHARS_MAX } from "../../accounts/mod.ts";
import { isKithError } from "../../errors.ts";
import type { Notice } from "../../mailer/mod.ts";
import { backupCodesPage, type SecurityData, securityPage, totpSetupPage } from "../../web/mod.ts";
import { type AccountCall, type AccountRoutes, type PageAnswer, REFUSED } from "./account_call.ts";
import { errorText } from "./error_texts.ts";

const CREDENTIAL_CHARS_MAX = 48 * 1024;

export interface SecurityParts {
  readonly credentials: Pick<Credentials, "changePassword">;
  readonly devices: Pick<Devices, "signIn">;
  readonly factors: Pick<
    SecondFactors,
    | "list"
    | "required"
    | "beginTotp"
    | "confirmTotp"
    | "removeTotp"
    | "newBackupCodes"
    | "addEmail"
    | "removeEmail"
    | "renamePasskey"
    | "removePasskey"
    | "requirePasskey"
  >;
  readonly passkeys: Pick<Passkeys, "beginAdding" | "finishAdding">;
  readonly mail: { readonly isConfigured: boolean };
  /** Tells the member by mail. Never rejects. */
  notify(call: AccountCall, notice: Notice): Promise<void>;
}

type Act = (call: AccountCall, parts: SecurityParts) => Promise<PageAnswer>;

export function securityRoutes(parts: SecurityParts): AccountRoutes {
  const act = (run: Act) => ({ post: (call: AccountCall) => run(call, parts), isGuarded: true });
  return {
    security: { get: (call) => overview(call, parts), isGuarded: true },
    "security/password": act(changePassword),
    "security/passkeys": act(addPasskey),
    "security/passkeys/rename": act(renamePasskey),
    "security/passkeys/remove": act(removePasskey),
    "security/passkeys/require": act(requirePasskey),
    "security/totp": { get: (call) => totpSetup(call, parts), ...act(confirmTotp) },
    "security/totp/begin": act(async (call) => call.to("security/totp")),
    "security/totp/remove": act(removeTotp),
    "security/email-codes": act(switchEmailCodes),
    "security/backup-codes": act(newBackupCodes),
  };
}

async function overview(
  call: AccountCall,
  { factors, passkeys, mail }: SecurityParts,
  errors?: SecurityData["errors"],
): Promise<PageAnswer> {
  const { t } = call.view;
  const texts = t.account.security;
  const fresh = call.fresh();
  const { handle, emailConfirmedAt } = call.account;
  const list = await factors.list(call.did);
  const options = await passkeys.beginAdding(fresh, { handle });
  const mayMail = list.email || (mail.isConfigured && emailConfirmedAt !== null);
  const html = securityPage(call.view, {
    frame: call.frame({
      password: texts.changed,
      "totp-added": texts.totpAdded,
      "totp-removed": texts.totpRemoved,
      "passkey-added": texts.passkeyAdded,
      "passkey-renamed": texts.passkeyRenamed,
      "passkey-removed": texts.passkeyRemoved,
      saved: texts.saved,
    }),
    errors,
    password: call.target("security/password"),
    totp:
      list.totpSince === null
        ? { setUp: call.target("security/totp/begin") }
        : { since: new Date(list.totpSince), remove: call.target("security/totp/remove") },
    passkeys: passkeysOf(call, list),
    required:
      list.passkeys.length === 0
        ? undefined
        : {
            isOn: list.passkeyRequired,
            toggle: call.target("security/passkeys/require", {
              required: list.passkeyRequired ? "no" : "yes",
            }),
          },
    addPasskey: { form: call.target("security/passkeys"), optionsJson: JSON.stringify(options) },
    email: {
      isOn: list.email,
      toggle: mayMail ? call.target("security/email-codes", { on: list.email ? "no" : "yes" }) : undefined,
    },
    backup:
      factors.required(call.did).length === 0
        ? undefined
        : { left: list.backupCodes, renew: call.target("security/backup-codes") },
  });
  return { html, ...(errors ? { status: REFUSED } : {}) };
}

function passkeysOf(call: AccountCall, { passkeys }: FactorList): SecurityData["passkeys"] {
  return passkeys.map(({ id, name, createdAt, lastUsedAt }) => ({
    name,
    added: new Date(createdAt),
    lastUsed: lastUsedAt === null ? undefined : new Date(lastUsedAt),
    rename: call.target("security/passkeys/rename", { id }),
    remove: call.target("security/passkeys/remove", { id }),
  }));
}

/** Every session ends with the password of before; this browser is signed in again with the new one. */
async function changePassword(call: AccountCall, parts: SecurityParts): Promise<PageAnswer> {
  call.fresh();
  const { t } = call.view;
  const { did, ip, device, signedIn } = call;
  if (!isChoosablePassword(call.field("password")))
    return overview(call, parts, { password: t.errors.badPassword });
  const request = { current: call.field("current"), password: call.field("password"), ip };
  let passwordHash: string;
  try {
    ({ passwordHash } = await parts.credentials.changePassword(did, request));
  } catch (error) {
    const text = errorText(t, error);
    return overview(
      call,
      parts,
      isKithError(error, "invalid_password") ? { password: text } : { current: text },
    );
  }
  const { remember } = signedIn;
  call.page.become(await parts.devices.signIn(device, { did, remember, passwordHash, ...call.page.from }));
  return call.to("security", { done: "password" });
}

async function addPasskey(call: AccountCall, parts: SecurityParts): Promise<PageAnswer> {
  const fresh = call.fresh();
  const { errors } = call.view.t;
  const typed = call.field("name").trim();
  if (typed === "" || typed.length > PASSKEY_NAME_CHARS_MAX)
    return overview(call, parts, { name: errors.badName });
  let name: string;
  try {
    const answer = answerOf(call.field("credential"));
    ({ name } = await parts.passkeys.finishAdding(fresh, { answer, name: typed }));
  } catch (error) {
    const own = {
      auth_required: errors.wrongPasskey,
      expired_token: errors.wrongPasskey,
      invalid_request: errors.tooManyPasskeys,
    };
    return overview(call, parts, { form: errorText(call.view.t, error, own) });
  }
  await parts.notify(call, { kind: "passkey_added", name });
  return call.to("security", { done: "passkey-added" });
}

/** What a browser says of a passkey; undefined, which no passkey is, for what is no JSON. */
export function answerOf(credential: string): unknown {
  try {
    return credential.length > CREDENTIAL_CHARS_MAX ? undefined : JSON.parse(credential);
  } catch {
    return undefined;
  }
}

async function renamePasskey(call: AccountCall, parts: SecurityParts): Promise<PageAnswer> {
  const fresh = call.fresh();
  const name = call.field("name").trim();
  if (name === "" || name.length > PASSKEY_NAME_CHARS_MAX)
    return overview(call, parts, { form: call.view.t.errors.badName });
  try {
    await parts.factors.renamePasskey(fresh, { id: call.field("id"), name });
  } catch (error) {
    // removed in another tab
    if (isKithError(error, "invalid_request")) return call.to("security");
    throw error;
  }
  return call.to("security", { done: "passkey-renamed" });
}

async function removePasskey(call: AccountCall, { factors, notify }: SecurityParts): Promise<PageAnswer> {
  const fresh = call.fresh();
  const id = call.field("id");
  const passkey = (await factors.list(call.did)).passkeys.find((one) => one.id === id);
  if (passkey === undefined) return call.to("security");
  try {
    await factors.removePasskey(fresh, id);
  } catch (error) {
    if (isKithError(error, "invalid_request")) return call.to("security");
    throw error;
  }
  await notify(call, { kind: "passkey_removed", name: passkey.name });
  return call.to("security", { done: "passkey-removed" });
}

async function requirePasskey(call: AccountCall, { factors, notify }: SecurityParts): Promise<PageAnswer> {
  const fresh = call.fresh();
  const isRequired = call.field("required") === "yes";
  try {
    const { backupCodes } = await factors.requirePasskey(fresh, isRequired);
    await notify(call, { kind: isRequired ? "passkey_required" : "passkey_not_required" });
    return shown(call, backupCodes) ?? call.to("security", { done: "saved" });
  } catch (error) {
    // the last passkey was removed in another tab
    if (isKithError(error, "invalid_request")) return call.to("security");
    throw error;
  }
}

/** The codes, which are told this once; undefined where there are none. */
function shown(call: AccountCall, codes: readonly string[]): PageAnswer | undefined {
  if (codes.length === 0) return undefined;
  return { html: backupCodesPage(call.view, { frame: call.frame(), codes }) };
}

function totpSetup(call: AccountCall, { factors }: SecurityParts, error?: string): PageAnswer {
  const { handle } = call.account;
  const { secret, uri } = factors.beginTotp(call.fresh(), { handle });
  const html = totpSetupPage(call.view, {
    frame: call.frame(),
    uri,
    secret,
    form: call.target("security/totp"),
    errors: error === undefined ? undefined : { code: error },
  });
  return { html, ...(error === undefined ? {} : { status: REFUSED }) };
}

async function confirmTotp(call: AccountCall, parts: SecurityParts): Promise<PageAnswer> {
  const fresh = call.fresh();
  const { t } = call.view;
  try {
    const { backupCodes } = await parts.factors.confirmTotp(fresh, { code: call.field("code"), ip: call.ip });
    await parts.notify(call, { kind: "totp_added" });
    return shown(call, backupCodes) ?? call.to("security", { done: "totp-added" });
  } catch (error) {
    const own = { auth_required: t.errors.wrongCode, expired_token: t.errors.expired };
    return totpSetup(call, parts, errorText(t, error, own));
  }
}

async function removeTotp(call: AccountCall, { factors, notify }: SecurityParts): Promise<PageAnswer> {
  const fresh = call.fresh();
  if ((await factors.list(call.did)).totpSince === null) return call.to("security");
  await factors.removeTotp(fresh);
  await notify(call, { kind: "totp_removed" });
  return call.to("security", { done: "totp-removed" });
}

async function switchEmailCodes(call: AccountCall, parts: SecurityParts): Promise<PageAnswer> {
  const { did } = call.fresh();
  const isOn = call.field("on") === "yes";
  try {
    if (isOn) await parts.factors.addEmail(call.account);
    else await parts.factors.removeEmail(did);
  } catch (error) {
    const own = { invalid_request: call.view.t.account.security.emailNeeds };
    return overview(call, parts, { form: errorText(call.view.t, error, own) });
  }
  await parts.notify(call, { kind: isOn ? "email_codes_on" : "email_codes_off" });
  return call.to("security", { done: "saved" });
}

async function newBackupCodes(call: AccountCall, { factors, notify }: SecurityParts): Promise<PageAnswer> {
  const fresh = call.fresh();
  if (factors.required(call.did).length === 0) return call.to("security");
  const codes = await factors.newBackupCodes(fresh);
  await notify(call, { kind: "backup_codes_renewed" });
  return shown(call, codes) ?? call.to("security");
}
