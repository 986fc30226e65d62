/** dev.kith.community: provision, mint, adopt, getHealth, reauth and delete. */
import {
  type Adoptions,
  type Attempts,
  abilitiesOf,
  type Consents,
  type Deletions,
  type Healths,
  type Members,
} from "../../../communities/mod.ts";
import { KithError } from "../../../errors.ts";
import {
  DevKithCommunityAdopt,
  DevKithCommunityDelete,
  DevKithCommunityGetHealth,
  DevKithCommunityMint,
  DevKithCommunityProvision,
  DevKithCommunityReauth,
} from "../../../lexicons/mod.ts";
import { perAccount } from "../../limits/charges.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../limits/rate_limits.ts";
import { callerDid, type Method } from "../../method.ts";
import { communityMethod, decidingCaller } from "./access.ts";

export interface LifecycleMethodsOptions {
  readonly attempts: Pick<Attempts, "provision" | "mint">;
  readonly adoptions: Pick<Adoptions, "adopt" | "reauth">;
  readonly consents: Pick<Consents, "askToAdopt" | "askAgain">;
  readonly healths: Pick<Healths, "of">;
  readonly deletions: Pick<Deletions, "delete">;
  readonly members: Pick<Members, "require">;
  readonly serviceDid: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Calls that make a community or go on with one: how many may be made is bounded apart, by quotas. */
const ATTEMPTS = perAccount({ points: 60, windowMs: 5 * MINUTE_MS });
/** Calls that try an app password at another server, or ask it for a consent. */
const PASSWORDS = perAccount({ points: 20, windowMs: HOUR_MS }, { points: 100, windowMs: DAY_MS });
/** Calls for which other servers are asked. */
const LOOKS = perAccount({ points: 60, windowMs: 5 * MINUTE_MS });

export function lifecycleMethods(options: LifecycleMethodsOptions): Method[] {
  return [...makingMethods(options), ...keepingMethods(options)];
}

function makingMethods({ attempts, adoptions, consents, serviceDid }: LifecycleMethodsOptions): Method[] {
  const own = communityMethod(serviceDid);
  const { nsid: provision } = DevKithCommunityProvision.mainSchema;
  const { nsid: mint } = DevKithCommunityMint.mainSchema;
  const { nsid: adopt } = DevKithCommunityAdopt.mainSchema;
  return [
    own(DevKithCommunityProvision.mainSchema, {
      limit: ATTEMPTS,
      handler: (call) => {
        const caller = decidingCaller(call, provision);
        const { hosting } = call.input;
        return attempts.provision(caller, { ...call.input, hosting: hostingOf(hosting) });
      },
    }),
    own(DevKithCommunityMint.mainSchema, {
      limit: ATTEMPTS,
      handler: (call) => attempts.mint(decidingCaller(call, mint), call.input),
    }),
    own(DevKithCommunityAdopt.mainSchema, {
      limit: PASSWORDS,
      handler: async (call) => {
        const caller = decidingCaller(call, adopt);
        const { identifier, appPassword } = call.input;
        if (appPassword === undefined || appPassword === "") {
          const authorizeUrl = await consents.askToAdopt({ caller, identifier });
          return { authorizeUrl, ...abilitiesOf({ mode: "adopted", kind: null }) };
        }
        const community = await adoptions.adopt({ caller, identifier, appPassword });
        const { did, handle } = community;
        return { communityDid: did, ...(handle === null ? {} : { handle }), ...abilitiesOf(community) };
      },
    }),
  ];
}

function keepingMethods(options: LifecycleMethodsOptions): Method[] {
  const { adoptions, consents, healths, deletions, members, serviceDid, now } = options;
  const own = communityMethod(serviceDid);
  const { nsid: reauth } = DevKithCommunityReauth.mainSchema;
  const { nsid: remove } = DevKithCommunityDelete.mainSchema;
  return [
    own(DevKithCommunityGetHealth.mainSchema, {
      limit: LOOKS,
      handler: async (call) => {
        const { communityDid } = call.params;
        const { community } = members.require(communityDid, { caller: callerDid(call), right: "see" });
        const health = await healths.of(community);
        return { ...health, checkedAt: new Date(now()).toISOString() };
      },
    }),
    own(DevKithCommunityReauth.mainSchema, {
      limit: PASSWORDS,
      handler: async (call) => {
        const caller = decidingCaller(call, reauth);
        const { communityDid, appPassword } = call.input;
        const { community } = members.require(communityDid, { caller, right: "own" });
        if (appPassword === undefined || appPassword === "")
          return { status: "consentNeeded", authorizeUrl: await consents.askAgain(community, { caller }) };
        await adoptions.reauth(community, { caller, appPassword });
        return { status: "healthy" };
      },
    }),
    own(DevKithCommunityDelete.mainSchema, {
      handler: async (call) => {
        const caller = decidingCaller(call, remove);
        const { community } = members.require(call.input.communityDid, { caller, right: "own" });
        return deletions.delete(community, caller);
      },
    }),
  ];
}

/** The lexicon names the kinds that are known, and refuses no other. */
function hostingOf(text: string | undefined): "native" | "stock" | undefined {
  if (text === undefined || text === "native" || text === "stock") return text;
  throw new KithError(
    "invalid_request",
    `There is no hosting "${text.slice(0, 100)}": it is native or stock`,
  );
}
