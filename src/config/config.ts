import type { LogLevel } from "../logger.ts";

/** What only this server knows. */
export interface Secrets {
  /** HMAC key of session tokens, as text. */
  readonly jwtSecret: string;
  readonly adminPassword: string;
  /** K-256 private key of the PLC rotation key: 64 lower-case hexadecimal digits. */
  readonly plcRotationKeyHex: string;
}

/** A service that calls are passed on to. */
export interface Service {
  /** Without a slash at its end. */
  readonly url: string;
  readonly did: string;
}

/** A bucket of a service that speaks S3. */
export interface S3Config {
  readonly bucket: string;
  readonly region: string;
  /** Without a slash at its end, and without the bucket. */
  readonly endpoint: string | undefined;
  readonly forcePathStyle: boolean;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly uploadTimeoutMs: number;
  readonly requestTimeoutMs: number;
}

/** Everything that can be set, checked and completed. */
export interface Config {
  /** "dev": this machine only, as http://localhost:PORT. "public": the real server, as https://HOSTNAME. */
  readonly mode: "dev" | "public";
  /** "localhost" in dev mode. */
  readonly hostname: string;
  /** 0 takes any free port: see `atPort`. */
  readonly port: number;
  /** IP addresses to listen on. "::" stands for IPv4 too. */
  readonly listen: readonly string[];
  /** Origin without a slash at its end. */
  readonly publicUrl: string;
  readonly serviceDid: string;
  /** Absolute paths. */
  readonly dataFolder: string;
  readonly blobFolder: string;
  /** Where blobs are kept instead; `blobFolder` then holds uploads under way. */
  readonly blobBucket: S3Config | undefined;
  readonly mailFolder: string;
  /** The secrets that were given; `ensureSecrets` completes them. */
  readonly secrets: Partial<Secrets>;
  /** Each starts with a dot, lower case. */
  readonly handleDomains: readonly string[];
  readonly inviteRequired: boolean;
  /** Milliseconds for each invite code of a member's own, and since when they count; undefined: there are none. */
  readonly inviteIntervalMs: number | undefined;
  readonly inviteEpochMs: number;
  readonly accountKeyType: "k256" | "p256";
  readonly recoveryDidKey: string | undefined;
  readonly didDocWithSession: boolean;
  readonly blobBytesMax: number;
  /** Undefined: no bound. */
  readonly blobQuotaBytes: number | undefined;
  /** Media types, or `image/*` and the like; undefined: all. */
  readonly blobTypes: readonly string[] | undefined;
  readonly blobTempLifetimeMs: number;
  readonly acceptingImports: boolean;
  readonly importBytesMax: number;
  /** Wrong passwords until an account is locked, and for how long. */
  readonly loginFailuresMax: number;
  readonly loginLockMs: number;
  /** How mail is sent and by whom; undefined where it is not set up: then it is kept in `mailFolder` in dev mode. */
  readonly mail: { readonly smtpUrl: string; readonly from: string } | undefined;
  /** The same for what moderators write; undefined: as all other mail. */
  readonly moderationMail: { readonly smtpUrl: string; readonly from: string } | undefined;
  /** client_ids of the apps that the operator vouches for. */
  readonly oauthTrustedClients: readonly string[];
  readonly contactEmail: string | undefined;
  readonly privacyPolicyUrl: string | undefined;
  readonly termsOfServiceUrl: string | undefined;
  readonly branding: Branding;
  readonly communities: CommunityConfig;
  /** Where the PLC directory answers, without a slash at its end: this server itself where it is built in. */
  readonly plcUrl: string;
  readonly plcEmbedded: boolean;
  /** Relay URLs without a slash at their ends. */
  readonly crawlers: readonly string[];
  readonly resolverTimeoutMs: number;
  readonly backupNameservers: readonly string[];
  readonly didCacheStaleMs: number;
  readonly didCacheMaxMs: number;
  /** Lexicons of the network: whether they are asked for, and whose repo has all of them, instead of what the DNS says. */
  readonly lexiconResolution: boolean;
  readonly lexiconFreshMs: number;
  readonly lexiconAuthorityDid: string | undefined;
  /** Whether outgoing requests may go to private addresses, over http, and to any port. */
  readonly allowPrivateNetwork: boolean;
  /** The largest answer of an outgoing request. */
  readonly fetchBytesMax: number;
  readonly appView: Service | undefined;
  /** With three %s: preset, DID, CID. */
  readonly appViewCdnUrlPattern: string | undefined;
  readonly modService: Service | undefined;
  /** Where reports go: the moderation service unless another is set. */
  readonly reportService: Service | undefined;
  readonly proxy: ProxyConfig;
  readonly backfillMs: number;
  readonly eventRetentionMs: number;
  readonly backup: BackupConfig;
  readonly openReposMax: number;
  readonly rateLimits: {
    readonly enabled: boolean;
    readonly bypassKey: string | undefined;
    /** IP addresses, and networks as ADDRESS/BITS. */
    readonly bypassIps: readonly string[];
  };
  /** Subscribers to the firehose at a time: all, and those of one network. */
  readonly subscribersMax: number;
  readonly networkSubscribersMax: number;
  readonly logEnabled: boolean;
  readonly logLevel: LogLevel;
  readonly logFormat: "auto" | "json" | "text";
}

/** Where and how often this server is backed up. */
export interface BackupConfig {
  /** An absolute path, or s3://BUCKET/PREFIX; undefined: nowhere by itself. */
  readonly destination: string | undefined;
  /** As text. */
  readonly key: string | undefined;
  /** 0: no schedule. */
  readonly intervalMs: number;
  /** 0: the event log goes with snapshots alone. */
  readonly shipMs: number;
  /** How much longer than usual events are kept that wait for it. */
  readonly holdMs: number;
  readonly keep: {
    readonly days: number;
    readonly weeks: number;
    readonly months: number;
    readonly logDays: number;
  };
  readonly blobs: boolean;
  readonly drill: {
    /** 0: no schedule. */
    readonly intervalMs: number;
    /** An absolute path; undefined: in the data folder. */
    readonly folder: string | undefined;
    readonly blobBytes: number;
  };
  readonly bucket: {
    readonly region: string;
    /** Without a slash at its end; undefined: Amazon's. */
    readonly endpoint: string | undefined;
    readonly forcePathStyle: boolean;
    readonly accessKeyId: string | undefined;
    readonly secretAccessKey: string | undefined;
  };
}

/** How this server shows itself to people. */
/** Who may make communities, and where. */
export interface CommunityConfig {
  readonly enabled: boolean;
  /** DIDs: these beside the members. */
  readonly creators: "members" | "anyone" | readonly string[];
  /** Origins as they were written, or "*". */
  readonly pdsAllowlist: readonly string[];
  readonly perMember: number;
  readonly perMemberPerDay: number;
  readonly perDay: number;
}

export interface Branding {
  readonly serviceName: string | undefined;
  readonly homeUrl: string | undefined;
  readonly supportUrl: string | undefined;
  /** `#rrggbb` each. */
  readonly colors: Readonly<Record<"primary" | "error" | "warning" | "info" | "success", string | undefined>>;
  /** URLs of pictures, or the pictures themselves as data: URLs. */
  readonly logoUrl: string | undefined;
  readonly backgroundLightUrl: string | undefined;
  readonly backgroundDarkUrl: string | undefined;
}

/** How calls are passed on to services. */
export interface ProxyConfig {
  /** Whether tokens are made out to `did#service` rather than to the DID alone. */
  readonly audienceWithService: boolean;
  readonly headersTimeoutMs: number;
  readonly bodyTimeoutMs: number;
  readonly bytesMax: number;
  readonly retriesMax: number;
}

/**
 * The configuration once the real port is known: in dev mode the public URL, the service DID and the built-in PLC
 * directory's URL contain it.
 */
export function atPort(config: Config, port: number): Config {
  if (config.mode === "public") return { ...config, port };
  const before = devIdentity(config.port);
  const after = devIdentity(port);
  return {
    ...config,
    port,
    publicUrl: after.publicUrl,
    serviceDid: config.serviceDid === before.serviceDid ? after.serviceDid : config.serviceDid,
    plcUrl: config.plcEmbedded ? after.publicUrl : config.plcUrl,
  };
}

/**
 * The port is part of the DID, percent-encoded, as the AT Protocol allows for localhost alone: so it is a DID that
 * clients resolve (to http://localhost:PORT/.well-known/did.json), and two dev servers on one machine differ.
 * The reference says did:web:localhost, which resolves to port 80. https://atproto.com/specs/did
 */
export function devIdentity(port: number): { publicUrl: string; serviceDid: string } {
  return { publicUrl: `http://localhost:${port}`, serviceDid: `did:web:localhost%3A${port}` };
}
