/** Making an account, and setting a forgotten password anew. */
import {
  type Account,
  type AccountCreator,
  type Credentials,
  checkEmail,
  isChoosablePassword,
  type MemberLanguages,
  type SignIns,
} from "../../accounts/mod.ts";
import { isHandle } from "../../atproto/mod.ts";
import { isKithError } from "../../errors.ts";
import {
  type FormErrors,
  forgotPasswordPage,
  passwordResetDonePage,
  resetPasswordPage,
  signUpPage,
  type Texts,
} from "../../web/mod.ts";
import type { PageCall } from "./page_call.ts";
import type { PageRoutes } from "./page_server.ts";
import { staysByItself, type Trail, type TrailFinder } from "./sign_in_pages.ts";

const FAILED = 400;

export interface SignUpPagesOptions {
  readonly creator: Pick<AccountCreator, "create">;
  readonly signIns: Pick<SignIns, "withNewAccount">;
  readonly credentials: Pick<Credentials, "requestPasswordReset" | "resetPassword">;
  readonly languages: Pick<MemberLanguages, "read">;
  /** Mails a welcome, if it can; nobody waits for it. */
  readonly welcome: (account: Account) => void;
  /** Domains of handles, each with its leading dot. */
  readonly domains: readonly string[];
  readonly isInviteRequired: boolean;
}

type SignUpErrors = FormErrors<"handle" | "email" | "password" | "invite">;

export class SignUpPages {
  readonly #options: SignUpPagesOptions;

  constructor(options: SignUpPagesOptions) {
    this.#options = options;
  }

  /** The routes of a way, below `prefix`. */
  routes(prefix: string, find: TrailFinder): PageRoutes {
    return {
      [`${prefix}/sign-up`]: {
        act: "sign_up",
        get: async (call) => this.page(await find(call)),
        post: async (call) => this.#signUp(await find(call)),
      },
      [`${prefix}/forgot`]: {
        act: "forgot_password",
        get: async (call) => this.#forgotPage(await find(call)),
        post: async (call) => this.#forgot(await find(call)),
      },
      [`${prefix}/reset`]: {
        act: "reset_password",
        get: async (call) => this.#resetPage(await find(call)),
        post: async (call) => this.#reset(await find(call)),
      },
    };
  }

  /** The page that asks for what an account needs. */
  page(trail: Trail, { errors }: { errors?: SignUpErrors } = {}): Response {
    const { call, client } = trail;
    const { domains, isInviteRequired } = this.#options;
    const [handle, domain, email, invite] = ["handle", "domain", "email", "invite"].map((name) =>
      call.form.get(name),
    );
    const body = signUpPage(call.view, {
      client,
      form: { action: trail.link("sign-up") },
      domains,
      isInviteRequired,
      values: { handle, domain, email, invite },
      errors,
      signInUrl: trail.link("sign-in"),
    });
    return trail.page(body, { status: errors ? FAILED : 200 });
  }

  async #signUp(trail: Trail): Promise<Response> {
    const { creator, languages, welcome, signIns } = this.#options;
    const { call } = trail;
    const { t } = call.view;
    const asked = this.#checkSignUp(call);
    if ("errors" in asked) return this.page(trail, asked);
    try {
      const account = await creator.create(asked, { admin: false });
      await languages.read(account.did, call.locale);
      welcome(account);
      const request = { ...call.from, did: account.did, remember: staysByItself(trail) };
      call.become(await signIns.withNewAccount(call.device, request));
      return call.redirect(trail.onward(account.did));
    } catch (error) {
      const errors = signUpErrors(t, error);
      if (!errors) throw error;
      call.context.failure = error;
      return this.page(trail, { errors });
    }
  }

  /** What can be said without asking anybody. */
  #checkSignUp(
    call: PageCall,
  ):
    | { errors: SignUpErrors }
    | { handle: string; email: string; password: string; inviteCode: string | undefined } {
    const { domains, isInviteRequired } = this.#options;
    const { errors: texts } = call.view.t;
    const field = (name: string) => call.form.get(name).trim();
    const [name, email, invite] = [
      field("handle").toLowerCase().replace(/^@/, ""),
      field("email"),
      field("invite"),
    ];
    const password = call.form.get("password");
    const domain = domains.find((one) => one === field("domain")) ?? domains[0] ?? "";
    // Some give the whole of it.
    const label = name.endsWith(domain) ? name.slice(0, -domain.length) : name;
    const found = {
      ...(isInviteRequired && invite === "" ? { invite: texts.inviteRequired } : {}),
      ...(isHandle(label + domain) ? {} : { handle: label === "" ? texts.required : texts.badHandle }),
      ...(isEmail(email) ? {} : { email: email === "" ? texts.required : texts.badEmail }),
      ...(isChoosablePassword(password) ? {} : { password: texts.badPassword }),
    };
    if (Object.keys(found).length > 0) return { errors: found };
    return {
      handle: label + domain,
      email,
      password,
      inviteCode: invite || undefined,
    };
  }

  #forgotPage(trail: Trail, errors?: FormErrors<"email">): Response {
    const { call } = trail;
    const body = forgotPasswordPage(call.view, {
      form: { action: trail.link("forgot") },
      email: call.form.get("email"),
      errors,
      resetUrl: trail.link("reset"),
      signInUrl: trail.link("sign-in"),
    });
    return trail.page(body, { status: errors ? FAILED : 200 });
  }

  async #forgot(trail: Trail): Promise<Response> {
    const { call } = trail;
    const { errors } = call.view.t;
    const email = call.form.get("email").trim();
    if (!isEmail(email)) return this.#forgotPage(trail, { email: errors.badEmail });
    try {
      await this.#options.credentials.requestPasswordReset(email, { language: call.locale });
    } catch (error) {
      // That this server sends no mail, which it says of every address.
      if (!isKithError(error, "invalid_request")) throw error;
      call.context.failure = error;
      return this.#forgotPage(trail, { form: errors.noMail });
    }
    return call.redirect(trail.link("reset", { sent: "1" }));
  }

  #resetPage(trail: Trail, errors?: FormErrors<"code" | "password">): Response {
    const { call } = trail;
    const body = resetPasswordPage(call.view, {
      form: { action: trail.link("reset") },
      isSent: call.query("sent") !== "",
      code: call.form.get("code"),
      errors,
      forgotUrl: trail.link("forgot"),
    });
    return trail.page(body, { status: errors ? FAILED : 200 });
  }

  async #reset(trail: Trail): Promise<Response> {
    const { call } = trail;
    const { errors } = call.view.t;
    const [token, password] = [call.form.get("code"), call.form.get("password")];
    if (!isChoosablePassword(password)) return this.#resetPage(trail, { password: errors.badPassword });
    try {
      await this.#options.credentials.resetPassword({ token, password });
    } catch (error) {
      if (!isKithError(error, "invalid_token") && !isKithError(error, "expired_token")) throw error;
      call.context.failure = error;
      return this.#resetPage(trail, { code: errors.wrongCode });
    }
    return trail.page(passwordResetDonePage(call.view, { signInUrl: trail.link("sign-in") }));
  }
}

function signUpErrors({ errors }: Texts, error: unknown): SignUpErrors | undefined {
  if (!isKithError(error)) return undefined;
  switch (error.code) {
    case "invalid_handle":
    case "unsupported_domain":
      return { handle: errors.badHandle };
    case "handle_not_available":
      return { handle: errors.handleTaken };
    case "invalid_password":
      return { password: errors.badPassword };
    case "invalid_invite_code":
      return { invite: errors.badInvite };
    case "invalid_request":
      return /e-?mail/i.test(error.message) ? { email: errors.emailTaken } : undefined;
    case "busy":
    case "storage_full":
    case "upstream_failure":
    case "timeout":
      return { form: errors.busy };
    default:
      return undefined;
  }
}

function isEmail(text: string): boolean {
  try {
    checkEmail(text);
    return true;
  } catch {
    return false;
  }
}
