import { randomBytes } from "node:crypto";
import { isKithError, KithError } from "../errors.ts";
import { type Account, type AccountLookup, type Awaitable, isPresent, statusOf } from "./account.ts";
import type { MailWish } from "./account_mail.ts";
import type { AppPassword } from "./app_passwords.ts";
import { LoginLock } from "./login_lock.ts";
import type { Passwords } from "./passwords.ts";
import { type ReferenceHashRows, type Secret, SecretChecks } from "./secret_checks.ts";

/** As the reference: a refresh token lives 90 days, and may be used again for two hours after it was replaced. */
export const REFRESH_LIFETIME_MS = 90 * 24 * 3_600_000;
export const REFRESH_GRACE_MS = 2 * 3_600_000;
/** The longest name that is looked up at sign-in, in characters: that of a DID. */
export const IDENTIFIER_CHARS_MAX = 2_048;

/** A row of the session store: one refresh token. Times in milliseconds since 1970. */
export interface RefreshRow {
  readonly id: string;
  readonly did: string;
  /** Shared by all tokens that came from one sign-in. */
  readonly familyId: string;
  readonly expiresAt: number;
  /** Set where the session was opened with an app password. */
  readonly appPasswordName?: string | null;
  readonly appPasswordPrivileged?: boolean;
}

/** What sessions need of the session store. Every change is durable when its promise resolves. */
export interface RefreshRows {
  /**
   * Adds a token. False, and nothing is added, where `secretHash` is not what is stored of the password, or of the app
   * password, any more.
   */
  insert(row: RefreshRow & { readonly secretHash: string; readonly now: number }): Promise<boolean>;
  find(id: string): Awaitable<RefreshRow | undefined>;
  /**
   * Replaces a refresh token, in one transaction: the first call stores `nextId` with `expiresAt`, a repeat until
   * `graceUntil` answers the row that the first call stored. A repeat after the grace removes the whole family.
   * Undefined where the token is unknown, expired, or was removed so.
   */
  rotate(
    id: string,
    next: { nextId: string; expiresAt: number; graceUntil: number; now: number },
  ): Promise<RefreshRow | undefined>;
  removeFamily(familyId: string): Promise<unknown>;
}

type Scope =
  | "com.atproto.access"
  | "com.atproto.appPass"
  | "com.atproto.appPassPrivileged"
  | "com.atproto.takendown";

/** Makes the two tokens of a session. Times in milliseconds since 1970. */
export interface TokenIssuer {
  issue(request: {
    did: string;
    scope: Scope;
    refreshId: string;
    refreshExpiresAt: number;
    refreshIssuedAt: number;
  }): Promise<{ accessJwt: string; refreshJwt: string }>;
}

/** What createSession, getSession and refreshSession say of the account. */
export interface SessionInfo {
  handle: string;
  did: string;
  didDoc?: unknown;
  email?: string;
  emailConfirmed: boolean;
  emailAuthFactor: boolean;
  active: boolean;
  status?: "deactivated" | "takendown" | "suspended";
}

export type OpenSession = SessionInfo & { accessJwt: string; refreshJwt: string };

export interface SessionsOptions {
  readonly accounts: AccountLookup;
  readonly rows: RefreshRows;
  readonly tokens: TokenIssuer;
  readonly passwords: Passwords;
  readonly appPasswords: {
    /** The app password of the account that has this hash. */
    find(did: string, passwordHash: string): Awaitable<AppPassword | undefined>;
  };
  /** Absent where no account was taken over from a reference PDS. */
  readonly referenceHashes?: ReferenceHashRows;
  readonly lock?: LoginLock;
  /** Absent where accounts have a password alone. */
  readonly factors?: {
    /** Throws KithError factor_required, auth_required, rate_limited. */
    admit(account: Account, request: MailWish & { code?: string | undefined; ip: string }): Promise<unknown>;
    hasEmail(did: string): boolean;
  };
  /** The DID document to show, where PDS_ENABLE_DID_DOC_WITH_SESSION asks for it. It answers undefined rather than throw. */
  readonly didDoc?: (did: string) => Awaitable<unknown>;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Opens, renews and ends the sessions of passwords and app passwords. */
export class Sessions {
  readonly #options: SessionsOptions;
  readonly #lock: LoginLock;
  readonly #secrets: SecretChecks;
  readonly #now: () => number;

  constructor(options: SessionsOptions) {
    this.#options = options;
    this.#lock = options.lock ?? new LoginLock(options);
    this.#secrets = new SecretChecks(options);
    this.#now = options.now ?? Date.now;
  }

  /**
   * Signs in with a handle, DID or e-mail address and the account's password, or one of its app passwords; with its own password
   * a second factor is asked for where the account has one: `code`. `ip` is the caller's address. Throws KithError
   * auth_required (the same for an unknown name and a wrong password; also for a wrong code), factor_required, rate_limited
   * (too many wrong passwords; said of unknown names too), account_takendown (also of a suspended account, unless
   * `allowTakendown` and with the account's own password), busy.
   */
  async signIn(request: {
    identifier: string;
    password: string;
    code?: string | undefined;
    ip: string;
    allowTakendown?: boolean;
    /** Of the mail that brings a code. */
    language?: MailWish["language"];
  }): Promise<OpenSession> {
    const { code, ip, language } = request;
    const account = await this.#named(request.identifier);
    return this.#attempt({ ...request, account }, async () => {
      const secret = await this.#secrets.any(account, request.password);
      if (account === undefined || secret === undefined) throw wrongPassword();
      const isDown = isTakenDown(account);
      if (isDown && (request.allowTakendown !== true || secret.appPassword)) throw takenDown();
      // Only now: what the account asks for is for those who know its password.
      if (!secret.appPassword) await this.#options.factors?.admit(account, { code, ip, language });
      if (!isDown) return this.#open(account, secret);
      return this.#answer(account, await this.#narrowTokens(account.did));
    });
  }

  /**
   * Who signs in with a handle, DID or e-mail address and the account's own password, before anything else is asked for: an app
   * password is a wrong one here. Throws KithError auth_required, rate_limited, account_takendown, busy.
   */
  async checkOwner(request: { identifier: string; password: string; ip: string }): Promise<Account> {
    const account = await this.#named(request.identifier);
    return this.#attempt({ ...request, account }, async () => {
      const owner = await this.#secrets.owner(account, request.password);
      if (owner === undefined) throw wrongPassword();
      if (isTakenDown(owner)) throw takenDown();
      return owner;
    });
  }

  /** The account of a passkey's owner, who may sign in. Throws KithError auth_required, account_takendown. */
  async owner(did: string): Promise<Account> {
    const account = await this.#options.accounts.account(did);
    if (!isPresent(account)) throw wrongPassword();
    if (isTakenDown(account)) throw takenDown();
    return account;
  }

  /**
   * Checks the account's own password, outside of a session. Throws KithError auth_required, also of an unknown DID,
   * rate_limited, busy.
   */
  async checkPassword({
    did,
    password,
    ip,
  }: {
    did: string;
    password: string;
    ip: string;
  }): Promise<Account> {
    const found = await this.#options.accounts.account(did);
    const account = isPresent(found) ? found : undefined;
    return this.#attempt({ identifier: did, account, password, ip }, async () => {
      const owner = await this.#secrets.owner(account, password);
      if (owner === undefined) throw wrongPassword();
      return owner;
    });
  }

  /** Takes passwords of the account again, however many were wrong: it has a new one. */
  unlock(did: string): void {
    this.#lock.forget(did);
  }

  /** A new session of the main password; its refresh token is durable when this resolves. */
  open(account: Account): Promise<OpenSession> {
    return this.#open(account, { hash: account.passwordHash });
  }

  async #open(account: Account, { hash, appPassword }: Secret): Promise<OpenSession> {
    const now = this.#now();
    const row = {
      id: newTokenId(),
      familyId: newTokenId(),
      did: account.did,
      appPasswordName: appPassword?.name ?? null,
      appPasswordPrivileged: appPassword?.privileged ?? false,
    };
    const expiresAt = now + REFRESH_LIFETIME_MS;
    // The password may have been changed or revoked while it was looked at.
    if (!(await this.#options.rows.insert({ ...row, expiresAt, secretHash: hash, now })))
      throw wrongPassword();
    return this.#answer(account, await this.#tokens(account.did, scopeOf(row), row.id, expiresAt));
  }

  /**
   * Replaces a (verified) refresh token. Within the grace a repeat gets the same next token; after it the whole family
   * is revoked. Throws KithError expired_token, account_takendown, account_not_found.
   */
  async refresh(token: { did: string; tokenId: string }): Promise<OpenSession> {
    const account = await this.#options.accounts.account(token.did);
    if (!isPresent(account)) throw new KithError("account_not_found", "Account not found");
    if (isTakenDown(account)) throw takenDown();
    const now = this.#now();
    const row = await this.#options.rows.rotate(token.tokenId, {
      nextId: newTokenId(),
      expiresAt: now + REFRESH_LIFETIME_MS,
      graceUntil: now + REFRESH_GRACE_MS,
      now,
    });
    if (row === undefined || row.did !== token.did) {
      throw new KithError("expired_token", "Token has been revoked");
    }
    return this.#answer(account, await this.#tokens(account.did, scopeOf(row), row.id, row.expiresAt));
  }

  /** Ends the session of a (verified, perhaps expired) refresh token: none of its family renews again. */
  async end(token: { did: string; tokenId: string }): Promise<void> {
    const row = await this.#options.rows.find(token.tokenId);
    if (row !== undefined && row.did === token.did) await this.#options.rows.removeFamily(row.familyId);
  }

  /** What a session says of its account. Throws KithError account_not_found. */
  async describe(did: string): Promise<SessionInfo> {
    const account = await this.#options.accounts.account(did);
    if (!isPresent(account)) throw new KithError("account_not_found", "Account not found");
    return this.#info(account);
  }

  /**
   * Wrong passwords are counted by the account and by the name that was typed. Who meets a lock that another name of the account has
   * brought about is told what every wrong password is told, after as long: else the lock would tell whose address an address is.
   */
  #attempt<T>(
    request: { identifier: string; account: Account | undefined; password: string; ip: string },
    check: () => Promise<T>,
  ): Promise<T> {
    const { account, ip } = request;
    const typed = request.identifier.slice(0, IDENTIFIER_CHARS_MAX).toLowerCase();
    const owner = account?.did ?? `nobody ${typed}`;
    return this.#lock.attempt({ account: `${owner} as ${typed}`, ip }, async () => {
      let isLocked = true;
      try {
        return await this.#lock.attempt({ account: owner, ip }, () => {
          isLocked = false;
          return check();
        });
      } catch (error) {
        if (!isLocked || !isKithError(error, "rate_limited")) throw error;
        await this.#secrets.any(undefined, request.password);
        throw wrongPassword();
      }
    });
  }

  async #named(identifier: string): Promise<Account | undefined> {
    const found = await this.#find(identifier);
    return isPresent(found) ? found : undefined;
  }

  async #find(identifier: string): Promise<Account | undefined> {
    const { accounts } = this.#options;
    if (identifier.length > IDENTIFIER_CHARS_MAX) return undefined;
    if (identifier.startsWith("did:")) return accounts.account(identifier);
    const name = identifier.toLowerCase();
    return name.includes("@") ? accounts.accountByEmail(name) : accounts.accountByHandle(name);
  }

  /** Tokens of an owner who is taken down: enough to read and leave, with nothing that renews them. */
  #narrowTokens(did: string): Promise<{ accessJwt: string; refreshJwt: string }> {
    return this.#tokens(did, "com.atproto.takendown", newTokenId(), this.#now() + REFRESH_LIFETIME_MS);
  }

  #tokens(did: string, scope: Scope, refreshId: string, refreshExpiresAt: number) {
    const refreshIssuedAt = refreshExpiresAt - REFRESH_LIFETIME_MS;
    return this.#options.tokens.issue({ did, scope, refreshId, refreshExpiresAt, refreshIssuedAt });
  }

  async #answer(account: Account, tokens: { accessJwt: string; refreshJwt: string }): Promise<OpenSession> {
    return { ...tokens, ...(await this.#info(account)) };
  }

  async #info(account: Account): Promise<SessionInfo> {
    const didDoc = await this.#options.didDoc?.(account.did);
    return {
      handle: account.handle,
      did: account.did,
      ...(didDoc ? { didDoc } : {}),
      ...(account.email === null ? {} : { email: account.email }),
      // Always there: a client that finds it absent asks again with getSession.
      emailConfirmed: account.emailConfirmedAt !== null,
      emailAuthFactor: this.#options.factors?.hasEmail(account.did) ?? false,
      ...statusOf(account),
    };
  }
}

function scopeOf(row: Pick<RefreshRow, "appPasswordName" | "appPasswordPrivileged">): Scope {
  if (!row.appPasswordName) return "com.atproto.access";
  return row.appPasswordPrivileged ? "com.atproto.appPassPrivileged" : "com.atproto.appPass";
}

function wrongPassword(): KithError {
  return new KithError("auth_required", "Invalid identifier or password");
}

function isTakenDown(account: Account): boolean {
  return account.state === "takendown" || account.state === "suspended";
}

function takenDown(): KithError {
  return new KithError("account_takendown", "Account has been taken down");
}

/** 256 bits, as the reference's ids. */
function newTokenId(): string {
  return randomBytes(32).toString("base64");
}
