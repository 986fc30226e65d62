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
  | { readonly kind: "admin" };

/**
 * What a method asks of its caller. "none": the header is not looked at; "optional": anonymous, a user (also one who is
 * taken down) or the admin; "access": any session; "full": a session of the main password; "refresh": a refresh token.
 */
export type AuthKind = "none" | "optional" | "access" | "full" | "refresh" | "admin";
