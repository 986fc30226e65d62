/**
 * An account becomes a community, or goes on being one, by its owner's consent: asked for at the account's own server, and
 * finished by the person who comes back from there. Who asked for it is shown to that person before anything is done with it.
 */
import { createHash, randomBytes } from "node:crypto";
import type { JWK } from "jose";
import { KithError } from "../../errors.ts";
import type { HostToken, XrpcHost } from "../../identity/mod.ts";
import type {
  Community,
  CommunityConsent,
  CommunityOAuth,
  CommunityOAuthStore,
  CommunityStore,
} from "../../storage/mod.ts";
import type { Adoptions, FoundAccount } from "../adopt.ts";
import { type CreatorRules, requireCreator } from "../creators.ts";
import type { Members } from "../members.ts";
import type { StockCommunity } from "../sessions.ts";
import type { AuthorizationServers } from "./authorization_server.ts";
import { newKey } from "./client_documents.ts";

export const CONSENT_MS = 10 * 60_000;
export const CONSENTS_PER_CALLER_MAX = 5;
export const CONSENTS_MAX = 1_000;
const SECRET_BYTES = 32;
const PARAMETER_CHARS_MAX = 4_096;

export interface ConsentsOptions {
  readonly store: Pick<CommunityOAuthStore, "begin" | "consent" | "takeConsent" | "setSession">;
  readonly communities: Pick<CommunityStore, "add" | "find" | "countOf">;
  readonly members: Pick<Members, "require">;
  readonly adoptions: Pick<Adoptions, "locate">;
  readonly servers: Pick<AuthorizationServers, "of" | "at" | "ask" | "exchange" | "revoke">;
  /** Signs as the account, with a session that is not kept yet. */
  signer(session: CommunityOAuth): HostToken;
  readonly hostOf: (community: StockCommunity) => XrpcHost;
  /** Ends what a community was let in by before. */
  endWay(community: StockCommunity): Promise<unknown>;
  readonly rules: CreatorRules;
  readonly communitiesMax: number;
  /** Of an account of this server. */
  handleOf(did: string): string | undefined;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

interface ConsentSecrets {
  readonly verifier: string;
  readonly dpopKey: JWK;
  readonly issuer: string;
  readonly handle: string | null;
  readonly kind: "loopback" | "remote";
  readonly pdsEndpoint: string;
  readonly pdsDid: string;
}

/** What a person is asked, who comes back. */
export interface AskedOfOwner {
  readonly purpose: "adopt" | "reauth";
  readonly account: { readonly did: string; readonly handle: string | null };
  readonly pdsEndpoint: string;
  readonly asker: { readonly did: string; readonly handle: string | undefined };
}

/** It is not known: it may never have been, be used already, or have expired. */
export class ConsentGone extends KithError {
  constructor() {
    super("expired_token", "There is no such consent under way: it was used already, or took too long");
  }
}

/** The account's server, or the person there, has said no. */
export class ConsentDenied extends KithError {
  readonly isByOwner: boolean;

  constructor(error: string, description: string) {
    const words = `${error}: ${description}`.slice(0, 300).replace(/[\p{Cc}\p{Cf}]+/gu, " ");
    super("forbidden", `The account's server did not consent: ${words}`);
    this.isByOwner = error === "access_denied";
  }
}

export class Consents {
  readonly #options: ConsentsOptions;

  constructor(options: ConsentsOptions) {
    this.#options = options;
  }

  /**
   * The page on which the owner of an account can consent that it becomes a community. Throws KithError communities_disabled,
   * community_quota, already_exists, not_supported, busy, and as `Adoptions.locate`.
   */
  async askToAdopt({ caller, identifier }: { caller: string; identifier: string }): Promise<string> {
    const { rules, communities, communitiesMax, adoptions } = this.#options;
    requireCreator(rules, caller);
    const found = await adoptions.locate(identifier);
    if (communities.find(found.did)) throw isOneAlready(found.did);
    const had = communities.countOf(caller);
    if (had >= communitiesMax)
      throw new KithError("community_quota", `Could not adopt "${found.did}": you have ${had} already`);
    return await this.#ask(found, { caller, purpose: "adopt" });
  }

  /** The page on which consent is given anew, in the place of what a community was let in by. */
  async askAgain(community: Community, { caller }: { caller: string }): Promise<string> {
    const found = await this.#options.adoptions.locate(community.did, { of: community });
    return await this.#ask(found, { caller, purpose: "reauth" });
  }

  /** What it is about. Throws ConsentGone; ConsentDenied, which ends it, and KithError invalid_request where it is of another server. */
  async look(parameters: URLSearchParams): Promise<AskedOfOwner> {
    const consent = this.#find(parameters);
    const { issuer, handle, pdsEndpoint } = secretsOf(consent);
    const error = parameters.get("error");
    if (error !== null) {
      await this.#take(parameters);
      throw new ConsentDenied(error, parameters.get("error_description") ?? "");
    }
    await this.#requireIssuer(parameters, issuer);
    const { did, caller, purpose } = consent;
    const asker = { did: caller, handle: this.#options.handleOf(caller) };
    return { purpose, account: { did, handle }, pdsEndpoint, asker };
  }

  /** The person does not want it after all. */
  async refuse(parameters: URLSearchParams): Promise<void> {
    await this.#take(parameters);
  }

  /**
   * Does what was asked for: nobody can a second time. Throws ConsentGone, KithError already_exists, community_quota,
   * communities_disabled, role_too_low, invalid_credentials (another account's consent, or one for too little),
   * invalid_request, upstream_failure, timeout.
   */
  async finish(parameters: URLSearchParams): Promise<AskedOfOwner> {
    const asked = await this.look(parameters);
    const consent = await this.#take(parameters);
    const { did, caller, purpose } = consent;
    const { verifier, dpopKey, issuer, ...account } = secretsOf(consent);
    const { servers, adoptions } = this.#options;
    const community = purpose === "reauth" ? this.#owned(did, caller) : undefined;
    // Where the account is now, and who signs in for it, is looked up anew.
    const found = await adoptions.locate(did, community && { of: community });
    const server = await servers.of(found.endpoint);
    if (server.issuer !== issuer || found.endpoint !== account.pdsEndpoint) {
      throw new KithError("invalid_request", `Could not use the consent: the account "${did}" has moved`);
    }
    const state = parameters.get("state") ?? "";
    const session = await servers.exchange(server, { parameters, asked: { state, verifier, dpopKey, did } });
    try {
      await this.#check(found, session);
      if (community) await this.#renewed(found, { caller, session });
      else await this.#adopted(found, { caller, pdsDid: account.pdsDid, session });
    } catch (error) {
      await servers.revoke(session);
      throw error;
    }
    return asked;
  }

  async #ask(found: FoundAccount, { caller, purpose }: Pick<CommunityConsent, "caller" | "purpose">) {
    const { store, servers, now } = this.#options;
    const { did, handle, kind, endpoint: pdsEndpoint, host } = found;
    const { did: pdsDid } = await host.describe();
    const server = await servers.of(pdsEndpoint);
    const [state, verifier] = [newSecret(), newSecret()];
    const dpopKey = await newKey();
    const asked = { state, verifier, dpopKey, did, loginHint: handle ?? did };
    const authorizeUrl = await servers.ask(server, asked);
    const { issuer } = server;
    const secrets: ConsentSecrets = { verifier, dpopKey, issuer, handle, kind, pdsEndpoint, pdsDid };
    const createdAt = now();
    const consent = { stateHash: hashOf(state), caller, did, purpose, secrets, createdAt };
    await store.begin(
      { ...consent, expiresAt: createdAt + CONSENT_MS },
      { perCallerMax: CONSENTS_PER_CALLER_MAX, max: CONSENTS_MAX },
    );
    return authorizeUrl;
  }

  #find(parameters: URLSearchParams): CommunityConsent {
    const consent = this.#options.store.consent(stateOf(parameters), this.#options.now());
    if (!consent) throw new ConsentGone();
    return consent;
  }

  async #take(parameters: URLSearchParams): Promise<CommunityConsent> {
    const consent = await this.#options.store.takeConsent(stateOf(parameters), this.#options.now());
    if (!consent) throw new ConsentGone();
    return consent;
  }

  /** Against mixed-up servers, RFC 9207: one that was not asked learns neither a code nor a verifier. */
  async #requireIssuer(parameters: URLSearchParams, issuer: string): Promise<void> {
    const named = parameters.get("iss");
    const code = parameters.get("code") ?? "";
    const isWhole = code !== "" && code.length <= PARAMETER_CHARS_MAX;
    if (named === issuer && isWhole && !parameters.has("response")) return;
    await this.#take(parameters);
    const why = named === issuer ? "it has no code" : "it is from another server than was asked";
    throw new KithError("invalid_request", `Could not use the consent: ${why}`);
  }

  #owned(did: string, caller: string): Community {
    return this.#options.members.require(did, { caller, right: "own" }).community;
  }

  /** That the account's own server takes the tokens, for this account. */
  async #check({ did, kind, endpoint: pdsEndpoint }: FoundAccount, session: CommunityOAuth): Promise<void> {
    const host = this.#options.hostOf({ did, kind, pdsEndpoint });
    const token = this.#options.signer(session);
    const answer = (await host.json("com.atproto.server.getSession", { token })) as {
      did?: unknown;
      active?: unknown;
    };
    const why =
      answer.did !== did
        ? `"${pdsEndpoint}" takes it for another account`
        : answer.active === false && "the account is not active";
    if (why) throw new KithError("invalid_credentials", `Could not use the consent of "${did}": ${why}`);
  }

  async #renewed(
    { did, kind, endpoint: pdsEndpoint }: FoundAccount,
    { caller, session }: { caller: string; session: CommunityOAuth },
  ): Promise<void> {
    const { store, endWay, now } = this.#options;
    this.#owned(did, caller);
    await endWay({ did, kind, pdsEndpoint });
    const entry = { community: did, actor: caller, action: "community.reauth", at: now() };
    await store.setSession(did, session, { audit: [{ ...entry, detail: { by: "consent" } }] });
  }

  async #adopted(
    { did, handle, kind, endpoint: pdsEndpoint }: FoundAccount,
    { caller, pdsDid, session }: { caller: string; pdsDid: string; session: CommunityOAuth },
  ): Promise<void> {
    const { rules, communities, communitiesMax, now } = this.#options;
    requireCreator(rules, caller);
    const at = now();
    const entry = { community: did, actor: caller, action: "community.adopt", at };
    await communities.add({
      ...{ did, mode: "adopted", kind, handle, pdsEndpoint, pdsDid, rotationKey: null, createdBy: caller },
      oauth: session,
      communitiesMax,
      now: at,
      audit: [{ ...entry, detail: { pdsEndpoint, by: "consent" } }],
    });
  }
}

function isOneAlready(did: string): KithError {
  return new KithError("already_exists", `Could not adopt "${did}": it is a community here already`);
}

function secretsOf({ secrets }: CommunityConsent): ConsentSecrets {
  return secrets as ConsentSecrets;
}

function newSecret(): string {
  return randomBytes(SECRET_BYTES).toString("base64url");
}

function stateOf(parameters: URLSearchParams): string {
  return hashOf((parameters.get("state") ?? "").slice(0, PARAMETER_CHARS_MAX));
}

function hashOf(state: string): string {
  return createHash("sha256").update(state).digest("hex");
}
