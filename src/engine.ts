/** Stores and actors: what holds the data and orders what happens to it, opened in the order in which they need each other. */
import { randomInt } from "node:crypto";
import { join } from "node:path";
import {
  BlobHold,
  BlobSweeper,
  beginLostLog,
  believedClock,
  Crawlers,
  EventRetention,
  Firehose,
  type RegistryBlobs,
  RepoRegistry,
  recoverRepos,
  removeAllOrLater,
  reserveFirstSeq,
  risingClock,
  Sequencer,
  type StartUpOptions,
} from "./actors/mod.ts";
import { type Cid, TID_CLOCK_IDS } from "./atproto/mod.ts";
import type { Config } from "./config/mod.ts";
import { KithError } from "./errors.ts";
import { createSafeFetch, type SafeFetch } from "./identity/mod.ts";
import type { RootLogger } from "./logger.ts";
import type { FilesContext, ServerFiles } from "./server_files.ts";
import {
  AccountStore,
  AppPasswordStore,
  AttemptArchive,
  AttemptStore,
  BlobLooks,
  type BlobStore,
  type BlobUpload,
  boundOpenRepos,
  CommunityAudit,
  CommunityInviteStore,
  CommunityMemberStore,
  CommunityOAuthStore,
  CommunityStore,
  CredentialStore,
  type DataFolder,
  DeviceStore,
  DiskBlobStore,
  EmailTokenStore,
  IdentityChangeStore,
  InviteStore,
  LanguageStore,
  MailQueueStore,
  OAuthStore,
  ReferenceHashStore,
  RepoFiles,
  ReservedHandleStore,
  ReservedKeyStore,
  refuseLostAccounts,
  S3BlobStore,
  SecondFactorStore,
  SessionStore,
} from "./storage/mod.ts";

export interface StartContext extends FilesContext {
  readonly config: Config;
}

export type Stores = Awaited<ReturnType<typeof openStores>>;

export async function openStores(
  { log }: Pick<StartContext, "log">,
  { config, folder, files: opened }: { config: Config; folder: DataFolder; files: ServerFiles },
) {
  const { maintenance, onFatal, keyring, hub, eventLog, lexicons } = opened;
  refuseLostAccounts({ folder, hub, keyring });
  const files = new RepoFiles({ folder: folder.repos, tmp: folder.tmp, maintenance, onFatal });
  const accounts = new AccountStore(hub, keyring);
  const blobLooks = new BlobLooks(hub);
  const blobs = await openBlobStore(config, { logger: log, onFatal });
  const [sessions, invites] = [new SessionStore(hub), new InviteStore(hub)];
  const identityChanges = new IdentityChangeStore(hub, keyring);
  const reservedKeys = new ReservedKeyStore(hub, keyring);
  const appPasswords = new AppPasswordStore(hub);
  const referenceHashes = new ReferenceHashStore(hub);
  const credentials = new CredentialStore(hub);
  const emailTokens = new EmailTokenStore(hub);
  const mailQueue = new MailQueueStore(hub, keyring);
  const reservedHandles = new ReservedHandleStore(hub);
  const secondFactors = new SecondFactorStore(hub, keyring);
  const signingIn = { sessions, appPasswords, secondFactors, devices: new DeviceStore(hub) };
  const languages = new LanguageStore(hub);
  const owners = { accounts, ...signingIn, credentials, emailTokens, mailQueue, languages };
  const reserved = { reservedKeys, reservedHandles };
  const oauth = new OAuthStore(hub);
  const communities = {
    attempts: new AttemptStore(hub, keyring),
    attemptArchive: new AttemptArchive(hub, keyring),
    communities: new CommunityStore(hub, keyring),
    communityMembers: new CommunityMemberStore(hub),
    communityInvites: new CommunityInviteStore(hub),
    communityAudit: new CommunityAudit(hub),
    communityOAuth: new CommunityOAuthStore(hub, keyring),
  };
  return {
    ...owners,
    ...reserved,
    ...communities,
    oauth,
    invites,
    referenceHashes,
    identityChanges,
    lexicons,
    eventLog,
    files,
    blobs,
    blobLooks,
    /** Of the accounts store. */
    changes: hub.changes,
  };
}

export async function openBlobStore(
  config: Config,
  { logger, onFatal }: Pick<FilesContext, "onFatal"> & { logger: RootLogger },
): Promise<BlobStore> {
  const tmpFolder = join(config.blobFolder, "temp");
  if (!config.blobBucket) return new DiskBlobStore({ folder: config.blobFolder, tmpFolder, onFatal });
  logger.hide(config.blobBucket.secretAccessKey);
  const store = new S3BlobStore({ ...config.blobBucket, tmpFolder, logger });
  await store.check();
  return store;
}

export type Actors = Awaited<ReturnType<typeof startActors>>;

export async function startActors(
  { log, onClose }: StartContext,
  { config, stores }: { config: Config; stores: Stores },
) {
  const { accounts, identityChanges: identities, eventLog, files, blobLooks } = stores;
  const now = Date.now;
  const { blobTempLifetimeMs: lifetimeMs } = config;
  const removeAll = (did: string) =>
    removeAllOrLater(did, { blobs: stores.blobs, looks: blobLooks, now, logger: log });
  const blobs: RegistryBlobs<BlobUpload> & Pick<BlobStore, "sweepTemporary"> = {
    keep: (upload, target) => stores.blobs.keep(upload, target),
    remove: (did, cid) => stores.blobs.remove(did, cid),
    quarantine: (did, cid) => stores.blobs.quarantine(did, cid),
    release: (did, cid) => stores.blobs.release(did, cid),
    removeQuarantined: (did, cid) => stores.blobs.removeQuarantined(did, cid),
    quarantined: (did) => stores.blobs.quarantined(did),
    sweepTemporary: () => stores.blobs.sweepTemporary(),
    removeAll,
  };
  const clockId = randomInt(TID_CLOCK_IDS);
  await beginLostLog({ accounts, log: eventLog, logger: log });
  const firstSeq = await reserveFirstSeq({ accounts, log: eventLog, now });
  const risingNow = risingClock({ now, last: eventLog.lastAt() });
  const sequencer = new Sequencer({ log: eventLog, firstSeq, now: risingNow, logger: log });
  const believedNow = believedClock({ now });
  const firehose = new Firehose({
    log: eventLog,
    sequencer,
    backfillMs: config.backfillMs,
    subscribersMax: config.subscribersMax,
    // What a clock that is ahead makes look old is kept, and told.
    now: believedNow,
    logger: log,
  });
  onClose(() => firehose.stop());
  const { backfillMs, eventRetentionMs: retentionMs } = config;
  const times = { backfillMs, retentionMs, holdMs: config.backup.holdMs };
  const retention = new EventRetention({ log: eventLog, sequencer, ...times, now: believedNow, logger: log });
  onClose(() => retention.stop());
  onClose(() => sequencer.stop());
  await recover({ accounts, identities, files, blobs, sequencer, logger: log, now });
  const openReposMax = openReposMaxOf(config, log);
  const removeStrays = (did: string, cids: readonly Cid[]) => registry.removeStrays(did, cids);
  const blobHold = new BlobHold<BlobUpload>({ blobs, removeStrays, logger: log });
  const registry: RepoRegistry<BlobUpload> = new RepoRegistry({
    accounts,
    identities,
    files,
    blobs: blobHold.blobs,
    blobLooks: { around: (did, at, change) => blobLooks.around(did, at + lifetimeMs, change) },
    sequencer,
    logger: log,
    now,
    clockId,
    openReposMax,
  });
  onClose(() => registry.stop());
  const sweeper = new BlobSweeper({
    looks: blobLooks,
    accounts,
    repos: registry,
    // Not as the registry has it: what fails is for the sweeper to try again.
    blobs: stores.blobs,
    lifetimeMs,
    now: believedNow,
    logger: log,
  });
  onClose(() => sweeper.stop());
  const crawlers = startCrawlers(config, log);
  onClose(() => crawlers.stop());
  sequencer.onPublished(() => crawlers.notify());
  // What the start itself has told: after a restore that is every repo.
  if (sequencer.publishedSeq >= firstSeq) crawlers.notify();
  return {
    ...{ sequencer, firehose, registry, openReposMax, retention, blobHold, crawlers, clockId },
    ...{ now, believedNow },
  };
}

function openReposMaxOf(config: Config, log: RootLogger): number {
  const openReposMax = boundOpenRepos(config.openReposMax);
  if (openReposMax < config.openReposMax) {
    log.warn("Fewer repos can be open than set: the limit on open files is too low", { openReposMax });
  }
  return openReposMax;
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
  return new Crawlers({
    relays: config.crawlers,
    hostname: config.hostname,
    logger,
    requestCrawl: requestCrawlOf(config),
  });
}

/** Asks one relay to crawl us. Throws KithError upstream_failure, with its words, or timeout. */
export function requestCrawlOf(config: Config): (relay: string, hostname: string) => Promise<void> {
  const safeFetch = safeFetchOf(config);
  return async (relay, hostname) => {
    const answer = await safeFetch(`${relay}/xrpc/com.atproto.sync.requestCrawl`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ hostname }),
    });
    if (answer.status < 300) return;
    const words = wordsOf(answer.body);
    throw new KithError(
      "upstream_failure",
      `The relay "${relay}" answered ${answer.status} to requestCrawl${words === "" ? "" : `: ${words}`}`,
    );
  };
}

/** Of an error answer so many characters are shown. */
const RELAY_WORDS_CHARS_MAX = 300;

/** The error and the message of an XRPC error body, on one line; empty for any other body. */
function wordsOf(body: Uint8Array): string {
  try {
    const { error, message } = JSON.parse(new TextDecoder().decode(body));
    const words = [error, message].filter((word) => typeof word === "string").join(": ");
    return words.replace(/\p{Cc}+/gu, " ").slice(0, RELAY_WORDS_CHARS_MAX);
  } catch {
    return "";
  }
}

export function safeFetchOf({ allowPrivateNetwork, fetchBytesMax: bytesMax }: Config): SafeFetch {
  return createSafeFetch({ allowPrivateNetwork, bytesMax });
}
