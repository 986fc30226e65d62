/** Where the account of a community is, or is to be made: what the steps of an attempt need of it, whichever kind it is. */
import type { KeyType } from "../../atproto/mod.ts";

/**
 * `native`: an account of this server, without password and e-mail. `loopback`: the calls of a stock PDS, into this server
 * itself. `remote`: any stock PDS, over https.
 */
export type HostKind = "native" | "loopback" | "remote";

export interface HostDescription {
  /** Checked to be the host's own. */
  readonly did: string;
  /** Each with its leading dot. */
  readonly domains: readonly string[];
  readonly inviteRequired: boolean;
  readonly phoneRequired: boolean;
  /** What DID documents name, where it is this server. */
  readonly publicUrl?: string;
}

/** com.atproto.identity.getRecommendedDidCredentials, as it was sent: what may be done with it is for its reader. */
export interface RecommendedCredentials {
  readonly rotationKeys?: readonly string[];
  readonly alsoKnownAs?: readonly string[];
  readonly verificationMethods?: Readonly<Record<string, string>>;
  readonly services?: Readonly<Record<string, { readonly type: string; readonly endpoint: string }>>;
}

/** `password`: of the account, as kith made it; native accounts have none. */
export interface AccountAccess {
  readonly did: string;
  readonly password?: string | undefined;
}

/** Of an account that this server keeps itself. */
export interface NativeBirth {
  readonly signingKey: { readonly type: KeyType; readonly privateKey: Uint8Array };
  /** The signed operation, as DRISL; it is in the directory already. */
  readonly genesis: Uint8Array;
  /** The did:key of the caller, first of the rotation keys. */
  readonly rotationKey: string;
}

export interface NewHostAccount {
  readonly did: string;
  readonly handle: string;
  readonly email?: string | undefined;
  readonly password?: string | undefined;
  readonly inviteCode?: string | undefined;
  /** By the DID's own key, for the DID that `describe` answers. */
  readonly serviceToken?: string | undefined;
  readonly native?: NativeBirth | undefined;
}

export interface HostSession {
  readonly did: string;
  readonly handle?: string;
  /** False of an account that is deactivated. */
  readonly active: boolean;
  readonly accessJwt: string;
  readonly refreshJwt: string;
}

/**
 * Every call may be repeated. What a host refuses is a HostError with the XRPC error's name; where the outcome is not known,
 * KithError upstream_failure or timeout: look before acting again.
 */
export interface HostClient {
  readonly kind: HostKind;
  /** A normalised origin. */
  readonly endpoint: string;
  /** Throws KithError upstream_failure where the DID that the host names is not its own. */
  describe(): Promise<HostDescription>;
  /**
   * Whether an account could be made, as far as can be told before anything is made. Throws KithError invalid_handle,
   * handle_not_available, unsupported_domain, invalid_invite_code, invalid_request, invalid_email, upstream_failure, timeout.
   */
  preflight(wanted: { handle: string; email?: string; inviteCode?: string }): Promise<void>;
  /** Deactivated, but for native ones. Refusals of a native account are KithErrors, as those of `preflight`. */
  createAccount(account: NewHostAccount): Promise<void>;
  /**
   * What there is of the account. `foreign`: it is there, and the password is not its password. Without a password it is not
   * told apart whose it is.
   */
  hasAccount(account: AccountAccess): Promise<"none" | "inactive" | "active" | "foreign">;
  recommended(account: AccountAccess): Promise<RecommendedCredentials>;
  activate(account: AccountAccess): Promise<void>;
  /** Anew each time: one of the same name is revoked first. Throws KithError not_supported of a native account. */
  createAppPassword(account: AccountAccess & { name: string }): Promise<string>;
  /** With an app password. Throws KithError not_supported of a native account. */
  createSession(given: { identifier: string; password: string }): Promise<HostSession>;
  /** As far as it can be: what is left of it ends by itself, and nobody has its tokens. */
  endSession(session: HostSession): Promise<void>;
  /** Takes a half-made account out of the way, as far as it can be; answers what was done, in words. */
  removeHalfMade(account: AccountAccess): Promise<string>;
}

export type HostFor = (kind: HostKind, endpoint: string) => HostClient;
