/** Wires what apps sign in with: proofs and access tokens, authorization requests, grants, and the endpoints over them. */

import { networkOf } from "./accounts/mod.ts";
import { decodeCbor, parsePermissionSet } from "./atproto/mod.ts";
import { DpopNonces, DpopVerifier, OAuthAccess, ReplayGuard } from "./auth/mod.ts";
import type { Config } from "./config/mod.ts";
import { type Actors, type Stores, safeFetchOf } from "./engine.ts";
import type { LexiconSource, SafeFetch } from "./identity/mod.ts";
import type { RootLogger } from "./logger.ts";
import {
  AuthorizationRequests,
  ClientAuth,
  ClientJwts,
  Clients,
  Grants,
  type OAuthEndpoint,
  type OAuthLimits,
  OAuthServer,
  type PermissionSets,
} from "./oauth/mod.ts";
import { LOCALES } from "./web/mod.ts";
import type { RateLimits } from "./xrpc/mod.ts";

/** The log is told no more often that clients name another origin. */
const ORIGIN_HINT_EVERY_MS = 10 * 60_000;
const FIVE_MINUTES_MS = 5 * 60_000;

/** Calls of one network. An app's server calls for all of its users. */
const BUDGETS: Readonly<Record<OAuthEndpoint, { readonly points: number; readonly windowMs: number }>> = {
  par: { points: 300, windowMs: FIVE_MINUTES_MS },
  token: { points: 1_000, windowMs: FIVE_MINUTES_MS },
  revoke: { points: 300, windowMs: FIVE_MINUTES_MS },
  introspect: { points: 1_000, windowMs: FIVE_MINUTES_MS },
};

export type OAuthFeatures = ReturnType<typeof startOAuth>;

export function startOAuth({
  config,
  log,
  stores,
  lexicons,
  ownDocuments,
  now,
}: {
  config: Config;
  log: RootLogger;
  stores: Pick<Stores, "accounts" | "oauth">;
  /** Undefined where the network is not asked for lexicons. */
  lexicons: LexiconSource | undefined;
  /** Documents of this server that a client of ours has: they are read without a way through the network. */
  ownDocuments: { at(url: string): Promise<object | undefined> };
  now: Actors["now"];
}) {
  const { publicUrl: issuer } = config;
  const { accounts, oauth: store } = stores;
  const nonces = new DpopNonces({ now });
  const replays = new ReplayGuard({ now });
  const dpop = new DpopVerifier({ nonces, replays, now, onOtherOrigin: originHint(log, now) });
  const access = new OAuthAccess({ grants: store, dpop, nonces, publicUrl: issuer, now });
  const clients = new Clients({ safeFetch: withOwn(ownDocuments, safeFetchOf(config)), now });
  const jwts = new ClientJwts({ clients, used: store, issuer, now });
  const clientAuth = new ClientAuth({ clients, jwts });
  const sets = permissionSetsOf(lexicons);
  const requests = new AuthorizationRequests({ store, clients, jwts, sets, accounts, issuer, now });
  const maySignIn = (did: string): boolean => {
    const state = accounts.account(did)?.state;
    return state === "active" || state === "deactivated";
  };
  const grants = new Grants({ store, clientAuth, sets, issuer, maySignIn, now });
  const server = (limits: OAuthLimits | undefined) =>
    new OAuthServer({ issuer, locales: LOCALES, dpop, nonces, clientAuth, requests, grants, limits });
  return { access, requests, clients, sets, store, server };
}

function withOwn(documents: { at(url: string): Promise<object | undefined> }, fetch: SafeFetch): SafeFetch {
  return async (url, request) => {
    const document = await documents.at(url);
    if (document === undefined) return await fetch(url, request);
    const headers = new Headers({ "content-type": "application/json" });
    return { status: 200, headers, url, body: Buffer.from(JSON.stringify(document)) };
  };
}

/** Draws on the counters that XRPC has too, so that one network's requests are counted together. */
export function oauthLimits(limits: Pick<RateLimits, "countRequest" | "charge">): OAuthLimits {
  return {
    count: (endpoint, caller) => {
      limits.countRequest(caller);
      limits.charge({ budgets: [BUDGETS[endpoint]], key: networkOf(caller.ip) }, caller);
    },
  };
}

/** Permission sets are lexicons. */
function permissionSetsOf(lexicons: LexiconSource | undefined): PermissionSets {
  return {
    resolve: async (nsid) => {
      try {
        const found = await lexicons?.find(nsid);
        return found && parsePermissionSet(decodeCbor(found.bytes), { nsid });
      } catch {
        // Whoever asked for it is told that it cannot be had.
        return undefined;
      }
    },
  };
}

function originHint(log: RootLogger, now: () => number) {
  let nextAt = 0;
  return ({ named, expected }: { named: string; expected: string }): void => {
    if (now() < nextAt) return;
    nextAt = now() + ORIGIN_HINT_EVERY_MS;
    log.warn(
      "Apps reach this server under another origin than it says of itself, and so cannot sign in: check PDS_HOSTNAME",
      { named: named.slice(0, 200), expected },
    );
  };
}
