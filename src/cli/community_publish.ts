/** `kith community publish`, `post` and `upload`: as the community, by who may. */
import { readFileSync } from "node:fs";
import {
  DevKithCommunityCreateRecord,
  DevKithCommunityDeleteRecord,
  DevKithCommunityPutRecord,
  DevKithCommunityUploadBlob,
} from "../lexicons/mod.ts";
import { textOf, UsageError } from "./admin_command.ts";
import { type Arguments, EXIT_OK, type Io } from "./command.ts";
import { communityOf } from "./community_read.ts";
import { type MemberContext, memberCommand, tell } from "./member_command.ts";
import { facts } from "./table.ts";

type Nsid = `${string}.${string}.${string}`;
const POST = "app.bsky.feed.post";

export const publishCommand = memberCommand({
  name: "community publish",
  summary: "write a record (JSON, from a file or standard input) as the community, or delete one",
  operands: ["COMMUNITY", "[FILE]"],
  options: [
    { name: "collection", value: "NSID", help: "where it goes (the record's $type)" },
    {
      name: "rkey",
      value: "KEY",
      help: "its key: writes over the record of that key (without, a new one is made)",
    },
    { name: "create", value: undefined, help: "with --rkey: refuse to write over a record" },
    { name: "delete", value: undefined, help: "delete the record of --collection and --rkey" },
    { name: "no-validate", value: undefined, help: "do not hold the record against its lexicon" },
    {
      name: "swap-record",
      value: "CID",
      help: "only where the record to be replaced or deleted has this CID",
    },
  ],
  check: checkPublish,
  run: async (context) => {
    const { given, client } = context;
    const communityDid = await communityOf(client, given.rest[0] ?? "");
    const { collection, rkey, swap } = targetOf(given);
    if (given.options.delete === true) {
      const input = { communityDid, collection: collection as Nsid, rkey: rkey ?? "", ...swap };
      const answer = await client.call(DevKithCommunityDeleteRecord.mainSchema, { input });
      return tell(context, answer, () => `at://${communityDid}/${collection}/${rkey} is deleted.\n`);
    }
    const record = await recordOf(context);
    const written = {
      communityDid,
      collection: (collection ?? typeOf(record)) as Nsid,
      record: collection === undefined ? record : { $type: collection, ...record },
      ...(given.options["no-validate"] === true ? { validate: false } : {}),
    };
    const isPut = rkey !== undefined && given.options.create !== true;
    const answer = isPut
      ? await client.call(DevKithCommunityPutRecord.mainSchema, { input: { ...written, rkey, ...swap } })
      : await client.call(DevKithCommunityCreateRecord.mainSchema, {
          input: { ...written, ...(rkey === undefined ? {} : { rkey }) },
        });
    return tellWritten(context, answer);
  },
});

function checkPublish(given: Arguments): void {
  const { collection, rkey, swap } = targetOf(given);
  const { options, rest } = given;
  const [isDelete, isCreate] = [options.delete === true, options.create === true];
  if (isDelete && (collection === undefined || rkey === undefined))
    throw new UsageError('"--delete" takes the record by --collection and --rkey');
  if (isDelete && (rest[1] !== undefined || isCreate || options["no-validate"] === true))
    throw new UsageError('"--delete" writes nothing: it takes no file, "--create" or "--no-validate"');
  if (swap !== undefined && (rkey === undefined || isCreate))
    throw new UsageError(
      '"--swap-record" is about a record that is there: give its --rkey, without --create',
    );
  if (!isDelete && isStdin(rest[1]) && options["password-stdin"] === true)
    throw new UsageError(
      "standard input cannot bring both the password and the record: name a file, or set KITH_PASSWORD",
    );
}

function targetOf(given: Arguments) {
  const swapRecord = textOf(given, "swap-record");
  return {
    collection: textOf(given, "collection"),
    rkey: textOf(given, "rkey"),
    swap: swapRecord === undefined ? undefined : { swapRecord },
  };
}

function isStdin(file: string | undefined): boolean {
  return file === undefined || file === "-";
}

async function recordOf({ given, io }: MemberContext): Promise<Record<string, unknown>> {
  const [, file] = given.rest;
  const text = isStdin(file) ? await io.readInput?.() : readText(file ?? "");
  const what = isStdin(file) ? "standard input" : `"${file}"`;
  let json: unknown;
  try {
    json = JSON.parse(text ?? "");
  } catch (error) {
    throw new UsageError(`${what} is no JSON: ${error instanceof Error ? error.message : error}`);
  }
  if (typeof json === "object" && json !== null && !Array.isArray(json))
    return json as Record<string, unknown>;
  throw new UsageError(`${what} is no record: it has to be a JSON object`);
}

function readText(path: string): string {
  return new TextDecoder().decode(readBytes(path));
}

function readBytes(path: string): Uint8Array<ArrayBuffer> {
  try {
    return Uint8Array.from(readFileSync(path));
  } catch (error) {
    throw new UsageError(`"${path}" cannot be read: ${error instanceof Error ? error.message : error}`);
  }
}

function typeOf({ $type }: Record<string, unknown>): string {
  if (typeof $type === "string") return $type;
  throw new UsageError("the record has no $type: say where it goes with --collection NSID");
}

function tellWritten(
  context: MemberContext,
  answer: { uri: string; cid: string; validationStatus?: string },
): number {
  return tell(context, answer, () =>
    facts([
      ["URI", answer.uri],
      ["CID", answer.cid],
      ["validation", answer.validationStatus],
    ]),
  );
}

export const postCommand = memberCommand({
  name: "community post",
  summary: 'write a plain post as the community; "-" reads the text from standard input',
  operands: ["COMMUNITY", "TEXT"],
  options: [
    { name: "lang", value: "LANGS", help: "the language of the text, as in en; several with commas between" },
  ],
  check: ({ rest, options }) => {
    if (rest[1] === "-" && options["password-stdin"] === true)
      throw new UsageError("standard input cannot bring both the password and the text: set KITH_PASSWORD");
  },
  run: async (context) => {
    const { given, client, io } = context;
    const [community = "", typed = ""] = given.rest;
    const text = typed === "-" ? await inputOf(io) : typed;
    if (text.trim() === "") throw new UsageError("the text is empty");
    const communityDid = await communityOf(client, community);
    const langs = textOf(given, "lang")
      ?.split(",")
      .map((lang) => lang.trim());
    const record = { $type: POST, text, createdAt: new Date().toISOString(), ...(langs ? { langs } : {}) };
    const input = { communityDid, collection: POST as Nsid, record };
    return tellWritten(context, await client.call(DevKithCommunityCreateRecord.mainSchema, { input }));
  },
});

async function inputOf(io: Io): Promise<string> {
  return ((await io.readInput?.()) ?? "").trimEnd();
}

export const uploadCommand = memberCommand({
  name: "community upload",
  summary: "upload a file as a blob of the community; prints what a record refers to it by",
  operands: ["COMMUNITY", "FILE"],
  options: [{ name: "type", value: "MEDIA_TYPE", help: "its media type (by the name of the file)" }],
  run: async ({ given, client, io }) => {
    const [community = "", path = ""] = given.rest;
    const type = textOf(given, "type") ?? Bun.file(path).type;
    const bytes = { type, data: readBytes(path) };
    const params = { communityDid: await communityOf(client, community) };
    const { blob } = await client.call(DevKithCommunityUploadBlob.mainSchema, { params, bytes });
    io.out(`${JSON.stringify(blob)}\n`);
    return EXIT_OK;
  },
});
