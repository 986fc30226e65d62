/** What the pages of communities need of the server. */
import type {
  Adoptions,
  Attempts,
  CommunityInvites,
  Consents,
  Deletions,
  Healths,
  Members,
} from "../../communities/mod.ts";
import { type ErrorCode, isKithError, type KithError } from "../../errors.ts";
import type { Community, Role } from "../../storage/mod.ts";
import type { CommunityName, CommunityNature, Texts } from "../../web/mod.ts";
import type { AccountCall } from "./account_call.ts";
import { errorText } from "./error_texts.ts";

export interface CommunityServices {
  readonly attempts: Pick<Attempts, "open" | "provision" | "mint" | "resume">;
  readonly adoptions: Pick<Adoptions, "adopt" | "reauth">;
  readonly consents: Pick<Consents, "askToAdopt" | "askAgain">;
  readonly healths: Pick<Healths, "of">;
  readonly deletions: Pick<Deletions, "delete">;
  readonly members: Pick<Members, "require" | "list" | "listOf" | "grant" | "revoke">;
  readonly invites: Pick<CommunityInvites, "create" | "list" | "look" | "redeem" | "revoke">;
  find(did: string): Community | undefined;
  readonly names: {
    /** Throws KithError handle_not_found, invalid_request, timeout, upstream_failure. */
    didOf(identifier: string): Promise<string>;
    /** Of members of this server. */
    handleOf(did: string): string | undefined;
  };
  /** Whether somebody may make communities here. */
  mayMake(did: string): boolean;
  /** Whether the operator allows communities on other servers. */
  readonly hasOtherHosts: boolean;
}

export interface CommunityParts {
  readonly communities: CommunityServices;
  /** Those that members may have a handle under, each with its leading dot. */
  readonly handleDomains: readonly string[];
  /** The public origin. */
  readonly publicUrl: string;
  /** Milliseconds since 1970. */
  now(): number;
}

/** Where the pages are, behind the account in the path. */
export const COMMUNITIES = "communities";

/** A page of one community; which one is in its query, so that a form goes back to it. */
export function communityTo(
  call: AccountCall,
  page: string,
  { community, ...query }: { readonly community: string; readonly [name: string]: string },
): { to: string } {
  return call.to(`${COMMUNITIES}/${page}`, { community, ...query });
}

export function communityName({ did, handle }: Pick<Community, "did" | "handle">): CommunityName {
  return handle === null ? { did } : { did, handle };
}

export function natureOf({ mode, kind }: Pick<Community, "mode" | "kind">): CommunityNature {
  if (mode !== "provisioned") return mode;
  return kind === "native" ? "native" : "stock";
}

export const ROLES: readonly Role[] = ["member", "manager", "admin", "owner"];

/** Of a form; the least where it is none. */
export function roleOf(text: string): Role {
  return ROLES.find((role) => role === text) ?? "member";
}

/** In the reader's words. Throws the error again where nobody has words for it. */
export function communityErrorText(
  t: Texts,
  error: unknown,
  own: Partial<Record<ErrorCode, string>> = {},
): string {
  const texts = t.communities.errors;
  return errorText(t, error, {
    community_quota: texts.quota,
    communities_disabled: texts.closed,
    host_not_allowed: texts.hostNotAllowed,
    idempotency_conflict: texts.conflict,
    lease_lost: texts.working,
    role_too_low: texts.tooLow,
    last_owner: texts.lastOwner,
    not_supported: texts.notSupported,
    already_exists: texts.taken,
    handle_not_found: texts.noSuchMember,
    did_not_found: texts.noSuchMember,
    invalid_handle: texts.noSuchMember,
    invalid_credentials: texts.badAppPassword,
    ...(isKithError(error)
      ? { upstream_failure: upstreamText(t, error), timeout: upstreamText(t, error) }
      : {}),
    ...own,
  });
}

/** Why the owner of an account cannot be asked. Throws as `communityErrorText`. */
export function consentErrorText(t: Texts, error: unknown): string {
  const { errors } = t.communities;
  return communityErrorText(t, error, {
    not_supported: errors.noConsent,
    ...(isKithError(error) ? { invalid_request: upstreamText(t, error) } : {}),
  });
}

/** What another server says is told as it is: nobody else knows why. */
export function upstreamText({ communities }: Texts, { message }: KithError): string {
  return `${communities.errors.upstream} ${communities.errors.said(message)}`;
}
