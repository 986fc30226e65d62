import type { Config } from "./config.ts";
import type { LoadedConfig } from "./load.ts";
import { WAITING } from "./reference_settings.ts";
import { SETTING_NAMES, type SettingName, settingOf } from "./settings.ts";

const EXAMPLE_COLUMNS = 100;
const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;

/** The effective value of each setting that is no secret, as it would be written in the environment. */
const EFFECTIVE: { readonly [N in SettingName]: (config: Config) => unknown } = {
  PDS_HOSTNAME: (config) => (config.mode === "public" ? config.hostname : undefined),
  PDS_DEV_MODE: (config) => config.mode === "dev",
  PDS_PORT: (config) => config.port,
  KITH_LISTEN: (config) => config.listen,
  PDS_DATA_DIRECTORY: (config) => config.dataFolder,
  PDS_BLOBSTORE_DISK_LOCATION: (config) => (config.blobBucket ? undefined : config.blobFolder),
  PDS_BLOBSTORE_S3_BUCKET: (config) => config.blobBucket?.bucket,
  PDS_BLOBSTORE_S3_REGION: (config) => config.blobBucket?.region,
  PDS_BLOBSTORE_S3_ENDPOINT: (config) => config.blobBucket?.endpoint,
  PDS_BLOBSTORE_S3_FORCE_PATH_STYLE: (config) => config.blobBucket?.forcePathStyle ?? false,
  PDS_BLOBSTORE_S3_ACCESS_KEY_ID: (config) => config.blobBucket?.accessKeyId,
  PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY: () => undefined,
  PDS_BLOBSTORE_S3_UPLOAD_TIMEOUT_MS: (config) => config.blobBucket?.uploadTimeoutMs ?? 20_000,
  PDS_BLOBSTORE_S3_REQUEST_TIMEOUT_MS: (config) => config.blobBucket?.requestTimeoutMs,
  PDS_SERVICE_DID: (config) => config.serviceDid,
  PDS_SERVICE_HANDLE_DOMAINS: (config) => config.handleDomains,
  PDS_INVITE_REQUIRED: (config) => config.inviteRequired,
  PDS_INVITE_INTERVAL: (config) => config.inviteIntervalMs,
  PDS_INVITE_EPOCH: (config) => config.inviteEpochMs,
  PDS_ACCOUNT_KEY_TYPE: (config) => config.accountKeyType,
  PDS_RECOVERY_DID_KEY: (config) => config.recoveryDidKey,
  PDS_ENABLE_DID_DOC_WITH_SESSION: (config) => config.didDocWithSession,
  PDS_BLOB_UPLOAD_LIMIT: (config) => config.blobBytesMax,
  KITH_BLOB_QUOTA_BYTES: (config) => config.blobQuotaBytes ?? 0,
  KITH_BLOB_TYPES: (config) => config.blobTypes ?? "all",
  KITH_BLOB_TEMP_LIFETIME_MS: (config) => config.blobTempLifetimeMs,
  PDS_ACCEPTING_REPO_IMPORTS: (config) => config.acceptingImports,
  PDS_MAX_REPO_IMPORT_SIZE: (config) => config.importBytesMax,
  KITH_LOGIN_FAILURES_MAX: (config) => config.loginFailuresMax,
  KITH_LOGIN_LOCK_MS: (config) => config.loginLockMs,
  PDS_EMAIL_SMTP_URL: () => undefined,
  PDS_EMAIL_FROM_ADDRESS: (config) => config.mail?.from,
  PDS_MODERATION_EMAIL_SMTP_URL: () => undefined,
  PDS_MODERATION_EMAIL_ADDRESS: (config) => config.moderationMail?.from,
  PDS_OAUTH_TRUSTED_CLIENTS: (config) => config.oauthTrustedClients,
  PDS_CONTACT_EMAIL_ADDRESS: (config) => config.contactEmail,
  PDS_PRIVACY_POLICY_URL: (config) => config.privacyPolicyUrl,
  PDS_TERMS_OF_SERVICE_URL: (config) => config.termsOfServiceUrl,
  PDS_SERVICE_NAME: (config) => config.branding.serviceName,
  PDS_HOME_URL: (config) => config.branding.homeUrl,
  PDS_LOGO_URL: (config) => shortened(config.branding.logoUrl),
  PDS_SUPPORT_URL: (config) => config.branding.supportUrl,
  PDS_PRIMARY_COLOR: (config) => config.branding.colors.primary,
  PDS_ERROR_COLOR: (config) => config.branding.colors.error,
  PDS_WARNING_COLOR: (config) => config.branding.colors.warning,
  PDS_INFO_COLOR: (config) => config.branding.colors.info,
  PDS_SUCCESS_COLOR: (config) => config.branding.colors.success,
  PDS_BACKGROUND_LIGHT_URL: (config) => shortened(config.branding.backgroundLightUrl),
  PDS_BACKGROUND_DARK_URL: (config) => shortened(config.branding.backgroundDarkUrl),
  KITH_COMMUNITIES_ENABLED: (config) => config.communities.enabled,
  KITH_COMMUNITY_CREATORS: (config) => config.communities.creators,
  KITH_COMMUNITY_PDS_ALLOWLIST: (config) => config.communities.pdsAllowlist,
  KITH_COMMUNITIES_PER_MEMBER: (config) => config.communities.perMember,
  KITH_COMMUNITIES_PER_MEMBER_PER_DAY: (config) => config.communities.perMemberPerDay,
  KITH_COMMUNITIES_PER_DAY: (config) => config.communities.perDay,
  PDS_JWT_SECRET: () => undefined,
  PDS_ADMIN_PASSWORD: () => undefined,
  PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: () => undefined,
  PDS_DID_PLC_URL: (config) => (config.plcEmbedded ? `${config.plcUrl} (built in)` : config.plcUrl),
  PDS_CRAWLERS: (config) => config.crawlers,
  PDS_ID_RESOLVER_TIMEOUT: (config) => config.resolverTimeoutMs,
  PDS_HANDLE_BACKUP_NAMESERVERS: (config) => config.backupNameservers,
  PDS_DID_CACHE_STALE_TTL: (config) => config.didCacheStaleMs,
  PDS_DID_CACHE_MAX_TTL: (config) => config.didCacheMaxMs,
  KITH_LEXICON_RESOLUTION: (config) => config.lexiconResolution,
  KITH_LEXICON_FRESH_MS: (config) => config.lexiconFreshMs,
  PDS_LEXICON_AUTHORITY_DID: (config) => config.lexiconAuthorityDid,
  PDS_DISABLE_SSRF_PROTECTION: (config) => config.allowPrivateNetwork,
  PDS_FETCH_MAX_RESPONSE_SIZE: (config) => config.fetchBytesMax,
  PDS_BSKY_APP_VIEW_URL: (config) => config.appView?.url,
  PDS_BSKY_APP_VIEW_DID: (config) => config.appView?.did,
  PDS_BSKY_APP_VIEW_CDN_URL_PATTERN: (config) => config.appViewCdnUrlPattern,
  PDS_MOD_SERVICE_URL: (config) => config.modService?.url,
  PDS_MOD_SERVICE_DID: (config) => config.modService?.did,
  PDS_REPORT_SERVICE_URL: (config) => config.reportService?.url,
  PDS_REPORT_SERVICE_DID: (config) => config.reportService?.did,
  KITH_PROXY_AUDIENCE_WITH_SERVICE: (config) => config.proxy.audienceWithService,
  PDS_PROXY_HEADERS_TIMEOUT: (config) => config.proxy.headersTimeoutMs,
  PDS_PROXY_BODY_TIMEOUT: (config) => config.proxy.bodyTimeoutMs,
  PDS_PROXY_MAX_RESPONSE_SIZE: (config) => config.proxy.bytesMax,
  PDS_PROXY_MAX_RETRIES: (config) => config.proxy.retriesMax,
  PDS_REPO_BACKFILL_LIMIT_MS: (config) => config.backfillMs,
  KITH_EVENT_RETENTION_DAYS: (config) => config.eventRetentionMs / DAY_MS,
  KITH_BACKUP_DESTINATION: (config) => config.backup.destination,
  KITH_BACKUP_KEY: () => undefined,
  KITH_BACKUP_INTERVAL_HOURS: (config) => config.backup.intervalMs / HOUR_MS,
  KITH_BACKUP_LOG_SHIP_SECONDS: (config) => config.backup.shipMs / 1_000,
  KITH_BACKUP_LOG_HOLD_DAYS: (config) => config.backup.holdMs / DAY_MS,
  KITH_BACKUP_KEEP_DAYS: (config) => config.backup.keep.days,
  KITH_BACKUP_KEEP_WEEKS: (config) => config.backup.keep.weeks,
  KITH_BACKUP_KEEP_MONTHS: (config) => config.backup.keep.months,
  KITH_BACKUP_KEEP_LOG_DAYS: (config) => config.backup.keep.logDays,
  KITH_BACKUP_BLOBS: (config) => config.backup.blobs,
  KITH_BACKUP_DRILL_HOURS: (config) => config.backup.drill.intervalMs / HOUR_MS,
  KITH_BACKUP_DRILL_FOLDER: (config) => config.backup.drill.folder,
  KITH_BACKUP_DRILL_BLOB_MB: (config) => config.backup.drill.blobBytes / 1_000_000,
  KITH_BACKUP_S3_REGION: (config) => config.backup.bucket.region,
  KITH_BACKUP_S3_ENDPOINT: (config) => config.backup.bucket.endpoint,
  KITH_BACKUP_S3_FORCE_PATH_STYLE: (config) => config.backup.bucket.forcePathStyle,
  KITH_BACKUP_S3_ACCESS_KEY_ID: (config) => config.backup.bucket.accessKeyId,
  KITH_BACKUP_S3_SECRET_ACCESS_KEY: () => undefined,
  KITH_OPEN_REPOS_MAX: (config) => config.openReposMax,
  PDS_RATE_LIMITS_ENABLED: (config) => config.rateLimits.enabled,
  PDS_RATE_LIMIT_BYPASS_KEY: () => undefined,
  PDS_RATE_LIMIT_BYPASS_IPS: (config) => config.rateLimits.bypassIps,
  KITH_SUBSCRIBERS_MAX: (config) => config.subscribersMax,
  KITH_SUBSCRIBERS_PER_NETWORK_MAX: (config) => config.networkSubscribersMax,
  LOG_ENABLED: (config) => config.logEnabled,
  LOG_LEVEL: (config) => config.logLevel,
  KITH_LOG_FORMAT: (config) => config.logFormat,
};

/** A picture that stands in a setting itself would fill the screen. */
function shortened(url: string | undefined): string | undefined {
  return url?.startsWith("data:") ? `${url.slice(0, url.indexOf(",") + 1)}...` : url;
}

/** One line a setting: name, effective value, where it came from. Secrets are hidden. */
export function printConfig({ config, sources }: LoadedConfig): string {
  const width = Math.max(...SETTING_NAMES.map((name) => name.length));
  const lines = SETTING_NAMES.map((name) => {
    const source = sources.get(name);
    return `${name.padEnd(width)}  ${shownValue(name, { config, source })}  (${source ?? "default"})`;
  });
  return `${lines.join("\n")}\n`;
}

function shownValue(name: SettingName, at: { config: Config; source: string | undefined }): string {
  const { secret, fallback } = settingOf(name);
  if (secret) return at.source === undefined ? fallback : "[hidden]";
  const value = EFFECTIVE[name](at.config);
  if (value === undefined) return "not set";
  const words = Array.isArray(value) ? value.join(",") : String(value);
  return words === "" ? "none" : words;
}

/** The text of examples/kith.env: every setting explained, each line with a value commented out. */
export function exampleEnv(): string {
  const blocks: string[] = [
    comment(
      "Settings of kith, as environment variables. Use this file with: kith serve --env-file kith.env (or as an EnvironmentFile of systemd). Everything is optional; remove the # in front of what you set. What the process environment sets wins over this file.",
    ),
  ];
  let group = "";
  for (const name of SETTING_NAMES) {
    const row = settingOf(name);
    if (row.group !== group) blocks.push(`# ---- ${row.group} ----`);
    group = row.group;
    const file = row.secret ? `\n# Or the path of a file that holds it: ${name}_FILE.` : "";
    blocks.push(`${comment(row.help)}${file}\n# Default: ${row.fallback}\n#${name}=${row.example}`);
  }
  const waiting = [...WAITING.keys()].filter((name) => !name.startsWith("LOG_"));
  blocks.push(
    comment(
      `Settings of the reference PDS that are accepted without effect in this version: ${waiting.join(" ")}`,
    ),
  );
  return `${blocks.join("\n\n")}\n`;
}

function comment(text: string): string {
  const lines: string[] = [];
  let line = "#";
  for (const word of text.split(" ")) {
    if (line.length + word.length >= EXAMPLE_COLUMNS) {
      lines.push(line);
      line = "#";
    }
    line += ` ${word}`;
  }
  return [...lines, line].join("\n");
}
