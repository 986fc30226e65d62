import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  atPort,
  type Config,
  ConfigError,
  exampleEnv,
  loadConfig,
  parseEnvFile,
  printConfig,
  REFUSED,
  SETTING_NAMES,
  SETTINGS,
  settingOf,
  WAITING,
} from "./mod.ts";

const folders: string[] = [];
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
});
function temporaryFile(name: string, content: string): string {
  const folder = mkdtempSync(join(tmpdir(), "kith-config-"));
  folders.push(folder);
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

type Env = Record<string, string>;
const load = (env: Env) => loadConfig({ env, cwd: "/srv" });
function problemsOf(run: () => unknown): readonly string[] {
  try {
    run();
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
  return [];
}

const HOST = { PDS_HOSTNAME: "pds.example.com" };
const KEY = "5a".repeat(32);
const S3 = {
  PDS_BLOBSTORE_S3_BUCKET: "b",
  PDS_BLOBSTORE_S3_ACCESS_KEY_ID: "id",
  PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY: "hush",
};
const BUCKET = {
  bucket: "b",
  accessKeyId: "id",
  secretAccessKey: "hush",
  region: "us-east-1",
  endpoint: undefined,
  forcePathStyle: false,
  uploadTimeoutMs: 20_000,
  requestTimeoutMs: 15_000,
};

test.each([
  [
    {},
    {
      mode: "dev",
      hostname: "localhost",
      port: 2583,
      listen: ["127.0.0.1", "::1"],
      publicUrl: "http://localhost:2583",
      serviceDid: "did:web:localhost%3A2583",
      dataFolder: "/srv/data",
      blobFolder: "/srv/data/blobs",
      mailFolder: "/srv/data/mail",
      handleDomains: [".test"],
      inviteRequired: false,
      accountKeyType: "k256",
      blobBytesMax: 104_857_600,
      plcUrl: "http://localhost:2583",
      plcEmbedded: true,
      crawlers: [],
      allowPrivateNetwork: true,
    },
  ],
  [
    HOST,
    {
      mode: "public",
      hostname: "pds.example.com",
      listen: ["::"],
      publicUrl: "https://pds.example.com",
      serviceDid: "did:web:pds.example.com",
      handleDomains: [".pds.example.com"],
      inviteRequired: true,
      plcUrl: "https://plc.directory",
      plcEmbedded: false,
      crawlers: ["https://bsky.network"],
      allowPrivateNetwork: false,
      didDocWithSession: false,
    },
  ],
  [{ PDS_HOSTNAME: "PDS.Example.com." }, { hostname: "pds.example.com" }],
  [{ PDS_HOSTNAME: "" }, { mode: "dev" }],
  [{ PDS_PORT: "0" }, { port: 0, publicUrl: "http://localhost:0" }],
  [{ PDS_DEV_MODE: "true", PDS_HOSTNAME: "localhost" }, { mode: "dev" }],
  [
    { PDS_DEV_MODE: "1", ...HOST },
    { mode: "dev", hostname: "localhost" },
  ],
  [{ PDS_DEV_MODE: "false", ...HOST }, { mode: "public" }],
  [{ PDS_DID_PLC_URL: "http://localhost:2582/" }, { plcUrl: "http://localhost:2582", plcEmbedded: false }],
  [{ ...HOST, PDS_CRAWLERS: "" }, { crawlers: [] }],
  [
    HOST,
    {
      communities: {
        enabled: true,
        creators: "members",
        pdsAllowlist: [],
        perMember: 10,
        perMemberPerDay: 3,
        perDay: 20,
      },
    },
  ],
  [
    {
      KITH_COMMUNITY_CREATORS: "did:plc:a, did:web:b.example",
      KITH_COMMUNITY_PDS_ALLOWLIST: "https://a.example, *",
      KITH_COMMUNITIES_PER_DAY: "0",
    },
    {
      communities: {
        enabled: true,
        creators: ["did:plc:a", "did:web:b.example"],
        pdsAllowlist: ["https://a.example", "*"],
        perMember: 10,
        perMemberPerDay: 3,
        perDay: 0,
      },
    },
  ],
  [
    { PDS_CRAWLERS: "http://localhost:1, https://b.example/" },
    { crawlers: ["http://localhost:1", "https://b.example"] },
  ],
  [{ PDS_SERVICE_HANDLE_DOMAINS: ".a.example, .B.example" }, { handleDomains: [".a.example", ".b.example"] }],
  [{ PDS_SERVICE_DID: "did:web:other.example" }, { serviceDid: "did:web:other.example" }],
  [
    { PDS_INVITE_REQUIRED: "1", PDS_ACCOUNT_KEY_TYPE: "P256" },
    { inviteRequired: true, accountKeyType: "p256" },
  ],
  [S3, { blobBucket: BUCKET }],
  [
    { ...S3, PDS_BLOBSTORE_S3_UPLOAD_TIMEOUT_MS: "2000", PDS_BLOBSTORE_S3_ENDPOINT: "https://s3.example/" },
    {
      blobBucket: {
        ...BUCKET,
        uploadTimeoutMs: 2_000,
        requestTimeoutMs: 6_000,
        endpoint: "https://s3.example",
      },
    },
  ],
  [
    { KITH_BLOB_QUOTA_BYTES: "0", KITH_BLOB_TYPES: "Image/*, video/mp4" },
    { blobQuotaBytes: undefined, blobTypes: ["image/*", "video/mp4"] },
  ],
  [
    {},
    {
      blobBucket: undefined,
      blobQuotaBytes: 10_737_418_240,
      blobTypes: undefined,
      blobTempLifetimeMs: 86_400_000,
    },
  ],
  [{ KITH_LISTEN: "127.0.0.1, [::1]" }, { listen: ["127.0.0.1", "::1"] }],
  [
    { PDS_DATA_DIRECTORY: "/pds", PDS_BLOBSTORE_DISK_LOCATION: "/pds/blocks" },
    { dataFolder: "/pds", blobFolder: "/pds/blocks", mailFolder: "/pds/mail" },
  ],
  [{}, { mail: undefined, loginFailuresMax: 5, loginLockMs: 900_000 }],
  [
    { PDS_EMAIL_SMTP_URL: "smtps://u:p%40@mail.example:465", PDS_EMAIL_FROM_ADDRESS: "kith <a@b.example>" },
    { mail: { smtpUrl: "smtps://u:p%40@mail.example:465", from: "kith <a@b.example>" } },
  ],
  [
    { PDS_EMAIL_SMTP_URL: "smtp:///?sendmail=true", PDS_EMAIL_FROM_ADDRESS: "a@b.example" },
    { mail: { smtpUrl: "smtp:///?sendmail=true", from: "a@b.example" } },
  ],
  [
    { KITH_LOGIN_FAILURES_MAX: "3", KITH_LOGIN_LOCK_MS: "1000" },
    { loginFailuresMax: 3, loginLockMs: 1000 },
  ],
  [{ PDS_DATA_DIRECTORY: "here" }, { dataFolder: "/srv/here" }],
  [{ PDS_DID_CACHE_MAX_TTL: "1000" }, { didCacheStaleMs: 1000, didCacheMaxMs: 1000 }],
  [{ PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: KEY.toUpperCase() }, { secrets: { plcRotationKeyHex: KEY } }],
  [
    { LOG_LEVEL: "DEBUG", LOG_ENABLED: "false", KITH_LOG_FORMAT: "json" },
    { logLevel: "debug", logEnabled: false, logFormat: "json" },
  ],
] as [Env, Partial<Config>][])("loadConfig(%j)", (env, expected) => {
  expect(load(env).config).toMatchObject(expected as Record<string, unknown>);
});

test.each([
  [{ PDS_PORT: "abc" }, 'PDS_PORT is "abc": it must be a whole number from 0 to 65535'],
  [{ PDS_PORT: "70000" }, 'PDS_PORT is "70000": it must be a whole number from 0 to 65535'],
  [{ PDS_PORT: "-1" }, 'PDS_PORT is "-1": it must be a whole number from 0 to 65535'],
  [
    { PDS_HOSTNAME: "https://pds.example.com" },
    'PDS_HOSTNAME is "https://pds.example.com": it must be a host name such as pds.example.com, without https://, port or path',
  ],
  [{ PDS_HOSTNAME: "pds_1" }, 'PDS_HOSTNAME is "pds_1": it must be a host name such as pds.example.com'],
  [
    { PDS_HOSTNAME: "192.168.1.1" },
    'PDS_HOSTNAME is "192.168.1.1": it must be a host name such as pds.example.com',
  ],
  [
    { PDS_HOSTNAME: "localhost" },
    'PDS_HOSTNAME is "localhost", which nobody else can reach: remove it for dev mode, or set PDS_DEV_MODE=true',
  ],
  [
    { PDS_DEV_MODE: "false" },
    "PDS_DEV_MODE is false, but PDS_HOSTNAME is not set: the real server needs its host name",
  ],
  [
    { PDS_DEV_MODE: "false", PDS_HOSTNAME: "!" },
    'PDS_HOSTNAME is "!": it must be a host name such as pds.example.com',
  ],
  [{ PDS_DEV_MODE: "maybe" }, 'PDS_DEV_MODE is "maybe": it must be true or false'],
  [
    { PDS_SERVICE_HANDLE_DOMAINS: "example.com" },
    'PDS_SERVICE_HANDLE_DOMAINS is "example.com": each entry must start with a dot: write ".example.com"',
  ],
  [{ PDS_SERVICE_HANDLE_DOMAINS: " , " }, 'PDS_SERVICE_HANDLE_DOMAINS is " , ": it must name a domain'],
  [{ PDS_SERVICE_DID: "pds" }, 'PDS_SERVICE_DID is "pds": it must be a DID such as did:web:pds.example.com'],
  [
    { KITH_LISTEN: "localhost" },
    'KITH_LISTEN is "localhost": each entry must be an IP address such as 127.0.0.1 or ::1',
  ],
  [{ PDS_ACCOUNT_KEY_TYPE: "rsa" }, 'PDS_ACCOUNT_KEY_TYPE is "rsa": it must be one of k256, p256'],
  [{ PDS_DID_PLC_URL: "plc" }, 'PDS_DID_PLC_URL is "plc": it must be a URL that starts with https://'],
  [
    { ...HOST, PDS_DID_PLC_URL: "http://plc.example" },
    'PDS_DID_PLC_URL is "http://plc.example": it must be https outside of dev mode',
  ],
  [
    { PDS_DID_CACHE_STALE_TTL: "2", PDS_DID_CACHE_MAX_TTL: "1" },
    "PDS_DID_CACHE_STALE_TTL is 2: it must not be larger than PDS_DID_CACHE_MAX_TTL, which is 1",
  ],
  [
    { PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: "sesame" },
    "PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX is not valid: it must be a K-256 private key: 64 hexadecimal digits",
  ],
  [
    { PDS_EMAIL_SMTP_URL: "https://secret@mail.example", PDS_EMAIL_FROM_ADDRESS: "a@b.example" },
    "PDS_EMAIL_SMTP_URL is not valid: it must be smtp://HOST:PORT, smtps://USER:PASSWORD@HOST:PORT or smtp:///?sendmail=true",
  ],
  [
    { PDS_EMAIL_SMTP_URL: "smtp://u:50%@mail.example", PDS_EMAIL_FROM_ADDRESS: "a@b.example" },
    "PDS_EMAIL_SMTP_URL is not valid: a % in the user name or password must be written as %25",
  ],
  [
    { PDS_EMAIL_SMTP_URL: "smtp://mail.example", PDS_EMAIL_FROM_ADDRESS: "a@b.example, c@d.example" },
    'PDS_EMAIL_FROM_ADDRESS is "a@b.example, c@d.example": it must be an e-mail address, or a name and an address such as kith <noreply@example.com>',
  ],
  [
    { PDS_EMAIL_SMTP_URL: "smtps://a" },
    "PDS_EMAIL_SMTP_URL is set, but PDS_EMAIL_FROM_ADDRESS is not: set both or neither",
  ],
  [
    { PDS_MOD_SERVICE_DID: "did:web:a" },
    "PDS_MOD_SERVICE_DID is set, but PDS_MOD_SERVICE_URL is not: set both or neither",
  ],
  [
    { PDS_BLOBSTORE_S3_BUCKET: "b" },
    "PDS_BLOBSTORE_S3_BUCKET is set, but PDS_BLOBSTORE_S3_ACCESS_KEY_ID is not: set both or neither",
  ],
  [
    { ...S3, PDS_BLOBSTORE_DISK_LOCATION: "/blobs" },
    "PDS_BLOBSTORE_S3_BUCKET and PDS_BLOBSTORE_DISK_LOCATION are both set: blobs are either in a bucket or in a folder",
  ],
  [
    { ...S3, PDS_BLOB_UPLOAD_LIMIT: "5368709121" },
    "PDS_BLOB_UPLOAD_LIMIT is 5368709121: a bucket takes 5368709120 bytes in one piece at most",
  ],
  [
    { KITH_BLOB_TYPES: "image" },
    'KITH_BLOB_TYPES is "image": each entry must be a media type such as video/mp4, or all of a kind such as image/*',
  ],
  [
    { PDS_ENTRYWAY_URL: "https://e.example" },
    "PDS_ENTRYWAY_URL is set, but kith has no entryway mode: it signs its own users in. Remove every PDS_ENTRYWAY_ setting.",
  ],
  [
    { PDS_ACCOUNT_DB_LOCATION: "/a" },
    "PDS_ACCOUNT_DB_LOCATION is set, but kith keeps everything in one data folder, so that it can be locked and copied as a whole. Remove it, and set PDS_DATA_DIRECTORY to a new folder.",
  ],
] as [Env, string][])("loadConfig(%j) refuses", (env, sentence) => {
  expect(problemsOf(() => load(env))).toEqual([sentence]);
});

test("loadConfig() reports all problems at once, and quotes no secret", () => {
  const problems = problemsOf(() =>
    load({ PDS_PORT: "x", PDS_HOSTNAME: "!", PDS_REDIS_SCRATCH_PASSWORD: "hush-hush" }),
  );
  expect(problems.length).toBe(3);
  expect(problems.join()).not.toContain("hush-hush");
});

test("loadConfig() refuses or honours a switch of the reference by its value", () => {
  expect(problemsOf(() => load({ PDS_SQLITE_DISABLE_WAL_AUTO_CHECKPOINT: "false" }))).toEqual([]);
  expect(problemsOf(() => load({ PDS_SQLITE_DISABLE_WAL_AUTO_CHECKPOINT: "true" })).length).toBe(1);
});

test.each([
  [{ PDS_HOST_NAME: "a" }, ["PDS_HOST_NAME is not a setting of kith: did you mean PDS_HOSTNAME?"]],
  [{ PDS_XYZZY_FROBNICATION: "a" }, ["PDS_XYZZY_FROBNICATION is not a setting of kith."]],
  [{ KITH_LISTN: "a" }, ["KITH_LISTN is not a setting of kith: did you mean KITH_LISTEN?"]],
  [{ PDS_PORT_FILE: "a" }, ["PDS_PORT_FILE is not a setting of kith."]],
  [{ LOG_SOMETHING: "a", HOME: "/root" }, []],
  [
    { PDS_VERSION: "1", PDS_ACTOR_STORE_CACHE_SIZE: "2", LOG_SYSTEMS: "x" },
    [
      "These settings have no effect in this version of kith: PDS_VERSION, PDS_ACTOR_STORE_CACHE_SIZE, LOG_SYSTEMS.",
    ],
  ],
  [
    { ...HOST, PDS_DEV_MODE: "true" },
    ['PDS_HOSTNAME is "pds.example.com" and has no effect, because PDS_DEV_MODE is true.'],
  ],
  [{ PDS_JWT_SECRET: "short" }, ["PDS_JWT_SECRET is shorter than 16 characters and could be guessed."]],
] as [Env, string[]][])("loadConfig(%j) warns", (env, warnings) => {
  expect(load(env).warnings).toEqual(warnings);
});

test("loadConfig() reads how the server shows itself, colours in one spelling", () => {
  const { branding } = load({
    PDS_SERVICE_NAME: "The Cottage",
    PDS_HOME_URL: "https://example.com/",
    PDS_LOGO_URL: "data:image/png;base64,iVBORw0KGgo=",
    PDS_PRIMARY_COLOR: "#F0a",
    PDS_ERROR_COLOR: "rgb(255, 0, 10)",
    PDS_INFO_COLOR: "rgb(1 2 3)",
  }).config;
  expect(branding).toEqual({
    serviceName: "The Cottage",
    homeUrl: "https://example.com",
    supportUrl: undefined,
    logoUrl: "data:image/png;base64,iVBORw0KGgo=",
    backgroundLightUrl: undefined,
    backgroundDarkUrl: undefined,
    colors: { primary: "#ff00aa", error: "#ff000a", warning: undefined, info: "#010203", success: undefined },
  });
});

test.each([
  [{ PDS_PRIMARY_COLOR: "red" }],
  [{ PDS_PRIMARY_COLOR: "#ff00aa80" }],
  [{ PDS_PRIMARY_COLOR: "rgb(256, 0, 0)" }],
  [{ PDS_PRIMARY_COLOR: "#fff;}body{display:none" }],
  [{ PDS_LOGO_URL: "javascript:alert(1)" }],
  [{ PDS_LOGO_URL: "data:text/html,<script>" }],
  [{ PDS_LOGO_URL: "/logo.png" }],
  [{ PDS_HOME_URL: "javascript:alert(1)" }],
  [{ PDS_SERVICE_NAME: "x".repeat(81) }],
] as [Env][])("loadConfig(%j) refuses what no page could show", (env) => {
  expect(problemsOf(() => load(env)).length).toBe(1);
});

const INSTALLER_ENV = `
PDS_HOSTNAME=pds.example.com
PDS_JWT_SECRET=7c6f0a0a2d7a4fd7b7b9d6a8c9e1f203
PDS_ADMIN_PASSWORD=0123456789abcdef0123456789abcdef
PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX=${KEY}
PDS_DATA_DIRECTORY=/pds
PDS_BLOBSTORE_DISK_LOCATION=/pds/blocks
PDS_BLOB_UPLOAD_LIMIT=104857600
PDS_DID_PLC_URL=https://plc.directory
PDS_BSKY_APP_VIEW_URL=https://api.bsky.app
PDS_BSKY_APP_VIEW_DID=did:web:api.bsky.app
PDS_REPORT_SERVICE_URL=https://mod.bsky.app
PDS_REPORT_SERVICE_DID=did:plc:ar7c4by46qjdydhdevvrndac
PDS_CRAWLERS=https://bsky.network
LOG_ENABLED=true
PDS_RATE_LIMITS_ENABLED=true
PDS_EMAIL_SMTP_URL="smtps://resend:re_secret@smtp.resend.com:465/"
PDS_EMAIL_FROM_ADDRESS=admin@pds.example.com
`;

test.each([
  [{}, { enabled: false, networkSubscribersMax: 1_000 }],
  [{ KITH_SUBSCRIBERS_MAX: "5" }, { enabled: false, networkSubscribersMax: 5 }],
  [HOST, { enabled: true, networkSubscribersMax: 32 }],
  [
    { ...HOST, PDS_RATE_LIMITS_ENABLED: "false", KITH_SUBSCRIBERS_PER_NETWORK_MAX: "7" },
    { enabled: false, networkSubscribersMax: 7 },
  ],
] as [Env, { enabled: boolean; networkSubscribersMax: number }][])(
  "loadConfig(%j) limits",
  (env, expected) => {
    const { rateLimits, networkSubscribersMax } = load(env).config;
    expect({ enabled: rateLimits.enabled, networkSubscribersMax }).toEqual(expected);
  },
);

test.each(["192.0.2.1/33", "2001:db8::/129", "192.0.2.0/", "192.0.2.0/8/8", "example.com", "10.0.0"])(
  "loadConfig() refuses the network %p",
  (entry) => {
    expect(problemsOf(() => load({ PDS_RATE_LIMIT_BYPASS_IPS: `192.0.2.1, ${entry}` }))).toEqual([
      `PDS_RATE_LIMIT_BYPASS_IPS is "192.0.2.1, ${entry}": each entry must be an IP address or a network, such as 192.0.2.1 or 2001:db8::/32`,
    ]);
  },
);

test("loadConfig() takes the pds.env of the official installer without a warning", () => {
  const envFile = temporaryFile("pds.env", INSTALLER_ENV);
  const loaded = loadConfig({ env: {}, envFile });
  expect(loaded.warnings).toEqual([]);
  expect(loaded.config).toMatchObject({ mode: "public", dataFolder: "/pds", blobFolder: "/pds/blocks" });
  expect(loaded.config.secrets.plcRotationKeyHex).toBe(KEY);
  expect(loaded.sources.get("PDS_HOSTNAME")).toBe(`${envFile} line 2`);
});

test("loadConfig() prefers the command line to the environment, and that to the file", () => {
  const envFile = temporaryFile(
    "pds.env",
    "PDS_PORT=1\nLOG_LEVEL=warn\nKITH_OPEN_REPOS_MAX=7\nPATH=/nowhere",
  );
  const { config, sources } = loadConfig({
    env: { PDS_PORT: "2", LOG_LEVEL: "error" },
    envFile,
    overrides: { PDS_PORT: ["3", "--port"] },
  });
  expect(config).toMatchObject({ port: 3, logLevel: "error", openReposMax: 7 });
  expect([sources.get("PDS_PORT"), sources.get("LOG_LEVEL")]).toEqual(["--port", "environment"]);
});

test("loadConfig() says what is wrong with an environment file", () => {
  const envFile = temporaryFile("pds.env", "what is this");
  expect(problemsOf(() => loadConfig({ env: {}, envFile }))).toEqual([
    `The environment file "${envFile}": line 1 is not of the form NAME=VALUE`,
  ]);
  expect(problemsOf(() => loadConfig({ env: {}, envFile: "/nowhere/x.env" }))).toEqual([
    'The environment file "/nowhere/x.env" cannot be read: it does not exist',
  ]);
});

test("loadConfig() reads a secret from the file that NAME_FILE names", () => {
  const path = temporaryFile("jwt", "from-a-file-0123456789\n");
  const { config, sources } = load({ PDS_JWT_SECRET_FILE: path });
  expect(config.secrets.jwtSecret).toBe("from-a-file-0123456789");
  expect(sources.get("PDS_JWT_SECRET")).toBe(`${path} (PDS_JWT_SECRET_FILE)`);
  expect(problemsOf(() => load({ PDS_JWT_SECRET_FILE: path, PDS_JWT_SECRET: "x" }))).toEqual([
    "PDS_JWT_SECRET and PDS_JWT_SECRET_FILE are both set: keep one",
  ]);
  expect(problemsOf(() => load({ PDS_ADMIN_PASSWORD_FILE: "/nowhere/x" }))).toEqual([
    'PDS_ADMIN_PASSWORD_FILE is "/nowhere/x", which cannot be read: it does not exist',
  ]);
});

test("atPort() puts the real port where the dev configuration contains it", () => {
  expect(atPort(load({ PDS_PORT: "0" }).config, 4711)).toMatchObject({
    port: 4711,
    publicUrl: "http://localhost:4711",
    serviceDid: "did:web:localhost%3A4711",
    plcUrl: "http://localhost:4711",
  });
  const own = { PDS_PORT: "0", PDS_SERVICE_DID: "did:web:a.example", PDS_DID_PLC_URL: "http://localhost:1" };
  expect(atPort(load(own).config, 4711)).toMatchObject({
    serviceDid: "did:web:a.example",
    plcUrl: "http://localhost:1",
  });
  expect(atPort(load({ ...HOST, PDS_PORT: "0" }).config, 4711)).toMatchObject({
    publicUrl: "https://pds.example.com",
  });
});

test("printConfig() shows each value with its source, and no secret", () => {
  const text = printConfig(load({ PDS_PORT: "1234", PDS_JWT_SECRET: "a-very-secret-thing" }));
  expect(text).toMatch(/^PDS_PORT +1234 {2}\(environment\)$/m);
  expect(text).toMatch(/^PDS_JWT_SECRET +\[hidden\] {2}\(environment\)$/m);
  expect(text).toMatch(/^PDS_ADMIN_PASSWORD +made on first start.* {2}\(default\)$/m);
  expect(text).toMatch(/^PDS_DID_PLC_URL +http:\/\/localhost:1234 \(built in\) {2}\(default\)$/m);
  expect(text).not.toContain("a-very-secret-thing");
});

test("SETTINGS: a fallback that is a value is the value that holds", () => {
  const printed = printConfig(load({}));
  for (const name of SETTING_NAMES) {
    const { fallback } = settingOf(name);
    if (!/^(\d+|true|false|k256|info|auto)$/.test(fallback)) continue;
    expect(printed).toMatch(new RegExp(`^${name} +${fallback} {2}\\(default\\)$`, "m"));
  }
});

test("exampleEnv() is what examples/kith.env holds; each line is a setting with a valid value", () => {
  const path = join(import.meta.dir, "../../examples/kith.env");
  expect(readFileSync(path, "utf8")).toBe(exampleEnv());
  const uncommented = exampleEnv().replace(/^#((?:PDS|KITH|LOG)_)/gm, "$1");
  const { entries, problems } = parseEnvFile(uncommented);
  expect(problems).toEqual([]);
  expect(entries.map(({ name }) => name)).toEqual(SETTING_NAMES);
  const env = Object.fromEntries(entries.map(({ name, value }) => [name, value]));
  expect(load(env).warnings).toEqual([]);
});

test("SETTINGS, WAITING and REFUSED cover the 93 variables of the reference, each once", () => {
  const names = [...Object.keys(SETTINGS), ...WAITING.keys(), ...REFUSED.keys()];
  expect(new Set(names).size).toBe(names.length);
  const ownOrLog = ["PDS_ACCOUNT_KEY_TYPE"];
  expect(names.filter((name) => name.startsWith("PDS_") && !ownOrLog.includes(name)).length).toBe(93);
});

test("docs/operating.md names only settings that there are", () => {
  const text = readFileSync(join(import.meta.dir, "../../docs/operating.md"), "utf8");
  const known = new Set<string>([...SETTING_NAMES, ...SETTING_NAMES.map((name) => `${name}_FILE`)]);
  const named = [...text.matchAll(/\b(?:PDS|KITH|LOG)_[A-Z0-9_]*[A-Z0-9]\b/g)].map(([name]) => name);
  expect(named.filter((name) => !known.has(name))).toEqual([]);
});
