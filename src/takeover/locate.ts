/** Where the parts of a reference PDS lie: what its settings say, seen from where its data folder is now. */
import { existsSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { KithError } from "../errors.ts";

/** The settings of the reference, by name, as its environment file has them. */
export type ReferenceSettings = Readonly<Record<string, string | undefined>>;

export interface ReferencePaths {
  /** Its data folder. */
  readonly folder: string;
  readonly accounts: string;
  readonly sequencer: string;
  readonly actors: string;
  /** Undefined where its blobs are in a bucket. */
  readonly blobs:
    | { readonly stored: string; readonly temporary: string; readonly quarantine: string }
    | undefined;
}

/** Where blobs are by the distribution, and by those who have copied its settings. */
const BLOB_FOLDERS = ["blocks", "blobs", "blobstore"];

/**
 * The paths. Settings name them as the reference saw them, in its container perhaps: what lay in PDS_DATA_DIRECTORY lies in `folder`.
 * Throws KithError invalid_request where the folder is not that of a reference PDS.
 */
export function locateReference(folder: string, settings: ReferenceSettings): ReferencePaths {
  const root = resolve(folder);
  if (!statSync(root, { throwIfNoEntry: false })?.isDirectory())
    throw refusal(root, "it is not there, or no folder");
  const here = (name: string, fallback: string): string => {
    const setting = settings[name] || undefined;
    return setting === undefined ? join(root, fallback) : moved(setting, { root, settings });
  };
  const paths = {
    folder: root,
    accounts: here("PDS_ACCOUNT_DB_LOCATION", "account.sqlite"),
    sequencer: here("PDS_SEQUENCER_DB_LOCATION", "sequencer.sqlite"),
    actors: here("PDS_ACTOR_STORE_DIRECTORY", "actors"),
  };
  for (const path of [paths.accounts, paths.sequencer, paths.actors]) {
    if (!existsSync(path)) throw refusal(root, `"${path}" is not there`);
  }
  return { ...paths, blobs: settings.PDS_BLOBSTORE_S3_BUCKET ? undefined : blobFolders(root, settings) };
}

function blobFolders(root: string, settings: ReferenceSettings): ReferencePaths["blobs"] {
  const setting = settings.PDS_BLOBSTORE_DISK_LOCATION || undefined;
  const found = BLOB_FOLDERS.map((name) => join(root, name)).find((path) => existsSync(path));
  const stored = setting === undefined ? found : moved(setting, { root, settings });
  if (stored === undefined) {
    throw refusal(root, "nothing says where its blobs are", "Give its environment file: --env-file pds.env.");
  }
  const temporary = settings.PDS_BLOBSTORE_DISK_TMP_LOCATION || undefined;
  return {
    stored,
    // The reference spells it so.
    temporary: temporary === undefined ? join(stored, "tempt") : moved(temporary, { root, settings }),
    quarantine: join(stored, "quarantine"),
  };
}

/** A path of a setting, where it is now. */
function moved(path: string, { root, settings }: { root: string; settings: ReferenceSettings }): string {
  const before = settings.PDS_DATA_DIRECTORY || undefined;
  if (before === undefined) return resolve(root, path);
  const within = relative(before, path);
  return within.startsWith("..") || resolve(within) === within ? resolve(path) : join(root, within);
}

function refusal(folder: string, why: string, hint?: string): KithError {
  return new KithError("invalid_request", `Could not take over "${folder}" from a reference PDS: ${why}`, {
    hint:
      hint ??
      "Give the folder that PDS_DATA_DIRECTORY of the reference names: account.sqlite and actors are in it.",
  });
}

/** Its store file and its signing key. https://github.com/bluesky-social/atproto: actor-store.ts */
export function actorPaths(actors: string, did: string): { store: string; key: string } {
  const shard = new Bun.CryptoHasher("sha256").update(did).digest("hex").slice(0, 2);
  const folder = join(actors, shard, did);
  return { store: join(folder, "store.sqlite"), key: join(folder, "key") };
}
