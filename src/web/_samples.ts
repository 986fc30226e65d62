/** Every page with data as it comes, and with data that is long, wrong or rare: for looking at, and for the tests. */
import { explain } from "../atproto/mod.ts";
import { accountPagesOf } from "./_account_samples.ts";
import { adminPagesOf } from "./_admin_samples.ts";
import { communityPagesOf } from "./_community_samples.ts";
import {
  ASSERTION,
  accountOf,
  clientOf,
  DAY,
  DID,
  LATER,
  PLAIN_WORDS,
  RARE_SCOPES,
  type Samples,
  type SampleWords,
  SCOPES_OF_ALL_KINDS,
  SET_NSID,
  setOf,
  to,
  UNTITLED_NSID,
} from "./_sample_data.ts";
import * as pages from "./mod.ts";
import { textsOf } from "./texts_of.ts";
import type { View } from "./view.ts";

export { PLAIN_WORDS, type SampleWords } from "./_sample_data.ts";

/** All pages, by name. */
export function samplePages(words: SampleWords = PLAIN_WORDS): Samples {
  return {
    ...flowSamples(words),
    ...factorSamples(words),
    ...consentSamples(words),
    ...adoptionSamples(words),
    ...accountPagesOf(words),
    ...communityPagesOf(words),
    ...adminPagesOf(words),
  };
}

function flowSamples(words: SampleWords): Samples {
  const client = clientOf(words);
  const signIn = { form: to("sign-in"), signUpUrl: "/sign-up", forgotUrl: "/forgot" };
  const passkey = { form: to("passkey"), optionsJson: ASSERTION };
  const signUp = { form: to("sign-up"), signInUrl: "/sign-in", isInviteRequired: true };
  return {
    "sign-in": (view) => pages.signInPage(view, { ...signIn, client, passkey, cancel: to("cancel") }),
    "sign-in-errors": (view) =>
      pages.signInPage(view, {
        ...signIn,
        identifier: words.handle,
        isRemembered: true,
        errors: { form: view.t.errors.wrongCredentials },
      }),
    "sign-in-fixed": (view) =>
      pages.signInPage(view, {
        ...signIn,
        client: { ...client, name: words.app },
        identifier: words.handle,
        isIdentifierFixed: true,
        errors: { password: view.t.errors.wrongPassword, form: view.t.errors.tooManyTries(15) },
      }),
    "sign-up": (view) => pages.signUpPage(view, { ...signUp, client, domains: [".pds.example.com"] }),
    "sign-up-errors": (view) =>
      pages.signUpPage(view, {
        ...signUp,
        domains: [".pds.example.com", `.${words.host}`],
        values: { handle: words.name, domain: `.${words.host}`, email: words.email, invite: words.name },
        errors: {
          handle: view.t.errors.handleTaken,
          email: view.t.errors.badEmail,
          password: view.t.errors.badPassword,
          invite: view.t.errors.badInvite,
        },
      }),
    ...recoverySamples(words),
    ...messageSamples(words),
  };
}

function recoverySamples(words: SampleWords): Samples {
  const client = clientOf(words);
  const account = accountOf(words);
  return {
    "forgot-password": (view) =>
      pages.forgotPasswordPage(view, { form: to("forgot"), resetUrl: "/reset", signInUrl: "/sign-in" }),
    "forgot-password-errors": (view) =>
      pages.forgotPasswordPage(view, {
        form: to("forgot"),
        resetUrl: "/reset",
        signInUrl: "/sign-in",
        email: words.email,
        errors: { email: view.t.errors.badEmail },
      }),
    "reset-password": (view) =>
      pages.resetPasswordPage(view, { form: to("reset"), isSent: true, forgotUrl: "/forgot" }),
    "reset-password-errors": (view) =>
      pages.resetPasswordPage(view, {
        form: to("reset"),
        isSent: false,
        forgotUrl: "/forgot",
        code: words.name,
        errors: { code: view.t.errors.wrongCode, password: view.t.errors.badPassword },
      }),
    "reset-password-done": (view) => pages.passwordResetDonePage(view, { signInUrl: "/sign-in" }),
    "choose-account": (view) =>
      pages.chooseAccountPage(view, {
        client,
        accounts: [account, { ...account, handle: "the-other-one.example.org", needsPassword: true }],
        form: to("choose"),
        signOut: to("sign-out"),
        anotherUrl: "/sign-in",
        signUpUrl: "/sign-up",
      }),
    "choose-account-error": (view) =>
      pages.chooseAccountPage(view, {
        accounts: [account],
        form: to("choose"),
        signOut: to("sign-out"),
        anotherUrl: "/sign-in",
        error: view.t.errors.expired,
      }),
    reactivate: (view) =>
      pages.reactivatePage(view, {
        account,
        client,
        deleteAfter: LATER,
        form: to("reactivate"),
        cancelUrl: "/account",
        error: view.t.errors.busy,
      }),
  };
}

function adoptionSamples(words: SampleWords): Samples {
  const account = { did: DID, handle: words.handle };
  const asker = { did: DID };
  const data = { purpose: "adopt", asker: account, account, server: words.host } as const;
  const failures = Object.keys(textsOf("en").adoption.failed) as pages.AdoptionFailure[];
  return {
    "adoption-ask": (view) => pages.askAdoptionPage(view, { ...data, form: to("adopt") }),
    "adoption-ask-again": (view) =>
      pages.askAdoptionPage(view, { ...data, purpose: "reauth", asker, account: asker, form: to("adopt") }),
    "adoption-done": (view) => pages.adoptionDonePage(view, data),
    "adoption-done-again": (view) => pages.adoptionDonePage(view, { ...data, purpose: "reauth", asker }),
    "adoption-refused": (view) => pages.adoptionRefusedPage(view),
    ...Object.fromEntries(
      failures.map((why) => [
        `adoption-failed-${why.toLowerCase()}`,
        (view: View) => pages.adoptionFailedPage(view, { why, detail: words.name, requestId: "0123" }),
      ]),
    ),
  };
}

function messageSamples(words: SampleWords): Samples {
  const client = clientOf(words);
  return {
    problem: (view) =>
      pages.problemPage(view, {
        kind: "badClient",
        back: { to: "app", url: `https://${words.host}/` },
        detail: `Could not read "https://${words.host}/client-metadata.json": ${words.app}`,
        requestId: "0123456789abcdef",
      }),
    "problem-expired": (view) =>
      pages.problemPage(view, { kind: "expired", back: { to: "account", url: "/account" } }),
    ...Object.fromEntries(
      (["generic", "unknownRequest", "otherBrowser", "notFound", "limited", "busy"] as const).map((kind) => [
        `problem-${kind.toLowerCase()}`,
        (view: View) => pages.problemPage(view, { kind }),
      ]),
    ),
    "cookies-needed": (view) => pages.cookiesNeededPage(view, { retryUrl: "/authorize" }),
    "form-post": (view) =>
      pages.formPostPage(view, {
        client,
        redirectUri: `https://${words.host}/callback`,
        params: { code: "cod-1", state: words.name, iss: "https://pds.example.com" },
      }),
    "signed-out": (view) => pages.signedOutPage(view, { handle: words.handle, signInUrl: "/sign-in" }),
    "signed-out-all": (view) => pages.signedOutPage(view, { signInUrl: "/sign-in" }),
    "account-deleted": (view) => pages.signedOutPage(view, { isDeleted: true, signInUrl: "/sign-in" }),
    welcome: (view) =>
      pages.welcomePage(view, {
        version: "0.1.0",
        publicUrl: "https://pds.example.com",
        accountUrl: "/account",
        signUpUrl: "/sign-up",
        isInviteRequired: true,
        describeUrl: "/xrpc/com.atproto.server.describeServer",
      }),
    "welcome-open": (view) =>
      pages.welcomePage(view, {
        version: "0.1.0",
        publicUrl: "http://localhost:2583",
        accountUrl: "/account",
        signUpUrl: "/sign-up",
        isInviteRequired: false,
        describeUrl: "/xrpc/com.atproto.server.describeServer",
      }),
  };
}

function factorSamples(words: SampleWords): Samples {
  const base = { account: accountOf(words), form: to("factor"), cancelUrl: "/sign-in" };
  const [totp, backup, email, passkey] = (["totp", "backup", "email", "passkey"] as const).map((kind) => ({
    kind,
    url: `/factor?way=${kind}`,
  }));
  const others = [totp, backup, email, passkey].filter((one) => one !== undefined);
  return {
    "factor-totp": (view) =>
      pages.secondFactorPage(view, {
        ...base,
        purpose: "sign_in",
        factor: { kind: "totp" },
        others: others.filter(({ kind }) => kind !== "totp"),
      }),
    "factor-backup": (view) =>
      pages.secondFactorPage(view, {
        ...base,
        purpose: "sign_in",
        factor: { kind: "backup" },
        others: others.filter(({ kind }) => kind !== "backup"),
        errors: { code: view.t.errors.wrongCode },
      }),
    "factor-email": (view) =>
      pages.secondFactorPage(view, {
        ...base,
        purpose: "sign_in",
        factor: { kind: "email", address: `a…@${words.host}`, send: to("send-again"), isSent: true },
        others: [],
      }),
    "factor-email-ask": (view) =>
      pages.secondFactorPage(view, {
        ...base,
        purpose: "sign_in",
        factor: { kind: "email", address: `a…@${words.host}`, send: to("send"), isSent: false },
        others: others.filter(({ kind }) => kind === "totp"),
      }),
    "factor-passkey": (view) =>
      pages.secondFactorPage(view, {
        ...base,
        purpose: "sign_in",
        factor: { kind: "passkey", optionsJson: ASSERTION },
        others: others.filter(({ kind }) => kind === "totp"),
        errors: { form: view.t.errors.wrongPasskey },
      }),
    "step-up": (view) =>
      pages.secondFactorPage(view, {
        ...base,
        purpose: "step_up",
        factor: { kind: "password" },
        others: others.filter(({ kind }) => kind === "passkey"),
        errors: { password: view.t.errors.wrongPassword },
      }),
    "step-up-code": (view) =>
      pages.secondFactorPage(view, {
        ...base,
        purpose: "step_up",
        factor: { kind: "totp" },
        others: [{ kind: "password", url: "/password" }, ...others.filter(({ kind }) => kind !== "totp")],
      }),
  };
}

function consentSamples(words: SampleWords): Samples {
  const client = clientOf(words);
  const sets = new Map([
    [SET_NSID, setOf(words)],
    [UNTITLED_NSID, { ...setOf(words), nsid: UNTITLED_NSID, titles: new Map(), details: new Map() }],
  ]);
  const base = {
    account: accountOf(words),
    switchUrl: "/choose",
    redirectUri: `https://${words.host}/callback`,
    form: to("consent"),
  };
  const unknownClient = { ...client, isTrusted: false, isLoopback: false };
  return {
    consent: (view) =>
      pages.consentPage(view, {
        ...base,
        client: unknownClient,
        explanation: explain(
          `atproto repo:app.bsky.feed.post repo:app.bsky.actor.profile?action=update blob:image/* include:${SET_NSID} account:email`,
          sets,
        ),
      }),
    "consent-everything": (view) =>
      pages.consentPage(view, {
        ...base,
        client: {
          ...unknownClient,
          clientId: `https://${words.host}/a/rather/long/path/of/folders/client-metadata.json`,
        },
        explanation: explain(SCOPES_OF_ALL_KINDS.join(" "), sets),
        error: view.t.errors.expired,
      }),
    "consent-rare": (view) =>
      pages.consentPage(view, {
        ...base,
        client: unknownClient,
        explanation: explain(RARE_SCOPES.join(" "), sets),
      }),
    "consent-trusted": (view) =>
      pages.consentPage(view, {
        ...base,
        client: { ...client, name: words.app, logo: view.assets.icon, isTrusted: true, isLoopback: false },
        allowedBefore: DAY,
        explanation: explain("atproto transition:generic transition:chat.bsky transition:email"),
      }),
    "consent-sign-in-only": (view) =>
      pages.consentPage(view, {
        ...base,
        switchUrl: undefined,
        client: {
          clientId: "http://localhost?redirect_uri=http%3A%2F%2F127.0.0.1%3A8080%2F",
          isTrusted: false,
          isLoopback: true,
        },
        redirectUri: "http://127.0.0.1:8080/",
        explanation: explain("atproto"),
      }),
  };
}
