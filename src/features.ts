/** Accounts, sessions, identity and the proxy, over the stores and the actors. */
import { join } from "node:path";
import { startAccountFeatures } from "./account_features.ts";
import {
  AccountCreator,
  CreationRetries,
  HandleRules,
  Invites,
  KeyReservations,
  Passwords,
} from "./accounts/mod.ts";
import { parseDidDocument, signerFromPrivateKey } from "./atproto/mod.ts";
import { HeaderAuthenticator, ServiceTokens, SessionTokens } from "./auth/mod.ts";
import type { Config, Secrets } from "./config/mod.ts";
import { type Actors, type StartContext, type Stores, safeFetchOf } from "./engine.ts";
import { pageSiteOf } from "./front_pages.ts";
import {
  createDidResolver,
  createHandleResolver,
  createPlcClient,
  createSafeStream,
  EmbeddedPlc,
  type PlcDirectory,
} from "./identity/mod.ts";
import type { RootLogger } from "./logger.ts";
import { type DataFolder, PlcStore } from "./storage/mod.ts";
import {
  ProxyTargets,
  type ProxyTargetsOptions,
  ServiceJwts,
  ServiceProxy,
  type ServiceProxyOptions,
} from "./xrpc/mod.ts";

/** The PLC directory, and where it is built in, its HTTP side. */
export interface Directory {
  readonly plc: PlcDirectory;
  fetch(request: Request): Promise<Response | undefined>;
}

export function directoryOf(
  { onClose }: StartContext,
  { config, folder }: { config: Config; folder: DataFolder },
): Directory {
  if (!config.plcEmbedded)
    return { plc: createPlcClient({ url: config.plcUrl }), fetch: async () => undefined };
  const store = new PlcStore(join(folder.path, "plc.sqlite"));
  onClose(() => store.close());
  const plc = new EmbeddedPlc({ store });
  return { plc, fetch: (request) => plc.fetch(request) };
}

export type Features = Awaited<ReturnType<typeof startFeatures>>;

export async function startFeatures(
  { log, onClose }: StartContext,
  parts: { config: Config; secrets: Secrets; stores: Stores; actors: Actors; plc: Directory },
) {
  const { config, secrets, stores, actors } = parts;
  const { plc } = parts.plc;
  const { accounts } = stores;
  const { handleResolver, didResolver, dids } = resolversOf(config, plc);
  const tokens = new SessionTokens({ secret: secrets.jwtSecret, serviceDid: config.serviceDid });
  const { publicUrl } = config;
  const serviceTokens = new ServiceTokens({ serviceDid: config.serviceDid, dids });
  const { adminPassword } = secrets;
  const authenticator = new HeaderAuthenticator({ tokens, serviceTokens, accounts, adminPassword });
  const passwords = new Passwords();
  const handles = new HandleRules(config.handleDomains);
  const owners = startAccountFeatures({
    config,
    stores,
    repos: actors.registry,
    plc,
    didResolver,
    tokens,
    passwords,
    log,
    onClose,
  });
  const invites = new Invites({ codes: stores.invites, hostname: config.hostname });
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
  const { reservedKeys } = stores;
  const { accountKeyType: keyType } = config;
  const keys = new KeyReservations({ rows: reservedKeys, keyType, now: actors.now });
  const rotationSigner = signerFromPrivateKey("k256", Buffer.from(secrets.plcRotationKeyHex, "hex"));
  const creator = new AccountCreator({
    accounts,
    invites: stores.invites,
    plc,
    repos,
    passwords,
    handles,
    handleResolver,
    reservedKeys,
    rotationSigner,
    recoveryKey: config.recoveryDidKey,
    publicUrl,
    keyType,
    inviteRequired: config.inviteRequired,
    onUnfinished: () => retries.soon(),
  });
  await completeAccounts(retries, log);
  const serviceJwts = new ServiceJwts({ signer: (did) => accounts.signer(did), now: actors.now });
  const rotationKeys = [config.recoveryDidKey, rotationSigner.didKey].filter((key) => key !== undefined);
  const plcIdentity = { plc, dids, rotationKeys: [...new Set(rotationKeys)], publicUrl };
  return {
    authenticator,
    owners,
    invites,
    creator,
    keys,
    handles,
    handleResolver,
    dids,
    plcIdentity,
    serviceJwts,
    proxy: serviceProxyOf(config, { dids, authenticator, serviceJwts }),
    pages: pageSiteOf({ config, safeFetch: safeFetchOf(config), log }),
  };
}

function resolversOf(config: Config, plc: PlcDirectory) {
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
