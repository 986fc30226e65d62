/** Wires the pages that people sign in with, allow apps on, and look after their account on. */
import { hkdfSync } from "node:crypto";
import { accountPagesOf } from "./account_page_features.ts";
import { networkOf } from "./accounts/mod.ts";
import { type AdminPageParts, adminPagesOf } from "./admin_page_features.ts";
import { ConsentDenied, OAUTH_PATHS } from "./communities/mod.ts";
import type { Config, Secrets } from "./config/mod.ts";
import { type Stores, safeFetchOf } from "./engine.ts";
import type { Features } from "./features.ts";
import { clientLogosOf, frontPages, pageSiteOf } from "./front_pages.ts";
import type { RootLogger } from "./logger.ts";
import {
  AdoptionPages,
  AuthorizePages,
  type ClientLogos,
  Entrance,
  type PageAct,
  type PageLimits,
  type PageRoutes,
  PageServer,
  SignInPages,
  SignUpPages,
} from "./oauth/mod.ts";
import type { PageSite } from "./web/mod.ts";
import type { FrontPages, RateLimits } from "./xrpc/mod.ts";

const CSRF_KEY_BYTES = 32;
const FIVE_MINUTES_MS = 5 * 60_000;
const HOUR_MS = 3_600_000;
/** Where browsers and password managers send people who want to change their password. */
const CHANGE_PASSWORD = "/.well-known/change-password";
const PASSWORD_PAGE = "/account/security";

/** Of one network. A school or a mobile network is one. */
const BUDGETS: Readonly<Record<PageAct, { readonly points: number; readonly windowMs: number }>> = {
  page: { points: 1_000, windowMs: FIVE_MINUTES_MS },
  sign_in: { points: 150, windowMs: FIVE_MINUTES_MS },
  second_factor: { points: 150, windowMs: FIVE_MINUTES_MS },
  sign_up: { points: 50, windowMs: FIVE_MINUTES_MS },
  forgot_password: { points: 30, windowMs: FIVE_MINUTES_MS },
  reset_password: { points: 50, windowMs: FIVE_MINUTES_MS },
  community: { points: 60, windowMs: FIVE_MINUTES_MS },
  community_password: { points: 20, windowMs: HOUR_MS },
  admin_password: { points: 20, windowMs: FIVE_MINUTES_MS },
};

export interface PageParts extends Omit<AdminPageParts, "features" | "stores"> {
  readonly config: Config;
  readonly secrets: Pick<Secrets, "jwtSecret">;
  readonly features: Features;
  readonly stores: AdminPageParts["stores"] & Pick<Stores, "accounts" | "oauth">;
  readonly log: RootLogger;
}

/** All pages of a server. */
export interface Pages {
  readonly server: PageServer;
  readonly front: FrontPages;
}

/** They are loaded with the first that somebody opens; the operator's pictures, where there are any, are fetched from then on. */
export function pagesOf(
  parts: PageParts,
  limits: Pick<RateLimits, "countRequest" | "charge"> | undefined,
): Pages {
  const { config, log } = parts;
  const safeFetch = safeFetchOf(config);
  const pages = pageSiteOf({ config, safeFetch, log });
  const logos = clientLogosOf({ config, pages, safeFetch, log });
  return {
    server: pageServerOf({ ...parts, pages, logos }, limits),
    front: frontPages({ config, pages }),
  };
}

type SitedParts = PageParts & { readonly pages: PageSite; readonly logos: ClientLogos };

function pageServerOf(
  parts: SitedParts,
  limits: Pick<RateLimits, "countRequest" | "charge"> | undefined,
): PageServer {
  const { config, secrets, features } = parts;
  const accountPages = accountPagesOf(parts);
  return new PageServer({
    publicUrl: config.publicUrl,
    csrfKey: new Uint8Array(hkdfSync("sha256", secrets.jwtSecret, "", "kith csrf", CSRF_KEY_BYTES)),
    pages: parts.pages,
    devices: features.owners.devices,
    limits: limits && pageLimits(limits),
    routes: routesOf(parts),
    find: (path) => accountPages.find(path),
  });
}

/** Every page by its path. */
function routesOf(parts: SitedParts): PageRoutes {
  const { config, features, logos } = parts;
  const { accounts } = parts.stores;
  const { owners, creator, oauth } = features;
  const { signIns, credentials, welcome, devices, status, languages } = owners;
  const { handleDomains: domains, inviteRequired: isInviteRequired } = config;
  const hasSignUp = domains.length > 0;
  const signIn = new SignInPages({ signIns, accounts, languages, hasSignUp });
  const signUp = new SignUpPages({
    ...{ creator, signIns, credentials, languages, welcome },
    domains,
    isInviteRequired,
  });
  const authorize = new AuthorizePages({
    ...{ accounts, devices, status, signIn, signUp, logos },
    requests: oauth.requests,
    grants: oauth.store,
    trustedClients: config.oauthTrustedClients,
  });
  const adoption = new AdoptionPages({
    consents: features.communities.consents,
    path: OAUTH_PATHS.callback,
    publicUrl: config.publicUrl,
    isRefusal: (error) => error instanceof ConsentDenied && error.isByOwner,
  });
  const entrance = new Entrance({ accounts, devices, signIn, signUp, hasSignUp });
  return {
    ...entrance.routes(),
    ...authorize.routes(),
    ...adoption.routes(),
    ...adminPagesOf(parts).routes(),
    [CHANGE_PASSWORD]: { get: (call) => call.redirect(PASSWORD_PAGE) },
  };
}

function pageLimits(limits: Pick<RateLimits, "countRequest" | "charge">): PageLimits {
  return {
    count: (act, caller) => {
      limits.countRequest(caller);
      limits.charge({ budgets: [BUDGETS[act]], key: networkOf(caller.ip) }, caller);
    },
  };
}
