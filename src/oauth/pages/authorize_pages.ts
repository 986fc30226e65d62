/** What a person is asked on the way from an app and back to it. */
import { type Account, type AccountStatus, type Devices, isPresent } from "../../accounts/mod.ts";
import { explain, scopeValues } from "../../atproto/mod.ts";
import { isKithError } from "../../errors.ts";
import { chooseAccountPage, consentPage, formPostPage, reactivatePage } from "../../web/mod.ts";
import type { AuthorizationAnswer, AuthorizationRequests } from "../authorization_requests.ts";
import { RequestGone } from "../authorization_requests.ts";
import type { ClientLogos } from "../client_logos.ts";
import { PATHS } from "../metadata.ts";
import type { OAuthErrorCode } from "../oauth_error.ts";
import { Attempt } from "./attempt.ts";
import type { PageCall } from "./page_call.ts";
import { type PageRoutes, problemAnswer } from "./page_server.ts";
import type { SignInPages } from "./sign_in_pages.ts";
import type { SignUpPages } from "./sign_up_pages.ts";

const FAILED = 400;

export interface AuthorizePagesOptions {
  readonly requests: Pick<AuthorizationRequests, "open" | "approve" | "deny" | "isRemembered">;
  readonly accounts: {
    account(did: string): Account | undefined;
    /** When an account is to be deleted, in milliseconds since 1970. */
    deleteAfter(did: string): number | undefined;
  };
  readonly grants: {
    grantsOf(did: string): readonly { readonly clientId: string; readonly updatedAt: number }[];
  };
  readonly devices: Pick<Devices, "signOut">;
  readonly status: Pick<AccountStatus, "activate">;
  readonly signIn: SignInPages;
  readonly signUp: SignUpPages;
  /** Paths of apps' logos on this server. */
  readonly logos: Pick<ClientLogos, "pathOf">;
  /** Apps that the operator vouches for, by client_id. */
  readonly trustedClients: readonly string[];
}

type Step = (attempt: Attempt) => Promise<Response> | Response;

export class AuthorizePages {
  readonly #options: AuthorizePagesOptions;

  constructor(options: AuthorizePagesOptions) {
    this.#options = options;
  }

  routes(): PageRoutes {
    const prefix = PATHS.authorize;
    const find = (call: PageCall) => this.#open(call);
    const on = (step: Step) => async (call: PageCall) => step(await this.#open(call));
    return {
      ...this.#options.signIn.routes(prefix, find),
      ...this.#options.signUp.routes(prefix, find),
      [prefix]: { get: on((attempt) => this.#start(attempt)) },
      [`${prefix}/choose`]: {
        get: on((attempt) => this.#choosePage(attempt)),
        post: on((attempt) => attempt.call.redirect(attempt.onward(attempt.call.form.get("did")))),
      },
      [`${prefix}/sign-out`]: { post: on((attempt) => this.#signOut(attempt)) },
      [`${prefix}/consent`]: {
        lists: ["scope"],
        get: on((attempt) => this.#consent(attempt)),
        post: on((attempt) => this.#decide(attempt)),
      },
      [`${prefix}/reactivate`]: {
        get: on((attempt) => this.#reactivate(attempt)),
        post: on((attempt) => this.#reactivateNow(attempt)),
      },
      [`${prefix}/cancel`]: { post: on((attempt) => this.#deny(attempt, "access_denied")) },
    };
  }

  /** The request that the URL names, in this browser. Throws RequestGone. */
  async #open(call: PageCall): Promise<Attempt> {
    const one = (name: string): string => {
      const values = call.url.searchParams.getAll(name);
      const [value] = values;
      if (values.length === 1 && value) return value;
      throw new RequestGone("unknown", `the URL has ${values.length === 0 ? "no" : "more than one"} ${name}`);
    };
    const [requestUri, clientId] = [one("request_uri"), one("client_id")];
    const open = await this.#options.requests.open({ requestUri, clientId, device: call.device.id });
    call.uiLocales = open.parameters.uiLocales;
    const isTrusted = this.#options.trustedClients.includes(clientId);
    const logo = isTrusted ? await this.#options.logos.pathOf(open.client) : undefined;
    const wished = call.query("did");
    const isHere = call.device.accounts.some(({ did }) => did === wished);
    const named = isHere ? this.#options.accounts.account(wished)?.handle : open.parameters.loginHint;
    return new Attempt(call, { open, requestUri, isTrusted, logo, identifier: named });
  }

  /** The first page: the question that has to be answered next. */
  #start(attempt: Attempt): Promise<Response> | Response {
    const { signIn, signUp } = this.#options;
    const { call, open } = attempt;
    const { prompts } = open.parameters;
    if (prompts.includes("none")) return this.#withoutAsking(attempt);
    if (prompts.includes("create") && open.did === undefined) return signUp.page(attempt);
    if (open.did !== undefined) {
      return attempt.signedIn(open.did) ? this.#consent(attempt, open.did) : signIn.page(attempt);
    }
    const [first, ...others] = this.#accountsOf(attempt);
    if (!first) return signIn.page(attempt);
    if (others.length > 0 || prompts.includes("select_account")) return this.#choosePage(attempt);
    if (attempt.signedIn(first.did)) return this.#consent(attempt, first.did);
    return call.redirect(attempt.link("sign-in", { did: first.did }));
  }

  /** prompt=none: a code at once, or the reason why somebody would have to be asked. */
  async #withoutAsking(attempt: Attempt): Promise<Response> {
    const { open } = attempt;
    const signedIn = this.#accountsOf(attempt).filter(({ did }) => attempt.signedIn(did));
    const [account, ...others] = signedIn;
    if (!account) return this.#deny(attempt, "login_required");
    if (others.length > 0) return this.#deny(attempt, "account_selection_required");
    const isReady = account.state === "active" && this.#options.requests.isRemembered(open, account.did);
    return isReady ? this.#approve(attempt, account.did) : this.#deny(attempt, "consent_required");
  }

  #choosePage(attempt: Attempt): Promise<Response> | Response {
    const { call, client, open } = attempt;
    const accounts = this.#accountsOf(attempt).filter(
      ({ did }) => open.did === undefined || did === open.did,
    );
    if (accounts.length === 0) return this.#options.signIn.page(attempt);
    const body = chooseAccountPage(call.view, {
      client,
      accounts: accounts.map(({ did, handle }) => ({
        did,
        handle,
        needsPassword: attempt.signedIn(did) === undefined,
      })),
      form: { action: attempt.link("choose") },
      signOut: { action: attempt.link("sign-out") },
      anotherUrl: attempt.link("sign-in"),
      signUpUrl: open.did === undefined ? attempt.link("sign-up") : undefined,
    });
    return attempt.page(body);
  }

  async #signOut({ call, link }: Attempt): Promise<Response> {
    const signedOut = await this.#options.devices.signOut(call.device, call.form.get("did"));
    // The request belongs to this browser, which so keeps its cookie; where nobody is signed in it is worth nothing else.
    if (signedOut.device.id === call.device.id) call.become(signedOut);
    return call.redirect(link(""));
  }

  /** Asks for what the app wants, unless it was allowed before. `did` is the chosen account. */
  async #consent(attempt: Attempt, did = attempt.call.query("did")): Promise<Response> {
    const account = this.#accountOf(attempt, did);
    if (!account) return this.#signInAs(attempt, did);
    if (account.state === "deactivated") return attempt.call.redirect(attempt.link("reactivate", { did }));
    if (account.state !== "active") return this.#refuse(attempt);
    if (this.#options.requests.isRemembered(attempt.open, did)) return this.#approve(attempt, did);
    return this.#consentPage(attempt, account);
  }

  #consentPage(attempt: Attempt, { did, handle }: Account): Response {
    const { call, open } = attempt;
    const { client, parameters, sets } = open;
    const times = this.#options.grants.grantsOf(did).filter(({ clientId }) => clientId === client.id);
    const lastAt = Math.max(...times.map(({ updatedAt }) => updatedAt));
    const body = consentPage(call.view, {
      account: { did, handle },
      switchUrl: open.did === undefined ? attempt.link("choose") : undefined,
      client: {
        ...attempt.client,
        isTrusted: this.#options.trustedClients.includes(client.id),
        isLoopback: client.isLoopback,
      },
      redirectUri: parameters.redirectUri,
      allowedBefore: times.length > 0 ? new Date(lastAt) : undefined,
      explanation: explain(parameters.scope, sets),
      form: { action: attempt.link("consent"), hidden: { did } },
    });
    return attempt.page(body);
  }

  /** Takes the person's decision: no more than was asked for, and no more than was left ticked. */
  async #decide(attempt: Attempt): Promise<Response> {
    const { call, open } = attempt;
    const decision = call.form.get("decision");
    if (decision === "deny") return this.#deny(attempt, "access_denied");
    const asked = scopeValues(open.parameters.scope);
    const ticked = call.form.list("scope");
    if (decision !== "allow" || ticked.some((value) => !asked.includes(value))) {
      return problemAnswer(call, { status: FAILED, kind: "generic" });
    }
    const did = call.form.get("did");
    const account = this.#accountOf(attempt, did);
    if (!account) return this.#signInAs(attempt, did);
    if (account.state === "deactivated") return call.redirect(attempt.link("reactivate", { did }));
    if (account.state !== "active") return this.#refuse(attempt);
    const scope = asked.filter((value) => value === "atproto" || ticked.includes(value)).join(" ");
    return this.#approve(attempt, did, scope);
  }

  #reactivate(attempt: Attempt, error?: string): Promise<Response> | Response {
    const { call } = attempt;
    const did = call.query("did");
    const account = this.#accountOf(attempt, did);
    if (!account) return this.#signInAs(attempt, did);
    if (account.state !== "deactivated") return call.redirect(attempt.onward(did));
    const deleteAfter = this.#options.accounts.deleteAfter(did);
    const body = reactivatePage(call.view, {
      account: { did, handle: account.handle },
      client: attempt.client,
      deleteAfter: deleteAfter === undefined ? undefined : new Date(deleteAfter),
      form: { action: attempt.link("reactivate", { did }) },
      cancelUrl: attempt.link("sign-in"),
      error,
    });
    return attempt.page(body, { status: error === undefined ? 200 : FAILED });
  }

  async #reactivateNow(attempt: Attempt): Promise<Response> {
    const { call } = attempt;
    const did = call.query("did");
    const account = this.#accountOf(attempt, did);
    if (!account) return this.#signInAs(attempt, did);
    try {
      if (account.state === "deactivated") await this.#options.status.activate(did);
    } catch (error) {
      if (!isKithError(error)) throw error;
      call.context.failure = error;
      const { errors } = call.view.t;
      const isElsewhere = error.code === "invalid_request";
      return this.#reactivate(attempt, isElsewhere ? errors.notHere : errors.busy);
    }
    return call.redirect(attempt.onward(did));
  }

  async #approve(attempt: Attempt, did: string, scope?: string): Promise<Response> {
    const { call, open } = attempt;
    const answer = await this.#options.requests.approve(open.id, {
      device: call.device.id,
      did,
      ...(scope === undefined ? {} : { scope }),
    });
    return this.#goBack(attempt, answer);
  }

  async #deny(attempt: Attempt, error: OAuthErrorCode): Promise<Response> {
    const { call, open } = attempt;
    const answer = await this.#options.requests.deny(open.id, {
      device: call.device.id,
      error,
      description: DESCRIPTIONS[error] ?? "The request was refused",
    });
    return this.#goBack(attempt, answer);
  }

  /** To the redirect URI, which was checked when the request was pushed. */
  #goBack(attempt: Attempt, { url, redirectUri, parameters: params }: AuthorizationAnswer): Response {
    const { call, client } = attempt;
    if (url !== undefined) return call.leave(url);
    return attempt.page(formPostPage(call.view, { client, redirectUri, params }));
  }

  /** Accounts that are signed in in this browser, or were, the last first. */
  #accountsOf({ call }: Attempt): Account[] {
    return call.device.accounts
      .map(({ did }) => this.#options.accounts.account(did))
      .filter((account) => isPresent(account));
  }

  /** An account that is signed in well enough for this request. */
  #accountOf(attempt: Attempt, did: string): Account | undefined {
    const account = attempt.signedIn(did) && this.#options.accounts.account(did);
    return isPresent(account) ? account : undefined;
  }

  #signInAs({ call, link }: Attempt, did: string): Response {
    return call.redirect(link("sign-in", did === "" ? {} : { did }));
  }

  #refuse(attempt: Attempt): Promise<Response> {
    const form = attempt.call.view.t.errors.accountTakendown;
    return this.#options.signIn.page(attempt, { errors: { form }, status: FAILED });
  }
}

/** For whoever makes the app. */
const DESCRIPTIONS: Readonly<Partial<Record<OAuthErrorCode, string>>> = {
  access_denied: "The person did not allow it",
  login_required: "Nobody is signed in",
  consent_required: "The person has to be asked",
  account_selection_required: "Several accounts are signed in",
};
