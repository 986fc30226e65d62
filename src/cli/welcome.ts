import { type Config, VERSION } from "../config/mod.ts";

export interface WelcomeFacts {
  readonly config: Config;
  /** Where the server answers on this machine. */
  readonly url: string;
  readonly made: readonly string[];
  /** Whether dev mode was asked for, or follows from the missing host name. */
  readonly devModeSet: boolean;
  /** What a shell calls this program by. */
  readonly program?: string;
}

/** What `kith serve` says when it is up: where everything is, and the next three things to type. */
export function welcome(facts: WelcomeFacts): string {
  const { config, url, made, devModeSet } = facts;
  const reason = devModeSet ? "PDS_DEV_MODE is true" : "PDS_HOSTNAME is not set";
  const isDev = config.mode === "dev";
  const rows: [string, string][] = [
    ["data folder", config.dataFolder],
    ...(config.blobBucket
      ? [["blobs", `in the bucket "${config.blobBucket.bucket}"`] as [string, string]]
      : []),
    ...(config.blobFolder.startsWith(config.dataFolder)
      ? []
      : [["blob folder", config.blobFolder] as [string, string]]),
    ["server", isDev ? config.publicUrl : `${config.publicUrl}, here at ${url}`],
    ["mode", isDev ? `dev: not visible to the network, because ${reason}` : "public"],
    ["PLC directory", config.plcEmbedded ? `built in, at ${config.plcUrl}` : config.plcUrl],
    ["handles", config.handleDomains.map((domain) => `NAME${domain}`).join(", ")],
    ["mail", mailOf(config)],
    ...(made.length > 0 ? [["made", made.join(", ")] as [string, string]] : []),
  ];
  const width = Math.max(...rows.map(([name]) => name.length));
  const table = rows.map(([name, value]) => `  ${name.padEnd(width)}  ${value}\n`).join("");
  const steps = (isDev ? devSteps(config) : publicSteps(facts)).map(
    ([title, command], index) => `  ${index + 1}. ${title}\n     ${command}\n`,
  );
  const next = made.length > 0 ? `\nNext, in another terminal:\n\n${steps.join("\n")}` : "";
  return `kith ${VERSION}\n\n${table}${next}\n`;
}

function mailOf({ mail, mode, mailFolder }: Config): string {
  if (mail !== undefined) return `sent from ${mail.from}`;
  return mode === "dev"
    ? `kept in ${mailFolder}`
    : 'not sent: PDS_EMAIL_SMTP_URL is not set; "kith account code" makes codes';
}

type Step = readonly [title: string, command: string];
const JSON_TYPE = "-H 'content-type: application/json'";

function devSteps({ publicUrl, handleDomains, inviteRequired }: Config): Step[] {
  const xrpc = `${publicUrl}/xrpc`;
  const handle = `alice${handleDomains[0]}`;
  const login = JSON.stringify({ identifier: handle, password: "correct-horse" });
  const inviteCode = inviteRequired ? "THE-CODE" : undefined;
  const newAccount = JSON.stringify({
    handle,
    email: "alice@example.com",
    password: "correct-horse",
    inviteCode,
  });
  const post = JSON.stringify({
    repo: handle,
    collection: "app.bsky.feed.post",
    record: { $type: "app.bsky.feed.post", text: "Hello from kith", createdAt: "NOW" },
  })
    .replaceAll('"', '\\"')
    .replace("$type", "\\$type")
    .replace("NOW", "$(date -u +%Y-%m-%dT%H:%M:%SZ)");
  const session = `SESSION=$(curl -s ${xrpc}/com.atproto.server.createSession ${JSON_TYPE} -d '${login}')`;
  const token = `${session}; TOKEN=$(echo "$SESSION" | sed -n 's/.*"accessJwt":"\\([^"]*\\)".*/\\1/p')`;
  const account: Step = [
    "Create an account",
    `curl ${xrpc}/com.atproto.server.createAccount ${JSON_TYPE} -d '${newAccount}'`,
  ];
  const write: Step = [
    "Sign in and write a post",
    `${token}; [ -z "$TOKEN" ] && echo "$SESSION" || curl ${xrpc}/com.atproto.repo.createRecord ${JSON_TYPE} -H "authorization: Bearer $TOKEN" -d "${post}"`,
  ];
  if (inviteRequired) return [inviteStep(xrpc), account, write];
  const read = `curl '${xrpc}/com.atproto.repo.listRecords?repo=${handle}&collection=app.bsky.feed.post'`;
  return [account, write, ["Read it back", read]];
}

function publicSteps({ config, url, program = "kith" }: WelcomeFacts): Step[] {
  return [
    ["See that the server answers on this machine", `curl ${url}/xrpc/_health`],
    ["See that DNS, certificate and proxy lead to it", `curl ${config.publicUrl}/xrpc/_health`],
    [
      "Make the first account, with your own address and name (its password is printed; no invite code is needed)",
      `${program} account create you@example.com you --data ${shellWord(config.dataFolder)}`,
    ],
    [
      "Invite others: each code makes one account",
      `${program} invite create --data ${shellWord(config.dataFolder)}`,
    ],
    ...(config.backup.destination === undefined ? [backupStep(program)] : []),
  ];
}

function backupStep(program: string): Step {
  return [
    "Have it backed up: make a key, keep a copy elsewhere, set KITH_BACKUP_KEY_FILE to it and KITH_BACKUP_DESTINATION to a place",
    `(umask 077; ${program} backup new-key > kith-backup.key)`,
  ];
}

/** A word that a shell takes as one. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}

function inviteStep(xrpc: string): Step {
  return [
    "Make an invite code (it asks for the admin password: PDS_ADMIN_PASSWORD, or see secrets.json in the data folder)",
    `curl -u admin ${xrpc}/com.atproto.server.createInviteCode ${JSON_TYPE} -d '{"useCount":1}'`,
  ];
}
