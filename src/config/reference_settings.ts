/** The settings of the reference PDS (and of its installer) that kith does not honour: which wait, and which are refused. */

/** Accepted without effect, because an existing pds.env has them; by the feature that will give them an effect. */
export const WAITING: ReadonlyMap<string, string> = byName({
  mail: ["PDS_EMAIL_DISABLE_CONFIRMATION_LINK"],
  "no feature, as kith does it its own way": [
    "PDS_VERSION",
    "PDS_DPOP_SECRET",
    "PDS_PROXY_ALLOW_HTTP2",
    "PDS_PROXY_PREFER_COMPRESSED",
    "PDS_ACTOR_STORE_CACHE_SIZE",
    "PDS_BLOBSTORE_DISK_TMP_LOCATION",
    "PDS_MAX_SUBSCRIPTION_BUFFER",
    "LOG_SYSTEMS",
    "LOG_DESTINATION",
  ],
});

/** Of the waiting ones, those whose values are secrets. */
export const WAITING_SECRETS: ReadonlySet<string> = new Set(["PDS_DPOP_SECRET"]);

/** Why a setting stops the start, and what to do. */
export interface Refusal {
  readonly reason: string;
  readonly hint: string;
  /** A switch that is off asks for nothing: it is refused only when it is on. */
  readonly onlyWhenOn?: true;
}

const ENTRYWAY: Refusal = {
  reason: "kith has no entryway mode: it signs its own users in",
  hint: "Remove every PDS_ENTRYWAY_ setting.",
};
const REDIS: Refusal = {
  reason: "kith runs as one process and keeps its counters in memory",
  hint: "Remove PDS_REDIS_SCRATCH_ADDRESS and PDS_REDIS_SCRATCH_PASSWORD.",
};
const MOVED: Refusal = {
  reason: "kith keeps everything in one data folder, so that it can be locked and copied as a whole",
  hint: "Remove it, and set PDS_DATA_DIRECTORY to a new folder.",
};
const CAPTCHA: Refusal = {
  reason: "kith has no captcha, so sign-up would be open without it",
  hint: "Remove every PDS_HCAPTCHA_ setting, and keep PDS_INVITE_REQUIRED=true.",
};

export const REFUSED: ReadonlyMap<string, Refusal> = new Map<string, Refusal>([
  ["PDS_ENTRYWAY_URL", ENTRYWAY],
  ["PDS_ENTRYWAY_DID", ENTRYWAY],
  ["PDS_ENTRYWAY_JWT_VERIFY_KEY_K256_PUBLIC_KEY_HEX", ENTRYWAY],
  ["PDS_ENTRYWAY_PLC_ROTATION_KEY", ENTRYWAY],
  ["PDS_ENTRYWAY_ADMIN_TOKEN", ENTRYWAY],
  [
    "PDS_PLC_ROTATION_KEY_KMS_KEY_ID",
    {
      reason: "kith cannot use a key that is held by AWS KMS",
      hint: "Set PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX, or leave both out and let kith make a key.",
    },
  ],
  ["PDS_REDIS_SCRATCH_ADDRESS", REDIS],
  ["PDS_REDIS_SCRATCH_PASSWORD", REDIS],
  ["PDS_ACCOUNT_DB_LOCATION", MOVED],
  ["PDS_SEQUENCER_DB_LOCATION", MOVED],
  ["PDS_DID_CACHE_DB_LOCATION", MOVED],
  ["PDS_ACTOR_STORE_DIRECTORY", MOVED],
  [
    "PDS_SQLITE_DISABLE_WAL_AUTO_CHECKPOINT",
    {
      reason: "kith checkpoints its files itself, and a program that replicates their WAL would miss writes",
      hint: "Remove it, and stop replicating the files from outside.",
      onlyWhenOn: true,
    },
  ],
  ["PDS_HCAPTCHA_SITE_KEY", CAPTCHA],
  ["PDS_HCAPTCHA_SECRET_KEY", CAPTCHA],
  ["PDS_HCAPTCHA_TOKEN_SALT", CAPTCHA],
]);

/** Settings that mean nothing alone: where the first is given, so must be the second. */
export const PAIRS: readonly (readonly [string, string])[] = [
  ...bothWays("PDS_EMAIL_SMTP_URL", "PDS_EMAIL_FROM_ADDRESS"),
  ...bothWays("PDS_BLOBSTORE_S3_BUCKET", "PDS_BLOBSTORE_S3_ACCESS_KEY_ID"),
  ...bothWays("PDS_BLOBSTORE_S3_ACCESS_KEY_ID", "PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY"),
  ...bothWays("PDS_MODERATION_EMAIL_SMTP_URL", "PDS_MODERATION_EMAIL_ADDRESS"),
  ...bothWays("PDS_BSKY_APP_VIEW_URL", "PDS_BSKY_APP_VIEW_DID"),
  ...bothWays("PDS_MOD_SERVICE_URL", "PDS_MOD_SERVICE_DID"),
  ...bothWays("PDS_REPORT_SERVICE_URL", "PDS_REPORT_SERVICE_DID"),
];

function bothWays(one: string, other: string): [string, string][] {
  return [
    [one, other],
    [other, one],
  ];
}

function byName(features: Readonly<Record<string, readonly string[]>>): Map<string, string> {
  return new Map(
    Object.entries(features).flatMap(([feature, names]) => names.map((name) => [name, feature] as const)),
  );
}
