/** Into the pages of accounts: signing in, signing up, and choosing among the accounts of a browser. */
import { type Account, type Devices, isPresent } from "../../accounts/mod.ts";
import { chooseAccountPage } from "../../web/mod.ts";
import type { PageCall } from "../pages/page_call.ts";
import type { PageRoutes } from "../pages/page_server.ts";
import type { SignInPages, SignInStep, Trail } from "../pages/sign_in_pages.ts";
import type { SignUpPages } from "../pages/sign_up_pages.ts";
import { ACCOUNT_PATH, accountPath, parseAccountPath, returnPath } from "./paths.ts";

export interface EntranceOptions {
  readonly accounts: { account(did: string): Account | undefined };
  readonly devices: Pick<Devices, "signOut">;
  readonly signIn: Pick<SignInPages, "routes">;
  readonly signUp: Pick<SignUpPages, "routes">;
  /** Whether new accounts can be made here. */
  readonly hasSignUp: boolean;
}

export class Entrance {
  readonly #options: EntranceOptions;

  constructor(options: EntranceOptions) {
    this.#options = options;
  }

  routes(): PageRoutes {
    const { signIn, signUp } = this.#options;
    const find = (call: PageCall) => new AccountTrail(call);
    return {
      ...signIn.routes(ACCOUNT_PATH, find),
      ...signUp.routes(ACCOUNT_PATH, find),
      [`${ACCOUNT_PATH}/choose`]: {
        get: (call) => this.#choose(new AccountTrail(call)),
        post: (call) => this.#chosen(new AccountTrail(call)),
      },
      [`${ACCOUNT_PATH}/sign-out`]: { post: (call) => this.#signOut(new AccountTrail(call)) },
    };
  }

  #choose(trail: AccountTrail): Response {
    const { call } = trail;
    const { accounts, hasSignUp } = this.#options;
    const listed = call.device.accounts.flatMap(({ did, needsPassword }) => {
      const account = accounts.account(did);
      return isPresent(account) ? [{ did, handle: account.handle, needsPassword }] : [];
    });
    if (listed.length === 0) return call.redirect(trail.link("sign-in"));
    const body = chooseAccountPage(call.view, {
      accounts: listed,
      form: { action: trail.link("choose") },
      signOut: { action: trail.link("sign-out") },
      anotherUrl: trail.link("sign-in"),
      signUpUrl: hasSignUp ? trail.link("sign-up") : undefined,
    });
    return trail.page(body);
  }

  #chosen(trail: AccountTrail): Response {
    const did = trail.call.form.get("did");
    const isHere = trail.call.device.accounts.some((account) => account.did === did);
    return isHere ? trail.call.redirect(trail.onward(did)) : this.#choose(trail);
  }

  async #signOut(trail: AccountTrail): Promise<Response> {
    const { call } = trail;
    call.become(await this.#options.devices.signOut(call.device, call.form.get("did")));
    return call.redirect(trail.link("choose"));
  }
}

/** Every step carries the page to go on to, so that it works in several tabs. */
class AccountTrail implements Trail {
  readonly call: PageCall;
  readonly #to: string;

  constructor(call: PageCall) {
    this.call = call;
    this.#to = returnPath(call.query("to")) ?? ACCOUNT_PATH;
  }

  /** Of the account whose page was asked for; what was typed before counts more. */
  get identifier(): string | undefined {
    return this.call.query("identifier") || undefined;
  }

  readonly link = (step: SignInStep, parameters: Readonly<Record<string, string>> = {}): string => {
    const query = new URLSearchParams({
      ...(this.#to !== ACCOUNT_PATH && { to: this.#to }),
      ...parameters,
    }).toString();
    return `${ACCOUNT_PATH}/${step}${query === "" ? "" : `?${query}`}`;
  };

  readonly page = (body: string, options: { status?: number } = {}): Response =>
    this.call.page(body, options);

  /** To the page that was asked for: of this account, whoever's it was. */
  readonly onward = (did: string): string => {
    const { pathname, search } = new URL(this.#to, "http://here.invalid");
    const path = parseAccountPath(pathname);
    // What was asked of one account is not asked of another.
    const isOthers = path?.did !== undefined && path.did !== did;
    return isOthers ? accountPath(did) : accountPath(did, path?.rest) + search;
  };
}
