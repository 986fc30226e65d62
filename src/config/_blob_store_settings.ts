/** The settings of where blobs are kept. */
import * as as from "./_schemas.ts";
import { setting } from "./_setting.ts";

const DAY_MS = 86_400_000;

export const BLOB_STORE_SETTINGS = {
  PDS_BLOBSTORE_DISK_LOCATION: setting({
    group: "Server",
    help: "The folder for blobs, where they are to be on another disk than the rest.",
    fallback: "blobs in the data folder",
    example: "/var/lib/kith/blobs",
    schema: as.text,
  }),
  PDS_BLOBSTORE_S3_BUCKET: setting({
    group: "Server",
    help: "The bucket for blobs, at any service that speaks S3, instead of a folder. Its objects lie as those of the reference PDS do, and it is this server's alone.",
    fallback: "none: blobs are files",
    example: "",
    schema: as.text,
  }),
  PDS_BLOBSTORE_S3_REGION: setting({
    group: "Server",
    help: "The region of the bucket.",
    fallback: "us-east-1",
    example: "",
    schema: as.text,
  }),
  PDS_BLOBSTORE_S3_ENDPOINT: setting({
    group: "Server",
    help: "Where the service answers.",
    fallback: "Amazon's, in the region",
    example: "",
    schema: as.httpUrl,
  }),
  PDS_BLOBSTORE_S3_FORCE_PATH_STYLE: setting({
    group: "Server",
    help: "Whether the bucket is named in the path (https://s3.example.com/BUCKET) rather than in the host name (https://BUCKET.s3.example.com). An endpoint that is an IP address or localhost has it in the path always.",
    fallback: "false",
    example: "",
    schema: as.flag,
  }),
  PDS_BLOBSTORE_S3_ACCESS_KEY_ID: setting({
    group: "Server",
    help: "The id of the key to the bucket. It must allow to get, put, delete and list objects.",
    fallback: "none",
    example: "",
    schema: as.text,
  }),
  PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY: setting({
    group: "Server",
    help: "The key to the bucket.",
    fallback: "none",
    example: "",
    secret: true,
    schema: as.text,
  }),
  PDS_BLOBSTORE_S3_UPLOAD_TIMEOUT_MS: setting({
    group: "Server",
    help: "How long it may take to bring one blob from this server into the bucket, in milliseconds, with all repetitions.",
    fallback: "20000",
    example: "",
    schema: as.whole(1, DAY_MS),
  }),
  PDS_BLOBSTORE_S3_REQUEST_TIMEOUT_MS: setting({
    group: "Server",
    help: "How long the bucket may leave any other request without an answer, in milliseconds.",
    fallback: "the upload's, but from 6000 to 15000",
    example: "",
    schema: as.whole(1, DAY_MS),
  }),
} as const;
