import type { Authenticator } from "./authenticator.ts";
import type { AuthKind, Principal } from "./principal.ts";

/** What the admin may call; a method of another kind wants somebody's session or token. */
const ADMITS_ADMIN: ReadonlySet<AuthKind> = new Set(["admin", "moderator", "optional", "optionalService"]);

/**
 * For the admin socket, whose callers have shown who they are by opening it: without an Authorization header they are
 * the admin. With one they are whom it names.
 */
export class SocketAuthenticator implements Authenticator {
  readonly #byHeader: Authenticator;

  constructor(byHeader: Authenticator) {
    this.#byHeader = byHeader;
  }

  async authenticate(
    request: Request,
    kind: AuthKind,
    call: { readonly nsid: string },
  ): Promise<Principal | null> {
    if (ADMITS_ADMIN.has(kind) && !request.headers.get("authorization")) return { kind: "admin" };
    return await this.#byHeader.authenticate(request, kind, call);
  }
}
