/** `kith community adopt`, `reauth`, `delete`, `grant` and `revoke`. */
import {
  DevKithCommunityAdopt,
  DevKithCommunityDelete,
  DevKithCommunityGrant,
  DevKithCommunityReauth,
  DevKithCommunityRevoke,
} from "../lexicons/mod.ts";
import { UsageError, YES_OPTION } from "./admin_command.ts";
import { type CommandOption, EXIT_FAILED } from "./command.ts";
import { communityOf, type Did } from "./community_read.ts";
import { confirmAsMember, type MemberContext, memberCommand, tell } from "./member_command.ts";
import { facts, printableLines } from "./table.ts";

export const ROLES: readonly string[] = ["member", "manager", "admin", "owner"];

/** As servers take it: a DID, or a handle without its @. */
function identifierOf(typed: string): Did {
  return typed.trim().replace(/^@/, "") as Did;
}

function bullets(title: string, items: readonly string[]): string {
  return items.length === 0
    ? ""
    : printableLines(`${title}\n${items.map((item) => `  - ${item}\n`).join("")}`);
}

const OAUTH_OPTION: CommandOption = {
  name: "oauth",
  value: undefined,
  help: "without an app password: print the page on which the account's owner consents",
};

export const adoptCommand = memberCommand({
  name: "community adopt",
  summary: "make an account that is there already a community: by an app password, or its owner's consent",
  operands: ["IDENTIFIER"],
  options: [OAUTH_OPTION],
  run: async (context) => {
    const { given, client } = context;
    const identifier = identifierOf(given.rest[0] ?? "");
    const appPassword = given.options.oauth === true ? undefined : await appPasswordOf(context, identifier);
    const input = { identifier, ...(appPassword === undefined ? {} : { appPassword }) };
    const answer = await client.call(DevKithCommunityAdopt.mainSchema, { input });
    return tell(context, answer, () => {
      const { communityDid, handle, authorizeUrl, canDo, cannotDo } = answer;
      const next =
        authorizeUrl &&
        `${consentWords(authorizeUrl)}
`;
      const known =
        communityDid &&
        `${facts([
          ["community", communityDid],
          ["handle", handle],
        ])}\n`;
      return `${printableLines(next ?? "")}${known ?? ""}${bullets("This kith can:", canDo)}${bullets("It cannot:", cannotDo)}`;
    });
  },
});

function consentWords(authorizeUrl: string): string {
  return `The account's owner has to consent on this page, within a few minutes:\n${authorizeUrl}\n`;
}

/** An app password of an account: of the environment, or asked for. Throws UsageError. */
async function appPasswordOf({ io, prompt }: MemberContext, account: string): Promise<string> {
  const password =
    io.env.KITH_APP_PASSWORD ||
    (await prompt?.secret(`App password of "${account}" (not its main password): `));
  if (!password)
    throw new UsageError(
      "it needs an app password of the account: KITH_APP_PASSWORD, or a terminal to ask at",
    );
  return password;
}

export const reauthCommand = memberCommand({
  name: "community reauth",
  summary:
    "give a community a new app password, or its owner's consent anew, where the one before was revoked",
  operands: ["COMMUNITY"],
  options: [OAUTH_OPTION],
  run: async (context) => {
    const { given, client } = context;
    const [name = ""] = given.rest;
    const communityDid = await communityOf(client, name);
    const appPassword = given.options.oauth === true ? undefined : await appPasswordOf(context, name);
    const input = { communityDid, ...(appPassword === undefined ? {} : { appPassword }) };
    const answer = await client.call(DevKithCommunityReauth.mainSchema, { input });
    const { authorizeUrl } = answer as { authorizeUrl?: string };
    const words = authorizeUrl ? consentWords(authorizeUrl) : `${communityDid} can be published for again.\n`;
    return tell(context, answer, () => printableLines(words));
  },
});

export const deleteCommand = memberCommand({
  name: "community delete",
  summary: "end a community on this kith, as an owner; its DID stays with its rotation keys",
  operands: ["COMMUNITY"],
  options: [YES_OPTION],
  run: async (context) => {
    const { given, client } = context;
    const communityDid = await communityOf(client, given.rest[0] ?? "");
    const question = `Delete the community ${given.rest[0]} (${communityDid})? Where its account is one of this kith, all that it has published goes with it, for good.`;
    if (!(await confirmAsMember(question, context))) return EXIT_FAILED;
    const answer = await client.call(DevKithCommunityDelete.mainSchema, { input: { communityDid } });
    return tell(
      context,
      answer,
      () => `${bullets("Done:", answer.done)}${bullets("What remains:", answer.remains)}`,
    );
  },
});

const PUBLISH_OPTIONS: readonly CommandOption[] = [
  { name: "publish", value: undefined, help: "who may publish as the community" },
  { name: "no-publish", value: undefined, help: "who may not (as before, where neither is given)" },
];

export const grantCommand = memberCommand({
  name: "community grant",
  summary: `let somebody in, or change a role: ${ROLES.join(", ")}`,
  operands: ["COMMUNITY", "DID|HANDLE", "ROLE"],
  options: PUBLISH_OPTIONS,
  check: ({ options, rest }) => {
    if (options.publish === true && options["no-publish"] === true)
      throw new UsageError('"--publish" and "--no-publish" contradict each other');
    roleOf(rest[2] ?? "");
  },
  run: async (context) => {
    const { given, client } = context;
    const [community = "", subject = "", role = ""] = given.rest;
    const communityDid = await communityOf(client, community);
    const { publish, "no-publish": noPublish } = given.options;
    const canPublish = publish === true ? true : noPublish === true ? false : undefined;
    const input = {
      ...{ communityDid, subject: identifierOf(subject), role: roleOf(role) },
      ...(canPublish === undefined ? {} : { canPublish }),
    };
    const answer = await client.call(DevKithCommunityGrant.mainSchema, { input });
    const { did, handle, role: now, canPublish: may } = answer.member;
    const words = `${handle ?? did} is ${now} now, and ${may ? "may" : "may not"} publish.\n`;
    return tell(context, answer.member, () => printableLines(words));
  },
});

/** Throws UsageError. */
export function roleOf(typed: string): string {
  const role = typed.toLowerCase();
  if (ROLES.includes(role)) return role;
  throw new UsageError(`there is no role "${typed}": it is one of ${ROLES.join(", ")}`);
}

export const revokeCommand = memberCommand({
  name: "community revoke",
  summary: "take a member out; members leave by revoking themselves",
  operands: ["COMMUNITY", "DID|HANDLE"],
  run: async (context) => {
    const { given, client } = context;
    const [community = "", typed = ""] = given.rest;
    const communityDid = await communityOf(client, community);
    const subject = identifierOf(typed);
    await client.call(DevKithCommunityRevoke.mainSchema, { input: { communityDid, subject } });
    return tell(context, { communityDid, subject }, () =>
      printableLines(`${subject} is no member any more.\n`),
    );
  },
});
