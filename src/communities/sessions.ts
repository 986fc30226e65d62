/** Sessions at stock PDSes: minted from a community's app password alone, kept sealed, renewed once for all who wait. */
import { z } from "zod";
import { KithError } from "../errors.ts";
import { isHostError, type XrpcHost } from "../identity/mod.ts";

/** A token that ends so soon is renewed before it is used. */
export const RENEW_BEFORE_MS = 60_000;
/** Communities whose sessions are renewed at a time; past them the answer is "busy". */
export const RENEWALS_MAX = 1_000;

/** An app password that was refused is not tried again so soon: hosts lock an account after a few. */
export const REFUSED_REST_MS = 5 * 60_000;
const REFUSED_MAX = 1_000;

const SERVER = "com.atproto.server";
const TOKEN_CHARS_MAX = 16_384;
const token = z.string().min(1).max(TOKEN_CHARS_MAX);
const opened = z.object({ did: z.string(), accessJwt: token, refreshJwt: token });

export interface StockTokens {
  readonly accessJwt: string;
  readonly refreshJwt: string;
}

/** Where secrets are kept, sealed. Every change is durable when its promise resolves. */
export interface StockSessionStore {
  /** Throws KithError community_not_found. */
  secrets(did: string): { readonly appPassword: string | null; readonly session: StockTokens | null };
  saveSession(did: string, session: StockTokens | null): Promise<unknown>;
}

/** A community whose account is at a stock PDS. */
export interface StockCommunity {
  readonly did: string;
  readonly kind: "loopback" | "remote";
  readonly pdsEndpoint: string;
}

export interface StockSessionsOptions {
  readonly store: StockSessionStore;
  readonly hostOf: (community: StockCommunity) => XrpcHost;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** The host does not take the community's app password (any more), or there is none: an owner has to give another one. */
export class AppPasswordRefused extends KithError {
  constructor(community: StockCommunity, cause?: unknown) {
    const { did, pdsEndpoint } = community;
    const why =
      cause === undefined ? "there is none, and no consent" : "it was refused, so it may have been revoked";
    super(
      "upstream_failure",
      `Could not sign in as "${did}" at "${pdsEndpoint}" with its app password: ${why}. An owner can give a new one`,
      { cause },
    );
  }
}

export class StockSessions {
  readonly #options: StockSessionsOptions;
  readonly #now: () => number;
  readonly #renewals = new Map<string, Promise<string>>();
  /** By DID; the oldest first. */
  readonly #refused = new Map<
    string,
    { readonly password: string; readonly untilMs: number; cause: unknown }
  >();

  constructor(options: StockSessionsOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Calls with an access token. Where the host says that it has ended, the session is dropped and the call made once again, with
   * one from the app password. Throws AppPasswordRefused, and what the call and signing in throw.
   */
  async use<T>(community: StockCommunity, call: (accessJwt: string) => Promise<T>): Promise<T> {
    const { did } = community;
    const first = await this.#token(community);
    try {
      return await call(first);
    } catch (error) {
      if (!hasEnded(error)) throw error;
      await this.#drop(did, first);
    }
    const second = await this.#token(community);
    try {
      return await call(second);
    } catch (error) {
      if (hasEnded(error)) await this.#drop(did, second);
      throw error;
    }
  }

  /**
   * Whether the host still lets us in, asked anew: an access token outlives its app password. Throws AppPasswordRefused, and the
   * session is dropped; and what signing in throws.
   */
  async check(community: StockCommunity): Promise<void> {
    const { did } = community;
    const before = this.#options.store.secrets(did).session?.accessJwt;
    try {
      await this.#renewal(community);
    } catch (error) {
      if (error instanceof AppPasswordRefused && before !== undefined) await this.#drop(did, before);
      throw error;
    }
  }

  /** Ends it at the host, as far as that can be, and forgets it. Nothing where there is none. */
  async end(community: StockCommunity): Promise<void> {
    const { store, hostOf } = this.#options;
    const { session } = store.secrets(community.did);
    if (session === null) return;
    await store.saveSession(community.did, null);
    try {
      await hostOf(community).json(`${SERVER}.deleteSession`, { input: null, token: session.refreshJwt });
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
    }
  }

  /** Only the session that the token is of: another call may have opened a new one meanwhile. */
  async #drop(did: string, accessJwt: string): Promise<void> {
    const { store } = this.#options;
    if (store.secrets(did).session?.accessJwt === accessJwt) await store.saveSession(did, null);
  }

  async #token(community: StockCommunity): Promise<string> {
    const { did } = community;
    const { session } = this.#options.store.secrets(did);
    if (session !== null && !this.#endsSoon(session.accessJwt)) return session.accessJwt;
    return await this.#renewal(community);
  }

  /** The one that is under way, or a new one. */
  async #renewal(community: StockCommunity): Promise<string> {
    const { did } = community;
    const running = this.#renewals.get(did);
    if (running) return await running;
    if (this.#renewals.size >= RENEWALS_MAX)
      throw new KithError("busy", `Could not sign in as "${did}": too many sign-ins at this moment`);
    // The host takes a refresh token once: so many calls wait for one renewal.
    const renewal = this.#renew(community).finally(() => this.#renewals.delete(did));
    this.#renewals.set(did, renewal);
    return await renewal;
  }

  async #renew(community: StockCommunity): Promise<string> {
    const { store } = this.#options;
    const { did } = community;
    const { session, appPassword } = store.secrets(did);
    const renewed =
      (session && (await this.#refresh(community, session.refreshJwt))) ??
      (await this.#signIn(community, appPassword));
    // An owner may have put another app password in the place of the one that this session is of.
    if (store.secrets(did).appPassword === appPassword) await store.saveSession(did, renewed);
    return renewed.accessJwt;
  }

  /** Undefined where the host does not take the token any more. */
  async #refresh(community: StockCommunity, refreshJwt: string): Promise<StockTokens | undefined> {
    const nsid = `${SERVER}.refreshSession`;
    try {
      const host = this.#options.hostOf(community);
      const answer = await host.json(nsid, { input: null, token: refreshJwt, isRepeatable: true });
      return tokensOf(nsid, { community, answer });
    } catch (error) {
      if (isHostError(error) && error.status < 500 && error.status !== 429) return undefined;
      throw error;
    }
  }

  async #signIn(community: StockCommunity, password: string | null): Promise<StockTokens> {
    if (password === null) throw new AppPasswordRefused(community);
    const before = this.#refused.get(community.did);
    if (before?.password === password && before.untilMs > this.#now())
      throw new AppPasswordRefused(community, before.cause);
    const nsid = `${SERVER}.createSession`;
    try {
      // By its DID: a handle may be changed, or be another's by now.
      const input = { identifier: community.did, password };
      const answer = await this.#options.hostOf(community).json(nsid, { input, isRepeatable: true });
      return tokensOf(nsid, { community, answer });
    } catch (error) {
      const isRefused = isHostError(error) && error.status === 401 && !/takedown|suspend/i.test(error.error);
      if (!isRefused) throw error;
      this.#rest(community.did, { password, cause: error });
      throw new AppPasswordRefused(community, error);
    }
  }

  #rest(did: string, { password, cause }: { password: string; cause: unknown }): void {
    this.#refused.delete(did);
    this.#refused.set(did, { password, untilMs: this.#now() + REFUSED_REST_MS, cause });
    const oldest = this.#refused.keys().next().value;
    if (this.#refused.size > REFUSED_MAX && oldest !== undefined) this.#refused.delete(oldest);
  }

  #endsSoon(jwt: string): boolean {
    try {
      const payload = Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString();
      const { exp } = JSON.parse(payload) as { exp?: unknown };
      return typeof exp === "number" && exp * 1_000 - this.#now() < RENEW_BEFORE_MS;
    } catch {
      // It need not be a JWT that we can read.
      return false;
    }
  }
}

function tokensOf(
  nsid: string,
  { community, answer }: { community: StockCommunity; answer: unknown },
): StockTokens {
  const { did, pdsEndpoint } = community;
  const { data } = opened.safeParse(answer);
  if (data?.did === did) return { accessJwt: data.accessJwt, refreshJwt: data.refreshJwt };
  const what = data === undefined ? "wrongly" : `for "${data.did.slice(0, 200)}", not for "${did}"`;
  throw new KithError("upstream_failure", `"${pdsEndpoint}" answered ${nsid} ${what}`);
}

/** Hosts say it in several ways. */
export function hasEnded(error: unknown): boolean {
  return isHostError(error) && (error.status === 401 || isHostError(error, "ExpiredToken", "InvalidToken"));
}
