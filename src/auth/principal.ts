import type { Permissions } from "../atproto/mod.ts";

/** The scope of a session's access token, as the reference PDS names them. */
export type SessionScope =
  | "com.atproto.access"
  | "com.atproto.appPass"
  | "com.atproto.appPassPrivileged"
  | "com.atproto.takendown";

/** Who is calling. */
export type Principal =
  | { readonly kind: "user"; readonly did: string; readonly scope: SessionScope; readonly sessionId?: string }
  | { readonly kind: "refresh"; readonly did: string; readonly tokenId: string }
  | OAuthPrincipal
  | ServicePrincipal
  | { readonly kind: "admin" };

/** An app that an account has let in, and what it may do. */
export interface OAuthPrincipal {
  readonly kind: "oauth";
  readonly did: string;
  readonly clientId: string;
  readonly permissions: Permissions;
  /** The grant that its token belongs to. */
  readonly tokenId: string;
}

/** A server or an app that speaks for an account by a token that the account's own key has signed. */
export interface ServicePrincipal {
  readonly kind: "service";
  /** The account; it need not be one of ours. */
  readonly did: string;
  /** The method that the token is for. */
  readonly lxm: string;
  /** Lets the token serve again: for a call that was refused and has changed nothing. */
  release(): void;
}

/**
 * What a method asks of its caller. "none": the header is not looked at; "optional": anonymous, a user (also one who is
 * taken down) or the admin; "access": any session; "full": a session of the main password; "anySession": any session, also of
 * an account that is taken down, whose scope is then the narrow one; "fullOrTakendown": of those the ones of the main password;
 * "moderator": the admin, or the moderation service by a service token; "refresh": a refresh token; "service": a service token
 * for the method; "accessOrService": either; "optionalService": a service token, the admin, or nobody (a session counts as nobody).
 * Where a user is admitted, an app that the user has let in is too, as far as the method's `oauth` says.
 */
export type AuthKind =
  | "none"
  | "optional"
  | "access"
  | "full"
  | "anySession"
  | "fullOrTakendown"
  | "moderator"
  | "refresh"
  | "service"
  | "accessOrService"
  | "optionalService"
  | "admin";
