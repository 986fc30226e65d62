/** `kith community new` and `kith community mint`: the key is made here, the community by the server. */
import { existsSync, readFileSync } from "node:fs";
import { isHandle, type KeyType, parseDidKey } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { DevKithCommunityGet, DevKithCommunityMint, DevKithCommunityProvision } from "../lexicons/mod.ts";
import { originOption } from "./_origin.ts";
import {
  derivedIdempotencyKey,
  makeRotationKey,
  noteCommunity,
  type RotationKey,
  readRotationKey,
} from "./_rotation_key_file.ts";
import { textOf, UsageError } from "./admin_command.ts";
import { type Arguments, type CommandOption, EXIT_FAILED, EXIT_OK } from "./command.ts";
import { MemberClient, MemberError } from "./member_client.ts";
import { hintOf, type MemberContext, memberCommand } from "./member_command.ts";
import { facts, printableLines } from "./table.ts";
import { shellWord } from "./welcome.ts";

/** EX_TEMPFAIL of sysexits.h: the same command goes on with it. */
export const EXIT_UNFINISHED = 75;

export const KEY_TYPE_OPTION: CommandOption = {
  name: "key-type",
  value: "TYPE",
  help: "of the key that is made: P-256 (the default) or K-256",
};
const KEY_OPTIONS: readonly CommandOption[] = [
  {
    name: "key-file",
    value: "FILE",
    help: "where its rotation key is kept (HANDLE.rotation-key): made where it is not there, never overwritten",
  },
  KEY_TYPE_OPTION,
  {
    name: "rotation-key",
    value: "DID_KEY",
    help: "a public key of yours, whose private half is elsewhere; no key is made",
  },
  {
    name: "idempotency-key",
    value: "KEY",
    help: "names the attempt, to go on with one of another client (kept in the key file)",
  },
];
/** Options that the same command needs again; none is a secret of the member. */
const KEPT_OPTIONS = [
  ...["server", "identifier", "host", "pds", "email", "invite-code", "declaration"],
  ...["key-file", "rotation-key", "idempotency-key", "data", "env-file"],
];

export const newCommand = memberCommand({
  name: "community new",
  summary: "make a community with an account, whose identity your own key rules",
  operands: ["HANDLE"],
  options: [
    {
      name: "host",
      value: "KIND",
      help: "native: an account of this kith without a password (the default); stock: one as any server has them",
    },
    {
      name: "pds",
      value: "URL",
      help: "the server of its account, where it is another than this kith (stock)",
    },
    { name: "email", value: "ADDRESS", help: "the account's e-mail address (stock)" },
    { name: "invite-code", value: "CODE", help: "an invite code of the account's server" },
    {
      name: "declaration",
      value: "FILE",
      help: "a first record to publish: JSON with collection, rkey and record, or a record with its $type",
    },
    ...KEY_OPTIONS,
  ],
  check: (given) => {
    checkKeyOptions(given);
    const host = textOf(given, "host");
    if (host !== undefined && host !== "native" && host !== "stock")
      throw new UsageError(`"--host" is native or stock, not "${host}"`);
    const isStock = host === "stock" || textOf(given, "pds") !== undefined;
    if (isStock && textOf(given, "email") === undefined)
      throw new UsageError('an account with a password needs an e-mail address: give "--email ADDRESS"');
    declarationOf(given);
  },
  run: async (context) => {
    const { given, client } = context;
    const handle = await handleOf(context);
    const key = rotationKeyOf(context, { verb: "new", handle });
    const [host, pdsEndpoint, email] = ["host", "pds", "email"].map((name) => textOf(given, name));
    const [inviteCode, declaration] = [textOf(given, "invite-code"), declarationOf(given)];
    const input = {
      ...{ idempotencyKey: key.idempotencyKey, handle, rotationKey: key.didKey },
      ...(host === undefined ? {} : { hosting: host }),
      ...(pdsEndpoint === undefined ? {} : { pdsEndpoint }),
      ...(email === undefined ? {} : { email }),
      ...(inviteCode === undefined ? {} : { inviteCode }),
      ...(declaration === undefined ? {} : { declaration }),
    };
    return await make(context, { verb: "new", key, handle }, () =>
      client.call(DevKithCommunityProvision.mainSchema, { input }),
    );
  },
});

export const mintCommand = memberCommand({
  name: "community mint",
  summary: "make an identity alone, without an account, which only your own key rules",
  operands: ["[HANDLE]"],
  options: KEY_OPTIONS,
  check: checkKeyOptions,
  run: async (context) => {
    const { given, client } = context;
    const handle = given.rest[0] === undefined ? undefined : await handleOf(context);
    const key = rotationKeyOf(context, { verb: "mint", handle });
    const input = {
      ...{ idempotencyKey: key.idempotencyKey, rotationKey: key.didKey },
      ...(handle === undefined ? {} : { handle }),
    };
    return await make(context, { verb: "mint", key, handle }, () =>
      client.call(DevKithCommunityMint.mainSchema, { input }),
    );
  },
});

interface UsedKey {
  readonly didKey: string;
  readonly idempotencyKey: string;
  /** Absent where its private half is not ours to keep. */
  readonly path?: string;
}

function checkKeyOptions(given: Arguments): void {
  const own = textOf(given, "rotation-key");
  if (own === undefined) {
    keyTypeOf(given);
    return;
  }
  const clash = ["key-file", "key-type"].find((name) => given.options[name] !== undefined);
  if (clash !== undefined) throw new UsageError(`"--${clash}" makes no sense with "--rotation-key"`);
  try {
    parseDidKey(own);
  } catch (error) {
    if (!isKithError(error)) throw error;
    throw new UsageError(error.message);
  }
}

/** Throws UsageError. */
export function keyTypeOf(given: Arguments): KeyType {
  const text = textOf(given, "key-type") ?? "P-256";
  const type = text.toLowerCase().replace("-", "");
  if (type === "p256" || type === "k256") return type;
  throw new UsageError(`"--key-type" is P-256 or K-256, not "${text}"`);
}

/** A name without a dot goes under the domain of the account's server. Throws UsageError, MemberError. */
async function handleOf({ given, client }: MemberContext): Promise<string> {
  const pds = originOption("pds", given.options.pds);
  const typed = (given.rest[0] ?? "").trim().replace(/^@/, "").toLowerCase();
  let handle = typed;
  if (typed !== "" && !typed.includes(".")) {
    const { ComAtprotoServerDescribeServer } = await import("@atcute/atproto");
    const home = pds === undefined ? client : new MemberClient(pds);
    const { availableUserDomains } = await home.call(ComAtprotoServerDescribeServer.mainSchema);
    handle = `${typed}${availableUserDomains[0] ?? ""}`;
  }
  if (isHandle(handle)) return handle;
  throw new UsageError(
    `"${handle}" is no handle: it has letters, digits and hyphens, as in club.example.com`,
  );
}

/** The key that will rule the community: of the person's own, of the file, or made now. Throws UsageError, KithError. */
function rotationKeyOf(
  context: MemberContext,
  { verb, handle }: { verb: string; handle: string | undefined },
): UsedKey {
  const { given, io } = context;
  const own = textOf(given, "rotation-key");
  const named = textOf(given, "idempotency-key");
  const derive = (didKey: string) => derivedIdempotencyKey([verb, handle, didKey]);
  if (own !== undefined) return { didKey: own, idempotencyKey: named ?? derive(own) };
  const path = textOf(given, "key-file") ?? `${handle ?? freeName()}.rotation-key`;
  const found = readRotationKey(path);
  if (found !== undefined) refuseForeign(path, { found, handle });
  const key = found ?? makeRotationKey(path, { type: keyTypeOf(given), handle, idempotencyKey: named });
  const words =
    found === undefined
      ? `The rotation key of the community is now in "${path}".\nWhoever has that file rules the community, also against this server: keep it secret, and a copy of it elsewhere.\nNo server gets it, and nobody can restore it.\n`
      : `The rotation key is that of "${path}".\n`;
  io.err(printableLines(words));
  if (key.isOpen) io.err(printableLines(`Others on this machine may read "${path}": chmod 600 it.\n`));
  const kept = key.handle === handle ? key.idempotencyKey : undefined;
  return { didKey: key.didKey, idempotencyKey: named ?? kept ?? derive(key.didKey), path };
}

/** Before an unnamed identity there may be others in the folder. */
function freeName(): string {
  let count = 1;
  while (existsSync(`minted-${count}.rotation-key`)) count++;
  return `minted-${count}`;
}

function refuseForeign(
  path: string,
  { found, handle }: { found: RotationKey; handle: string | undefined },
): void {
  if (found.community === undefined || found.handle === handle) return;
  const of = found.handle === undefined ? found.community : `${found.handle} (${found.community})`;
  throw new UsageError(`the key in "${path}" rules ${of}: name another file with --key-file FILE`);
}

type MadeAnswer = { communityDid?: string; canDo: string[]; cannotDo: string[] } & {
  handle?: string;
  pdsEndpoint?: string;
  rootCredentials?: { handle: string; password: string; recoveryHint: string };
};

interface Making {
  readonly verb: "new" | "mint";
  readonly key: UsedKey;
  readonly handle: string | undefined;
}

async function make(
  context: MemberContext,
  making: Making,
  call: () => Promise<MadeAnswer>,
): Promise<number> {
  let answer: MadeAnswer;
  try {
    answer = await call();
  } catch (error) {
    if (!(error instanceof MemberError)) throw error;
    return explain(context, { ...making, error });
  }
  const { communityDid, rootCredentials } = answer;
  const { key } = making;
  if (rootCredentials === undefined && communityDid !== undefined)
    await requireThere(context, communityDid, key);
  if (
    key.path !== undefined &&
    communityDid !== undefined &&
    readRotationKey(key.path)?.community !== communityDid
  )
    noteCommunity(key.path, communityDid);
  const { io, isJson } = context;
  if (isJson) {
    const { didKey: rotationKey, path: keyFile, idempotencyKey } = key;
    io.out(`${JSON.stringify({ ...answer, rotationKey, keyFile, idempotencyKey })}\n`);
  } else io.out(wordsOf(answer, key));
  return EXIT_OK;
}

/** The answer to an attempt that was finished before is the same, whatever has become of the community since. Throws MemberError. */
async function requireThere(
  { client }: MemberContext,
  communityDid: string,
  { path }: UsedKey,
): Promise<void> {
  try {
    await client.call(DevKithCommunityGet.mainSchema, { params: { communityDid } });
  } catch (error) {
    if (!(error instanceof MemberError) || error.error !== "CommunityNotFound") throw error;
    const other = path === undefined ? "--idempotency-key KEY" : "--key-file FILE";
    throw new MemberError(
      `This was made before, as ${communityDid}, and is no community of yours here any more: for another one give another ${other}`,
      { error: "CommunityNotFound", status: 400 },
    );
  }
}

function wordsOf(answer: MadeAnswer, key: UsedKey): string {
  const { communityDid = "", handle, pdsEndpoint, rootCredentials, canDo, cannotDo } = answer;
  const list = (title: string, items: readonly string[]) =>
    items.length === 0 ? "" : `\n${title}\n${items.map((item) => `  - ${item}\n`).join("")}`;
  const root =
    rootCredentials === undefined
      ? ""
      : `\n${facts([
          ["sign-in name", rootCredentials.handle],
          ["password", rootCredentials.password],
        ])}Write this password down now: it is the account's own. ${rootCredentials.recoveryHint}\n`;
  return `${facts([
    ["community", communityDid],
    ["handle", handle],
    ["server", pdsEndpoint],
    ["rotation key", key.didKey],
    ["kept in", key.path],
  ])}${printableLines(`${root}${list("This kith can:", canDo)}${list("It cannot:", cannotDo)}`)}`;
}

/** Errors after which it is not over. */
const UNFINISHED = ["ProvisioningFailed", "AttemptBusy"];

function explain(
  { given, io, isJson }: MemberContext,
  { error, ...making }: Making & { error: MemberError },
): number {
  const { error: name = "", status, message } = error;
  const { verb, key } = making;
  const isUnfinished =
    UNFINISHED.includes(name) || status === undefined || (status >= 500 && name !== "UpstreamFailure");
  const command = againCommand(given, making);
  const conflict =
    "Another community takes another --key-file FILE (or --idempotency-key KEY). One that is not finished is gone on with by the options that it was begun with.";
  const words = isUnfinished
    ? `It is not finished, and can be gone on with:\n  ${command}\n`
    : name === "IdempotencyConflict"
      ? `${conflict}\n`
      : `No community was made.${key.path === undefined ? "" : ` The key in "${key.path}" rules nothing yet: it is used again with --key-file, or delete the file.`}\n`;
  if (isJson)
    io.out(`${JSON.stringify({ error: name, message, isUnfinished, idempotencyKey: key.idempotencyKey })}\n`);
  const hint = hintOf(error);
  io.err(
    printableLines(`kith community ${verb}: ${message}\n${hint === undefined ? "" : `${hint}\n`}${words}`),
  );
  return isUnfinished ? EXIT_UNFINISHED : EXIT_FAILED;
}

/** What to type to go on. */
function againCommand(given: Arguments, { verb, key, handle }: Making): string {
  const options: Record<string, string | true> = {
    ...given.options,
    ...(key.path === undefined ? {} : { "key-file": key.path }),
  };
  const words = KEPT_OPTIONS.flatMap((name) => {
    const value = options[name];
    return typeof value === "string" ? [`--${name}`, shellWord(value)] : [];
  });
  return ["kith", "community", verb, ...(handle === undefined ? [] : [handle]), ...words].join(" ");
}

/** The record that the new community begins with. Throws UsageError. */
function declarationOf(
  given: Arguments,
):
  | { collection: `${string}.${string}.${string}`; rkey: string; record: Record<string, unknown> }
  | undefined {
  const path = textOf(given, "declaration");
  if (path === undefined) return undefined;
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, "utf8"));
  } catch (error) {
    throw new UsageError(
      `the declaration "${path}" cannot be read: ${error instanceof Error ? error.message : error}`,
    );
  }
  const { $type, collection, rkey = "self", record } = (json ?? {}) as Record<string, unknown>;
  const found =
    typeof record === "object" && typeof collection === "string"
      ? { collection, record }
      : { collection: $type, record: json };
  if (typeof found.collection !== "string" || typeof rkey !== "string" || typeof found.record !== "object")
    throw new UsageError(
      `the declaration "${path}" needs collection, rkey and record, or to be a record with its $type`,
    );
  return {
    collection: found.collection as `${string}.${string}.${string}`,
    rkey: found.record === json ? "self" : rkey,
    record: found.record as Record<string, unknown>,
  };
}
