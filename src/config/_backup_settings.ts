/** The settings of backups. */
import * as as from "./_schemas.ts";
import { setting } from "./_setting.ts";

export const BACKUP_SETTINGS = {
  KITH_BACKUP_DESTINATION: setting({
    group: "Backup",
    help: "Where backups go: a folder on another disk (/mnt/backup/kith), or s3://BUCKET/PREFIX. It is this server's alone. Goes with KITH_BACKUP_KEY.",
    fallback: "none: no backups by themselves",
    example: "",
    schema: as.text,
  }),
  KITH_BACKUP_KEY: setting({
    group: "Backup",
    help: "The key that backups are encrypted with, as kith backup new-key makes it. Keep a copy elsewhere: without it no backup can be read, and with it everybody's keys can.",
    fallback: "none",
    example: "",
    secret: true,
    schema: as.backupKey,
  }),
  KITH_BACKUP_INTERVAL_HOURS: setting({
    group: "Backup",
    help: "How often a snapshot is taken, in hours. 0 for none but those of kith backup.",
    fallback: "24",
    schema: as.whole(0, 24 * 365),
  }),
  KITH_BACKUP_LOG_SHIP_SECONDS: setting({
    group: "Backup",
    help: "How often new events, and what belongs to them, are shipped in between, in seconds: what a lost disk may cost. 0 ships them with snapshots alone.",
    fallback: "5",
    schema: as.whole(0, 86_400),
  }),
  KITH_BACKUP_LOG_HOLD_DAYS: setting({
    group: "Backup",
    help: "How many days longer than usual events are kept that could not be brought to the destination. After that they are removed, and missing there.",
    fallback: "14",
    schema: as.whole(0, 3650),
  }),
  KITH_BACKUP_KEEP_DAYS: setting({
    group: "Backup",
    help: "For how many days with snapshots the newest of each is kept; of the newest day up to 24 are.",
    fallback: "7",
    schema: as.whole(0, 100_000),
  }),
  KITH_BACKUP_KEEP_WEEKS: setting({
    group: "Backup",
    help: "The same for weeks.",
    fallback: "5",
    schema: as.whole(0, 100_000),
  }),
  KITH_BACKUP_KEEP_MONTHS: setting({
    group: "Backup",
    help: "The same for months.",
    fallback: "6",
    schema: as.whole(0, 100_000),
  }),
  KITH_BACKUP_KEEP_LOG_DAYS: setting({
    group: "Backup",
    help: "For how many days the event log is kept there; what the newest snapshots need is kept longer.",
    fallback: "30",
    schema: as.whole(0, 100_000),
  }),
  KITH_BACKUP_BLOBS: setting({
    group: "Backup",
    help: "Whether blobs are copied too. Without them a lost disk, or bucket, takes all images and films with it.",
    fallback: "true",
    schema: as.flag,
  }),
  KITH_BACKUP_DRILL_HOURS: setting({
    group: "Backup",
    help: "How often the newest backup is restored into a folder of its own, verified and removed again, in hours: else nobody knows that it could be. It reads all databases from the destination. 0 for none but those of kith backup drill.",
    fallback: "24",
    schema: as.whole(0, 24 * 365),
  }),
  KITH_BACKUP_DRILL_FOLDER: setting({
    group: "Backup",
    help: "Where that is done: a folder with room for all databases once more, without blobs.",
    fallback: "tmp in the data folder",
    example: "",
    schema: as.text,
  }),
  KITH_BACKUP_DRILL_BLOB_MB: setting({
    group: "Backup",
    help: "How much of the blobs a drill reads, chosen at random, in MB; the others are looked for.",
    fallback: "1000",
    schema: as.whole(0, 100_000_000),
  }),
  KITH_BACKUP_S3_REGION: setting({
    group: "Backup",
    help: "The region of the bucket for backups.",
    fallback: "us-east-1",
    example: "",
    schema: as.text,
  }),
  KITH_BACKUP_S3_ENDPOINT: setting({
    group: "Backup",
    help: "Where its service answers.",
    fallback: "Amazon's, in the region",
    example: "",
    schema: as.httpUrl,
  }),
  KITH_BACKUP_S3_FORCE_PATH_STYLE: setting({
    group: "Backup",
    help: "As PDS_BLOBSTORE_S3_FORCE_PATH_STYLE, for that bucket.",
    fallback: "false",
    example: "",
    schema: as.flag,
  }),
  KITH_BACKUP_S3_ACCESS_KEY_ID: setting({
    group: "Backup",
    help: "The id of the key to that bucket. It must allow to get, put, delete and list objects.",
    fallback: "none",
    example: "",
    schema: as.text,
  }),
  KITH_BACKUP_S3_SECRET_ACCESS_KEY: setting({
    group: "Backup",
    help: "The key to that bucket.",
    fallback: "none",
    example: "",
    secret: true,
    schema: as.text,
  }),
} as const;
