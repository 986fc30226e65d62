/** What the commands share that call a server as one of its members. */
import { isKithError } from "../errors.ts";
import { untilInterrupted } from "./_interruption.ts";
import { originOption } from "./_origin.ts";
import { createPrompt, type Prompt, PromptEnded } from "./_prompt.ts";
import { textOf, UsageError } from "./admin_command.ts";
import {
  type Arguments,
  type Command,
  type CommandOption,
  DATA_OPTION,
  ENV_FILE_OPTION,
  EXIT_CONFIG,
  EXIT_FAILED,
  EXIT_OK,
  EXIT_USAGE,
  type Io,
} from "./command.ts";
import { loadOrExplain } from "./load_or_explain.ts";
import { MemberClient, MemberError } from "./member_client.ts";
import { printableLines } from "./table.ts";

const MAY_BE_DONE = "What was asked may have been done nevertheless: look before trying again.";
/** How often a person may mistype a password or a code. */
const TRIES_MAX = 3;

export interface MemberContext {
  readonly given: Arguments;
  readonly io: Io;
  readonly client: MemberClient;
  /** The person at the terminal; undefined where nobody sits at one. */
  readonly prompt: Prompt | undefined;
  /** Whether the output is for scripts: one JSON object a line. */
  readonly isJson: boolean;
}

export interface MemberCommandSpec extends Pick<Command, "name" | "summary" | "operands"> {
  readonly options?: readonly CommandOption[];
  /** Looks at what was typed before anybody is asked or called. Throws UsageError. */
  check?(given: Arguments): void;
  /** Resolves to the exit code. Throws UsageError, MemberError, KithError. */
  run(context: MemberContext): Promise<number>;
}

const MEMBER_OPTIONS: readonly CommandOption[] = [
  { name: "server", value: "URL", help: "the kith to call (the one of the settings, or of this machine)" },
  {
    name: "identifier",
    value: "HANDLE",
    help: "who you are there (KITH_IDENTIFIER): a handle, DID or e-mail address",
  },
  {
    name: "password-stdin",
    value: undefined,
    help: "read your password from standard input (or KITH_PASSWORD; otherwise it is asked for)",
  },
  { name: "factor-code", value: "CODE", help: "the code of your second factor, where you have one" },
  { name: "json", value: undefined, help: "print JSON, one object a line, for scripts" },
  DATA_OPTION,
  ENV_FILE_OPTION,
];

/** A command that signs in, calls, and ends the session again. */
export function memberCommand({
  name,
  summary,
  operands,
  options = [],
  check,
  run,
}: MemberCommandSpec): Command {
  const needed = operands.filter((operand) => !operand.startsWith("["));
  return {
    name,
    summary,
    operands,
    options: [...options, ...MEMBER_OPTIONS],
    run: async (given, { io }) => {
      const fail = (message: string, { hint, code }: { hint?: string | undefined; code: number }): number => {
        io.err(printableLines(`kith ${name}: ${message}\n${hint === undefined ? "" : `${hint}\n`}`));
        return code;
      };
      try {
        const missing = needed[given.rest.length];
        if (missing !== undefined) throw new UsageError(`${missing} is missing`);
        check?.(given);
        const url = originOption("server", given.options.server) ?? urlOfSettings(given, io);
        if (url === undefined) return EXIT_CONFIG;
        await using client = new MemberClient(url);
        // The session is ended before the process.
        const close = () => client[Symbol.asyncDispose]();
        using _ = untilInterrupted({ name, io, left: MAY_BE_DONE, close });
        const prompt = io.isTerminal ? createPrompt(process.stdin, io.err) : undefined;
        const context = { given, io, client, prompt, isJson: given.options.json === true };
        await signIn(context);
        return await run(context);
      } catch (error) {
        const usage = `"kith help ${name}" shows how it is used.`;
        if (error instanceof UsageError) return fail(error.message, { hint: usage, code: EXIT_USAGE });
        if (error instanceof MemberError)
          return fail(error.message, { hint: hintOf(error), code: EXIT_FAILED });
        if (error instanceof PromptEnded) return fail("Stopped", { code: EXIT_FAILED });
        if (isKithError(error)) return fail(error.message, { hint: error.hint, code: EXIT_FAILED });
        throw error;
      }
    },
  };
}

function urlOfSettings({ options }: Arguments, io: Io): string | undefined {
  return loadOrExplain({ options, io })?.config.publicUrl;
}

const HINTS: Readonly<Record<string, string>> = {
  AuthFactorTokenRequired: "Give the code of your second factor with --factor-code CODE.",
  CommunityQuotaExceeded:
    "How many there may be is for this kith's operator to say: KITH_COMMUNITIES_PER_MEMBER, KITH_COMMUNITIES_PER_MEMBER_PER_DAY, KITH_COMMUNITIES_PER_DAY. One that is not over is gone on with by the command that began it.",
  HostNotAllowed:
    "The operator of this kith names the servers that are allowed in KITH_COMMUNITY_PDS_ALLOWLIST.",
  InternalServerError: "The log of the server has the details.",
  MethodNotImplemented: "The server is no kith, or one without communities.",
};

/** What to do about a refusal, where that can be told from its name. */
export function hintOf({ error, status }: MemberError): string | undefined {
  if (error !== undefined && Object.hasOwn(HINTS, error)) return HINTS[error];
  if (status === undefined) return "Name the server with --server URL, and see that it runs.";
  return undefined;
}

/** Throws UsageError, MemberError, PromptEnded. */
async function signIn(context: MemberContext): Promise<void> {
  const { given, io, client, prompt } = context;
  const known = textOf(given, "identifier") ?? io.env.KITH_IDENTIFIER;
  const identifier = (known || (await prompt?.line(`Your handle or e-mail address at ${client.url}: `)) || "")
    .trim()
    .replace(/^@/, "");
  if (identifier === "") throw new UsageError("who are you? Give --identifier HANDLE, or KITH_IDENTIFIER");
  let password = await readyPassword(context);
  let code = textOf(given, "factor-code");
  const [hasPassword, question] = [password !== undefined, `Password of "${identifier}" at ${client.url}: `];
  for (let tries = 1; ; tries++) {
    password ??= await prompt?.secret(question);
    if (!password) throw new UsageError("it needs your password: KITH_PASSWORD, or --password-stdin");
    try {
      return await client.signIn({
        identifier,
        password,
        ...(code === undefined ? {} : { authFactorToken: code }),
      });
    } catch (error) {
      if (!(error instanceof MemberError) || prompt === undefined || tries >= TRIES_MAX) throw error;
      if (error.error !== "AuthFactorTokenRequired" && (error.status !== 401 || hasPassword)) throw error;
      if (error.error !== "AuthFactorTokenRequired") password = undefined;
      io.err(printableLines(`${error.message}\n`));
      if (password !== undefined) code = (await prompt.line("Code of your second factor: ")).trim();
    }
  }
}

async function readyPassword({ given, io }: MemberContext): Promise<string | undefined> {
  if (given.options["password-stdin"] !== true) return io.env.KITH_PASSWORD || undefined;
  const [line = ""] = ((await io.readInput?.()) ?? "").split(/\r?\n/);
  if (line === "") throw new UsageError("standard input has no password");
  return line;
}

/** True where the person at the terminal, or `--yes`, says so. Throws UsageError where there is nobody to ask. */
export async function confirmAsMember(
  question: string,
  { given, io, prompt }: Pick<MemberContext, "given" | "io" | "prompt">,
): Promise<boolean> {
  if (given.options.yes === true) return true;
  if (prompt === undefined) throw new UsageError("there is nobody to ask: confirm with --yes");
  const isSure = /^y(es)?$/i.test((await prompt.line(`${question} [y/N] `)).trim());
  if (!isSure) io.err("Nothing was done.\n");
  return isSure;
}

/** For scripts the answer as it is, for people what `text` makes of it. */
export function tell({ io, isJson }: MemberContext, answer: object | undefined, text: () => string): number {
  io.out(isJson ? `${JSON.stringify(answer ?? {})}\n` : text());
  return EXIT_OK;
}
