/** The one table of settings: every name that kith honours. Names of the reference PDS keep their meaning. */
import type { z } from "zod";
import { BRANDING_SETTINGS } from "./_branding_settings.ts";
import * as as from "./_schemas.ts";
import { type Setting, setting } from "./_setting.ts";

const DAY_MS = 86_400_000;
const MIB = 1_048_576;
const BYTES_MAX = 1_099_511_627_776;

/** In the order in which they are shown. */
export const SETTINGS = {
  PDS_HOSTNAME: setting({
    group: "Server",
    help: "The public host name of this server. With it kith is the real server at https://HOSTNAME; without it kith runs in dev mode, on this machine only.",
    fallback: "not set: dev mode",
    example: "pds.example.com",
    schema: as.hostname,
  }),
  PDS_DEV_MODE: setting({
    group: "Server",
    help: "Dev mode: the public URL is http://localhost:PORT, it listens on loopback only, http, private addresses and .test handles are allowed, and a PLC directory is built in.",
    fallback: "true without PDS_HOSTNAME, else false",
    example: "false",
    schema: as.flag,
  }),
  PDS_PORT: setting({
    group: "Server",
    help: "The TCP port to listen on. 0 takes any free port.",
    fallback: "2583",
    schema: as.whole(0, 65_535),
  }),
  KITH_LISTEN: setting({
    group: "Server",
    help: "The addresses to listen on, separated by commas. Behind a proxy on the same machine, 127.0.0.1 is enough.",
    fallback: ":: (all addresses, IPv4 too); 127.0.0.1,::1 in dev mode",
    example: "127.0.0.1",
    schema: as.listOf(as.ipAddress).refine((list) => list.length > 0, "it must name an address"),
  }),
  PDS_DATA_DIRECTORY: setting({
    group: "Server",
    help: "The data folder. Everything that kith keeps is in it; it must not be the folder of another PDS.",
    fallback: "./data",
    example: "/var/lib/kith",
    schema: as.text,
  }),
  PDS_BLOBSTORE_DISK_LOCATION: setting({
    group: "Server",
    help: "The folder for blobs, where they are to be on another disk than the rest.",
    fallback: "blobs in the data folder",
    example: "/var/lib/kith/blobs",
    schema: as.text,
  }),
  PDS_SERVICE_DID: setting({
    group: "Server",
    help: "The DID of this server, which session tokens and service auth are made out to. Do not change it later.",
    fallback: "did:web:HOSTNAME; did:web:localhost%3APORT in dev mode",
    example: "did:web:pds.example.com",
    schema: as.did,
  }),
  PDS_SERVICE_HANDLE_DOMAINS: setting({
    group: "Accounts",
    help: "The domains under which new accounts get handles, separated by commas; each starts with a dot. They need a wildcard DNS record and certificate.",
    fallback: ".HOSTNAME; .test in dev mode",
    example: ".pds.example.com",
    schema: as.listOf(as.handleDomain).refine((list) => list.length > 0, "it must name a domain"),
  }),
  PDS_INVITE_REQUIRED: setting({
    group: "Accounts",
    help: "Whether a new account needs an invite code. Open registration is found by spammers within days.",
    fallback: "true; false in dev mode",
    example: "true",
    schema: as.flag,
  }),
  PDS_ACCOUNT_KEY_TYPE: setting({
    group: "Accounts",
    help: "The kind of signing key that new accounts get: k256, as nearly all of the network has, or p256.",
    fallback: "k256",
    schema: as.oneOf(["k256", "p256"]),
  }),
  PDS_RECOVERY_DID_KEY: setting({
    group: "Accounts",
    help: "A public key (did:key) of the operator that is put first among the rotation keys of every new account.",
    fallback: "none",
    example: "did:key:zQ3shokFTS3brHcDQrn82RUDfCZESWL1ZdCEJwekUDPQiYBme",
    schema: as.didKey,
  }),
  PDS_ENABLE_DID_DOC_WITH_SESSION: setting({
    group: "Accounts",
    help: "Whether answers that open or show a session include the account's DID document.",
    fallback: "false",
    schema: as.flag,
  }),
  PDS_BLOB_UPLOAD_LIMIT: setting({
    group: "Accounts",
    help: "The largest blob that may be uploaded, in bytes. Leave it unset to follow the default of later versions.",
    fallback: String(100 * MIB),
    schema: as.whole(1, BYTES_MAX),
  }),
  PDS_ACCEPTING_REPO_IMPORTS: setting({
    group: "Accounts",
    help: "Whether accounts may bring a repo along, as they do when they move here.",
    fallback: "true",
    schema: as.flag,
  }),
  PDS_MAX_REPO_IMPORT_SIZE: setting({
    group: "Accounts",
    help: "The largest repo that may be imported, in bytes. An import takes about twice its size of disk while it runs.",
    fallback: String(1024 * MIB),
    schema: as.whole(1, BYTES_MAX),
  }),
  KITH_LOGIN_FAILURES_MAX: setting({
    group: "Accounts",
    help: "After how many wrong passwords in a row an account is locked for the network that they came from. From all networks together it takes ten times as many.",
    fallback: "5",
    schema: as.whole(1, 1_000),
  }),
  KITH_LOGIN_LOCK_MS: setting({
    group: "Accounts",
    help: "How long such a lock holds, in milliseconds.",
    fallback: String(15 * 60_000),
    schema: as.whole(1_000, DAY_MS),
  }),
  PDS_CONTACT_EMAIL_ADDRESS: setting({
    group: "Accounts",
    help: "The address shown to users as this server's contact.",
    fallback: "none",
    example: "admin@example.com",
    schema: as.email,
  }),
  PDS_PRIVACY_POLICY_URL: setting({
    group: "Accounts",
    help: "The privacy policy that clients link to.",
    fallback: "none",
    example: "https://example.com/privacy",
    schema: as.httpUrl,
  }),
  PDS_TERMS_OF_SERVICE_URL: setting({
    group: "Accounts",
    help: "The terms of service that clients link to.",
    fallback: "none",
    example: "https://example.com/terms",
    schema: as.httpUrl,
  }),
  ...BRANDING_SETTINGS,
  PDS_EMAIL_SMTP_URL: setting({
    group: "Mail",
    help: "The mail server that codes and welcomes are sent through, such as smtps://USER:PASSWORD@smtp.example.com:465, with special characters percent-encoded; or smtp:///?sendmail=true for the machine's own sendmail. Goes with PDS_EMAIL_FROM_ADDRESS.",
    fallback: "none: nothing is sent; in dev mode mail is kept in mail in the data folder",
    example: "smtps://USER:PASSWORD@smtp.example.com:465",
    secret: true,
    schema: as.smtpUrl,
  }),
  PDS_EMAIL_FROM_ADDRESS: setting({
    group: "Mail",
    help: "The sender of that mail: an address, or a name and an address.",
    fallback: "none",
    example: "kith <noreply@example.com>",
    schema: as.mailSender,
  }),
  PDS_JWT_SECRET: setting({
    group: "Secrets",
    help: "The key that signs session tokens. Changing it signs everybody out.",
    fallback: "made on first start, kept in secrets.json",
    example: "",
    secret: true,
    schema: as.text,
  }),
  PDS_ADMIN_PASSWORD: setting({
    group: "Secrets",
    help: "The password of the user admin, for com.atproto.admin and for invite codes.",
    fallback: "made on first start, kept in secrets.json",
    example: "",
    secret: true,
    schema: as.text,
  }),
  PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: setting({
    group: "Secrets",
    help: "The K-256 private key, in hexadecimal, that controls the DIDs of this server's accounts. Keep a copy: without it no account can be moved or mended.",
    fallback: "made on first start, kept in secrets.json",
    example: "",
    secret: true,
    schema: as.k256PrivateKeyHex,
  }),
  PDS_DID_PLC_URL: setting({
    group: "Network",
    help: "The PLC directory, where the DIDs of new accounts are registered.",
    fallback: "https://plc.directory; built in in dev mode",
    example: "https://plc.directory",
    schema: as.httpUrl,
  }),
  PDS_CRAWLERS: setting({
    group: "Network",
    help: "The relays that are told of new events, separated by commas. Empty for none.",
    fallback: "https://bsky.network; none in dev mode",
    example: "https://bsky.network",
    emptyMeans: "none",
    schema: as.listOf(as.httpUrl),
  }),
  PDS_ID_RESOLVER_TIMEOUT: setting({
    group: "Network",
    help: "How long resolving a DID or a handle may take, in milliseconds.",
    fallback: "3000",
    schema: as.whole(100, 60_000),
  }),
  PDS_HANDLE_BACKUP_NAMESERVERS: setting({
    group: "Network",
    help: "Name servers that are asked for a handle where the machine's own know nothing, separated by commas.",
    fallback: "none",
    example: "1.1.1.1,8.8.8.8",
    schema: as.listOf(as.nameserver),
  }),
  PDS_DID_CACHE_STALE_TTL: setting({
    group: "Network",
    help: "The age from which a cached DID document is fetched again in the background, in milliseconds.",
    fallback: String(3_600_000),
    schema: as.whole(0, 365 * DAY_MS),
  }),
  PDS_DID_CACHE_MAX_TTL: setting({
    group: "Network",
    help: "The age from which a cached DID document is not used any more, in milliseconds.",
    fallback: String(DAY_MS),
    schema: as.whole(0, 365 * DAY_MS),
  }),
  PDS_DISABLE_SSRF_PROTECTION: setting({
    group: "Network",
    help: "Whether outgoing requests may go to private addresses and over http. Only for closed test networks.",
    fallback: "false; true in dev mode",
    example: "false",
    schema: as.flag,
  }),
  PDS_FETCH_MAX_RESPONSE_SIZE: setting({
    group: "Network",
    help: "The largest answer that is read when a DID, a handle or the like is resolved, in bytes.",
    fallback: String(512 * 1024),
    schema: as.whole(1024, 100 * MIB),
  }),
  PDS_BSKY_APP_VIEW_URL: setting({
    group: "Services",
    help: "The AppView that calls go to which this server does not answer itself and which name no other service. Give its DID too.",
    fallback: "none: only calls that name their service are passed on",
    example: "https://api.bsky.app",
    schema: as.httpUrl,
  }),
  PDS_BSKY_APP_VIEW_DID: setting({
    group: "Services",
    help: "The DID of that AppView.",
    fallback: "none",
    example: "did:web:api.bsky.app",
    schema: as.did,
  }),
  PDS_BSKY_APP_VIEW_CDN_URL_PATTERN: setting({
    group: "Services",
    help: "The URL of an image at the AppView, with three %s: preset, DID and CID. It is used for what is not indexed yet; without it this server's own URLs are.",
    fallback: "none",
    example: "https://cdn.example.com/img/%s/plain/%s/%s@jpeg",
    schema: as.urlPattern(3),
  }),
  PDS_MOD_SERVICE_URL: setting({
    group: "Services",
    help: "The moderation service that tools.ozone calls go to. Give its DID too.",
    fallback: "none",
    example: "https://mod.example.com",
    schema: as.httpUrl,
  }),
  PDS_MOD_SERVICE_DID: setting({
    group: "Services",
    help: "The DID of that moderation service.",
    fallback: "none",
    example: "did:plc:ewvi7nxzyoun6zhxrhs64oiz",
    schema: as.did,
  }),
  PDS_REPORT_SERVICE_URL: setting({
    group: "Services",
    help: "The service that users' reports go to. Give its DID too.",
    fallback: "the moderation service",
    example: "https://mod.bsky.app",
    schema: as.httpUrl,
  }),
  PDS_REPORT_SERVICE_DID: setting({
    group: "Services",
    help: "The DID of the service that reports go to.",
    fallback: "the moderation service's",
    example: "did:plc:ar7c4by46qjdydhdevvrndac",
    schema: as.did,
  }),
  KITH_PROXY_AUDIENCE_WITH_SERVICE: setting({
    group: "Services",
    help: "Whether calls that are passed on name the service in their token (did:web:api.example.com#svc), as the specification wants it in the end, or its DID alone, as all services take it today.",
    fallback: "false",
    schema: as.flag,
  }),
  PDS_PROXY_HEADERS_TIMEOUT: setting({
    group: "Services",
    help: "How long a service may take to begin its answer, in milliseconds.",
    fallback: "10000",
    schema: as.whole(100, 600_000),
  }),
  PDS_PROXY_BODY_TIMEOUT: setting({
    group: "Services",
    help: "How long a service's answer, or the body of a call to it, may stand still, in milliseconds.",
    fallback: "30000",
    schema: as.whole(100, 600_000),
  }),
  PDS_PROXY_MAX_RESPONSE_SIZE: setting({
    group: "Services",
    help: "The largest answer of a service that is passed on, in bytes.",
    fallback: String(10 * MIB),
    schema: as.whole(1024, BYTES_MAX),
  }),
  PDS_PROXY_MAX_RETRIES: setting({
    group: "Services",
    help: "How often a call without a body is repeated where the service could not be reached.",
    fallback: "0",
    schema: as.whole(0, 10),
  }),
  PDS_REPO_BACKFILL_LIMIT_MS: setting({
    group: "Firehose",
    help: "How far back a subscriber's cursor may reach, in milliseconds.",
    fallback: String(DAY_MS),
    schema: as.whole(0, 3650 * DAY_MS),
  }),
  KITH_OPEN_REPOS_MAX: setting({
    group: "Limits",
    help: "How many repos are held open at once. Each takes four file descriptors and about 250 kB.",
    fallback: "256",
    schema: as.whole(1, 100_000),
  }),
  PDS_RATE_LIMITS_ENABLED: setting({
    group: "Limits",
    help: "Whether callers are limited: 3000 requests in 5 minutes from one network, and less of what is costly or can be abused.",
    fallback: "true; false in dev mode",
    example: "true",
    schema: as.flag,
  }),
  PDS_RATE_LIMIT_BYPASS_KEY: setting({
    group: "Limits",
    help: "A secret; calls that send it in the header x-ratelimit-bypass are not limited.",
    fallback: "none",
    example: "",
    secret: true,
    schema: as.text,
  }),
  PDS_RATE_LIMIT_BYPASS_IPS: setting({
    group: "Limits",
    help: "Addresses and networks (192.0.2.0/24) that are not limited, separated by commas. A proxy among them is believed what it says in X-Forwarded-For, as one on a private address always is.",
    fallback: "none",
    example: "192.0.2.1,2001:db8::/32",
    schema: as.listOf(as.ipNetwork),
  }),
  KITH_SUBSCRIBERS_MAX: setting({
    group: "Limits",
    help: "How many subscribers the firehose may have at a time.",
    fallback: "1000",
    schema: as.whole(1, 100_000),
  }),
  KITH_SUBSCRIBERS_PER_NETWORK_MAX: setting({
    group: "Limits",
    help: "How many of them may come from one network: an IPv4 address, or an IPv6 /64.",
    fallback: "32; all of them in dev mode",
    example: "32",
    schema: as.whole(1, 100_000),
  }),
  LOG_ENABLED: setting({ group: "Log", help: "Whether to log at all.", fallback: "true", schema: as.flag }),
  LOG_LEVEL: setting({
    group: "Log",
    help: "The least level that is logged: trace, debug, info, warn, error or fatal.",
    fallback: "info",
    schema: as.oneOf(["trace", "debug", "info", "warn", "error", "fatal"]),
  }),
  KITH_LOG_FORMAT: setting({
    group: "Log",
    help: "json, text, or auto: text on a terminal, else one JSON object a line.",
    fallback: "auto",
    schema: as.oneOf(["auto", "json", "text"]),
  }),
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof SETTINGS;
/** The values that were given, parsed. */
export type SettingValues = { readonly [N in SettingName]?: z.output<(typeof SETTINGS)[N]["schema"]> };

export const SETTING_NAMES = Object.keys(SETTINGS) as SettingName[];

/** The row of a name, without the type of its value. */
export function settingOf(name: SettingName): Setting {
  return SETTINGS[name];
}
