import { randomBytes } from "node:crypto";
import type { PublicKeyCredentialRequestOptionsJSON } from "@simplewebauthn/server";
import { isKithError, KithError } from "../../errors.ts";
import type { Account, Awaitable } from "../account.ts";
import type { AccountMail, MailWish } from "../account_mail.ts";
import { type EmailTokens, SIGN_IN_CODE_LIFETIME_MS } from "../email_tokens.ts";
import { LoginLock } from "../login_lock.ts";
import { type FactorProof, type FreshAuth, factorRequired } from "../step_up.ts";
import {
  BACKUP_CODE_BYTES,
  BACKUP_CODES,
  type CodeKind,
  formatBackupCode,
  hashBackupCode,
  readCode,
} from "./codes.ts";
import { nameOf, type Passkey, type Passkeys } from "./passkeys.ts";
import { base32, matchTotp, TOTP_SECRET_BYTES, totpUri } from "./totp.ts";

/** Wrong codes in a row after which an account is locked for a network, from all networks together twice as many, and for how long. */
export const CODE_FAILURES_MAX = 5;
export const CODES_EVERYWHERE_FACTOR = 2;
export const CODE_LOCK_MS = 60 * 60_000;
/** A second code is not mailed so soon after the first, which it would make worthless. */
export const CODE_AGAIN_MS = 60_000;
/** How long a secret that was shown waits for its first code. */
export const TOTP_SETUP_MS = 15 * 60_000;
/** Accounts whose set-up or mailed code is remembered; beyond them the oldest goes. */
const REMEMBERED_MAX = 10_000;

export type FactorKind = CodeKind | "passkey";

/** What an account has. Times in milliseconds since 1970. */
export interface FactorList {
  readonly totpSince: number | null;
  /** Whether codes go to its address at sign-in. */
  readonly email: boolean;
  readonly passkeys: readonly Passkey[];
  /** Whether the password alone does not suffice because of the passkeys. */
  readonly passkeyRequired: boolean;
  readonly backupCodes: number;
}

/** What second factors need of their store. Every change is durable when its promise resolves. */
export interface SecondFactorRows {
  state(did: string): Omit<FactorList, "passkeys"> & { readonly passkeys: number };
  totp(did: string): { secret: Uint8Array; step: number } | undefined;
  setTotp(totp: { did: string; secret: Uint8Array; step: number; now: number }): Promise<unknown>;
  /** False where a code of this step, or of a later one, was taken before. */
  useTotpStep(did: string, step: number): Promise<boolean>;
  removeTotp(did: string): Promise<unknown>;
  setBackupCodes(did: string, hashes: readonly string[]): Promise<unknown>;
  useBackupCode(did: string, hash: string): Promise<boolean>;
  /** For this address, as long as it is the account's and confirmed; null for none. */
  setEmail(did: string, email: string | null): Promise<unknown>;
  passkeys(did: string): Awaitable<readonly Passkey[]>;
  renamePasskey(change: { did: string; id: string; name: string }): Promise<boolean>;
  removePasskey(change: { did: string; id: string }): Promise<boolean>;
  requirePasskey(did: string, required: boolean): Promise<unknown>;
  removeAll(did: string): Promise<unknown>;
}

export interface SecondFactorsOptions {
  readonly rows: SecondFactorRows;
  readonly passkeys: Pick<Passkeys, "beginVerifying" | "verify">;
  readonly tokens: Pick<EmailTokens, "take">;
  readonly mail: Pick<AccountMail, "sendCode" | "isConfigured">;
  /** What authenticator apps call this server. */
  readonly name: string;
  readonly lock?: LoginLock;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/**
 * What members sign in with beside the password: codes of an authenticator app, by mail, from a list, and passkeys.
 * Any one of those that an account has is enough. Whoever is to be asked has shown the right password before.
 */
export class SecondFactors {
  readonly #options: SecondFactorsOptions;
  readonly #lock: LoginLock;
  readonly #now: () => number;
  readonly #setups = new Map<string, { readonly secret: Uint8Array; readonly expiresAt: number }>();
  readonly #mailedAt = new Map<string, number>();

  constructor(options: SecondFactorsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
    this.#lock =
      options.lock ??
      new LoginLock({
        failuresMax: CODE_FAILURES_MAX,
        lockMs: CODE_LOCK_MS,
        everywhereFactor: CODES_EVERYWHERE_FACTOR,
        what: "codes",
        now: this.#now,
      });
  }

  async list(did: string): Promise<FactorList> {
    return { ...this.#options.rows.state(did), passkeys: await this.#options.rows.passkeys(did) };
  }

  /**
   * What a sign-in by password must be followed by: any one of these; empty where the password is enough. Passkeys that the
   * owner has not marked as required ask for nothing, but do for what else is asked for.
   */
  required(did: string): FactorKind[] {
    const { totpSince, email, passkeys, passkeyRequired, backupCodes } = this.#options.rows.state(did);
    if (totpSince === null && !email && !passkeyRequired) return [];
    const kinds: [FactorKind, boolean][] = [
      ["passkey", passkeys > 0],
      ["totp", totpSince !== null],
      ["email", email],
      ["backup", backupCodes > 0],
    ];
    return kinds.filter(([, has]) => has).map(([kind]) => kind);
  }

  /** Whether codes go to the account's address at sign-in. */
  hasEmail(did: string): boolean {
    return this.#options.rows.state(did).email;
  }

  /**
   * Lets a sign-in by password through, whose client can only pass a code. Throws KithError factor_required where there is none (it has
   * been mailed, if the account has that), auth_required where it is wrong, rate_limited.
   */
  async admit(
    account: Account,
    { code, ip, language }: MailWish & { code?: string | undefined; ip: string },
  ): Promise<void> {
    const kinds = this.required(account.did);
    if (kinds.length === 0) return;
    // Forms send an empty field for what was not filled in.
    if (code) {
      await this.verify(account.did, { kind: "code", code }, { ip });
      return;
    }
    if (kinds.includes("email")) await this.mailCode(account, { language });
    throw factorRequired(wordsFor(kinds));
  }

  /** Mails a code, unless one has just been. Throws KithError invalid_request (no mail set up), rate_limited. */
  async mailCode(account: Account, wish: MailWish = {}): Promise<void> {
    const { did } = account;
    const mailedAt = this.#mailedAt.get(did) ?? Number.NEGATIVE_INFINITY;
    if (this.#now() - mailedAt < CODE_AGAIN_MS) return;
    try {
      await this.#options.mail.sendCode(account, "second_factor", wish);
      remember(this.#mailedAt, did, this.#now());
    } catch (error) {
      // The one from before is still good.
      const isValid = this.#now() - mailedAt < SIGN_IN_CODE_LIFETIME_MS;
      if (!(isValid && isKithError(error, "rate_limited"))) throw error;
    }
  }

  /** Options for `navigator.credentials.get`, as JSON, with the account's passkeys. */
  challenge(did: string): Promise<PublicKeyCredentialRequestOptionsJSON> {
    return this.#options.passkeys.beginVerifying(did);
  }

  /**
   * Takes a factor, which no second sign-in can use again. Throws KithError auth_required (wrong, too old, used, or of nobody here),
   * rate_limited (too many wrong codes; passkeys are not counted: they cannot be guessed).
   */
  async verify(did: string, proof: FactorProof, { ip }: { ip: string }): Promise<FactorKind> {
    if (proof.kind === "passkey") {
      await this.#options.passkeys.verify(did, proof.answer);
      return "passkey";
    }
    return this.#lock.attempt({ account: did, ip }, async () => {
      const read = readCode(proof.code);
      if (read === undefined || !(await this.#take(did, read))) throw wrongCode();
      return read.kind;
    });
  }

  async #take(did: string, { kind, code }: { kind: CodeKind; code: string }): Promise<boolean> {
    const { rows, tokens } = this.#options;
    if (kind === "totp") return this.#takeTotp(did, code);
    if (kind === "backup") return rows.useBackupCode(did, hashBackupCode(did, code));
    if (!rows.state(did).email) return false;
    try {
      await tokens.take(did, "second_factor", code);
      this.#mailedAt.delete(did);
      return true;
    } catch (error) {
      if (isKithError(error, "invalid_token") || isKithError(error, "expired_token")) return false;
      throw error;
    }
  }

  async #takeTotp(did: string, code: string): Promise<boolean> {
    const totp = this.#options.rows.totp(did);
    if (totp === undefined) return false;
    const step = matchTotp(totp.secret, { code, nowMs: this.#now(), afterStep: totp.step });
    return step !== undefined && this.#options.rows.useTotpStep(did, step);
  }

  /** A secret to put into an authenticator app; the same again until it is confirmed or a quarter of an hour has passed. */
  beginTotp({ did }: FreshAuth, { handle }: { handle: string }): { secret: string; uri: string } {
    const secret = this.#setup(did) ?? randomBytes(TOTP_SECRET_BYTES);
    remember(this.#setups, did, { secret, expiresAt: this.#now() + TOTP_SETUP_MS });
    return { secret: base32(secret), uri: totpUri(secret, { issuer: this.#options.name, account: handle }) };
  }

  /**
   * Switches codes of the app on, by its first one; in the place of another app. The backup codes are told where the account had
   * none. Throws KithError expired_token (begin again), auth_required (wrong code), rate_limited.
   */
  async confirmTotp(
    fresh: FreshAuth,
    { code, ip }: { code: string; ip: string },
  ): Promise<{ backupCodes: readonly string[] }> {
    const { did } = fresh;
    const secret = this.#setup(did);
    if (secret === undefined) {
      throw new KithError("expired_token", "Could not set the app up: it took too long. Begin again");
    }
    await this.#lock.attempt({ account: did, ip }, async () => {
      const now = this.#now();
      const read = readCode(code);
      const step = read && matchTotp(secret, { code: read.code, nowMs: now, afterStep: 0 });
      if (step === undefined) throw wrongCode();
      await this.#options.rows.setTotp({ did, secret, step, now });
    });
    this.#setups.delete(did);
    return { backupCodes: await this.#firstBackupCodes(fresh) };
  }

  async removeTotp({ did }: FreshAuth): Promise<void> {
    await this.#options.rows.removeTotp(did);
  }

  /** New codes, told here and never again; those from before are worth nothing. Throws KithError invalid_request. */
  async newBackupCodes({ did }: FreshAuth): Promise<readonly string[]> {
    if (this.required(did).length === 0) {
      throw new KithError("invalid_request", "Could not make backup codes: the account has no second factor");
    }
    const codes = Array.from({ length: BACKUP_CODES }, () =>
      formatBackupCode(randomBytes(BACKUP_CODE_BYTES)),
    );
    const hashes = codes.map((code) => hashBackupCode(did, readCode(code)?.code ?? ""));
    await this.#options.rows.setBackupCodes(did, hashes);
    return codes;
  }

  /**
   * Switches codes by mail on, for the address that the account has now: a change of it switches them off.
   * Throws KithError invalid_request (no mail set up, the address is not confirmed).
   */
  async addEmail(account: Account): Promise<void> {
    if (!this.#options.mail.isConfigured) {
      throw new KithError(
        "invalid_request",
        "Could not switch codes by mail on: this server has no mail set up",
        { hint: "Set PDS_EMAIL_SMTP_URL and PDS_EMAIL_FROM_ADDRESS." },
      );
    }
    if (account.email === null || account.emailConfirmedAt === null) {
      throw new KithError(
        "invalid_request",
        "Could not switch codes by mail on: the e-mail address is not confirmed",
      );
    }
    await this.#options.rows.setEmail(account.did, account.email);
  }

  /** Whoever calls this has asked for a code of the address, or for a fresh sign-in. */
  async removeEmail(did: string): Promise<void> {
    await this.#options.rows.setEmail(did, null);
  }

  /** Throws KithError invalid_request where the account has no such passkey. */
  async renamePasskey({ did }: FreshAuth, { id, name }: { id: string; name: string }): Promise<void> {
    if (!(await this.#options.rows.renamePasskey({ did, id, name: nameOf(name) }))) throw noPasskey();
  }

  /** Throws KithError invalid_request where the account has no such passkey. */
  async removePasskey({ did }: FreshAuth, id: string): Promise<void> {
    if (!(await this.#options.rows.removePasskey({ did, id }))) throw noPasskey();
  }

  /**
   * Whether the password must be followed by a passkey. The backup codes are told where the account had none.
   * Throws KithError invalid_request where it has no passkey.
   */
  async requirePasskey(fresh: FreshAuth, required: boolean): Promise<{ backupCodes: readonly string[] }> {
    if (required && this.#options.rows.state(fresh.did).passkeys === 0) throw noPasskey();
    await this.#options.rows.requirePasskey(fresh.did, required);
    return { backupCodes: required ? await this.#firstBackupCodes(fresh) : [] };
  }

  /** The operator's way out for a member who has lost everything: the password alone signs in again. */
  async reset(did: string): Promise<void> {
    await this.#options.rows.removeAll(did);
    this.#setups.delete(did);
    this.#lock.forget(did);
  }

  async #firstBackupCodes(fresh: FreshAuth): Promise<readonly string[]> {
    return this.#options.rows.state(fresh.did).backupCodes > 0 ? [] : this.newBackupCodes(fresh);
  }

  #setup(did: string): Uint8Array | undefined {
    const setup = this.#setups.get(did);
    return setup !== undefined && setup.expiresAt > this.#now() ? setup.secret : undefined;
  }
}

/** Keeps a value in a bounded map, the oldest first. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  const oldest = map.keys().next().value;
  if (map.size > REMEMBERED_MAX && oldest !== undefined) map.delete(oldest);
}

/** In the words that official clients look for. */
function wrongCode(): KithError {
  return new KithError("auth_required", "Token is invalid");
}

function noPasskey(): KithError {
  return new KithError("invalid_request", "The account has no such passkey");
}

function wordsFor(kinds: readonly FactorKind[]): string {
  if (kinds.includes("email")) return "A sign in code has been sent to your email address";
  if (kinds.includes("totp")) return "Enter the code of your authenticator app, or a backup code";
  return "This account signs in with a passkey: use the sign-in page of an app, an app password, or a backup code";
}
