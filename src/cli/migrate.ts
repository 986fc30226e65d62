/** `kith migrate`: moves an account from one server to another, and goes on where it was cut off. */
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { LoadedConfig } from "../config/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { Move } from "../migration/mod.ts";
import { untilInterrupted } from "./_interruption.ts";
import { createAsker } from "./_migrate_asker.ts";
import { createDisplay, type Display, STEP_WORDS } from "./_migrate_display.ts";
import { originOption } from "./_origin.ts";
import { createPrompt } from "./_prompt.ts";
import {
  type Arguments,
  type Command,
  type CommandContext,
  ENV_FILE_OPTION,
  EXIT_CONFIG,
  EXIT_FAILED,
  EXIT_OK,
  EXIT_USAGE,
  type Io,
} from "./command.ts";
import { loadOrExplain } from "./load_or_explain.ts";
import { printableLines } from "./table.ts";

/** EX_TEMPFAIL of sysexits.h: an answer is needed; the same command goes on with it. */
export const EXIT_UNANSWERED = 75;
const PUBLIC_PLC = "https://plc.directory";
const TIMEOUT_MS = 10_000;
const VERBS = ["in", "out", "status", "abandon"];

export const migrateCommand: Command = {
  name: "migrate",
  summary: "move an account in from another server or out to one, see how far it is, or take it back",
  options: [
    ENV_FILE_OPTION,
    { name: "to", value: "URL", help: "the new server (in: this kith, by its settings)" },
    { name: "from", value: "URL", help: "a server to ask for the DID where the handle leads nowhere" },
    { name: "plc-url", value: "URL", help: "the PLC directory (PDS_DID_PLC_URL)" },
    { name: "handle", value: "HANDLE", help: "the handle at the new server" },
    { name: "email", value: "ADDRESS", help: "the e-mail address at the new server (as at the old one)" },
    { name: "invite-code", value: "CODE", help: "an invite code of the new server" },
    {
      name: "source-password-file",
      value: "FILE",
      help: "the password at the old server (KITH_SOURCE_PASSWORD)",
    },
    {
      name: "target-password-file",
      value: "FILE",
      help: "the password at the new server (KITH_TARGET_PASSWORD)",
    },
    { name: "factor-code", value: "CODE", help: "the sign-in code of the second factor" },
    { name: "plc-code", value: "CODE", help: "the mailed code for the change of identity" },
    { name: "recovery-key", value: "DIDKEY", help: "a key of yours to put first among the rotation keys" },
    { name: "drop-key", value: "DIDKEYS", help: "rotation keys not to keep, with commas between" },
    {
      name: "without-blobs",
      value: undefined,
      help: "leave behind what the old server does not have any more",
    },
    {
      name: "delete-code",
      value: "CODE",
      help: "abandon: the mailed code for deleting the account at the new server",
    },
    { name: "state", value: "FILE", help: "where the move is kept (a file per account in the state folder)" },
    { name: "yes", value: undefined, help: "do not ask before the identity is changed" },
    { name: "json", value: undefined, help: "print one JSON object a line" },
  ],
  operands: ["in|out|status|abandon", "[ACCOUNT]"],
  run: async (given, context) => {
    const [verb = ""] = given.rest;
    if (!VERBS.includes(verb)) {
      context.io.err(
        'kith migrate: it takes "in", "out", "status" or "abandon": kith migrate in alice.example.com\n',
      );
      return EXIT_USAGE;
    }
    return await migrate(verb, { given, context });
  },
};

interface Run {
  readonly given: Arguments;
  readonly context: CommandContext;
}

async function migrate(verb: string, run: Run): Promise<number> {
  const { io } = run.context;
  const display = createDisplay(io, { json: run.given.options.json === true });
  try {
    if (verb === "status") return await status(run, display);
    if (verb === "abandon") return await abandon(run, display);
    return await move(verb as "in" | "out", { ...run, display });
  } catch (error) {
    if (!isKithError(error)) throw error;
    const { isAppPasswordRefusal, Unanswered } = await import("../migration/mod.ts");
    const hint = isAppPasswordRefusal(error)
      ? "An app password cannot move an account: use its password."
      : error.hint;
    if (run.given.options.json === true)
      io.out(`${JSON.stringify({ type: "error", code: error.code, message: error.message, hint })}\n`);
    io.err(printableLines(`kith migrate: ${error.message}\n${hint === undefined ? "" : `${hint}\n`}`));
    return error instanceof Unanswered ? EXIT_UNANSWERED : EXIT_FAILED;
  }
}

async function move(
  verb: "in" | "out",
  { given, context, display }: Run & { display: Display },
): Promise<number> {
  const { MoveFile, runMove } = await import("../migration/mod.ts");
  const { options, rest } = given;
  const existing = await findFile({ given, context });
  const settings = await settingsOf(verb, { given, context }, existing);
  if (settings === undefined) return EXIT_CONFIG;
  const tools = await toolsOf(settings, { given, context, display });
  if (existing !== undefined) {
    using file = MoveFile.open(existing);
    if (file === undefined) throw new KithError("invalid_request", `"${existing}" is gone`);
    if (settings.to !== undefined && settings.to !== file.move.target.url)
      throw new KithError(
        "invalid_request",
        `A move of "${file.move.did}" to "${file.move.target.url}" is under way`,
        {
          hint: '"kith migrate abandon" takes it back.',
        },
      );
    display.say(`Going on with the move of ${file.move.handle} (${file.move.did})`);
    using _ = whileMoving(file, context.io);
    await runMove(file, tools.deps);
    return ended(file.move, display);
  }
  const [, name] = rest;
  if (name === undefined) throw new KithError("invalid_request", "Which account? Give its handle or DID");
  if (settings.to === undefined) throw new KithError("invalid_request", 'Where to? Give "--to URL"');
  const begun = await begin(name, { verb, to: settings.to, settings, tools });
  const path = typeof options.state === "string" ? options.state : defaultPath(context.io, begun.did);
  using file = MoveFile.create(path, begun);
  display.say(`The move is kept in ${path}: run the same command again to go on with it, wherever it stops`);
  using _ = whileMoving(file, context.io);
  await runMove(file, tools.deps);
  return ended(file.move, display);
}

/** Ctrl-C between two questions ends the process at once, which a move bears; it leaves no lock. */
function whileMoving(file: Disposable, io: Io): Disposable {
  const left = "Everything so far is kept: run the same command again to go on.";
  return untilInterrupted({ name: "migrate", io, left, close: () => file[Symbol.dispose]() });
}

function ended({ did, source, target, created }: Move, display: Display): number {
  display.say(`Done: ${created?.handle ?? did} is at ${target.url} now.`);
  display.say(
    `The account at ${source.pds} is deactivated. Sign in at ${target.url} in your apps, with the new password.`,
  );
  return EXIT_OK;
}

type Tools = Awaited<ReturnType<typeof toolsOf>>;

async function begin(
  name: string,
  { verb, to, settings, tools }: { verb: "in" | "out"; to: string; settings: Settings; tools: Tools },
): Promise<Move> {
  const { AccountAtHost, findAccount, newMove } = await import("../migration/mod.ts");
  const { display } = tools;
  const found = await findAccount(name, tools.find);
  display.say(`${found.handle} is ${found.did}, at ${found.pds}`);
  if (found.signIn !== found.pds) display.say(`One signs in for it at ${found.signIn}: ${found.why}`);
  if (found.pds === to) throw new KithError("invalid_request", `The account "${name}" is at "${to}" already`);
  if (verb === "out" && settings.isServer && found.pds !== settings.publicUrl)
    throw new KithError("invalid_request", `The account "${name}" is at "${found.pds}", not at this kith`);
  const target = new AccountAtHost({
    ...tools.deps.surroundings,
    url: to,
    signInUrl: to,
    tokens: undefined,
    onTokens: () => undefined,
    onSessionLost: async () => undefined,
  });
  const { did } = await target.describe();
  const { pds, signIn } = found;
  const { did: account, handle } = found;
  return newMove({ verb, did: account, handle, source: { pds, signIn }, target: { url: to, did } });
}

async function abandon({ given, context }: Run, display: Display): Promise<number> {
  const { MoveFile, abandonMove } = await import("../migration/mod.ts");
  const path = await findFile({ given, context });
  using file = path === undefined ? undefined : MoveFile.open(path);
  if (file === undefined) throw new KithError("invalid_request", "There is no move to abandon");
  const settings = await settingsOf("in", { given, context }, path);
  if (settings === undefined) return EXIT_CONFIG;
  const { deps } = await toolsOf(settings, { given, context, display });
  const { "delete-code": code } = given.options;
  const { target, source } = file.move;
  const { account } = await abandonMove(file, {
    ...deps,
    deleteCode: typeof code === "string" ? code : undefined,
  });
  const fates = {
    none: `There was no account at ${target.url}.`,
    kept: `The account at ${target.url} was there before, and is left as it is.`,
    ending: `The account at ${target.url} is not active, and that server was asked to delete it. If it keeps it, nobody sees it; its operator can delete it.`,
    deleted: `The account that was made at ${target.url} is deleted.`,
  };
  display.say(`The move is taken back. ${fates[account]}`);
  display.say(`The account at ${source.pds} is as it was.`);
  return EXIT_OK;
}

async function status({ given, context }: Run, display: Display): Promise<number> {
  const { canAbandon } = await import("../migration/mod.ts");
  const moves = await keptMoves({ given, context });
  const isJson = given.options.json === true;
  if (moves.length === 0 && !isJson) display.say("No move is under way.");
  for (const { path, move } of moves) {
    const { verb = "in", did, handle, step, source, target } = move;
    const [from, to, mayAbandon] = [source.pds, target.url, canAbandon(step)];
    if (isJson) {
      const shown = { type: "move", verb, did, handle, from, to, step, mayAbandon, path };
      context.io.out(`${JSON.stringify(shown)}\n`);
      continue;
    }
    display.say(`${handle} (${did}) from ${from} to ${to}`);
    display.say(`  next          ${STEP_WORDS[step]}`);
    display.say(`  to go on      kith migrate ${verb} ${handle}`);
    if (mayAbandon) display.say(`  to take back  kith migrate abandon ${handle}`);
    display.say(`  kept in       ${path}`);
  }
  return EXIT_OK;
}

function stateFolder({ env }: Io): string {
  return join(env.XDG_STATE_HOME || join(env.HOME || homedir(), ".local/state"), "kith/migrations");
}

function defaultPath(io: Io, did: string): string {
  return join(stateFolder(io), `${did.replace(/[^A-Za-z0-9._-]/g, "_")}.json`);
}

async function keptMoves({ given, context }: Run): Promise<{ path: string; move: Move }[]> {
  const { readMove } = await import("../migration/mod.ts");
  const { state } = given.options;
  const folder = stateFolder(context.io);
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith(".json")) : [];
  const paths = typeof state === "string" ? [state] : names.map((name) => join(folder, name));
  return paths.flatMap((path) => {
    const move = readMove(path);
    return move === undefined ? [] : [{ path, move }];
  });
}

/** The file of a move that is under way: by its account's names before and after, or the only one there is. */
async function findFile(run: Run): Promise<string | undefined> {
  const moves = await keptMoves(run);
  const [, name] = run.given.rest;
  if (typeof run.given.options.state === "string") return moves[0]?.path;
  const wanted = name?.replace(/^@/, "").toLowerCase();
  const found = moves.filter(
    ({ move: { did, handle, created } }) =>
      wanted === undefined || [did, handle, created?.handle].some((known) => known?.toLowerCase() === wanted),
  );
  if (found.length > 1)
    throw new KithError("invalid_request", "Several moves are under way: name the account");
  return found[0]?.path;
}

interface Settings {
  /** The new server. */
  readonly to: string | undefined;
  readonly publicUrl: string;
  /** Whether the settings are those of a server that the network sees, and not of a member's own computer. */
  readonly isServer: boolean;
  /** A server to ask for the DID of a handle. */
  readonly askAt: string | undefined;
  readonly plcUrl: string;
  /** Servers at http and on private addresses: a kith in dev mode, on this machine. */
  readonly isLocal: boolean;
}

async function settingsOf(
  verb: "in" | "out",
  { given, context }: Run,
  existing: string | undefined,
): Promise<Settings | undefined> {
  const { options } = given;
  const loaded = loadOrExplain({ options, io: context.io });
  if (loaded === undefined) return undefined;
  const { readMove } = await import("../migration/mod.ts");
  const kept = existing === undefined ? undefined : readMove(existing);
  const { publicUrl, mode, dataFolder } = loaded.config;
  const isServer = mode === "public";
  const given_ = originOption("to", options.to);
  const hasKith = isServer || existsSync(dataFolder);
  const to = given_ ?? kept?.target.url ?? (verb === "in" && hasKith ? publicUrl : undefined);
  const from = originOption("from", options.from);
  const isLocal = [to, kept?.source.pds, from].some((url) => url?.startsWith("http:"));
  const askAt = from ?? (verb === "out" && isLocal && hasKith ? publicUrl : undefined);
  const plcUrl = originOption("plc-url", options["plc-url"]) ?? directoryOf(loaded, isLocal);
  return { to, publicUrl, isServer, askAt, plcUrl, isLocal };
}

/** Of a member's own computer, whose settings say nothing, it is the public one. */
export function directoryOf({ config, sources }: LoadedConfig, isLocal: boolean): string {
  return isLocal || sources.has("PDS_DID_PLC_URL") || config.mode === "public" ? config.plcUrl : PUBLIC_PLC;
}

async function toolsOf(
  { plcUrl, isLocal, askAt }: Settings,
  { given, context: { io }, display }: Run & { display: Display },
) {
  const identity = await import("../identity/mod.ts");
  const network = { allowPrivateNetwork: isLocal };
  const safeFetch = identity.createSafeFetch(network);
  const plc = identity.createPlcClient({ url: plcUrl });
  const common = { safeFetch, timeoutMs: TIMEOUT_MS, devMode: isLocal };
  const dids = identity.createDidResolver({ ...common, plc, staleMs: 0, maxMs: 0 });
  const handles = identity.createHandleResolver(common);
  const surroundings = {
    stream: identity.createSafeStream(network),
    sleep: (ms: number) => Bun.sleep(ms),
    now: Date.now,
    onWait: display.note,
  };
  const { options } = given;
  const { "recovery-key": recoveryKey, "drop-key": dropKeys } = options;
  const choices = {
    ...(typeof recoveryKey === "string" ? { recoveryKey } : {}),
    dropKeys: typeof dropKeys === "string" ? dropKeys.split(",").map((key) => key.trim()) : [],
  };
  const prompt = options.json === true || !io.isTerminal ? undefined : createPrompt(process.stdin, io.err);
  const asker = createAsker({ options, io, prompt, show: display.say });
  return {
    display,
    deps: { asker, reporter: display, choices, plc, dids, surroundings },
    find: { ...surroundings, handles, dids, allowHttp: isLocal, ...(askAt === undefined ? {} : { askAt }) },
  };
}
