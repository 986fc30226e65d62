/** Accounts, sessions, identity and the proxy, over the stores and the actors. */
import { join } from "node:path";
import { startAccountFeatures } from "./account_features.ts";
import {
  AccountCreator,
  type AccountCreatorOptions,
  CreationRetries,
  HandleRules,
  Invites,
  KeyReservations,
  Passwords,
} from "./accounts/mod.ts";
import { parseDidDocument, type Signer, signerFromPrivateKey } from "./atproto/mod.ts";
import {
  HeaderAuthenticator,
  type HeaderAuthenticatorOptions,
  ServiceTokens,
  type ServiceTokensOptions,
  SessionTokens,
} from "./auth/mod.ts";
import { AccountEnds, ClientDocuments } from "./communities/mod.ts";
import { startCommunities } from "./community_features.ts";
import type { Config, Secrets } from "./config/mod.ts";
import { type Actors, type StartContext, type Stores, safeFetchOf } from "./engine.ts";
import {
  createDidResolver,
  createHandleResolver,
  createPlcClient,
  createSafeStream,
  EmbeddedPlc,
  type PlcDirectory,
} from "./identity/mod.ts";
import { startIdentityFeatures } from "./identity_features.ts";
import { startLexicons } from "./lexicon_features.ts";
import type { RootLogger } from "./logger.ts";
import { startOAuth } from "./oauth_features.ts";
import { type DataFolder, PlcStore } from "./storage/mod.ts";
import {
  COMMUNITY_SERVICE,
  handleFinder,
  type Method,
  ProxyTargets,
  type ProxyTargetsOptions,
  ServiceJwts,
  ServiceProxy,
  type ServiceProxyOptions,
  uploadBlobMethod,
  writeMethods,
} from "./xrpc/mod.ts";

/** The PLC directory, and where it is built in, its HTTP side too. */
export interface Directory {
  readonly plc: PlcDirectory;
  fetch?(request: Request): Promise<Response | undefined>;
}

export function directoryOf(
  { onClose }: StartContext,
  { config, folder }: { config: Config; folder: DataFolder },
): Directory {
  if (!config.plcEmbedded) return { plc: createPlcClient({ url: config.plcUrl }) };
  const store = new PlcStore(join(folder.path, "plc.sqlite"));
  onClose(() => store.close());
  const plc = new EmbeddedPlc({ store });
  return { plc, fetch: (request) => plc.fetch(request) };
}

export type Features = Awaited<ReturnType<typeof startFeatures>>;

export async function startFeatures(
  context: StartContext,
  parts: { config: Config; secrets: Secrets; stores: Stores; actors: Actors; plc: Directory },
) {
  const { log, onClose } = context;
  const { config, secrets, stores, actors } = parts;
  const { plc } = parts.plc;
  const { accounts } = stores;
  const { handleResolver, didResolver, dids } = resolversOf(config, plc);
  const tokens = new SessionTokens({ secret: secrets.jwtSecret, serviceDid: config.serviceDid });
  const lexicons = startLexicons(context, { config, rows: stores.lexicons, dids });
  const clientDocuments = clientDocumentsOf(config, stores);
  const oauth = startOAuth({
    ...{ config, log, stores, lexicons: lexicons.source, ownDocuments: clientDocuments },
    now: actors.now,
  });
  const authenticator = authenticatorOf({ config, secrets, accounts, dids, tokens, oauth: oauth.access });
  const passwords = new Passwords({ referenceHashesLeft: () => stores.referenceHashes.anyLeft() });
  const { reservedHandles: reserved } = stores;
  const handles = new HandleRules(config.handleDomains, { hostname: config.hostname, reserved });
  const rotationSigner = lateSigner("ES256K", () =>
    signerFromPrivateKey("k256", Buffer.from(secrets.plcRotationKeyHex, "hex")),
  );
  const ends = await guardedEnds({ config, stores, actors, dids, log });
  const owners = startAccountFeatures({
    ...{ config, stores, repos: actors.registry, ends, plc, didResolver, tokens, passwords, log, onClose },
    believedNow: actors.believedNow,
    get rotationKey() {
      return rotationSigner.didKey;
    },
  });
  const { hostname, accountKeyType: keyType } = config;
  const invites = new Invites({ codes: stores.invites, hostname });
  const keys = new KeyReservations({ rows: stores.reservedKeys, keyType, now: actors.now });
  const births = { config, stores, actors, plc, passwords, handles, handleResolver, rotationSigner };
  const creator = await startCreation({ log, onClose }, births);
  const identity = startIdentityFeatures({
    ...{ config, stores, repos: actors.registry, plc, dids, handles, handleResolver },
    ...{ rotationSigner, owners, log, onClose },
  });
  const repoMethods = repoMethodsOf({ config, stores, actors, lexicons });
  const finder = handleFinder({ accounts, handles, resolver: handleResolver });
  const communities = await startCommunities(context, {
    ...{ config, stores, actors, plc, dids, creator, handles, handleFinder: finder },
    ...{ rotationSigner, repoMethods, clientDocuments },
  });
  const serviceJwts = new ServiceJwts({ signer: (did) => accounts.signer(did), now: actors.now });
  return {
    authenticator,
    oauth,
    owners,
    invites,
    creator,
    keys,
    handles,
    handleResolver,
    handleFinder: finder,
    dids,
    lexicons,
    ends,
    repoMethods,
    communities,
    clientDocuments,
    ...identity,
    serviceJwts,
    proxy: serviceProxyOf(config, { dids, authenticator, serviceJwts }),
  };
}

/** A signer that is made when it is first needed: its curve takes a start some milliseconds to load. */
function lateSigner(jwtAlg: Signer["jwtAlg"], make: () => Signer): Signer {
  let made: Signer | undefined;
  const signer = (): Signer => {
    made ??= make();
    return made;
  };
  return {
    get didKey() {
      return signer().didKey;
    },
    jwtAlg,
    sign: (bytes) => signer().sign(bytes),
  };
}

/** Ends of accounts that leave no community without an owner. */
async function guardedEnds(parts: {
  config: Config;
  stores: Stores;
  actors: Actors;
  dids: ConstructorParameters<typeof AccountEnds>[0]["dids"];
  log: StartContext["log"];
}) {
  const { config, stores, actors, dids, log: logger } = parts;
  const ends = new AccountEnds({
    communities: stores.communities,
    members: stores.communityMembers,
    accounts: stores.accounts,
    ...{ dids, publicUrl: config.publicUrl, logger, now: actors.now },
  });
  await ends.settle();
  return ends.guard(actors.registry);
}

/** What this server is to others, where it publishes for communities that have let it in by OAuth. */
function clientDocumentsOf(
  { publicUrl, hostname, branding }: Config,
  { communityOAuth: keys }: Stores,
): ClientDocuments {
  return new ClientDocuments({ publicUrl, serviceName: branding.serviceName ?? hostname, keys });
}

/** Who is calling: by sessions, tokens of apps and of other servers, and the operator's password. */
function authenticatorOf(
  parts: Pick<HeaderAuthenticatorOptions, "accounts" | "tokens" | "oauth"> &
    Pick<ServiceTokensOptions, "dids"> & { config: Config; secrets: Secrets },
): HeaderAuthenticator {
  const { config, secrets, accounts, tokens, oauth, dids } = parts;
  const { serviceDid } = config;
  return new HeaderAuthenticator({
    ...{ tokens, accounts, oauth },
    serviceTokens: new ServiceTokens({ serviceDid, dids, services: [COMMUNITY_SERVICE] }),
    adminPassword: secrets.adminPassword,
    modServiceDid: config.modService?.did,
  });
}

/** What is written into repos: by their owners, and by communities that have their account here. */
function repoMethodsOf(parts: {
  config: Config;
  stores: Stores;
  actors: Actors;
  lexicons: ReturnType<typeof startLexicons>;
}): Method[] {
  const { config, stores, actors, lexicons } = parts;
  const { accounts, blobs } = stores;
  const { registry: repos, now, clockId } = actors;
  return [
    ...writeMethods({ accounts, repos, lexicons: lexicons.records, now, clockId }),
    uploadBlobMethod({
      ...{ accounts, blobs, repos, now, types: config.blobTypes },
      blobBytesMax: config.blobBytesMax,
      quotaBytes: config.blobQuotaBytes,
    }),
  ];
}

/** Who makes accounts; what the run before has left half-made is looked at first. */
async function startCreation(
  { log, onClose }: Pick<StartContext, "log" | "onClose">,
  parts: Pick<
    AccountCreatorOptions,
    "plc" | "passwords" | "handles" | "handleResolver" | "rotationSigner"
  > & { config: Config; stores: Stores; actors: Actors },
): Promise<AccountCreator> {
  const { config, stores, actors, plc, ...shared } = parts;
  const { accounts } = stores;
  const repos = {
    createRepo: (did: string) => actors.registry.createRepo(did),
    hasRepo: (did: string) => stores.files.exists(did, accounts.account(did)?.generation ?? -1),
  };
  const retries: CreationRetries = new CreationRetries({
    accounts,
    plc,
    repos,
    isInFlight: (did) => creator.isInFlight(did),
    onProblem: (did, error) => log.warn("An account waits to be completed", { did, error }),
  });
  onClose(() => retries.stop());
  const creator = new AccountCreator({
    ...shared,
    accounts,
    invites: stores.invites,
    plc,
    repos,
    reservedKeys: stores.reservedKeys,
    recoveryKey: config.recoveryDidKey,
    publicUrl: config.publicUrl,
    keyType: config.accountKeyType,
    inviteRequired: config.inviteRequired,
    onUnfinished: () => retries.soon(),
  });
  await completeAccounts(retries, log);
  return creator;
}

export function resolversOf(config: Config, plc: PlcDirectory) {
  const devMode = config.mode === "dev";
  const { resolverTimeoutMs: timeoutMs } = config;
  const safeFetch = safeFetchOf(config);
  const { backupNameservers, didCacheStaleMs: staleMs, didCacheMaxMs: maxMs } = config;
  const handleResolver = createHandleResolver({ safeFetch, timeoutMs, backupNameservers, devMode });
  const didResolver = createDidResolver({ plc, safeFetch, timeoutMs, staleMs, maxMs, devMode });
  const dids = {
    resolve: async (did: string, options?: { fresh?: boolean }) =>
      parseDidDocument(await didResolver.resolve(did, options), { did }),
    forget: (did: string) => didResolver.forget(did),
  };
  return { handleResolver, didResolver, dids };
}

async function completeAccounts(retries: CreationRetries, log: RootLogger): Promise<void> {
  const completed = await retries.now();
  if (completed.finished.length + completed.abandoned.length + completed.waiting.length > 0) {
    log.info("Looked at accounts that were being created", { ...completed });
  }
}

function serviceProxyOf(
  config: Config,
  parts: Pick<ServiceProxyOptions, "authenticator" | "serviceJwts"> & Pick<ProxyTargetsOptions, "dids">,
): ServiceProxy {
  const { appView, modService, reportService, allowPrivateNetwork } = config;
  const { dids, authenticator, serviceJwts } = parts;
  return new ServiceProxy({
    ...config.proxy,
    targets: new ProxyTargets({ appView, modService, reportService, dids, allowHttp: allowPrivateNetwork }),
    authenticator,
    serviceJwts,
    send: createSafeStream({ allowPrivateNetwork }),
  });
}
