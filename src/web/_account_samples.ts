/** The pages of an account, with sample data. */
import { explain } from "../atproto/mod.ts";
import {
  CREATION,
  clientOf,
  DAY,
  frameOf,
  LATER,
  type Samples,
  type SampleWords,
  SCOPES_OF_ALL_KINDS,
  SET_NSID,
  setOf,
  to,
} from "./_sample_data.ts";
import * as pages from "./mod.ts";

export function accountPagesOf(words: SampleWords): Samples {
  return {
    ...accountSamples(words),
    ...addressSamples(words),
    ...emailSamples(words),
    ...endSamples(words),
    ...securitySamples(words),
  };
}

function accountSamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  return {
    "account-home": (view) =>
      pages.accountHomePage(view, {
        frame,
        state: "active",
        email: { address: words.email, isConfirmed: true },
        hasSecondFactor: true,
      }),
    "account-home-several": (view) =>
      pages.accountHomePage(view, {
        frame,
        state: "active",
        hasSecondFactor: true,
        signOutAll: to("sign-out-all"),
      }),
    "account-home-suspended": (view) =>
      pages.accountHomePage(view, {
        frame: { ...frame, isDown: true },
        state: "suspended",
        hasSecondFactor: false,
      }),
    "account-home-new": (view) =>
      pages.accountHomePage(view, {
        frame: { ...frame, switchUrl: undefined },
        state: "deactivated",
        email: { address: words.email, isConfirmed: false },
        hasSecondFactor: false,
      }),
    "account-home-no-mail": (view) =>
      pages.accountHomePage(view, {
        frame: { ...frame, isDown: true },
        state: "takendown",
        hasSecondFactor: false,
      }),
    apps: (view) => pages.appsPage(view, { frame, grants: grantsOf(words), remembered: rememberedOf(words) }),
    "apps-remembered": (view) =>
      pages.appsPage(view, {
        frame: { ...frame, done: view.t.account.apps.forgotten },
        grants: [],
        remembered: rememberedOf(words),
      }),
    "apps-none": (view) =>
      pages.appsPage(view, {
        frame: { ...frame, done: view.t.account.apps.removed },
        grants: [],
        remembered: [],
      }),
    devices: (view) =>
      pages.devicesPage(view, {
        frame: { ...frame, done: view.t.account.devices.signedOut },
        devices: devicesOf(words),
        signOutOthers: to("sign-out-others"),
      }),
  };
}

function addressSamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  return {
    "change-handle": (view) =>
      pages.changeHandlePage(view, {
        frame: { ...frame, done: view.t.account.handle.changed(words.handle) },
        domains: [".pds.example.com"],
        here: to("handle"),
        own: to("own-handle"),
      }),
    "change-handle-errors": (view) =>
      pages.changeHandlePage(view, {
        frame,
        domains: [".pds.example.com", ".example.org"],
        here: to("handle"),
        own: to("own-handle"),
        values: { handle: words.name, domain: ".example.org", ownHandle: words.host },
        errors: { handle: view.t.errors.badHandle, ownHandle: view.t.errors.handleNotFound(words.host) },
      }),
  };
}

function emailSamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  return {
    "change-email": (view) =>
      pages.changeEmailPage(view, {
        frame: { ...frame, done: view.t.account.email.confirmed },
        address: words.email,
        isConfirmed: true,
        sendCode: to("send-code"),
        confirm: to("confirm"),
        isCodeSent: false,
        change: to("change"),
        needsChangeCode: true,
        email: words.email,
        errors: { email: view.t.errors.emailTaken, changeCode: view.t.errors.wrongCode },
      }),
    "confirm-email": (view) =>
      pages.changeEmailPage(view, {
        frame: { ...frame, done: view.t.account.email.changed },
        address: words.email,
        isConfirmed: false,
        sendCode: to("send-code"),
        confirm: to("confirm"),
        isCodeSent: true,
        change: to("change"),
        needsChangeCode: false,
        errors: { code: view.t.errors.wrongCode },
      }),
    "change-email-no-mail": (view) =>
      pages.changeEmailPage(view, {
        frame,
        address: words.email,
        isConfirmed: true,
        sendCode: to("send-code"),
        confirm: to("confirm"),
        isCodeSent: false,
        change: to("change"),
        needsChangeCode: true,
        isMailless: true,
        email: words.email,
        errors: { form: view.t.errors.codeOfOperators(`kith account code ${words.handle} update_email`) },
      }),
    "change-email-none": (view) =>
      pages.changeEmailPage(view, {
        frame,
        address: undefined,
        isConfirmed: false,
        sendCode: to("send-code"),
        confirm: to("confirm"),
        isCodeSent: false,
        change: to("change"),
        needsChangeCode: false,
      }),
    "confirm-email-unsent": (view) =>
      pages.changeEmailPage(view, {
        frame,
        address: words.email,
        isConfirmed: false,
        sendCode: to("send-code"),
        confirm: to("confirm"),
        isCodeSent: false,
        change: to("change"),
        needsChangeCode: false,
      }),
  };
}

function endSamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  const deletion = { frame, sendCode: to("send-code"), form: to("delete") };
  return {
    "account-status": (view) =>
      pages.accountStatusPage(view, {
        frame,
        state: "active",
        toggle: to("deactivate"),
        deleteUrl: "/delete",
      }),
    "account-status-deactivated": (view) =>
      pages.accountStatusPage(view, {
        frame,
        state: "deactivated",
        deleteAfter: LATER,
        toggle: to("reactivate"),
        deleteUrl: "/delete",
      }),
    "delete-account": (view) => pages.deleteAccountPage(view, deletion),
    "delete-account-no-mail": (view) =>
      pages.deleteAccountPage(view, {
        ...deletion,
        sentTo: null,
        errors: { form: view.t.errors.codeOfOperators(`kith account code ${words.handle} delete_account`) },
      }),
    "delete-account-code": (view) =>
      pages.deleteAccountPage(view, {
        ...deletion,
        sentTo: words.email,
        errors: { code: view.t.errors.wrongCode, password: view.t.errors.wrongPassword },
      }),
  };
}

function grantsOf(words: SampleWords): pages.AppGrant[] {
  const explanation = explain(SCOPES_OF_ALL_KINDS.join(" "), new Map([[SET_NSID, setOf(words)]]));
  return [
    { client: clientOf(words), since: DAY, lastUsed: LATER, explanation, remove: to("remove-1") },
    {
      client: {
        clientId: "https://a-rather-long-host-name.of-an-app.example.org/client-metadata.json",
        name: words.app,
      },
      since: DAY,
      lastUsed: DAY,
      explanation: explain("atproto transition:generic"),
      remove: to("remove-2"),
    },
    {
      client: { clientId: "http://localhost" },
      since: DAY,
      lastUsed: DAY,
      explanation: explain("atproto"),
      remove: to("remove-3"),
    },
  ];
}

function rememberedOf(words: SampleWords): pages.RememberedApp[] {
  const explanation = explain("atproto transition:generic");
  return [{ client: clientOf(words), allowed: DAY, explanation, forget: to("forget-1") }];
}

function devicesOf({ name }: SampleWords): pages.SignedInDevice[] {
  const firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
  const safari =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
  const base = { signedIn: DAY, lastSeen: LATER };
  return [
    { ...base, userAgent: firefox, ip: "192.0.2.17", isThisOne: true, signOut: to("out-1") },
    {
      ...base,
      userAgent: safari,
      ip: "2001:db8:85a3:8d3:1319:8a2e:370:7348",
      isThisOne: false,
      signOut: to("out-2"),
    },
    { ...base, userAgent: name, isThisOne: false, signOut: to("out-3") },
    { ...base, isThisOne: false, signOut: to("out-4") },
  ];
}

function securitySamples(words: SampleWords): Samples {
  const frame = frameOf(words);
  const base = {
    frame,
    password: to("password"),
    addPasskey: { form: to("add-passkey"), optionsJson: CREATION },
  };
  const passwords = {
    frame,
    passwords: [
      { name: words.name, created: DAY, isPrivileged: false, remove: to("remove-1") },
      { name: words.app, created: LATER, isPrivileged: true, remove: to("remove-2") },
    ],
    form: to("add"),
  };
  const uri = `otpauth://totp/kith:${encodeURIComponent(words.handle)}?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=kith`;
  return {
    "app-passwords": (view) =>
      pages.appPasswordsPage(view, {
        ...passwords,
        made: { name: words.name, password: "hk3q-7xwz-a2vb-m9ct" },
      }),
    "app-passwords-errors": (view) =>
      pages.appPasswordsPage(view, {
        ...passwords,
        frame: { ...frame, done: view.t.account.appPasswords.removed },
        passwords: [],
        name: words.name,
        errors: { name: view.t.errors.nameTaken },
      }),
    security: (view) =>
      pages.securityPage(view, {
        ...base,
        totp: { since: DAY, remove: to("remove-totp") },
        passkeys: [
          { name: words.name, added: DAY, lastUsed: LATER, rename: to("rename-1"), remove: to("remove-1") },
          { name: words.app, added: DAY, rename: to("rename-2"), remove: to("remove-2") },
        ],
        required: { isOn: true, toggle: to("not-required") },
        email: { isOn: true, toggle: to("email-off") },
        backup: { left: 8, renew: to("backup") },
      }),
    "security-optional-passkey": (view) =>
      pages.securityPage(view, {
        ...base,
        frame: { ...frame, done: view.t.account.security.passkeyAdded },
        totp: { setUp: to("totp") },
        passkeys: [{ name: words.name, added: DAY, rename: to("rename-1"), remove: to("remove-1") }],
        required: { isOn: false, toggle: to("required") },
        email: { isOn: false, toggle: to("email-on") },
      }),
    "security-new": (view) =>
      pages.securityPage(view, {
        ...base,
        frame: { ...frame, done: view.t.account.security.changed },
        totp: { setUp: to("totp") },
        passkeys: [],
        email: { isOn: false, toggle: to("email-on") },
        errors: {
          current: view.t.errors.wrongPassword,
          password: view.t.errors.badPassword,
          name: view.t.errors.badName,
        },
      }),
    "security-unconfirmed": (view) =>
      pages.securityPage(view, {
        ...base,
        totp: { setUp: to("totp") },
        passkeys: [],
        email: { isOn: false },
        backup: { left: 1, renew: to("backup") },
      }),
    "totp-setup": (view) =>
      pages.totpSetupPage(view, {
        frame,
        uri,
        secret: "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP",
        form: to("totp"),
        errors: { code: view.t.errors.wrongCode },
      }),
    "backup-codes": (view) =>
      pages.backupCodesPage(view, {
        frame,
        codes: Array.from({ length: 10 }, (_, index) => `k7m${index}-x2q${index}-p9r${index}`),
      }),
  };
}
