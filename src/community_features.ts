/** Wires communities: what makes them, keeps them and publishes for them, and the methods over it. Called by features.ts and edge.ts. */
import { type AccountCreator, type HandleRules, isPresent } from "./accounts/mod.ts";
import { ProvisionActors } from "./actors/mod.ts";
import { type DidDocument, isDid, pdsEndpointOf, type Signer } from "./atproto/mod.ts";
import {
  Adoptions,
  Attempts,
  AuthorizationServers,
  type ClientDocuments,
  CommunityInvites,
  CommunitySweep,
  Consents,
  chooseHost,
  createClientFetch,
  createHostFor,
  type DeclaringCommunity,
  Deletions,
  EndpointAllowlist,
  type Handler,
  Healths,
  type HostFor,
  Members,
  mayCreate,
  NativeHost,
  OAuthSessions,
  Publisher,
  Reaper,
  requireCreator,
  type StepParts,
  type StockCommunity,
  StockSessions,
  Transports,
  WaysIn,
} from "./communities/mod.ts";
import type { Config } from "./config/mod.ts";
import { type Actors, type StartContext, type Stores, safeFetchOf } from "./engine.ts";
import { isKithError, KithError } from "./errors.ts";
import { createSafeStream, type PlcDirectory } from "./identity/mod.ts";
import {
  communityAdminMethods,
  type Http,
  lifecycleMethods,
  localRepoCalls,
  type Method,
  memberMethods,
  OWN_ADDRESS,
  publishMethods,
} from "./xrpc/mod.ts";

/** Attempts of one caller that may be open at a time. */
const IN_FLIGHT_MAX = 1;

/** The server's own handler, for calls that it makes to itself; it is there once the edge is. */
export class OwnHandler {
  #http: Http | undefined;

  open(http: Http): void {
    this.#http = http;
  }

  readonly fetch: Handler = async (request) => {
    if (!this.#http) throw new KithError("busy", "The server is starting");
    return await this.#http.fetch(request, {
      requestIP: () => ({ address: OWN_ADDRESS }),
      upgrade: () => false,
    });
  };
}

/** Undefined where it leads nowhere, or cannot be asked: what is done here does not wait for the directory. */
async function serverOf(
  did: string,
  { dids, allowHttp }: Pick<CommunityFeaturesParts, "dids"> & { allowHttp: boolean },
): Promise<string | undefined> {
  try {
    return pdsEndpointOf(await dids.resolve(did), { allowHttp });
  } catch (error) {
    if (!isKithError(error)) throw error;
    return undefined;
  }
}

export interface CommunityFeaturesParts {
  readonly config: Config;
  readonly stores: Stores;
  readonly actors: Pick<Actors, "registry" | "now">;
  readonly plc: PlcDirectory;
  readonly dids: { resolve(did: string, options?: { fresh?: boolean }): Promise<DidDocument> };
  readonly creator: AccountCreator;
  readonly handles: HandleRules;
  /** Finds the DID of any handle; undefined where it leads nowhere. */
  readonly handleFinder: { resolve(handle: string): Promise<string | undefined> };
  readonly rotationSigner: Signer;
  /** What this server is as an OAuth client. */
  readonly clientDocuments: ClientDocuments;
  /** createRecord, putRecord, deleteRecord, applyWrites and uploadBlob of com.atproto.repo. */
  readonly repoMethods: readonly Method[];
}

export type CommunityFeatures = Awaited<ReturnType<typeof startCommunities>>;

export async function startCommunities(
  { log, onClose }: Pick<StartContext, "log" | "onClose">,
  parts: CommunityFeaturesParts,
) {
  const { config, stores, actors, plc, dids } = parts;
  const { now } = actors;
  const ownHandler = new OwnHandler();
  const hosts = hostsOf(parts, ownHandler);
  const local = localRepoCalls(parts.repoMethods);
  const passwords = new StockSessions({ store: stores.communities, hostOf: hosts.hostOf, now });
  const servers = authorizationServersOf(parts, ownHandler);
  const oauthSessions = new OAuthSessions({ store: stores.communityOAuth, servers, now });
  const sessions = new WaysIn({ consents: oauthSessions, passwords });
  const publisher = new Publisher({ local, sessions, hostOf: hosts.hostOf });
  const rules = {
    ...config.communities,
    isMember: (did: string) => stores.accounts.account(did)?.state === "active",
  };
  const making = { hosts, local, rules, log };
  const runs = new ProvisionActors();
  onClose(() => runs.stop());
  const { attempts, reaper } = makersOf(parts, { ...making, runs });
  await attempts.start();
  const members = new Members({
    communities: stores.communities,
    members: stores.communityMembers,
    isSomebody: (did) => isSomebody(parts, did),
    now,
  });
  const invites = new CommunityInvites({ invites: stores.communityInvites, members, now });
  const letting = { hosts, rules, members, servers, oauthSessions, sessions };
  const { adoptions, consents } = adoptionsOf(parts, letting);
  const healths = new Healths({
    communities: stores.communities,
    plc,
    dids,
    hostFor: hosts.hostFor,
    didOf: namesOf(parts).didOf,
    checkSession: (community) => sessions.check(community),
    allowHttp: config.mode === "dev",
  });
  const { communities } = stores;
  const deletions = new Deletions({ communities, repos: actors.registry, sessions, now });
  startSweep({ log, onClose }, parts);
  const methods = [
    ...lifecycleMethods({
      attempts,
      adoptions,
      consents,
      healths,
      deletions,
      members,
      serviceDid: config.serviceDid,
      now,
    }),
    ...memberMethods({ members, invites, names: namesOf(parts), serviceDid: config.serviceDid }),
    ...publishMethods({
      members,
      repoMethods: parts.repoMethods,
      remote: publisher,
      serverOf: (did) => serverOf(did, { dids, allowHttp: config.mode === "dev" }),
      audit: stores.communityAudit,
      serviceDid: config.serviceDid,
      now,
    }),
  ];
  const adminMethods = communityAdminMethods({ reaper, log, now });
  const services = { attempts, adoptions, consents, healths, deletions, members, invites };
  return {
    pageServices: pageServicesOf(parts, { ...services, rules }),
    methods,
    adminMethods,
    ownHandler,
    consents,
  };
}

/** What the pages of communities call. */
function pageServicesOf<Services extends { readonly rules: Parameters<typeof mayCreate>[0] }>(
  parts: CommunityFeaturesParts,
  { rules, ...services }: Services,
) {
  const { config, stores } = parts;
  return {
    ...services,
    names: namesOf(parts),
    find: (did: string) => stores.communities.find(did),
    mayMake: (did: string) => mayCreate(rules, did),
    hasOtherHosts: config.communities.pdsAllowlist.length > 0,
  };
}

/** How accounts that are there already become communities. */
function adoptionsOf(
  parts: CommunityFeaturesParts,
  shared: {
    hosts: Hosts;
    rules: Parameters<typeof requireCreator>[0];
    members: Members;
    servers: AuthorizationServers;
    oauthSessions: OAuthSessions;
    sessions: WaysIn;
  },
): { adoptions: Adoptions; consents: Consents } {
  const { hosts, rules, members, servers, oauthSessions, sessions } = shared;
  const { config, stores, actors, dids } = parts;
  const { communities } = stores;
  const { now } = actors;
  const { didOf, handleOf } = namesOf(parts);
  const adoptions = new Adoptions({
    ...{ communities, rules, dids, didOf, now },
    communitiesMax: config.communities.perMember,
    hostFor: hosts.hostFor,
    chooseHost: hosts.chooseStock,
    endConsent: (community) => oauthSessions.end(community),
    allowHttp: config.mode === "dev",
  });
  const consents = new Consents({
    ...{ store: stores.communityOAuth, communities, members, adoptions, servers, rules, handleOf, now },
    signer: (session) => oauthSessions.signer(session),
    hostOf: hosts.hostOf,
    endWay: (community) => sessions.end(community),
    communitiesMax: config.communities.perMember,
  });
  return { adoptions, consents };
}

/** Where accounts that let us in by OAuth are signed in to; into this server itself without a socket. */
function authorizationServersOf(
  { config, clientDocuments: documents, actors }: CommunityFeaturesParts,
  ownHandler: OwnHandler,
): AuthorizationServers {
  const { publicUrl } = config;
  const fetch = createClientFetch({
    safeFetch: safeFetchOf(config),
    handler: ownHandler.fetch,
    publicUrl,
  });
  return new AuthorizationServers({
    documents,
    fetch,
    publicUrl,
    devMode: config.mode === "dev",
    now: actors.now,
  });
}

function startSweep(
  { log: logger, onClose }: Pick<StartContext, "log" | "onClose">,
  { stores, actors: { now } }: CommunityFeaturesParts,
): void {
  const { attempts, attemptArchive: archive, communityAudit: audit, communityInvites: invites } = stores;
  const sweep = new CommunitySweep({ attempts, archive, audit, invites, logger, now });
  sweep.start();
  onClose(() => sweep.stop());
}

type Hosts = ReturnType<typeof hostsOf>;

/** Where accounts of communities are, or may be made. */
function hostsOf(parts: CommunityFeaturesParts, ownHandler: OwnHandler) {
  const { config, stores, actors, dids, creator, handles, rotationSigner } = parts;
  const { publicUrl, serviceDid, handleDomains, allowPrivateNetwork } = config;
  const rules = { devMode: config.mode === "dev" };
  const { now } = actors;
  const transports = new Transports({
    stream: createSafeStream({ allowPrivateNetwork }),
    handler: ownHandler.fetch,
    publicUrl,
    sleep: (ms) => Bun.sleep(ms),
    now,
  });
  const native = new NativeHost({
    accounts: stores.accounts,
    births: creator,
    repos: actors.registry,
    handles,
    serviceDid,
    publicUrl,
    handleDomains,
    get rotationKey() {
      return rotationSigner.didKey;
    },
  });
  const hostFor: HostFor = createHostFor({ ...rules, native, transports, serviceDid, publicUrl, dids, now });
  const allowlist = EndpointAllowlist.parse(config.communities.pdsAllowlist, rules);
  return {
    transports,
    hostFor,
    choose: (wanted: Parameters<typeof chooseHost>[0]) =>
      chooseHost(wanted, { publicUrl, allowlist, ...rules }),
    chooseStock: (pdsEndpoint: string) => {
      const { kind, endpoint } = chooseHost(
        { hosting: "stock", pdsEndpoint },
        { publicUrl, allowlist, ...rules },
      );
      return { kind: kind === "remote" ? kind : "loopback", endpoint } as const;
    },
    hostOf: ({ kind, pdsEndpoint }: StockCommunity) => transports.host(kind, pdsEndpoint),
  };
}

function makersOf(
  { config, stores, actors, plc, rotationSigner }: CommunityFeaturesParts,
  shared: {
    hosts: Hosts;
    local: ReturnType<typeof localRepoCalls>;
    rules: Parameters<typeof requireCreator>[0];
    log: StartContext["log"];
    runs: ProvisionActors;
  },
): { attempts: Attempts; reaper: Reaper } {
  const { hosts, local, rules, log, runs } = shared;
  const { perDay, perMember, perMemberPerDay } = config.communities;
  const stepParts: StepParts = {
    plc,
    hostFor: hosts.hostFor,
    rotationSigner,
    keyType: config.accountKeyType,
    declare: async (community, { collection, rkey, record }) => {
      const input = { repo: community.did, collection, rkey, record };
      if (community.kind === "native")
        await local.call(community.did, { nsid: "com.atproto.repo.putRecord", input });
      else await declareAt(hosts, { community, input });
    },
    now: actors.now,
  };
  const work = {
    store: stores.attempts,
    archive: stores.attemptArchive,
    actors: runs,
    parts: stepParts,
    logger: log,
  };
  const attempts = new Attempts({
    ...work,
    quotas: {
      inFlightMax: IN_FLIGHT_MAX,
      perCallerPerDayMax: perMemberPerDay,
      perDayMax: perDay,
      communitiesMax: perMember,
    },
    communities: stores.communities,
    chooseHost: hosts.choose,
    checkCreator: (caller) => requireCreator(rules, caller),
    get ownKeys() {
      return [rotationSigner.didKey];
    },
  });
  return { attempts, reaper: new Reaper(work) };
}

/** By a session of the app password, which is ended again. */
async function declareAt(
  { hostFor, transports }: Hosts,
  { community, input }: { community: DeclaringCommunity; input: object },
): Promise<void> {
  const { did: identifier, kind, pdsEndpoint, appPassword } = community;
  if (kind === "native" || appPassword === null) throw new TypeError(`"${identifier}" has no app password`);
  const { accessJwt, refreshJwt } = await hostFor(kind, pdsEndpoint).createSession({
    identifier,
    password: appPassword,
  });
  const host = transports.host(kind, pdsEndpoint);
  try {
    // The same record again changes nothing.
    await host.json("com.atproto.repo.putRecord", { input, token: accessJwt, isRepeatable: true });
  } finally {
    await host
      .json("com.atproto.server.deleteSession", { input: null, token: refreshJwt })
      .catch(() => undefined);
  }
}

async function isSomebody(
  { stores, dids }: Pick<CommunityFeaturesParts, "stores" | "dids">,
  did: string,
): Promise<boolean> {
  if (isPresent(stores.accounts.account(did))) return true;
  try {
    await dids.resolve(did);
    return true;
  } catch (error) {
    const isNobody = (["did_not_found", "did_deactivated", "invalid_request"] as const).some((code) =>
      isKithError(error, code),
    );
    if (isNobody) return false;
    throw error;
  }
}

function namesOf({ stores, handleFinder }: CommunityFeaturesParts) {
  return {
    didOf: async (identifier: string): Promise<string> => {
      if (identifier.startsWith("did:")) {
        if (isDid(identifier)) return identifier;
        throw new KithError("invalid_request", `"${identifier.slice(0, 100)}" is no DID`);
      }
      const did = await handleFinder.resolve(identifier.toLowerCase());
      if (did !== undefined) return did;
      throw new KithError("handle_not_found", `Unable to resolve handle: ${identifier}`);
    },
    handleOf: (did: string): string | undefined => {
      const account = stores.accounts.account(did);
      return account?.state === "active" ? account.handle : undefined;
    },
  };
}
