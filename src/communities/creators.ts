/** Who may make communities here. */
import { KithError } from "../errors.ts";

export interface CreatorRules {
  readonly enabled: boolean;
  /** DIDs: these beside the members of this server. */
  readonly creators: "members" | "anyone" | readonly string[];
  /** Whether there is an active account of this server. */
  isMember(did: string): boolean;
}

export function mayCreate({ enabled, creators, isMember }: CreatorRules, caller: string): boolean {
  if (!enabled) return false;
  const isNamed = Array.isArray(creators) && creators.includes(caller);
  return creators === "anyone" || isNamed || isMember(caller);
}

/** Throws KithError communities_disabled. */
export function requireCreator(rules: CreatorRules, caller: string): void {
  if (mayCreate(rules, caller)) return;
  if (!rules.enabled) {
    throw new KithError("communities_disabled", "Could not make a community: this server makes none", {
      hint: "KITH_COMMUNITIES_ENABLED is false.",
    });
  }
  throw new KithError(
    "communities_disabled",
    `Could not make a community for "${caller}": this server makes them for its own members`,
    { hint: "KITH_COMMUNITY_CREATORS says who else may." },
  );
}
