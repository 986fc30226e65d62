/** Who may make communities here. */
import { KithError } from "../errors.ts";

export interface CreatorRules {
  readonly enabled: boolean;
  /** DIDs: these beside the members of this server. */
  readonly creators: "members" | "anyone" | readonly string[];
  /** Whether there is an active account of this server. */
  isMember(did: string): boolean;
}

/** Throws KithError communities_disabled. */
export function requireCreator({ enabled, creators, isMember }: CreatorRules, caller: string): void {
  if (!enabled) {
    throw new KithError("communities_disabled", "Could not make a community: this server makes none", {
      hint: "KITH_COMMUNITIES_ENABLED is false.",
    });
  }
  const isNamed = Array.isArray(creators) && creators.includes(caller);
  if (creators === "anyone" || isNamed || isMember(caller)) return;
  throw new KithError(
    "communities_disabled",
    `Could not make a community for "${caller}": this server makes them for its own members`,
    { hint: "KITH_COMMUNITY_CREATORS says who else may." },
  );
}
