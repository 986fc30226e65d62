/** An account that is there already becomes a community: by an app password, with which it can be published for. */
import type { DidDocument } from "../atproto/mod.ts";
import { pdsEndpointOf } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import { isHostError } from "../identity/mod.ts";
import type { Community, CommunityStore } from "../storage/mod.ts";
import { type CreatorRules, requireCreator } from "./creators.ts";
import type { HostClient, HostFor, HostSession } from "./hosts/host.ts";
import { ownHandleOf } from "./own_handle.ts";
import type { StockCommunity } from "./sessions.ts";

/** What a session's access token says where it was made with the account's main password. */
const MAIN_PASSWORD_SCOPE = "com.atproto.access";

export interface AdoptionsOptions {
  readonly communities: Pick<CommunityStore, "add" | "find" | "setAppPassword" | "setHandle">;
  readonly rules: CreatorRules;
  /** Communities that one creator may have. */
  readonly communitiesMax: number;
  readonly hostFor: HostFor;
  /** Which host the server of a DID document is. Throws KithErrors invalid_request, host_not_allowed. */
  chooseHost(endpoint: string): { kind: "loopback" | "remote"; endpoint: string };
  /** Throws KithError handle_not_found, timeout, upstream_failure. */
  didOf(identifier: string): Promise<string>;
  readonly dids: { resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument> };
  /** Gives back a consent that an app password takes the place of. */
  endConsent(community: StockCommunity): Promise<unknown>;
  /** Whether DID documents may name an http server: in dev mode. */
  readonly allowHttp: boolean;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

/** Where an account is, as its DID document says. */
export interface FoundAccount {
  readonly did: string;
  readonly handle: string | null;
  readonly kind: "loopback" | "remote";
  readonly endpoint: string;
  readonly host: HostClient;
}

export class Adoptions {
  readonly #options: AdoptionsOptions;

  constructor(options: AdoptionsOptions) {
    this.#options = options;
  }

  /**
   * Throws KithError communities_disabled, community_quota, handle_not_found, did_not_found, host_not_allowed, already_exists,
   * invalid_credentials (also for the account's main password), upstream_failure, timeout.
   */
  async adopt(given: { caller: string; identifier: string; appPassword: string }): Promise<Community> {
    const { rules, communities, communitiesMax, now } = this.#options;
    const { caller, identifier, appPassword } = given;
    requireCreator(rules, caller);
    const found = await this.locate(identifier);
    const { did, handle, kind, endpoint, host } = found;
    if (communities.find(did)) {
      throw new KithError("already_exists", `Could not adopt "${did}": it is a community here already`);
    }
    const { did: pdsDid } = await host.describe();
    await signIn(found, appPassword);
    const community = {
      did,
      mode: "adopted",
      kind,
      handle,
      pdsEndpoint: endpoint,
      pdsDid,
      rotationKey: null,
      createdBy: caller,
    } as const;
    const at = now();
    const audit = [
      { community: did, actor: caller, action: "community.adopt", detail: { pdsEndpoint: endpoint }, at },
    ];
    await communities.add({ ...community, appPassword, communitiesMax, now: at, audit });
    return { ...community, createdAt: at };
  }

  /**
   * Another app password, where the one before was revoked, or the account has moved: the server is looked up anew. Throws
   * KithError not_supported for a community that needs none, and as `adopt`.
   */
  async reauth(community: Community, given: { caller: string; appPassword: string }): Promise<void> {
    const { did } = community;
    const { caller, appPassword } = given;
    const found = await this.locate(did, { of: community });
    await signIn(found, appPassword);
    await this.#options.endConsent({ did, kind: found.kind, pdsEndpoint: found.endpoint });
    const audit = [{ community: did, actor: caller, action: "community.reauth", at: this.#options.now() }];
    await this.#options.communities.setAppPassword(did, appPassword, { audit });
    if (found.handle !== null) await this.#options.communities.setHandle(did, found.handle);
  }

  /**
   * Where an account is, and its host. `of`: a community that it is the account of already. Throws KithError not_supported for one
   * that nobody has to be let in for, or whose account has moved; handle_not_found, did_not_found, host_not_allowed, timeout.
   */
  async locate(identifier: string, { of }: { of?: Community | undefined } = {}): Promise<FoundAccount> {
    if (of && (of.kind === null || of.kind === "native")) {
      const why = of.kind === null ? "it is an identity alone" : "its account is one of this server";
      throw new KithError("not_supported", `The community "${of.did}" needs nobody to let it in: ${why}`);
    }
    const found = await this.#find(identifier);
    if (of === undefined || found.endpoint === of.pdsEndpoint) return found;
    throw new KithError(
      "not_supported",
      `The account of the community "${of.did}" is not at "${of.pdsEndpoint}" any more, but at "${found.endpoint}": delete the community and adopt it anew`,
    );
  }

  async #find(identifier: string): Promise<FoundAccount> {
    const { didOf, dids, allowHttp, chooseHost, hostFor } = this.#options;
    const did = await didOf(identifier);
    const document = await dids.resolve(did, { fresh: true });
    const named = pdsEndpointOf(document, { allowHttp });
    if (named === undefined) {
      throw new KithError("invalid_request", `Could not use "${identifier}": its DID names no server`);
    }
    const { kind, endpoint } = chooseHost(named);
    const handle = (await ownHandleOf(document, { did, didOf, devMode: allowHttp })) ?? null;
    return { did, handle, kind, endpoint, host: hostFor(kind, endpoint) };
  }
}

/** Throws KithError invalid_credentials where the password is not an app password of the account. */
async function signIn({ did, host, endpoint }: FoundAccount, password: string): Promise<void> {
  const session = await sessionOf(host, { identifier: did, password });
  // Publishing opens one of its own; and that of a main password is to be nowhere.
  await host.endSession(session);
  const wrong = wrongSession(session, did);
  if (wrong !== undefined) {
    throw new KithError(
      "invalid_credentials",
      `Could not use the account "${did}" at "${endpoint}": ${wrong}`,
    );
  }
}

async function sessionOf(
  host: HostClient,
  given: { identifier: string; password: string },
): Promise<HostSession> {
  try {
    return await host.createSession(given);
  } catch (error) {
    const isRefusal = isHostError(error) && (error.status === 401 || error.status === 400);
    if (!isRefusal && !isKithError(error, "auth_required")) throw error;
    throw new KithError(
      "invalid_credentials",
      `Could not sign in as "${given.identifier}" at "${host.endpoint}": ${error.message}`,
      { cause: error },
    );
  }
}

function wrongSession({ did, active, accessJwt }: HostSession, wanted: string): string | undefined {
  if (did !== wanted) return `the password is that of "${did}"`;
  if (!active) return "it is not active";
  if (scopeOf(accessJwt) === MAIN_PASSWORD_SCOPE)
    return "this is its main password; make an app password for this server and give that";
  return undefined;
}

/** Of a token that can be read; others say nothing. */
function scopeOf(jwt: string): unknown {
  try {
    return JSON.parse(Buffer.from(jwt.split(".")[1] ?? "", "base64url").toString()).scope;
  } catch {
    return undefined;
  }
}
