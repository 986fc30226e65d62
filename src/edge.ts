/** Every method, and what the plain routes beside them tell. */
import { ownerMethods } from "./account_features.ts";
import { HandleAvailability } from "./accounts/mod.ts";
import { adminMethods } from "./admin_features.ts";
import { serviceDidDocument } from "./atproto/mod.ts";
import { SocketAuthenticator } from "./auth/mod.ts";
import type { BackupService, DrillService } from "./backup/mod.ts";
import { type Config, type Secrets, VERSION } from "./config/mod.ts";
import { type Actors, requestCrawlOf, type Stores } from "./engine.ts";
import type { Features } from "./features.ts";
import type { RootLogger } from "./logger.ts";
import { isPagePath } from "./oauth/mod.ts";
import { oauthLimits } from "./oauth_features.ts";
import type { PageParts, Pages } from "./page_features.ts";
import type { RequestGate } from "./request_gate.ts";
import type { Watch } from "./watch_features.ts";
import {
  accountMethods,
  adminIdentityMethods,
  adminSocketMethods,
  backupMethods,
  COMMUNITY_SERVICE,
  createHttp,
  deprecatedSyncMethods,
  describeMethods,
  feedMethods,
  handleMethods,
  healthMethods,
  importMethods,
  keyMethods,
  LexiconCheck,
  LimitBypass,
  lexiconMethods,
  type Method,
  metricsSite,
  plcMethods,
  preferenceMethods,
  profileMethods,
  pushMethods,
  RateLimits,
  ReadAfterWrite,
  readMethods,
  reportMethods,
  repoStatusMethods,
  resolveMethods,
  type SiteOptions,
  serviceAuthMethods,
  signMethods,
  syncBlobMethods,
  syncRepoMethods,
  tempMethods,
  threadMethods,
  updateHandleMethod,
} from "./xrpc/mod.ts";

export function edgeOf(parts: {
  config: Config;
  log: RootLogger;
  stores: Stores;
  actors: Actors;
  features: Features;
  gate: RequestGate;
  secrets: Pick<Secrets, "jwtSecret">;
  watch: Watch;
  backups: BackupService;
  drills: DrillService;
}): Parameters<typeof createHttp>[0] {
  const { config, log, stores, actors, features, gate, watch } = parts;
  const { authenticator, proxy } = features;
  const { enabled, bypassKey, bypassIps } = config.rateLimits;
  if (bypassKey !== undefined) log.hide(bypassKey);
  const bypass = new LimitBypass({ key: bypassKey, addresses: bypassIps });
  const limits = enabled ? new RateLimits({ bypass, log }) : undefined;
  const pages = lazyPages(parts, limits);
  const site: SiteOptions = {
    version: VERSION,
    publicUrl: config.publicUrl,
    handleDomains: config.handleDomains,
    pages: {
      welcome: async (request) => (await pages()).front.welcome(request),
      file: async (name) => (await pages()).front.file(name),
    },
    readiness: () => ({ ready: gate.state === "open", state: gate.state }),
    serviceDidDocument: () =>
      serviceDidDocument({
        did: config.serviceDid,
        endpoint: config.publicUrl,
        services: [COMMUNITY_SERVICE],
      }),
    didOfHandle: (handle) => {
      const account = stores.accounts.accountByHandle(handle);
      return account?.state === "active" ? account.did : undefined;
    },
  };
  const oauth = features.oauth.server(limits && oauthLimits(limits));
  const methods = [...methodsOf(parts), ...adminMethods(parts), ...healthMethodsOf(parts)];
  const metrics = metricsSite({ authenticator, limits, render: () => watch.metrics() });
  const edge: Parameters<typeof createHttp>[0] = {
    methods,
    authenticator,
    proxy,
    firehose: actors.firehose,
    lexiconCheck: config.mode === "dev" ? new LexiconCheck(log) : undefined,
    limits,
    pages: {
      owns: isPagePath,
      fetch: async (request, context) => (await pages()).server.fetch(request, context),
    },
    aside: async (request, context) =>
      (await features.clientDocuments.fetch(request)) ??
      (await metrics(request, context)) ??
      (await oauth.fetch(request, context)),
    bypass,
    networkSubscribersMax: config.networkSubscribersMax,
    site,
    log,
    requests: watch.countFor(methods.map(({ nsid }) => nsid)),
    stopping: gate.stopping,
  };
  // What the server calls itself for is limited where it is asked for.
  features.communities.ownHandler.open(
    createHttp({ ...edge, limits: undefined, pages: undefined, requests: undefined }),
  );
  return edge;
}

/** The pages, once somebody opens one, or at once where there are pictures to be fetched for them. */
function lazyPages(parts: PageParts, limits: RateLimits | undefined): () => Promise<Pages> {
  let loaded: Promise<Pages> | undefined;
  const pages = (): Promise<Pages> => {
    loaded ??= import("./page_features.ts").then(({ pagesOf }) => pagesOf(parts, limits));
    return loaded;
  };
  const { logoUrl, backgroundLightUrl, backgroundDarkUrl } = parts.config.branding;
  if (logoUrl ?? backgroundLightUrl ?? backgroundDarkUrl) void pages();
  return pages;
}

/** The words of the checks are those of the pages, which are loaded when somebody asks. */
function healthMethodsOf({
  watch,
  backups,
}: Pick<Parameters<typeof edgeOf>[0], "watch" | "backups">): Method[] {
  return healthMethods({
    version: VERSION,
    startedAt: watch.startedAt,
    checks: () => watch.checks(),
    words: (check) => {
      const { checkSentences } = require("./web/mod.ts") as typeof import("./web/mod.ts");
      return checkSentences(check, { locale: "en" });
    },
    lastProvenAt: () => backups.status().lastProven?.at,
  });
}

/** What answers on the admin socket: the same, with methods of its own, to the admin. */
export function adminEdgeOf(
  edge: ReturnType<typeof edgeOf>,
  { config, log, stores, actors, features, backups, drills, watch }: Parameters<typeof edgeOf>[0],
): ReturnType<typeof edgeOf> {
  const relays = {
    configured: config.crawlers,
    hostname: config.hostname,
    requestCrawl: requestCrawlOf(config),
  };
  const { accounts } = stores;
  const { emailTokens, factors } = features.owners;
  const own = adminSocketMethods({ accounts, emailTokens, factors, relays, log, now: actors.now });
  const authenticator = new SocketAuthenticator(edge.authenticator);
  return {
    ...edge,
    aside: metricsSite({ authenticator, limits: undefined, render: () => watch.metrics() }),
    pages: undefined,
    requests: undefined,
    methods: [
      ...edge.methods,
      ...own,
      ...features.communities.adminMethods,
      ...backupMethods({ backups, drills, log }),
    ],
    authenticator,
    // It has no address: it would be counted with all that a proxy on this machine does not tell apart.
    limits: undefined,
  };
}

function methodsOf({
  config,
  log,
  stores: { accounts, blobs, reservedHandles },
  actors: { registry: repos, now },
  features: {
    authenticator,
    owners,
    creator,
    keys,
    plcIdentity,
    identityChanges: changes,
    signing,
    handles,
    handleResolver,
    handleFinder,
    repoMethods,
    communities,
    dids,
    lexicons,
    serviceJwts,
    proxy,
  },
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
    ...accountMethods({
      creator,
      sessions: owners.sessions,
      languages: owners.languages,
      welcome: owners.welcome,
    }),
    ...keyMethods({ keys }),
    ...plcMethods({
      ...{ plc: plcIdentity.plc, dids, publicUrl, accounts, repos, changes },
      get rotationKeys() {
        return plcIdentity.rotationKeys;
      },
    }),
    ...signMethods({ signing }),
    updateHandleMethod({
      changes,
      notices: owners.notices,
      claim: config.inviteRequired ? "invited" : "open",
    }),
    ...adminIdentityMethods({ changes, log }),
    ...ownerMethods(owners, { accounts, repos, authenticator }),
    ...serviceAuthMethods({ serviceJwts, now }),
    ...reportMethods({ proxy }),
    ...preferenceMethods({ repos, proxy, now }),
    ...profileMethods({ readAfterWrite, proxy }),
    ...feedMethods({ readAfterWrite, proxy }),
    ...threadMethods({ readAfterWrite, proxy, accounts }),
    ...pushMethods({ proxy }),
    ...handleMethods({ accounts, handles, resolver: handleResolver }),
    ...resolveMethods({ dids, handles: handleFinder }),
    ...repoMethods,
    ...communities.methods,
    ...lexiconMethods(lexicons),
    ...tempMethods({
      accounts,
      availability: new HandleAvailability({ handles, accounts }),
      handles,
      reservedHandles,
      credentials: owners.credentials,
      log,
      now,
    }),
    ...readMethods({
      accounts,
      repos,
      dids,
      recordElsewhere: (request) => proxy.answerAnonymously(request, "com.atproto.repo.getRecord"),
    }),
    ...importMethods({
      repos,
      dids,
      plc: plcIdentity.plc,
      isOpen: config.acceptingImports,
      bytesMax: config.importBytesMax,
    }),
    ...syncRepoMethods({ accounts, repos }),
    ...deprecatedSyncMethods({ accounts, repos }),
    ...syncBlobMethods({ accounts, repos, blobs, log }),
    ...repoStatusMethods({ accounts, repos, log }),
  ];
}
