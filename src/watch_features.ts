/** Wires what watches a running server. Called by running.ts. */
import { join } from "node:path";
import { BACKLOG_EVENTS_MAX } from "./actors/mod.ts";
import type { BackupService } from "./backup/mod.ts";
import { type Config, VERSION } from "./config/mod.ts";
import type { Actors, StartContext, Stores } from "./engine.ts";
import type { Features } from "./features.ts";
import type { RequestGate } from "./request_gate.ts";
import type { ServerFiles } from "./server_files.ts";
import { MAIL_QUEUE_MAX } from "./storage/mod.ts";
import {
  BlobBytes,
  type HealthCheck,
  HealthWatch,
  RequestCounts,
  renderMetrics,
  type WatchSources,
} from "./watch/mod.ts";
import { SUBSCRIBE_REPOS } from "./xrpc/mod.ts";

/** Tried so many times a message has waited for a minute. */
const MAIL_ATTEMPTS_FAILING = 3;

export interface WatchParts {
  readonly config: Config;
  readonly stores: Stores;
  readonly actors: Actors;
  readonly features: Features;
  readonly files: Pick<ServerFiles, "maintenance">;
  readonly backups: BackupService;
  readonly gate: RequestGate;
}

export interface Watch {
  /** Unix ms. */
  readonly startedAt: number;
  /** Begins to count the requests of these methods, each for itself. */
  countFor(nsids: Iterable<string>): RequestCounts;
  checks(): Promise<readonly HealthCheck[]>;
  metrics(): Promise<string>;
}

export function startWatch({ log, onClose }: StartContext, parts: WatchParts): Watch {
  let requests = new RequestCounts([]);
  const blobs = blobBytesOf(parts.config);
  onClose(() => blobs.stop());
  const sources: WatchSources = {
    ...sourcesOf(parts),
    blobs,
    get requests() {
      return requests;
    },
  };
  const health = new HealthWatch(sources, { logger: log });
  onClose(() => health.stop());
  return {
    startedAt: sources.now(),
    countFor: (nsids) => {
      requests = new RequestCounts([...nsids, SUBSCRIBE_REPOS]);
      return requests;
    },
    checks: () => health.look(),
    metrics: async () => renderMetrics(sources, await health.look()),
  };
}

function sourcesOf(parts: WatchParts): Omit<WatchSources, "requests" | "blobs"> {
  const { config, stores, actors, features, files, backups, gate } = parts;
  const { backup, dataFolder } = config;
  const events = join(dataFolder, "events.sqlite");
  return {
    version: VERSION,
    isDev: config.mode === "dev",
    dataFolder,
    eventLogFiles: [events, `${events}-wal`],
    gate,
    accounts: stores.accounts,
    repos: actors.registry,
    openReposMax: actors.openReposMax,
    sequencer: actors.sequencer,
    unpublishedMax: BACKLOG_EVENTS_MAX,
    firehose: actors.firehose,
    subscribersMax: config.subscribersMax,
    eventLog: stores.eventLog,
    maintenance: files.maintenance,
    mails: {
      count: () => stores.mailQueue.count(),
      failing: () => stores.mailQueue.countTried(MAIL_ATTEMPTS_FAILING),
    },
    mailsMax: MAIL_QUEUE_MAX,
    hasMail: features.owners.hasMail,
    relays: actors.crawlers,
    backups,
    plan: {
      isSet: backup.destination !== undefined && backup.key !== undefined,
      intervalMs: backup.intervalMs,
      shipMs: backup.shipMs,
      drillMs: backup.drill.intervalMs,
    },
    now: actors.now,
  };
}

/** What is in a bucket its provider counts. */
function blobBytesOf({ blobBucket, blobFolder }: Config): BlobBytes {
  return new BlobBytes({ folder: blobBucket ? undefined : blobFolder });
}
