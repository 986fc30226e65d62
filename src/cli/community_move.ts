/** `kith community key` and `kith community move`: what the owner's key alone does, without any word of the community's server. */
import { join } from "node:path";
import { isKithError, KithError } from "../errors.ts";
import { originOption } from "./_origin.ts";
import { createPrompt, PromptEnded } from "./_prompt.ts";
import { makeRotationKey, readRotationKey, readSigner } from "./_rotation_key_file.ts";
import { textOf, UsageError, YES_OPTION } from "./admin_command.ts";
import {
  type Arguments,
  type Command,
  ENV_FILE_OPTION,
  EXIT_CONFIG,
  EXIT_FAILED,
  EXIT_OK,
  EXIT_USAGE,
  type Io,
} from "./command.ts";
import { KEY_TYPE_OPTION, keyTypeOf } from "./community_new.ts";
import { loadOrExplain } from "./load_or_explain.ts";
import { confirmAsMember } from "./member_command.ts";
import { directoryOf } from "./migrate.ts";
import { facts, printableLines } from "./table.ts";

const SIGNING_PURPOSE = [
  "The line above signs in the name of the account while it moves. It is of no use once the move is done.",
];

export const keyCommand: Command = {
  name: "community key",
  summary: "make a rotation key in a file, or show the public half of one; asks no server",
  operands: ["FILE"],
  options: [KEY_TYPE_OPTION, { name: "json", value: undefined, help: "print one JSON object" }],
  run: (given, { io }) =>
    explained("community key", io, async () => {
      const path = given.rest[0];
      if (path === undefined) throw new UsageError("FILE is missing: where the key is to be kept");
      const found = readRotationKey(path);
      const type = keyTypeOf(given);
      const key = found ?? makeRotationKey(path, { type, handle: undefined, idempotencyKey: undefined });
      if (given.options.json === true) {
        io.out(`${JSON.stringify({ rotationKey: key.didKey, keyFile: path, isNew: found === undefined })}\n`);
        return EXIT_OK;
      }
      io.out(
        facts([
          ["public key", key.didKey],
          ["kept in", path],
        ]),
      );
      if (found === undefined)
        io.err(
          "Only the public key is for others. Keep the file secret, and a copy of it elsewhere: nobody can restore it.\n",
        );
      return EXIT_OK;
    }),
};

export const moveCommand: Command = {
  name: "community move",
  summary:
    "take a community to another server by its rotation key alone, or give a minted identity an account",
  operands: ["COMMUNITY"],
  options: [
    { name: "to", value: "URL", help: "the new server: any PDS" },
    { name: "email", value: "ADDRESS", help: "the account's e-mail address there" },
    { name: "handle", value: "HANDLE", help: "its handle there (the same name under that server's domain)" },
    { name: "invite-code", value: "CODE", help: "an invite code of the new server" },
    { name: "key-file", value: "FILE", help: "the rotation key (COMMUNITY.rotation-key)" },
    { name: "folder", value: "DIR", help: "where what it has published is saved and stays (COMMUNITY.move)" },
    { name: "plc-url", value: "URL", help: "the PLC directory (PDS_DID_PLC_URL)" },
    YES_OPTION,
    ENV_FILE_OPTION,
  ],
  run: (given, { io }) => explained("community move", io, () => move(given, io)),
};

async function move(given: Arguments, io: Io): Promise<number> {
  const name = (given.rest[0] ?? "").trim().replace(/^@/, "");
  if (name === "") throw new UsageError("COMMUNITY is missing");
  const to = originOption("to", given.options.to);
  if (to === undefined) throw new UsageError('where to? Give "--to URL"');
  const email = textOf(given, "email");
  if (email === undefined)
    throw new UsageError('the account there needs an e-mail address: give "--email ADDRESS"');
  const loaded = loadOrExplain({ options: given.options, io });
  if (loaded === undefined) return EXIT_CONFIG;
  const { moveByKey } = await import("../migration/mod.ts");
  const keyFile = textOf(given, "key-file") ?? `${fileNameOf(name)}.rotation-key`;
  const rotation = readSigner(keyFile);
  const did = name.startsWith("did:") ? name : readRotationKey(keyFile)?.community;
  if (did === undefined)
    throw new KithError("invalid_request", `"${keyFile}" does not say which DID it rules`, {
      hint: "Give the community's DID in the place of its handle.",
    });
  const isLocal = to.startsWith("http:");
  const plcUrl = originOption("plc-url", given.options["plc-url"]) ?? directoryOf(loaded, isLocal);
  const folder = textOf(given, "folder") ?? `${fileNameOf(name)}.move`;
  const prompt = io.isTerminal ? createPrompt(process.stdin, io.err) : undefined;
  const question = `Password of the account at ${to} (a new one, which you choose): `;
  let password = io.env.KITH_TARGET_PASSWORD;
  if (!password && prompt === undefined)
    throw new UsageError("the account there needs a password: KITH_TARGET_PASSWORD");
  const say = (text: string) => io.err(printableLines(`${text}\n`));
  const { plc, surroundings } = await networkOf({ plcUrl, isLocal, say });
  const moved = await moveByKey({
    ...{ did, rotation, to, email, folder, plc, surroundings, say, allowHttp: isLocal },
    interim: () => signingKeyIn(folder),
    password: async () => {
      password ||= await prompt?.secret(question);
      if (!password) throw new UsageError("the account there needs a password");
      return password;
    },
    handle: textOf(given, "handle"),
    inviteCode: textOf(given, "invite-code"),
    confirm: (plan) =>
      confirmAsMember(
        plan.from === undefined
          ? `Give ${did} an account at ${to}, as ${plan.handle}?`
          : `Move ${did} from ${plan.from} to ${to}, as ${plan.handle}? From then on ${plan.from} cannot publish as it.`,
        { given, io, prompt },
      ),
  });
  if (moved === undefined) return EXIT_FAILED;
  const { lostBlobs, handle } = moved;
  if (lostBlobs.length > 0) say(`left behind, as they were not to be had: ${lostBlobs.join(", ")}`);
  io.out(
    printableLines(
      `${did} is at ${to} now, as ${handle}: sign in there with the password that you chose.\nTo go on with members and roles, delete the community at the kith that lists it ("kith community delete ${did}"), which leaves the new account alone, and adopt it where you like.\n`,
    ),
  );
  return EXIT_OK;
}

async function networkOf({
  plcUrl,
  isLocal,
  say,
}: {
  plcUrl: string;
  isLocal: boolean;
  say: (text: string) => void;
}) {
  const { createPlcClient, createSafeStream } = await import("../identity/mod.ts");
  return {
    plc: createPlcClient({ url: plcUrl }),
    surroundings: {
      stream: createSafeStream({ allowPrivateNetwork: isLocal }),
      sleep: (ms: number) => Bun.sleep(ms),
      now: Date.now,
      onWait: say,
    },
  };
}

/** The same in every run: the account at the new server may be made by it. */
function signingKeyIn(folder: string) {
  const path = join(folder, "signing-key");
  if (readRotationKey(path) === undefined) {
    const about = { handle: undefined, idempotencyKey: undefined, purpose: SIGNING_PURPOSE };
    makeRotationKey(path, { type: "k256", ...about });
  }
  return readSigner(path);
}

function fileNameOf(name: string): string {
  return name.replace(/[^A-Za-z0-9._-]/g, "_");
}

async function explained(name: string, io: Io, run: () => Promise<number>): Promise<number> {
  const fail = (message: string, code: number, hint?: string): number => {
    io.err(printableLines(`kith ${name}: ${message}\n${hint === undefined ? "" : `${hint}\n`}`));
    return code;
  };
  try {
    return await run();
  } catch (error) {
    const usage = `"kith help ${name}" shows how it is used.`;
    if (error instanceof UsageError) return fail(error.message, EXIT_USAGE, usage);
    if (error instanceof PromptEnded) return fail("Stopped", EXIT_FAILED);
    if (isKithError(error)) return fail(error.message, EXIT_FAILED, error.hint);
    throw error;
  }
}
