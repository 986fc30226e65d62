/** Methods that a service token may not be made for, and those that a restricted session may not reach through us. */
import type { Principal } from "../../auth/mod.ts";

/** They manage the account itself: called directly, with a session, and never by or through another server. */
const PROTECTED: ReadonlySet<string> = lowerCased([
  "com.atproto.admin.sendEmail",
  "com.atproto.identity.requestPlcOperationSignature",
  "com.atproto.identity.signPlcOperation",
  "com.atproto.identity.updateHandle",
  "com.atproto.server.activateAccount",
  "com.atproto.server.confirmEmail",
  "com.atproto.server.createAppPassword",
  "com.atproto.server.deactivateAccount",
  "com.atproto.server.getAccountInviteCodes",
  "com.atproto.server.getSession",
  "com.atproto.server.listAppPasswords",
  "com.atproto.server.requestAccountDelete",
  "com.atproto.server.requestEmailConfirmation",
  "com.atproto.server.requestEmailUpdate",
  "com.atproto.server.revokeAppPassword",
  "com.atproto.server.updateEmail",
]);

/** They decide about a community as a whole. */
const DECIDING_METHODS: ReadonlySet<string> = lowerCased([
  "dev.kith.community.provision",
  "dev.kith.community.mint",
  "dev.kith.community.adopt",
  "dev.kith.community.reauth",
  "dev.kith.community.delete",
  "dev.kith.community.grant",
  "dev.kith.community.revoke",
  "dev.kith.community.invite.create",
]);
/** Moving the account, deciding about communities, and direct messages: not for app passwords, unless they were made privileged. */
const PRIVILEGED_METHODS: ReadonlySet<string> = new Set([
  "com.atproto.server.createaccount",
  ...DECIDING_METHODS,
]);
const PRIVILEGED_NAMESPACE = "chat.bsky.";

const PRIVILEGED_SCOPES: ReadonlySet<string> = new Set([
  "com.atproto.access",
  "com.atproto.appPassPrivileged",
  // A taken-down account may still move away; what else it may do is decided elsewhere.
  "com.atproto.takendown",
]);

/** True where an app needs the permission by name: the one that stands for an app password is not enough. */
export function isDeciding(nsid: string): boolean {
  return DECIDING_METHODS.has(nsid.toLowerCase());
}

/** Receivers take method names without regard to case, and so does this. */
export function isProtectedMethod(nsid: string): boolean {
  return PROTECTED.has(nsid.toLowerCase());
}

/**
 * True where the session may have `nsid` called for it: privileged methods need the main password or a privileged one. What an app
 * may have called, its permissions say, and they are asked elsewhere.
 */
export function mayCall(principal: Principal | null, nsid: string): boolean {
  if (principal?.kind === "oauth") return true;
  const name = nsid.toLowerCase();
  if (!PRIVILEGED_METHODS.has(name) && !name.startsWith(PRIVILEGED_NAMESPACE)) return true;
  return principal?.kind === "user" && PRIVILEGED_SCOPES.has(principal.scope);
}

function lowerCased(nsids: readonly string[]): Set<string> {
  return new Set(nsids.map((nsid) => nsid.toLowerCase()));
}
