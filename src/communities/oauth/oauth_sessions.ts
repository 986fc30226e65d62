/** Sessions that accounts' owners have consented to: tokens bound to a key, renewed once for all who wait, kept before they are used. */
import { KithError } from "../../errors.ts";
import type { HostToken } from "../../identity/mod.ts";
import type { CommunityOAuth } from "../../storage/mod.ts";
import { hasEnded, RENEW_BEFORE_MS, RENEWALS_MAX, type StockCommunity } from "../sessions.ts";
import { type AuthorizationServers, OAuthRefused } from "./authorization_server.ts";
import { requestSigner, ServerNonces } from "./request_signer.ts";

/** Every change is durable when its promise resolves. */
export interface OAuthSessionStore {
  session(did: string): CommunityOAuth | undefined;
  /** False where the session is not `of` any more. */
  replaceSession(did: string, change: { of: CommunityOAuth; by: CommunityOAuth | null }): Promise<boolean>;
}

export interface OAuthSessionsOptions {
  readonly store: OAuthSessionStore;
  readonly servers: Pick<AuthorizationServers, "refresh" | "revoke">;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** The account does not let us in by its owner's consent (any more): it has to be given anew. */
export class ConsentEnded extends KithError {
  constructor({ did, pdsEndpoint }: StockCommunity, cause?: unknown) {
    const what = `Could not sign in as "${did}" at "${pdsEndpoint}": the consent has ended or was taken back`;
    super("upstream_failure", `${what}. An owner can ask for it anew`, { cause });
  }
}

export class OAuthSessions {
  readonly #options: OAuthSessionsOptions;
  readonly #renewals = new Map<string, Promise<CommunityOAuth>>();
  readonly #nonces = new ServerNonces();

  constructor(options: OAuthSessionsOptions) {
    this.#options = options;
  }

  /** Whether the account lets us in by a consent. */
  has({ did }: Pick<StockCommunity, "did">): boolean {
    return this.#options.store.session(did) !== undefined;
  }

  /**
   * Calls with what signs as the account. Where its server takes the token no more, it is renewed and the call made once again.
   * Throws ConsentEnded, and what the call and renewing throw.
   */
  async use<T>(community: StockCommunity, call: (token: HostToken) => Promise<T>): Promise<T> {
    const first = await this.#current(community);
    try {
      return await call(this.signer(first));
    } catch (error) {
      if (!hasEnded(error)) throw error;
    }
    const second = await this.#renewed(community, first);
    return await call(this.signer(second));
  }

  /** Whether its server still lets us in, asked anew: a token outlives its consent. Throws ConsentEnded, and what renewing throws. */
  async check(community: StockCommunity): Promise<void> {
    const session = this.#options.store.session(community.did);
    if (!session) throw new ConsentEnded(community);
    await this.#renewed(community, session);
  }

  /** Signs as the account. */
  signer(session: Pick<CommunityOAuth, "accessToken" | "dpopKey">): HostToken {
    return requestSigner(session, { nonces: this.#nonces, now: this.#options.now });
  }

  /** Gives it back to the server, as far as that can be, and forgets it; true where the server has taken it. */
  async end({ did }: StockCommunity): Promise<boolean> {
    const { store, servers } = this.#options;
    await this.#renewals.get(did)?.catch(() => undefined);
    const session = store.session(did);
    if (!session) return false;
    await store.replaceSession(did, { of: session, by: null });
    return await servers.revoke(session);
  }

  async #current(community: StockCommunity): Promise<CommunityOAuth> {
    const session = this.#options.store.session(community.did);
    if (!session) throw new ConsentEnded(community);
    const endsSoon = session.expiresAt - this.#options.now() < RENEW_BEFORE_MS;
    return endsSoon ? await this.#renewed(community, session) : session;
  }

  /** A session after `old`. The server takes a token to renew with once, so many calls wait for one renewal. */
  async #renewed(community: StockCommunity, old: CommunityOAuth): Promise<CommunityOAuth> {
    const { did } = community;
    const running = this.#renewals.get(did);
    if (running) return await running;
    const kept = this.#options.store.session(did);
    if (!kept) throw new ConsentEnded(community);
    // Another call has renewed it meanwhile, or the owner has consented anew.
    if (kept.accessToken !== old.accessToken) return kept;
    if (this.#renewals.size >= RENEWALS_MAX)
      throw new KithError("busy", `Could not sign in as "${did}": too many sign-ins at this moment`);
    const renewal = this.#renew(community, kept).finally(() => this.#renewals.delete(did));
    this.#renewals.set(did, renewal);
    return await renewal;
  }

  async #renew(community: StockCommunity, old: CommunityOAuth): Promise<CommunityOAuth> {
    const { store, servers } = this.#options;
    const { did } = community;
    let next: CommunityOAuth;
    try {
      next = await servers.refresh(old, did);
    } catch (error) {
      if (!(error instanceof OAuthRefused) || error.error !== "invalid_grant") throw error;
      await store.replaceSession(did, { of: old, by: null });
      throw new ConsentEnded(community, error);
    }
    // Durable before anything is called with it: the token that came before is worth nothing now.
    if (await store.replaceSession(did, { of: old, by: next })) return next;
    await servers.revoke(next);
    const kept = store.session(did);
    if (kept) return kept;
    throw new ConsentEnded(community);
  }
}
