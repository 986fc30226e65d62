/** Wires a restore: from the settings of the server that it makes anew. */
import { randomInt } from "node:crypto";
import { join, relative, resolve } from "node:path";
import { TID_CLOCK_IDS } from "./atproto/mod.ts";
import {
  BackupKey,
  openDestination,
  Repository,
  type RestoreNetwork,
  type RestoreProgress,
  type RestoreReport,
  runRestore,
} from "./backup/mod.ts";
import type { Config } from "./config/mod.ts";
import { safeFetchOf } from "./engine.ts";
import { KithError } from "./errors.ts";
import { folderCheck } from "./folder_check.ts";
import { createDidResolver, createPlcClient, EmbeddedPlc } from "./identity/mod.ts";
import { type BlobStore, DiskBlobStore, PlcStore, S3BlobStore } from "./storage/mod.ts";

/** How long a relay may take. */
const RELAY_TIMEOUT_MS = 10_000;

export interface RestoreRequest {
  readonly source: string;
  readonly key: string;
  readonly at?: string | undefined;
  readonly ignoresNewer: boolean;
  readonly isRolledForward: boolean;
  readonly isPartial: boolean;
  readonly skipsRelays: boolean;
  /** Told of a failed disk; must not return. */
  readonly onFatal: (error: unknown) => void;
  readonly onProgress: (progress: RestoreProgress) => void;
}

export async function restore(config: Config, request: RestoreRequest): Promise<RestoreReport> {
  const { source, key, skipsRelays, ...rest } = request;
  const destination = openDestination(source, config.backup.bucket);
  const repository = await Repository.open(destination, BackupKey.parse(key));
  const { dataFolder, hostname, publicUrl } = config;
  return await runRestore({
    ...{ repository, dataFolder, hostname, publicUrl },
    openBlobs: (scratch) => blobStoreOf(config, scratch),
    ownsBlobs: config.blobBucket === undefined && isWithin(config),
    check: folderCheck({
      blobFolder: config.blobBucket ? undefined : (scratch) => blobFolderOf(config, scratch),
      // What was put into a bucket was checked on its way, and reading all of it again may cost money.
      readsBlobs: config.blobBucket === undefined,
    }),
    network: networkOf(config, { skipsRelays }),
    now: Date.now,
    clockId: randomInt(TID_CLOCK_IDS),
    ...rest,
  });
}

/** Blobs go where the server will look for them: into the folder that is put together, where they are inside the data folder. */
function blobFolderOf(config: Config, scratch: string): string {
  const { blobFolder } = config;
  return isWithin(config) ? join(scratch, pathWithin(config)) : blobFolder;
}

function isWithin(config: Config): boolean {
  return !pathWithin(config).startsWith("..");
}

function pathWithin({ blobFolder, dataFolder }: Config): string {
  return relative(resolve(dataFolder), resolve(blobFolder));
}

function blobStoreOf(config: Config, scratch: string): BlobStore {
  const { blobBucket } = config;
  const folder = blobFolderOf(config, scratch);
  const tmpFolder = join(folder, "temp");
  if (!blobBucket) return new DiskBlobStore({ folder, tmpFolder });
  const quiet = () => {};
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet, child: () => logger };
  return new S3BlobStore({ ...blobBucket, tmpFolder: join(scratch, "tmp"), logger });
}

function networkOf(config: Config, { skipsRelays }: { skipsRelays: boolean }): RestoreNetwork {
  const safeFetch = safeFetchOf(config);
  const { hostname, crawlers, resolverTimeoutMs: timeoutMs } = config;
  const seqOf = async (relay: string): Promise<number | undefined> => {
    const url = new URL(`${relay}/xrpc/com.atproto.sync.getHostStatus`);
    url.searchParams.set("hostname", hostname);
    const { status, body } = await safeFetch(url.href, { timeoutMs: RELAY_TIMEOUT_MS });
    return seqIn({ relay, status, text: new TextDecoder().decode(body) });
  };
  return {
    relays: { relays: skipsRelays ? [] : crawlers, seqOf },
    openDocuments: (scratch) => {
      // In dev mode the port is part of the URL, and this one is not known before the server starts.
      if (config.port === 0) return undefined;
      const store = config.plcEmbedded ? new PlcStore(join(scratch, "plc.sqlite")) : undefined;
      const plc = store ? new EmbeddedPlc({ store }) : createPlcClient({ url: config.plcUrl });
      const { didCacheStaleMs: staleMs, didCacheMaxMs: maxMs } = config;
      const devMode = config.mode === "dev";
      const resolver = createDidResolver({ plc, safeFetch, timeoutMs, staleMs, maxMs, devMode });
      return {
        resolve: (did) => resolver.resolve(did, { fresh: true }),
        close: () => store?.close(),
      };
    },
  };
}

/** The seq of an answer of getHostStatus; undefined where the relay does not know the host, or has seen nothing of it. */
function seqIn({ relay, status, text }: { relay: string; status: number; text: string }): number | undefined {
  let answer: { seq?: unknown; error?: unknown } = {};
  try {
    answer = JSON.parse(text) ?? {};
  } catch {
    // Told below.
  }
  if (status === 200) return answer.seq === undefined ? undefined : Number(answer.seq);
  if (answer.error === "HostNotFound") return undefined;
  throw new KithError("upstream_failure", `The relay "${relay}" answered ${status} to getHostStatus`);
}
