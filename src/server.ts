/**
 * The one place that wires everything: stores, actors, features and the edge, in the order in which they need each other.
 * `kith serve` listens with it; a host application can mount `fetch` and `websocket` in a server of its own.
 */
import { randomInt } from "node:crypto";
import { dirname, join } from "node:path";
import {
  AccountCreator,
  CreationRetries,
  HandleRules,
  Invites,
  Passwords,
  Sessions,
} from "./accounts/mod.ts";
import {
  Crawlers,
  EventRetention,
  Firehose,
  RepoRegistry,
  recoverRepos,
  reserveFirstSeq,
  Sequencer,
  type StartUpOptions,
} from "./actors/mod.ts";
import { parseDidDocument, serviceDidDocument, signerFromPrivateKey, TID_CLOCK_IDS } from "./atproto/mod.ts";
import { HeaderAuthenticator, ServiceTokens, SessionTokens } from "./auth/mod.ts";
import { atPort, type Config, ensureSecrets, type Secrets, VERSION } from "./config/mod.ts";
import { KithError } from "./errors.ts";
import {
  createDidResolver,
  createHandleResolver,
  createPlcClient,
  createSafeFetch,
  createSafeStream,
  EmbeddedPlc,
  type PlcDirectory,
  type SafeFetch,
} from "./identity/mod.ts";
import { type Handlers, type Listeners, listen } from "./listen.ts";
import { createLogger, type RootLogger } from "./logger.ts";
import { RequestGate } from "./request_gate.ts";
import {
  AccountStore,
  type BlobUpload,
  boundOpenRepos,
  DataFolder,
  DiskBlobStore,
  EventLog,
  Hub,
  InviteStore,
  Keyring,
  Maintenance,
  PlcStore,
  RepoFiles,
  refuseForeign,
  SessionStore,
} from "./storage/mod.ts";
import {
  accountMethods,
  createHttp,
  describeMethods,
  feedMethods,
  handleFinder,
  handleMethods,
  inviteMethods,
  type Method,
  ProxyTargets,
  type ProxyTargetsOptions,
  preferenceMethods,
  profileMethods,
  pushMethods,
  ReadAfterWrite,
  readMethods,
  reportMethods,
  repoStatusMethods,
  resolveMethods,
  ServiceJwts,
  ServiceProxy,
  type ServiceProxyOptions,
  type SiteOptions,
  serviceAuthMethods,
  sessionMethods,
  syncBlobMethods,
  syncRepoMethods,
  threadMethods,
  uploadBlobMethod,
  writeMethods,
} from "./xrpc/mod.ts";

/** How long requests that are under way may take to end at a stop. */
const DRAIN_TIMEOUT_MS = 10_000;
const DRAIN_LOOK_MS = 5;
/** EX_IOERR of sysexits.h: the disk failed, and only a start can tell what is on it. */
const EXIT_DISK_FAILED = 74;

export interface ServerOptions {
  readonly log?: RootLogger;
  /** False: nothing listens; the caller mounts `fetch` and `websocket`. */
  readonly listen?: boolean;
  /** What a failed disk leads to; default: the process ends at once, answering nothing more. */
  readonly onFatal?: (error: unknown) => void;
}

export interface KithServer extends Handlers {
  /** Where it answers on this machine, without a slash at its end. */
  readonly url: string;
  /** What this first start made, in words. */
  readonly made: readonly string[];
  readonly config: Config;
  /** Ends what is under way, closes every file. May be called again. */
  stop(): Promise<void>;
}

/**
 * Starts a server. Throws KithError config_invalid (the port is taken, ...) or data_folder_refused, with nothing left open.
 */
export async function createServer(config: Config, options: ServerOptions = {}): Promise<KithServer> {
  const log = options.log ?? createLogger({ enabled: config.logEnabled, level: config.logLevel });
  const closing: (() => unknown)[] = [];
  const onClose = (close: () => unknown): void => void closing.unshift(close);
  const closeAll = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (const close of closing.splice(0)) {
      try {
        await close();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "Could not close everything");
  };
  try {
    return await start({ config, options, log, onClose, closeAll });
  } catch (error) {
    await closeAll().catch((cause: unknown) => log.warn("Could not close everything", { error: cause }));
    throw error;
  }
}

interface StartContext {
  readonly config: Config;
  readonly options: ServerOptions;
  readonly log: RootLogger;
  /** What is registered last is closed first. */
  onClose(close: () => unknown): void;
  closeAll(): Promise<void>;
}

async function start(context: StartContext): Promise<KithServer> {
  const { options, log } = context;
  // An environment file of the reference names its own blob folder, inside its data folder.
  refuseForeign(dirname(context.config.blobFolder));
  const folder = DataFolder.open(context.config.dataFolder);
  context.onClose(() => folder.close());
  const made = folder.hasAccounts() ? [] : ["the accounts database", "the event log"];
  const { secrets, made: madeSecrets, path } = await ensureSecrets(context.config);
  for (const secret of Object.values(secrets)) log.hide(secret);

  // The sockets come before the stores: with port 0 the public URL, and so the DIDs made here, hang on the real port.
  const gate = new RequestGate();
  const listeners = options.listen === false ? undefined : openPort(context, gate);
  const config = listeners ? atPort(context.config, listeners.port) : context.config;
  const stores = await openStores(context, { config, folder });
  const actors = await startActors(context, { config, stores });
  const plc = directoryOf(context, { config, folder });
  const features = await startFeatures(context, { config, secrets, stores, actors, plc });
  gate.open({ http: createHttp(edgeOf({ config, log, stores, actors, features, gate })), aside: plc.fetch });

  let stopped: Promise<void> | undefined;
  return {
    url: `http://localhost:${config.port}`,
    made: madeSecrets.length > 0 ? [...made, `${madeSecrets.join(", ")} (in ${path})`] : made,
    config,
    fetch: gate.fetch,
    error: gate.error,
    websocket: gate.websocket,
    stop: () => {
      stopped ??= stop({ context, gate, listeners });
      return stopped;
    },
  };
}

async function stop(running: {
  context: StartContext;
  gate: RequestGate;
  listeners: Listeners | undefined;
}): Promise<void> {
  const { context, gate, listeners } = running;
  gate.drain();
  listeners?.refuse();
  const deadline = performance.now() + DRAIN_TIMEOUT_MS;
  while (gate.underWay > 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, DRAIN_LOOK_MS));
  }
  await context.closeAll();
}

function openPort({ config, log, onClose }: StartContext, gate: RequestGate): Listeners {
  const listeners = listen({ addresses: config.listen, port: config.port, handlers: gate, logger: log });
  onClose(() => listeners.close());
  return listeners;
}

type Stores = Awaited<ReturnType<typeof openStores>>;

async function openStores(
  { options, log, onClose }: StartContext,
  { config, folder }: { config: Config; folder: DataFolder },
) {
  const onFatal = (error: unknown): void => {
    log.error("The disk failed; stopping at once, because what is on it is unknown", { error });
    if (options.onFatal) options.onFatal(error);
    else process.exit(EXIT_DISK_FAILED);
  };
  const maintenance = Maintenance.start({ onFatal });
  onClose(() => maintenance.stop());
  // Before the accounts: a folder that has accounts and no master key is refused.
  const keyring = Keyring.open(folder.masterKey);
  const hub = await Hub.open(folder.accounts, { maintenance, onFatal });
  onClose(() => hub.close());
  const eventLog = await EventLog.open(folder.events, { maintenance, onFatal });
  onClose(() => eventLog.close());
  const files = new RepoFiles({ folder: folder.repos, tmp: folder.tmp, maintenance, onFatal });
  const accounts = new AccountStore(hub, keyring);
  const blobs = new DiskBlobStore({ folder: config.blobFolder, tmpFolder: join(config.blobFolder, "temp") });
  return { accounts, sessions: new SessionStore(hub), invites: new InviteStore(hub), eventLog, files, blobs };
}

type Actors = Awaited<ReturnType<typeof startActors>>;

async function startActors(
  { log, onClose }: StartContext,
  { config, stores }: { config: Config; stores: Stores },
) {
  const { accounts, eventLog, files, blobs } = stores;
  const now = Date.now;
  const clockId = randomInt(TID_CLOCK_IDS);
  const firstSeq = await reserveFirstSeq({ accounts, log: eventLog, now });
  const sequencer = new Sequencer({ log: eventLog, firstSeq, now, logger: log });
  const firehose = new Firehose({
    log: eventLog,
    sequencer,
    backfillMs: config.backfillMs,
    now,
    logger: log,
  });
  onClose(() => firehose.stop());
  const retention = new EventRetention({ log: eventLog, backfillMs: config.backfillMs, now, logger: log });
  onClose(() => retention.stop());
  onClose(() => sequencer.stop());
  await recover({ accounts, files, blobs, sequencer, logger: log, now });
  const openReposMax = boundOpenRepos(config.openReposMax);
  if (openReposMax < config.openReposMax) {
    log.warn("Fewer repos can be open than set: the limit on open files is too low", { openReposMax });
  }
  const registry = new RepoRegistry<BlobUpload>({
    accounts,
    files,
    blobs,
    sequencer,
    logger: log,
    now,
    clockId,
    openReposMax,
  });
  onClose(() => registry.stop());
  const crawlers = startCrawlers(config, log);
  onClose(() => crawlers.stop());
  sequencer.onPublished(() => crawlers.notify());
  return { sequencer, firehose, registry, clockId, now };
}

async function recover(options: StartUpOptions): Promise<void> {
  const startedMs = performance.now();
  const { recovered, deleted } = await recoverRepos(options);
  if (recovered + deleted === 0) return;
  const ms = Math.round(performance.now() - startedMs);
  options.logger.info("Recovered what was open when the server ended last", {
    repos: recovered,
    deletions: deleted,
    ms,
  });
}

function startCrawlers(config: Config, logger: RootLogger): Crawlers {
  const safeFetch = safeFetchOf(config);
  return new Crawlers({
    relays: config.crawlers,
    hostname: config.hostname,
    logger,
    requestCrawl: async (relay, hostname) => {
      const answer = await safeFetch(`${relay}/xrpc/com.atproto.sync.requestCrawl`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ hostname }),
      });
      if (answer.status >= 300) {
        throw new KithError(
          "upstream_failure",
          `The relay "${relay}" answered ${answer.status} to requestCrawl`,
        );
      }
    },
  });
}

function safeFetchOf({ allowPrivateNetwork, fetchBytesMax: bytesMax }: Config): SafeFetch {
  return createSafeFetch({ allowPrivateNetwork, bytesMax });
}

/** The PLC directory, and where it is built in, its HTTP side. */
interface Directory {
  readonly plc: PlcDirectory;
  fetch(request: Request): Promise<Response | undefined>;
}

function directoryOf(
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

type Features = Awaited<ReturnType<typeof startFeatures>>;

async function startFeatures(
  { log, onClose }: StartContext,
  parts: { config: Config; secrets: Secrets; stores: Stores; actors: Actors; plc: Directory },
) {
  const { config, secrets, stores, actors } = parts;
  const { plc } = parts.plc;
  const { accounts } = stores;
  const devMode = config.mode === "dev";
  const { resolverTimeoutMs: timeoutMs } = config;
  const safeFetch = safeFetchOf(config);
  const { backupNameservers, didCacheStaleMs: staleMs, didCacheMaxMs: maxMs } = config;
  const handleResolver = createHandleResolver({ safeFetch, timeoutMs, backupNameservers, devMode });
  const didResolver = createDidResolver({ plc, safeFetch, timeoutMs, staleMs, maxMs, devMode });
  const tokens = new SessionTokens({ secret: secrets.jwtSecret, serviceDid: config.serviceDid });
  const dids = {
    resolve: async (did: string, options?: { fresh?: boolean }) =>
      parseDidDocument(await didResolver.resolve(did, options), { did }),
  };
  const serviceTokens = new ServiceTokens({ serviceDid: config.serviceDid, dids });
  const { adminPassword } = secrets;
  const authenticator = new HeaderAuthenticator({ tokens, serviceTokens, accounts, adminPassword });
  const passwords = new Passwords();
  const handles = new HandleRules(config.handleDomains);
  const didDoc = config.didDocWithSession
    ? (did: string) => didResolver.resolve(did).catch(() => undefined)
    : undefined;
  const sessions = new Sessions({ accounts, rows: stores.sessions, tokens, passwords, didDoc });
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
  const creator = new AccountCreator({
    accounts,
    invites: stores.invites,
    plc,
    repos,
    passwords,
    handles,
    rotationSigner: signerFromPrivateKey("k256", Buffer.from(secrets.plcRotationKeyHex, "hex")),
    recoveryKey: config.recoveryDidKey,
    publicUrl: config.publicUrl,
    keyType: config.accountKeyType,
    inviteRequired: config.inviteRequired,
    onUnfinished: () => retries.soon(),
  });
  const completed = await retries.now();
  if (completed.finished.length + completed.abandoned.length + completed.waiting.length > 0) {
    log.info("Looked at accounts that were being created", { ...completed });
  }
  const serviceJwts = new ServiceJwts({ signer: (did) => accounts.signer(did), now: actors.now });
  const proxy = serviceProxyOf(config, { dids, authenticator, serviceJwts });
  return { authenticator, sessions, invites, creator, handles, handleResolver, dids, serviceJwts, proxy };
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

function edgeOf(parts: {
  config: Config;
  log: RootLogger;
  stores: Stores;
  actors: Actors;
  features: Features;
  gate: RequestGate;
}): Parameters<typeof createHttp>[0] {
  const { config, log, stores, actors, features, gate } = parts;
  const site: SiteOptions = {
    version: VERSION,
    publicUrl: config.publicUrl,
    handleDomains: config.handleDomains,
    readiness: () => ({ ready: gate.state === "open", state: gate.state }),
    serviceDidDocument: () => serviceDidDocument({ did: config.serviceDid, endpoint: config.publicUrl }),
    didOfHandle: (handle) => {
      const account = stores.accounts.accountByHandle(handle);
      return account?.state === "active" ? account.did : undefined;
    },
  };
  const { authenticator, proxy } = features;
  return {
    methods: methodsOf(parts),
    authenticator,
    proxy,
    firehose: actors.firehose,
    site,
    log,
    stopping: gate.stopping,
  };
}

function methodsOf({
  config,
  log,
  stores: { accounts, blobs },
  actors: { registry: repos, clockId, now },
  features: { authenticator, sessions, invites, creator, handles, handleResolver, dids, serviceJwts, proxy },
}: {
  config: Config;
  log: RootLogger;
  stores: Stores;
  actors: Actors;
  features: Features;
}): Method[] {
  const { blobBytesMax, publicUrl, appViewCdnUrlPattern: cdnUrlPattern } = config;
  const readAfterWrite = new ReadAfterWrite({ proxy, repos, accounts, cdnUrlPattern, publicUrl, now, log });
  return [
    ...describeMethods({
      did: config.serviceDid,
      availableUserDomains: config.handleDomains,
      inviteCodeRequired: config.inviteRequired,
      blobBytesMax,
      privacyPolicyUrl: config.privacyPolicyUrl,
      termsOfServiceUrl: config.termsOfServiceUrl,
      contactEmail: config.contactEmail,
    }),
    ...accountMethods({ creator, sessions, authenticator }),
    ...sessionMethods({ sessions, authenticator }),
    ...inviteMethods({ invites }),
    ...serviceAuthMethods({ serviceJwts, now }),
    ...reportMethods({ proxy }),
    ...preferenceMethods({ repos, proxy, now }),
    ...profileMethods({ readAfterWrite }),
    ...feedMethods({ readAfterWrite, proxy }),
    ...threadMethods({ readAfterWrite, proxy, accounts }),
    ...pushMethods({ proxy }),
    ...handleMethods({ accounts, handles, resolver: handleResolver }),
    ...resolveMethods({ dids, handles: handleFinder({ accounts, handles, resolver: handleResolver }) }),
    ...writeMethods({ accounts, repos, now, clockId }),
    ...readMethods({
      accounts,
      repos,
      dids,
      recordElsewhere: (request) => proxy.answerAnonymously(request, "com.atproto.repo.getRecord"),
    }),
    uploadBlobMethod({ accounts, blobs, repos, blobBytesMax, now }),
    ...syncRepoMethods({ accounts, repos }),
    ...syncBlobMethods({ accounts, repos, blobs }),
    ...repoStatusMethods({ accounts, repos, log }),
  ];
}
