import { KithError } from "../errors.ts";
import type { Destination } from "./destination.ts";
import { FolderDestination } from "./folder_destination.ts";
import { S3Destination } from "./s3_destination.ts";

/** How buckets for backups are reached: KITH_BACKUP_S3_*. */
export interface BackupBucketAccess {
  readonly region: string;
  /** Without a slash at its end; undefined: Amazon's. */
  readonly endpoint: string | undefined;
  readonly forcePathStyle: boolean;
  readonly accessKeyId: string | undefined;
  readonly secretAccessKey: string | undefined;
}

const REQUEST_TIMEOUT_MS = 30_000;
/** For one object of a few MB at the most. */
const UPLOAD_TIMEOUT_MS = 120_000;

/** The destination of this name: a folder, or s3://BUCKET/PREFIX. Throws KithError config_invalid. */
export function openDestination(where: string, access: BackupBucketAccess): Destination {
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(where)?.[1]?.toLowerCase();
  if (scheme === undefined) return new FolderDestination(where);
  const found = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/i.exec(where);
  const refuse = (why: string, hint: string) =>
    new KithError("config_invalid", `Could not use "${where}" for backups: ${why}`, { hint });
  if (scheme !== "s3" || !found) {
    throw refuse("it is no place that kith knows", "Name a folder, or s3://BUCKET or s3://BUCKET/PREFIX.");
  }
  const prefix = (found[2] ?? "").replace(/\/+$/, "");
  if (prefix !== "" && !/^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/.test(prefix)) {
    throw refuse(
      `its prefix "${prefix}" is none`,
      "A prefix has letters, digits, dots, dashes and underscores, with slashes between.",
    );
  }
  const { accessKeyId, secretAccessKey, ...rest } = access;
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    throw refuse(
      "no key to the bucket is set",
      "Set KITH_BACKUP_S3_ACCESS_KEY_ID and KITH_BACKUP_S3_SECRET_ACCESS_KEY.",
    );
  }
  return new S3Destination({
    ...rest,
    bucket: found[1] ?? "",
    prefix,
    accessKeyId,
    secretAccessKey,
    uploadTimeoutMs: UPLOAD_TIMEOUT_MS,
    requestTimeoutMs: REQUEST_TIMEOUT_MS,
  });
}
