/** Signing in: by the password and a second factor, or by a passkey alone. */
import type {
  Account,
  FactorKind,
  FactorProof,
  MemberLanguages,
  SignedIn,
  SignIns,
} from "../../accounts/mod.ts";
import { isKithError } from "../../errors.ts";
import {
  type ClientName,
  type FormErrors,
  type FormTarget,
  secondFactorPage,
  signInPage,
  type Texts,
} from "../../web/mod.ts";
import type { PageCall } from "./page_call.ts";
import type { PageRoutes } from "./page_server.ts";

const IDENTIFIER_CHARS_MAX = 512;
const FAILED = 400;

/** The pages on the way to being signed in; each has a path of its own below that of the way. */
export type SignInStep =
  | "sign-in"
  | "passkey"
  | "factor"
  | "factor/mail"
  | "sign-up"
  | "forgot"
  | "reset"
  | "choose"
  | "sign-out";

/** On whose way somebody signs in: to an app, or to the account's own pages. */
export interface Trail {
  readonly call: PageCall;
  /** The app; none on the way to the account pages. */
  readonly client?: ClientName | undefined;
  /** The account that it has to be. */
  readonly did?: string | undefined;
  /** What is put into the form at first. */
  readonly identifier?: string | undefined;
  /** Goes back without signing in. */
  readonly cancel?: FormTarget | undefined;
  link(step: SignInStep, parameters?: Readonly<Record<string, string>>): string;
  page(body: string, options?: { status?: number }): Response;
  /** What comes next for an account that is signed in. */
  onward(did: string): string;
}

/** Finds out on whose way a request is. Throws what becomes an error page. */
export type TrailFinder = (call: PageCall) => Promise<Trail> | Trail;

export interface SignInPagesOptions {
  readonly signIns: SignIns;
  readonly accounts: { account(did: string): Account | undefined };
  readonly languages: Pick<MemberLanguages, "read">;
  /** Whether new accounts can be made here. */
  readonly hasSignUp: boolean;
}

type SignInErrors = FormErrors<"identifier" | "password">;

export class SignInPages {
  readonly #options: SignInPagesOptions;

  constructor(options: SignInPagesOptions) {
    this.#options = options;
  }

  /** The routes of a way, below `prefix`. */
  routes(prefix: string, find: TrailFinder): PageRoutes {
    return {
      [`${prefix}/sign-in`]: {
        act: "sign_in",
        get: async (call) => {
          const trail = await find(call);
          const isLate = call.query("late") !== "";
          return this.page(trail, isLate ? { errors: { form: call.view.t.errors.expired } } : {});
        },
        post: async (call) => this.#withPassword(await find(call)),
      },
      [`${prefix}/passkey`]: { act: "sign_in", post: async (call) => this.#withPasskey(await find(call)) },
      [`${prefix}/factor`]: {
        act: "second_factor",
        get: async (call) => this.#again(await find(call), (trail) => this.#factorPage(trail)),
        post: async (call) => this.#again(await find(call), (trail) => this.#withFactor(trail)),
      },
      [`${prefix}/factor/mail`]: {
        act: "second_factor",
        post: async (call) => this.#again(await find(call), (trail) => this.#sendCode(trail)),
      },
    };
  }

  /** The page that asks for name and password. */
  async page(
    trail: Trail,
    {
      errors,
      identifier,
      status = 200,
    }: { errors?: SignInErrors; identifier?: string; status?: number } = {},
  ): Promise<Response> {
    const { signIns, accounts, hasSignUp } = this.#options;
    const { call, client, did } = trail;
    const pinned = did === undefined ? undefined : (accounts.account(did)?.handle ?? did);
    const optionsJson = JSON.stringify(await signIns.passkeyOptions(call.device));
    const body = signInPage(call.view, {
      client,
      form: { action: trail.link("sign-in") },
      identifier: pinned ?? identifier ?? trail.identifier,
      isIdentifierFixed: pinned !== undefined,
      isRemembered: call.request.method === "POST" ? isTicked(call) : staysByItself(trail),
      errors,
      passkey: { form: { action: trail.link("passkey") }, optionsJson },
      signUpUrl: hasSignUp && did === undefined ? trail.link("sign-up") : undefined,
      forgotUrl: trail.link("forgot"),
      cancel: trail.cancel,
    });
    return trail.page(body, { status });
  }

  async #withPassword(trail: Trail): Promise<Response> {
    const { call } = trail;
    const typed = call.form.get("identifier").trim().slice(0, IDENTIFIER_CHARS_MAX);
    const identifier = trail.did ?? (typed.startsWith("@") ? typed.slice(1) : typed);
    const password = call.form.get("password");
    const remember = isTicked(call);
    try {
      const request = { ...call.from, identifier, password, remember };
      const step = await this.#options.signIns.withPassword(call.device, request);
      if (step.step === "done") return await this.#done(trail, step);
      return step.kinds[0] === "email" ? this.#sendCode(trail) : call.redirect(trail.link("factor"));
    } catch (error) {
      const form = signInError(call.view.t, error);
      if (form === undefined) throw error;
      call.context.failure = error;
      return this.page(trail, { errors: { form }, identifier: typed, status: statusOf(error) });
    }
  }

  async #withPasskey(trail: Trail): Promise<Response> {
    const { call } = trail;
    const { t } = call.view;
    try {
      const answer = json(call.form.get("credential"));
      const done = await this.#options.signIns.withPasskey(call.device, {
        ...call.from,
        answer,
        remember: isTicked(call),
      });
      if (trail.did === undefined || done.did === trail.did) return await this.#done(trail, done);
      call.become(done);
      return this.page(trail, { errors: { form: t.errors.wrongPasskey }, status: FAILED });
    } catch (error) {
      const isRefused = isKithError(error, "auth_required");
      const form = isRefused ? t.errors.wrongPasskey : signInError(t, error);
      if (form === undefined) throw error;
      call.context.failure = error;
      return this.page(trail, { errors: { form }, status: statusOf(error) });
    }
  }

  async #withFactor(trail: Trail): Promise<Response> {
    const { call } = trail;
    const { t } = call.view;
    const credential = call.form.get("credential");
    const proof: FactorProof = credential
      ? { kind: "passkey", answer: json(credential) }
      : { kind: "code", code: call.form.get("code").slice(0, IDENTIFIER_CHARS_MAX) };
    try {
      return await this.#done(
        trail,
        await this.#options.signIns.withFactor(call.device, { ...call.from, proof }),
      );
    } catch (error) {
      const isRefused = isKithError(error, "auth_required");
      const refusal = proof.kind === "passkey" ? t.errors.wrongPasskey : t.errors.wrongCode;
      const text = isRefused ? refusal : signInError(t, error);
      if (text === undefined) throw error;
      call.context.failure = error;
      const errors = isRefused && proof.kind === "code" ? { code: text } : { form: text };
      return this.#factorPage(trail, { errors, status: statusOf(error) });
    }
  }

  async #factorPage(
    trail: Trail,
    {
      errors,
      status = 200,
      way = trail.call.query("way"),
      isSent = errors !== undefined || trail.call.query("sent") !== "",
    }: { errors?: FormErrors<"code">; status?: number; way?: string; isSent?: boolean } = {},
  ): Promise<Response> {
    const { signIns } = this.#options;
    const { call } = trail;
    const { did, handle, kinds } = signIns.waiting(call.device);
    const kind = kinds.find((one) => one === way) ?? kinds[0];
    // The factors were taken away meanwhile.
    if (kind === undefined) return call.redirect(trail.link("sign-in", { late: "1" }));
    const others = kinds.filter((one) => one !== kind);
    const body = secondFactorPage(call.view, {
      account: { did, handle },
      purpose: "sign_in",
      factor: await this.#question(trail, { did, kind, isSent }),
      form: { action: trail.link("factor", { way: kind }) },
      others: others.map((one) => ({ kind: one, url: trail.link("factor", { way: one }) })),
      errors,
      cancelUrl: trail.link("sign-in"),
    });
    return trail.page(body, { status });
  }

  async #question(
    { call, link }: Trail,
    { did, kind, isSent }: { did: string; kind: FactorKind; isSent: boolean },
  ) {
    const { signIns, accounts } = this.#options;
    if (kind === "passkey") {
      return { kind, optionsJson: JSON.stringify(await signIns.challenge(call.device)) };
    }
    if (kind !== "email") return { kind };
    const address = shortened(accounts.account(did)?.email ?? "");
    return { kind, address, send: { action: link("factor/mail") }, isSent };
  }

  /** Mails a code, unless one has just been. Only a form does: browsers follow links by themselves. */
  async #sendCode(trail: Trail): Promise<Response> {
    const { call } = trail;
    try {
      await this.#options.signIns.mailCode(call.device, { language: call.locale });
    } catch (error) {
      const { t } = call.view;
      const form = isKithError(error, "invalid_request") ? t.errors.noMail : signInError(t, error);
      if (form === undefined) throw error;
      call.context.failure = error;
      return this.#factorPage(trail, {
        errors: { form },
        status: statusOf(error),
        way: "email",
        isSent: false,
      });
    }
    return call.redirect(trail.link("factor", { way: "email", sent: "1" }));
  }

  async #done({ call, onward }: Trail, done: SignedIn): Promise<Response> {
    call.become(done);
    await this.#options.languages.read(done.did, call.locale);
    return call.redirect(onward(done.did));
  }

  /** What waits for a second factor waits for some minutes only: then the password is asked for again. */
  async #again(trail: Trail, act: (trail: Trail) => Promise<Response>): Promise<Response> {
    try {
      return await act(trail);
    } catch (error) {
      if (!isKithError(error, "expired_token")) throw error;
      return trail.call.redirect(trail.link("sign-in", { late: "1" }));
    }
  }
}

/** What to say of a sign-in that was refused; undefined for what is no refusal. The same for a wrong name and a wrong password. */
export function signInError(t: Texts, error: unknown): string | undefined {
  if (!isKithError(error)) return undefined;
  switch (error.code) {
    case "auth_required":
      return t.errors.wrongCredentials;
    case "rate_limited":
      return t.errors.tooManyTries(Math.max(1, Math.ceil((error.retryAfterS ?? 60) / 60)));
    case "account_takendown":
      return t.errors.accountTakendown;
    case "busy":
      return t.errors.busy;
    default:
      return undefined;
  }
}

/**
 * Who comes for the account itself stays signed in, where nothing else is said; who is on the way to an app is asked for the password
 * again the next time. As the reference has it.
 */
export function staysByItself({ client }: Pick<Trail, "client">): boolean {
  return client === undefined;
}

function isTicked({ form }: PageCall): boolean {
  return form.get("remember") === "on";
}

function statusOf(error: unknown): number {
  if (isKithError(error, "rate_limited")) return 429;
  return isKithError(error, "busy") ? 503 : FAILED;
}

/** An address by which its owner knows it and a stranger does not. */
function shortened(address: string): string {
  const at = address.lastIndexOf("@");
  return at < 1 ? "…" : `${address.slice(0, 1)}…${address.slice(at)}`;
}

/** What a browser answers for a passkey is verified later, whatever it is. */
function json(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
