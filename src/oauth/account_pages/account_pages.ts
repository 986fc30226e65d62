/** Everything below /account that is about one account: who may see it, and when a sign-in has to be fresh for it. */
import { type Account, isPresent, type MemberLanguages, type StepUps } from "../../accounts/mod.ts";
import { isKithError } from "../../errors.ts";
import type { PageCall } from "../pages/page_call.ts";
import type { PageRoute } from "../pages/page_server.ts";
import { AccountCall, type AccountHandler, type AccountRoute, type AccountRoutes } from "./account_call.ts";
import { type AddressParts, addressRoutes } from "./address_pages.ts";
import { type AppsParts, appsRoutes } from "./apps_pages.ts";
import { type HomeParts, homeRoutes } from "./home_pages.ts";
import { ACCOUNT_PATH, accountPath, parseAccountPath, returnPath } from "./paths.ts";
import { type SecurityParts, securityRoutes } from "./security_pages.ts";
import { type StatusParts, statusRoutes } from "./status_pages.ts";
import { type StepUpParts, stepUpRoutes, stepUpTo } from "./step_up_page.ts";

export interface AccountPagesOptions
  extends AddressParts,
    AppsParts,
    HomeParts,
    SecurityParts,
    StatusParts,
    Omit<StepUpParts, "factors" | "stepUps"> {
  readonly accounts: { account(did: string): Account | undefined };
  readonly factors: HomeParts["factors"] & SecurityParts["factors"] & StepUpParts["factors"];
  readonly credentials: AddressParts["credentials"] &
    SecurityParts["credentials"] &
    StatusParts["credentials"];
  readonly devices: HomeParts["devices"] & SecurityParts["devices"];
  readonly stepUps: Pick<StepUps, "ofDevice" | "again">;
  readonly languages: Pick<MemberLanguages, "read">;
}

export class AccountPages {
  readonly #options: AccountPagesOptions;
  readonly #routes: ReadonlyMap<string, AccountRoute>;

  constructor(options: AccountPagesOptions) {
    this.#options = options;
    const all: AccountRoutes = {
      ...homeRoutes(options),
      ...appsRoutes(options),
      ...securityRoutes(options),
      ...addressRoutes(options),
      ...statusRoutes(options),
      ...stepUpRoutes(options),
    };
    this.#routes = new Map(Object.entries(all));
  }

  /** What a path answers; undefined where it is no page of an account. */
  find(pathname: string): PageRoute | undefined {
    const path = parseAccountPath(pathname);
    const route = path && this.#routes.get(path.rest);
    if (!route) return undefined;
    const { did, rest } = path;
    if (did === undefined) return route.get && { get: (page) => this.#pick(page, rest) };
    const { get = () => ({ to: accountPath(did, sectionOf(rest)) }), post } = route;
    return {
      get: (page) => this.#answer(page, { did, route, handler: get }),
      ...(post && { post: (page: PageCall) => this.#answer(page, { did, route, handler: post }) }),
      ...(rest === "confirm" && { act: "second_factor" as const }),
    };
  }

  /** To the page of the only account that is signed in; where there are several, one is chosen first. */
  #pick(page: PageCall, rest: string): Response {
    const { accounts } = page.device;
    const [only] = accounts;
    if (only === undefined) return this.#signIn(page);
    if (accounts.length > 1) return page.redirect(withReturn(`${ACCOUNT_PATH}/choose`, page));
    return page.redirect(accountPath(only.did, rest) + page.url.search);
  }

  async #answer(
    page: PageCall,
    { did, route, handler }: { did: string; route: AccountRoute; handler: AccountHandler },
  ): Promise<Response> {
    const { accounts, stepUps, languages } = this.#options;
    const signedIn = page.device.accounts.find((one) => one.did === did);
    const account = accounts.account(did);
    // Whether there is such an account is nobody's business who is not signed in to it.
    if (!signedIn || signedIn.needsPassword || !isPresent(account))
      return this.#signIn(page, account && signedIn?.did);
    const call = new AccountCall({ page, account, signedIn, stepUps });
    await languages.read(did, page.locale);
    if (call.isDown && !route.isOpenWhenDown) return page.redirect(call.path());
    try {
      if (route.isGuarded) call.fresh();
      const answer = await handler(call);
      if ("to" in answer) return page.redirect(answer.to);
      return page.page(answer.html, answer.status === undefined ? {} : { status: answer.status });
    } catch (error) {
      if (!isKithError(error, "step_up_required")) throw error;
      return page.redirect(stepUpTo(call, pageOf(page)).to);
    }
  }

  #signIn(page: PageCall, did?: string): Response {
    const handle = did === undefined ? undefined : this.#options.accounts.account(did)?.handle;
    return page.redirect(
      withReturn(`${ACCOUNT_PATH}/sign-in`, page, handle === undefined ? {} : { identifier: handle }),
    );
  }
}

/** The page that an act belongs to. */
function sectionOf(rest: string): string {
  const [section = ""] = rest.split("/");
  return section.startsWith("sign-out") ? "" : section;
}

/** The page to come back to: the one that is asked for, or the one whose form was sent. */
function pageOf({ request, url }: PageCall): string {
  const path = parseAccountPath(url.pathname);
  if (path?.did === undefined || request.method !== "POST") return url.pathname + url.search;
  return accountPath(path.did, path.rest === "security/totp" ? path.rest : sectionOf(path.rest));
}

function withReturn(path: string, page: PageCall, more: Readonly<Record<string, string>> = {}): string {
  const to = returnPath(pageOf(page)) ?? ACCOUNT_PATH;
  return `${path}?${new URLSearchParams({ to, ...more })}`;
}
