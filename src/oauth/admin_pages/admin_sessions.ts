/** Browsers in which the operator is signed in. In memory: a start, and so another password, signs all of them out. */
import { createHash, randomBytes } from "node:crypto";

const SECRET_BYTES = 32;
const SECRET = /^[A-Za-z0-9_-]{43}$/;
/** After so long the password is asked for again, in any case and without use. */
export const ADMIN_SESSION_MS = 12 * 3_600_000;
export const ADMIN_IDLE_MS = 2 * 3_600_000;
/** Beyond them the one that was used least recently ends. */
export const ADMIN_SESSIONS_MAX = 32;

interface Session {
  readonly endsAt: number;
  usedAt: number;
}

export interface AdminSessionsOptions {
  /** Whether browsers come by https. */
  readonly isSecure: boolean;
  /** Unix ms. */
  readonly now: () => number;
}

export class AdminSessions {
  readonly #options: AdminSessionsOptions;
  /** By the hash of the secret, in the order of use. */
  readonly #sessions = new Map<string, Session>();

  constructor(options: AdminSessionsOptions) {
    this.#options = options;
  }

  /** Begins one; its cookie, for Set-Cookie. */
  begin(): string {
    const now = this.#options.now();
    this.#forgetEnded(now);
    const [oldest] = this.#sessions.keys();
    if (oldest !== undefined && this.#sessions.size >= ADMIN_SESSIONS_MAX) this.#sessions.delete(oldest);
    const secret = randomBytes(SECRET_BYTES).toString("base64url");
    this.#sessions.set(hashOf(secret), { endsAt: now + ADMIN_SESSION_MS, usedAt: now });
    return this.#cookie(secret, ADMIN_SESSION_MS / 1_000);
  }

  /** True where the Cookie header has one that has not ended; that counts as a use. */
  isOpen(cookies: string | null): boolean {
    const secret = this.#secretIn(cookies);
    if (secret === undefined) return false;
    const now = this.#options.now();
    this.#forgetEnded(now);
    const key = hashOf(secret);
    const session = this.#sessions.get(key);
    if (!session) return false;
    session.usedAt = now;
    this.#sessions.delete(key);
    this.#sessions.set(key, session);
    return true;
  }

  /** Ends the one of this Cookie header; a cookie that takes it away, for Set-Cookie. */
  end(cookies: string | null): string {
    const secret = this.#secretIn(cookies);
    if (secret !== undefined) this.#sessions.delete(hashOf(secret));
    return this.#cookie("", 0);
  }

  #forgetEnded(now: number): void {
    for (const [key, { endsAt, usedAt }] of this.#sessions) {
      // A clock that was set back ends none earlier, and none later than its whole time.
      if (now >= endsAt || now - usedAt >= ADMIN_IDLE_MS || endsAt - now > ADMIN_SESSION_MS)
        this.#sessions.delete(key);
    }
  }

  get #name(): string {
    return this.#options.isSecure ? "__Host-kith-admin" : "kith-admin";
  }

  #cookie(value: string, maxAgeS: number): string {
    const secure = this.#options.isSecure ? "; Secure" : "";
    return `${this.#name}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict${secure}`;
  }

  #secretIn(cookies: string | null): string | undefined {
    const prefix = `${this.#name}=`;
    const values = (cookies ?? "")
      .split(";")
      .map((part) => part.trim())
      .filter((part) => part.startsWith(prefix));
    return values.map((part) => part.slice(prefix.length)).find((value) => SECRET.test(value));
  }
}

/** Only this is kept: whoever reads our memory later can sign in nowhere with it. */
function hashOf(secret: string): string {
  return createHash("sha256").update(`kith admin session\0${secret}`).digest("base64url");
}
