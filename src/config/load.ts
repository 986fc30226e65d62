import { join, resolve } from "node:path";
import { KithError } from "../errors.ts";
import { gather, type Raw, SECRET_NAMES, type SourceOptions } from "./_sources.ts";
import {
  type BackupConfig,
  type Branding,
  type CommunityConfig,
  type Config,
  devIdentity,
  type ProxyConfig,
  type S3Config,
  type Service,
} from "./config.ts";
import { nearestName } from "./nearest.ts";
import { PAIRS, REFUSED, WAITING } from "./reference_settings.ts";
import { SETTING_NAMES, type SettingName, type SettingValues, settingOf } from "./settings.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const DEFAULT_PORT = 2583;
const DEFAULT_PLC_URL = "https://plc.directory";
const DEFAULT_CRAWLERS = ["https://bsky.network"];
const SECRET_CHARS_MIN = 16;
/** What S3 takes with one PUT. */
const S3_OBJECT_BYTES_MAX = 5 * 1024 ** 3;
/** Servers elsewhere, which the real server calls by https only. */
const REMOTE_URLS = [
  "PDS_DID_PLC_URL",
  "PDS_CRAWLERS",
  "PDS_BSKY_APP_VIEW_URL",
  "PDS_MOD_SERVICE_URL",
  "PDS_REPORT_SERVICE_URL",
] as const;

export interface LoadOptions extends SourceOptions {
  /** The folder that relative paths start from. Default: the current one. */
  readonly cwd?: string;
}

export interface LoadedConfig {
  readonly config: Config;
  /** One sentence each, for the operator, once at start. */
  readonly warnings: readonly string[];
  /** Where each setting that was given came from. */
  readonly sources: ReadonlyMap<SettingName, string>;
}

/** Every problem of a configuration at once. */
export class ConfigError extends KithError {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super("config_invalid", `Could not start with this configuration: ${problems.join("; ")}`);
    this.problems = problems;
  }
}

/**
 * Reads the settings from the environment, an environment file and the command line, checks them one by one and
 * together, and completes them with the defaults. Throws `ConfigError` with every problem there is.
 */
export function loadConfig(options: LoadOptions): LoadedConfig {
  const gathered = gather(options);
  const problems = [...gathered.problems];
  const raw = new Map([...gathered.raw].filter(([name, { text }]) => text !== "" || keepsEmpty(name)));
  const values = parseAll(raw, problems);
  problems.push(...refusals(raw), ...halves(raw), ...contradictions(values, raw));
  if (problems.length > 0) throw new ConfigError(problems);
  const sources = new Map(
    SETTING_NAMES.flatMap((name) => (raw.has(name) ? [[name, raw.get(name)?.from ?? ""] as const] : [])),
  );
  const config = complete(values, options.cwd ?? process.cwd());
  return { config, sources, warnings: [...notes(values), ...waiting(raw), ...unknowns(raw)] };
}

function keepsEmpty(name: string): boolean {
  return isSetting(name) && settingOf(name).emptyMeans === "none";
}

function isSetting(name: string): name is SettingName {
  return (SETTING_NAMES as readonly string[]).includes(name);
}

function parseAll(raw: ReadonlyMap<string, Raw>, problems: string[]): SettingValues {
  const values: Partial<Record<SettingName, unknown>> = {};
  for (const name of SETTING_NAMES) {
    const given = raw.get(name);
    if (given === undefined) continue;
    const { schema, secret } = settingOf(name);
    const parsed = schema.safeParse(given.text);
    if (parsed.success) values[name] = parsed.data;
    else {
      const says = parsed.error.issues[0]?.message ?? "it is not valid";
      problems.push(secret ? `${name} is not valid: ${says}` : `${name} is "${given.text}": ${says}`);
    }
  }
  return values as SettingValues;
}

function refusals(raw: ReadonlyMap<string, Raw>): string[] {
  return [...REFUSED].flatMap(([name, { reason, hint, onlyWhenOn }]) => {
    const text = raw.get(name)?.text;
    if (text === undefined || (onlyWhenOn && !/^(true|1)$/i.test(text))) return [];
    return [`${name} is set, but ${reason}. ${hint}`];
  });
}

function halves(raw: ReadonlyMap<string, Raw>): string[] {
  return PAIRS.flatMap(([one, other]) =>
    raw.has(one) && !raw.has(other) ? [`${one} is set, but ${other} is not: set both or neither`] : [],
  );
}

/** Whether kith runs in dev mode: asked for, or for want of a host name. */
function isDev(values: SettingValues): boolean {
  return values.PDS_DEV_MODE ?? values.PDS_HOSTNAME === undefined;
}

function contradictions(values: SettingValues, raw: ReadonlyMap<string, Raw>): string[] {
  const found: string[] = [];
  const { PDS_HOSTNAME: hostname, PDS_DID_CACHE_STALE_TTL: stale, PDS_DID_CACHE_MAX_TTL: max } = values;
  if (values.PDS_DEV_MODE === false && !raw.has("PDS_HOSTNAME"))
    found.push("PDS_DEV_MODE is false, but PDS_HOSTNAME is not set: the real server needs its host name");
  if (hostname === "localhost" && !isDev(values))
    found.push(
      'PDS_HOSTNAME is "localhost", which nobody else can reach: remove it for dev mode, or set PDS_DEV_MODE=true',
    );
  if (stale !== undefined && max !== undefined && stale > max)
    found.push(
      `PDS_DID_CACHE_STALE_TTL is ${stale}: it must not be larger than PDS_DID_CACHE_MAX_TTL, which is ${max}`,
    );
  if (values.PDS_BLOBSTORE_S3_BUCKET !== undefined && values.PDS_BLOBSTORE_DISK_LOCATION !== undefined)
    found.push(
      "PDS_BLOBSTORE_S3_BUCKET and PDS_BLOBSTORE_DISK_LOCATION are both set: blobs are either in a bucket or in a folder",
    );
  if (
    values.PDS_BLOBSTORE_S3_BUCKET !== undefined &&
    (values.PDS_BLOB_UPLOAD_LIMIT ?? 0) > S3_OBJECT_BYTES_MAX
  )
    found.push(
      `PDS_BLOB_UPLOAD_LIMIT is ${values.PDS_BLOB_UPLOAD_LIMIT}: a bucket takes ${S3_OBJECT_BYTES_MAX} bytes in one piece at most`,
    );
  if (values.KITH_BACKUP_DESTINATION !== undefined && values.KITH_BACKUP_KEY === undefined)
    found.push(
      'KITH_BACKUP_DESTINATION is set, but KITH_BACKUP_KEY is not: a backup has everybody\'s keys and is never written without one. "kith backup new-key" makes it',
    );
  if (
    values.KITH_BACKUP_DESTINATION?.startsWith("s3://") &&
    (values.KITH_BACKUP_S3_ACCESS_KEY_ID === undefined ||
      values.KITH_BACKUP_S3_SECRET_ACCESS_KEY === undefined)
  )
    found.push(
      `KITH_BACKUP_DESTINATION is "${values.KITH_BACKUP_DESTINATION}", but KITH_BACKUP_S3_ACCESS_KEY_ID and KITH_BACKUP_S3_SECRET_ACCESS_KEY are not both set`,
    );
  if (!isDev(values)) {
    for (const name of REMOTE_URLS) {
      const insecure = [values[name] ?? []].flat().find((url) => url.startsWith("http:"));
      if (insecure && values.PDS_DISABLE_SSRF_PROTECTION !== true)
        found.push(`${name} is "${insecure}": it must be https outside of dev mode`);
    }
  }
  return found;
}

function notes(values: SettingValues): string[] {
  const found: string[] = [];
  if (isDev(values) && values.PDS_HOSTNAME !== undefined && values.PDS_HOSTNAME !== "localhost")
    found.push(`PDS_HOSTNAME is "${values.PDS_HOSTNAME}" and has no effect, because PDS_DEV_MODE is true.`);
  for (const name of ["PDS_JWT_SECRET", "PDS_RATE_LIMIT_BYPASS_KEY"] as const) {
    if ((values[name]?.length ?? SECRET_CHARS_MIN) < SECRET_CHARS_MIN)
      found.push(`${name} is shorter than ${SECRET_CHARS_MIN} characters and could be guessed.`);
  }
  if (!isDev(values) && values.PDS_DISABLE_SSRF_PROTECTION === true)
    found.push("PDS_DISABLE_SSRF_PROTECTION is true: strangers can make this server call into your network.");
  if (!isDev(values) && values.PDS_EMAIL_SMTP_URL === undefined)
    found.push(
      'PDS_EMAIL_SMTP_URL is not set: no mail is sent, so nobody can reset a password, confirm an address or delete an account alone; "kith account code" makes the codes that they need.',
    );
  if (!isDev(values) && values.PDS_RATE_LIMITS_ENABLED === false)
    found.push("PDS_RATE_LIMITS_ENABLED is false: anybody may send any number of requests.");
  if (!isDev(values) && values.PDS_INVITE_REQUIRED === false)
    found.push("PDS_INVITE_REQUIRED is false: anybody can make an account here, and spammers will.");
  return found;
}

function waiting(raw: ReadonlyMap<string, Raw>): string[] {
  const names = [...WAITING.keys()].filter((name) => raw.has(name));
  return names.length === 0
    ? []
    : [`These settings have no effect in this version of kith: ${names.join(", ")}.`];
}

function unknowns(raw: ReadonlyMap<string, Raw>): string[] {
  const known = [...SETTING_NAMES, ...WAITING.keys(), ...REFUSED.keys()];
  const names = new Set<string>([...known, ...[...SECRET_NAMES].map((name) => `${name}_FILE`)]);
  return [...raw.keys()]
    .filter((name) => !names.has(name) && !name.startsWith("LOG_"))
    .sort()
    .map((name) => {
      const near = nearestName(name, names);
      return `${name} is not a setting of kith${near === undefined ? "." : `: did you mean ${near}?`}`;
    });
}

function complete(values: SettingValues, cwd: string): Config {
  const dev = isDev(values);
  const port = values.PDS_PORT ?? DEFAULT_PORT;
  const hostname = dev ? "localhost" : (values.PDS_HOSTNAME ?? "");
  const own = dev
    ? devIdentity(port)
    : { publicUrl: `https://${hostname}`, serviceDid: `did:web:${hostname}` };
  const dataFolder = resolve(cwd, values.PDS_DATA_DIRECTORY ?? "data");
  const modService = serviceOf(values.PDS_MOD_SERVICE_URL, values.PDS_MOD_SERVICE_DID);
  const didCacheMaxMs = values.PDS_DID_CACHE_MAX_TTL ?? DAY_MS;
  return {
    mode: dev ? "dev" : "public",
    hostname,
    port,
    listen: values.KITH_LISTEN ?? (dev ? ["127.0.0.1", "::1"] : ["::"]),
    publicUrl: own.publicUrl,
    serviceDid: values.PDS_SERVICE_DID ?? own.serviceDid,
    dataFolder,
    blobFolder: resolve(cwd, values.PDS_BLOBSTORE_DISK_LOCATION ?? join(dataFolder, "blobs")),
    blobBucket: bucketOf(values),
    mailFolder: join(dataFolder, "mail"),
    secrets: {
      jwtSecret: values.PDS_JWT_SECRET,
      adminPassword: values.PDS_ADMIN_PASSWORD,
      plcRotationKeyHex: values.PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX,
    },
    handleDomains: values.PDS_SERVICE_HANDLE_DOMAINS ?? (dev ? [".test"] : [`.${hostname}`]),
    inviteRequired: values.PDS_INVITE_REQUIRED ?? !dev,
    inviteIntervalMs: values.PDS_INVITE_INTERVAL,
    inviteEpochMs: values.PDS_INVITE_EPOCH ?? 0,
    accountKeyType: values.PDS_ACCOUNT_KEY_TYPE ?? "k256",
    recoveryDidKey: values.PDS_RECOVERY_DID_KEY,
    didDocWithSession: values.PDS_ENABLE_DID_DOC_WITH_SESSION ?? false,
    blobBytesMax: values.PDS_BLOB_UPLOAD_LIMIT ?? 104_857_600,
    blobQuotaBytes: (values.KITH_BLOB_QUOTA_BYTES ?? 10_737_418_240) || undefined,
    blobTypes: values.KITH_BLOB_TYPES,
    blobTempLifetimeMs: values.KITH_BLOB_TEMP_LIFETIME_MS ?? 86_400_000,
    acceptingImports: values.PDS_ACCEPTING_REPO_IMPORTS ?? true,
    importBytesMax: values.PDS_MAX_REPO_IMPORT_SIZE ?? 1_073_741_824,
    loginFailuresMax: values.KITH_LOGIN_FAILURES_MAX ?? 5,
    loginLockMs: values.KITH_LOGIN_LOCK_MS ?? 15 * 60_000,
    mail: mailOf(values.PDS_EMAIL_SMTP_URL, values.PDS_EMAIL_FROM_ADDRESS),
    moderationMail: mailOf(values.PDS_MODERATION_EMAIL_SMTP_URL, values.PDS_MODERATION_EMAIL_ADDRESS),
    oauthTrustedClients: values.PDS_OAUTH_TRUSTED_CLIENTS ?? [],
    contactEmail: values.PDS_CONTACT_EMAIL_ADDRESS,
    privacyPolicyUrl: values.PDS_PRIVACY_POLICY_URL,
    termsOfServiceUrl: values.PDS_TERMS_OF_SERVICE_URL,
    branding: brandingOf(values),
    communities: communitiesOf(values),
    plcUrl: values.PDS_DID_PLC_URL ?? (dev ? own.publicUrl : DEFAULT_PLC_URL),
    plcEmbedded: dev && values.PDS_DID_PLC_URL === undefined,
    crawlers: values.PDS_CRAWLERS ?? (dev ? [] : DEFAULT_CRAWLERS),
    resolverTimeoutMs: values.PDS_ID_RESOLVER_TIMEOUT ?? 3_000,
    backupNameservers: values.PDS_HANDLE_BACKUP_NAMESERVERS ?? [],
    didCacheStaleMs: values.PDS_DID_CACHE_STALE_TTL ?? Math.min(3_600_000, didCacheMaxMs),
    didCacheMaxMs,
    lexiconResolution: values.KITH_LEXICON_RESOLUTION ?? true,
    lexiconFreshMs: values.KITH_LEXICON_FRESH_MS ?? 3_600_000,
    lexiconAuthorityDid: values.PDS_LEXICON_AUTHORITY_DID,
    allowPrivateNetwork: values.PDS_DISABLE_SSRF_PROTECTION ?? dev,
    fetchBytesMax: values.PDS_FETCH_MAX_RESPONSE_SIZE ?? 524_288,
    appView: serviceOf(values.PDS_BSKY_APP_VIEW_URL, values.PDS_BSKY_APP_VIEW_DID),
    appViewCdnUrlPattern: values.PDS_BSKY_APP_VIEW_CDN_URL_PATTERN,
    modService,
    reportService: serviceOf(values.PDS_REPORT_SERVICE_URL, values.PDS_REPORT_SERVICE_DID) ?? modService,
    proxy: proxyOf(values),
    ...eventsOf(values),
    backup: backupOf(values, cwd),
    ...limitsOf(values),
    logEnabled: values.LOG_ENABLED ?? true,
    logLevel: values.LOG_LEVEL ?? "info",
    logFormat: values.KITH_LOG_FORMAT ?? "auto",
  };
}

function bucketOf(values: SettingValues): S3Config | undefined {
  const bucket = values.PDS_BLOBSTORE_S3_BUCKET;
  const accessKeyId = values.PDS_BLOBSTORE_S3_ACCESS_KEY_ID;
  const secretAccessKey = values.PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY;
  if (bucket === undefined || accessKeyId === undefined || secretAccessKey === undefined) return undefined;
  const uploadTimeoutMs = values.PDS_BLOBSTORE_S3_UPLOAD_TIMEOUT_MS ?? 20_000;
  return {
    bucket,
    accessKeyId,
    secretAccessKey,
    region: values.PDS_BLOBSTORE_S3_REGION ?? "us-east-1",
    endpoint: values.PDS_BLOBSTORE_S3_ENDPOINT,
    forcePathStyle: values.PDS_BLOBSTORE_S3_FORCE_PATH_STYLE ?? false,
    uploadTimeoutMs,
    requestTimeoutMs:
      values.PDS_BLOBSTORE_S3_REQUEST_TIMEOUT_MS ?? Math.max(6_000, Math.min(uploadTimeoutMs, 15_000)),
  };
}

function eventsOf(values: SettingValues): Pick<Config, "backfillMs" | "eventRetentionMs"> {
  return {
    backfillMs: values.PDS_REPO_BACKFILL_LIMIT_MS ?? DAY_MS,
    eventRetentionMs: (values.KITH_EVENT_RETENTION_DAYS ?? 7) * DAY_MS,
  };
}

function backupOf(values: SettingValues, cwd: string): BackupConfig {
  return {
    destination: backupPlace(values.KITH_BACKUP_DESTINATION, cwd),
    key: values.KITH_BACKUP_KEY,
    intervalMs: (values.KITH_BACKUP_INTERVAL_HOURS ?? 24) * HOUR_MS,
    shipMs: (values.KITH_BACKUP_LOG_SHIP_SECONDS ?? 5) * 1_000,
    holdMs: (values.KITH_BACKUP_LOG_HOLD_DAYS ?? 14) * DAY_MS,
    keep: {
      days: values.KITH_BACKUP_KEEP_DAYS ?? 7,
      weeks: values.KITH_BACKUP_KEEP_WEEKS ?? 5,
      months: values.KITH_BACKUP_KEEP_MONTHS ?? 6,
      logDays: values.KITH_BACKUP_KEEP_LOG_DAYS ?? 30,
    },
    blobs: values.KITH_BACKUP_BLOBS ?? true,
    drill: {
      intervalMs: (values.KITH_BACKUP_DRILL_HOURS ?? 24) * HOUR_MS,
      folder: backupPlace(values.KITH_BACKUP_DRILL_FOLDER, cwd),
      blobBytes: (values.KITH_BACKUP_DRILL_BLOB_MB ?? 1_000) * 1_000_000,
    },
    bucket: {
      region: values.KITH_BACKUP_S3_REGION ?? "us-east-1",
      endpoint: values.KITH_BACKUP_S3_ENDPOINT,
      forcePathStyle: values.KITH_BACKUP_S3_FORCE_PATH_STYLE ?? false,
      accessKeyId: values.KITH_BACKUP_S3_ACCESS_KEY_ID,
      secretAccessKey: values.KITH_BACKUP_S3_SECRET_ACCESS_KEY,
    },
  };
}

/** A folder as an absolute path, so that it is the same place whoever reads it; a URL as it is. */
export function backupPlace<T extends string | undefined>(place: T, cwd: string): T | string {
  return place === undefined || place.includes("://") ? place : resolve(cwd, place);
}

function serviceOf(url: string | undefined, did: string | undefined): Service | undefined {
  return url === undefined || did === undefined ? undefined : { url, did };
}

function brandingOf(values: SettingValues): Branding {
  return {
    serviceName: values.PDS_SERVICE_NAME,
    homeUrl: values.PDS_HOME_URL,
    supportUrl: values.PDS_SUPPORT_URL,
    colors: {
      primary: values.PDS_PRIMARY_COLOR,
      error: values.PDS_ERROR_COLOR,
      warning: values.PDS_WARNING_COLOR,
      info: values.PDS_INFO_COLOR,
      success: values.PDS_SUCCESS_COLOR,
    },
    logoUrl: values.PDS_LOGO_URL,
    backgroundLightUrl: values.PDS_BACKGROUND_LIGHT_URL,
    backgroundDarkUrl: values.PDS_BACKGROUND_DARK_URL,
  };
}

function communitiesOf(values: SettingValues): CommunityConfig {
  return {
    enabled: values.KITH_COMMUNITIES_ENABLED ?? true,
    creators: values.KITH_COMMUNITY_CREATORS ?? "members",
    pdsAllowlist: values.KITH_COMMUNITY_PDS_ALLOWLIST ?? [],
    perMember: values.KITH_COMMUNITIES_PER_MEMBER ?? 10,
    perMemberPerDay: values.KITH_COMMUNITIES_PER_MEMBER_PER_DAY ?? 3,
    perDay: values.KITH_COMMUNITIES_PER_DAY ?? 20,
  };
}

function limitsOf(
  values: SettingValues,
): Pick<Config, "openReposMax" | "rateLimits" | "subscribersMax" | "networkSubscribersMax"> {
  const subscribersMax = values.KITH_SUBSCRIBERS_MAX ?? 1_000;
  return {
    openReposMax: values.KITH_OPEN_REPOS_MAX ?? 256,
    rateLimits: {
      enabled: values.PDS_RATE_LIMITS_ENABLED ?? !isDev(values),
      bypassKey: values.PDS_RATE_LIMIT_BYPASS_KEY,
      bypassIps: values.PDS_RATE_LIMIT_BYPASS_IPS ?? [],
    },
    subscribersMax,
    networkSubscribersMax: values.KITH_SUBSCRIBERS_PER_NETWORK_MAX ?? (isDev(values) ? subscribersMax : 32),
  };
}

function mailOf(smtpUrl: string | undefined, from: string | undefined): Config["mail"] {
  return smtpUrl === undefined || from === undefined ? undefined : { smtpUrl, from };
}

function proxyOf(values: SettingValues): ProxyConfig {
  return {
    audienceWithService: values.KITH_PROXY_AUDIENCE_WITH_SERVICE ?? false,
    headersTimeoutMs: values.PDS_PROXY_HEADERS_TIMEOUT ?? 10_000,
    bodyTimeoutMs: values.PDS_PROXY_BODY_TIMEOUT ?? 30_000,
    bytesMax: values.PDS_PROXY_MAX_RESPONSE_SIZE ?? 10_485_760,
    retriesMax: values.PDS_PROXY_MAX_RETRIES ?? 0,
  };
}
