/** `kith account create`. */
import { randomBytes } from "node:crypto";
import { AdminError } from "./admin_client.ts";
import { type AdminContext, adminCommand, textOf, UsageError } from "./admin_command.ts";
import { type CommandOption, EXIT_OK, type Io } from "./command.ts";
import { facts } from "./table.ts";

/** Without 0, 1, l and o, which are taken for one another; 32 of them, so a byte falls on each alike. */
const PASSWORD_CHARS = "23456789abcdefghijkmnpqrstuvwxyz";
const PASSWORD_LENGTH = 20;
const GROUP = /.{5}(?!$)/g;

/** A password of 100 random bits, in groups that a person can read out. `random` is 20 bytes. */
export function formatPassword(random: Uint8Array): string {
  const chars = Array.from(random.subarray(0, PASSWORD_LENGTH), (byte) => PASSWORD_CHARS[byte & 31]);
  return chars.join("").replace(GROUP, "$&-");
}

export const PASSWORD_OPTION: CommandOption = {
  name: "password",
  value: "PASSWORD",
  help: 'instead of one that is made and printed; "-" reads it from standard input',
};

/** The password that was given, or a new one. Throws UsageError. */
export async function passwordOf({ given, io }: Pick<AdminContext, "given" | "io">) {
  const password = textOf(given, "password");
  if (password === undefined) return { password: formatPassword(randomBytes(PASSWORD_LENGTH)), isMade: true };
  if (password !== "-") return { password, isMade: false };
  const [line = ""] = ((await io.readInput?.()) ?? "").split(/\r?\n/);
  if (line === "") throw new UsageError("standard input has no password");
  return { password: line, isMade: false };
}

export const createCommand = adminCommand({
  name: "account create",
  summary: "create an account; its password is made, and printed once",
  operands: ["[EMAIL]", "[HANDLE]"],
  options: [
    {
      name: "handle",
      value: "HANDLE",
      help: "its handle; a name without a dot is put under the server's domain",
    },
    { name: "email", value: "EMAIL", help: "its e-mail address" },
    PASSWORD_OPTION,
    {
      name: "recovery-key",
      value: "DID_KEY",
      help: "a did:key of the owner's, which goes before the server's keys",
    },
  ],
  run: async (context) => {
    const { client, io, isJson, given } = context;
    const { ComAtprotoServerDescribeServer } = await import("@atcute/atproto");
    const { email, name } = await namesOf(context);
    const { password, isMade } = await passwordOf(context);
    const server = await client.call(ComAtprotoServerDescribeServer.mainSchema);
    const handle = name.includes(".") ? name : `${name}${server.availableUserDomains[0] ?? ""}`;
    const recoveryKey = textOf(given, "recovery-key");
    const account = { handle, email, password, ...(recoveryKey === undefined ? {} : { recoveryKey }) };
    const { did, handle: written } = await create(context, account);
    const shown = isMade ? password : undefined;
    if (isJson) io.out(`${JSON.stringify({ did, handle: written, email, password: shown })}\n`);
    else {
      io.out(
        facts([
          ["DID", did],
          ["handle", written],
          ["e-mail", email],
          ["password", shown],
        ]),
      );
      if (isMade) io.err("Write the password down: it is kept nowhere and will not be shown again.\n");
    }
    return EXIT_OK;
  },
});

/** E-mail address and handle, as options (goat) or words (pdsadmin), else asked for. */
async function namesOf({ given, io }: AdminContext): Promise<{ email: string; name: string }> {
  // An address is known by its @, so that the order of the two words does not matter.
  const isEmail = (word: string): boolean => word.indexOf("@") > 0;
  const email = textOf(given, "email") ?? given.rest.find(isEmail) ?? (await ask(io, "E-mail address: "));
  const name =
    textOf(given, "handle") ?? given.rest.find((word) => !isEmail(word)) ?? (await ask(io, "Handle: "));
  if (email === "" || name === "") throw new UsageError("it takes an e-mail address and a handle");
  if (given.rest.length > 0 && !given.rest.every((word) => word === email || word === name)) {
    throw new UsageError(
      `it takes one e-mail address and one handle, not also "${given.rest.find((word) => word !== email && word !== name)}"`,
    );
  }
  return { email, name: name.replace(/^@/, "") };
}

async function ask(io: Io, question: string): Promise<string> {
  return ((await io.ask?.(question)) ?? "").trim();
}

/** The admin needs no invite code, and may use reserved names. */
async function create(
  { client }: AdminContext,
  input: { handle: string; email: string; password: string; recoveryKey?: string },
): Promise<{ did: string; handle: string }> {
  const { ComAtprotoServerCreateAccount, ComAtprotoServerDeleteSession } = await import("@atcute/atproto");
  const made = await client.call(ComAtprotoServerCreateAccount.mainSchema, { input });
  try {
    await client.call(ComAtprotoServerDeleteSession.mainSchema, { token: made.refreshJwt });
  } catch (error) {
    // Nobody has the tokens of the session that came with it: one that stays open does no harm.
    if (!(error instanceof AdminError)) throw error;
  }
  return made;
}
