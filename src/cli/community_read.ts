/** `kith community list`, `show`, `health` and `members`. */
import {
  DevKithCommunityGet,
  DevKithCommunityGetHealth,
  DevKithCommunityList,
  DevKithCommunityListMembers,
} from "../lexicons/mod.ts";
import { EXIT_FAILED, EXIT_OK } from "./command.ts";
import { type MemberClient, MemberError } from "./member_client.ts";
import { memberCommand, tell } from "./member_command.ts";
import { facts, type Row, Table } from "./table.ts";

const PAGE_ENTRIES = 100;

export type Did = `did:${string}:${string}`;

/** What is said of a community of one's own. */
interface CommunityView {
  readonly did: string;
  readonly mode: string;
  readonly hosting?: string;
  readonly handle?: string;
  readonly pdsEndpoint?: string;
  readonly role: string;
  readonly canPublish: boolean;
  readonly createdAt: string;
}

/** The DID of the community that was named: one's own are known by the handles they have there. Throws MemberError. */
export async function communityOf(client: MemberClient, typed: string): Promise<Did> {
  const name = typed.trim().replace(/^@/, "");
  if (name.startsWith("did:")) return name as Did;
  const handle = name.toLowerCase();
  for await (const page of pagesOf(client)) {
    const found = page.find((community) => community.handle?.toLowerCase() === handle);
    if (found) return found.did as Did;
  }
  const { ComAtprotoIdentityResolveHandle } = await import("@atcute/atproto");
  try {
    const params = { handle };
    return (await client.call(ComAtprotoIdentityResolveHandle.mainSchema, { params })).did;
  } catch (error) {
    if (!(error instanceof MemberError) || error.status !== 400) throw error;
    throw new MemberError(`You are in no community "${name}", and the handle leads nowhere`, {
      error: "CommunityNotFound",
      status: 400,
    });
  }
}

async function* pagesOf(client: MemberClient): AsyncGenerator<readonly CommunityView[]> {
  let cursor: string | undefined;
  do {
    const params = { limit: PAGE_ENTRIES, cursor };
    const page = await client.call(DevKithCommunityList.mainSchema, { params });
    yield page.communities as CommunityView[];
    cursor = page.cursor;
  } while (cursor !== undefined);
}

export const listCommand = memberCommand({
  name: "community list",
  summary: "list the communities that you are a member of",
  operands: [],
  run: async ({ client, io, isJson }) => {
    const table = new Table(["DID", "HANDLE", "KIND", "ROLE", "PUBLISH", "SINCE"], io.out);
    for await (const page of pagesOf(client)) {
      if (isJson) io.out(page.map((community) => `${JSON.stringify(community)}\n`).join(""));
      else table.add(page.map(rowOf));
    }
    return EXIT_OK;
  },
});

function rowOf({ did, handle = "-", mode, hosting, role, canPublish, createdAt }: CommunityView): Row {
  return [did, handle, kindOf(mode, hosting), role, canPublish ? "yes" : "no", createdAt.slice(0, 10)];
}

/** As docs/communities.md calls it. */
const HOSTINGS: Readonly<Record<string, string>> = { loopback: "stock", remote: "stock elsewhere" };

function kindOf(mode: string, hosting: string | undefined): string {
  return hosting === undefined ? mode : `${mode}, ${HOSTINGS[hosting] ?? hosting}`;
}

/** One community, a fact a line. */
export function communityFacts({
  did,
  mode,
  hosting,
  handle,
  pdsEndpoint,
  role,
  canPublish,
  createdAt,
}: CommunityView): string {
  return facts([
    ["community", did],
    ["handle", handle],
    ["kind", kindOf(mode, hosting)],
    ["server", pdsEndpoint],
    ["your role", role],
    ["publish", canPublish ? "yes" : "no"],
    ["since", createdAt],
  ]);
}

export const showCommand = memberCommand({
  name: "community show",
  summary: "show a community that you are a member of",
  operands: ["COMMUNITY"],
  run: async (context) => {
    const { client, given } = context;
    const params = { communityDid: await communityOf(client, given.rest[0] ?? "") };
    const community = await client.call(DevKithCommunityGet.mainSchema, { params });
    return tell(context, community, () => communityFacts(community as CommunityView));
  },
});

export const healthCommand = memberCommand({
  name: "community health",
  summary: "see whether this kith can still act for a community; exit code 1 where not",
  operands: ["COMMUNITY"],
  run: async (context) => {
    const { client, given } = context;
    const params = { communityDid: await communityOf(client, given.rest[0] ?? "") };
    const health = await client.call(DevKithCommunityGetHealth.mainSchema, { params });
    const checks = health.checks.map(
      ({ name, ok, message }) =>
        [ok ? "ok" : "FAILED", message === undefined ? name : `${name}: ${message}`] as const,
    );
    tell(context, health, () =>
      facts([
        ["community", params.communityDid],
        ["handle", health.handle],
        ["status", health.status],
        ...checks,
      ]),
    );
    return health.status === "healthy" ? EXIT_OK : EXIT_FAILED;
  },
});

export const membersCommand = memberCommand({
  name: "community members",
  summary: "list the members of a community, their roles, and who may publish",
  operands: ["COMMUNITY"],
  run: async (context) => {
    const { client, given, io, isJson } = context;
    const communityDid = await communityOf(client, given.rest[0] ?? "");
    const table = new Table(["DID", "HANDLE", "ROLE", "PUBLISH", "SINCE"], io.out);
    let cursor: string | undefined;
    do {
      const params = { communityDid, limit: PAGE_ENTRIES, cursor };
      const page = await client.call(DevKithCommunityListMembers.mainSchema, { params });
      if (isJson) io.out(page.members.map((member) => `${JSON.stringify(member)}\n`).join(""));
      else table.add(page.members.map(memberRow));
      cursor = page.cursor;
    } while (cursor !== undefined);
    return EXIT_OK;
  },
});

function memberRow(member: {
  did: string;
  handle?: string;
  role: string;
  canPublish: boolean;
  grantedAt: string;
}): Row {
  const { did, handle = "-", role, canPublish, grantedAt } = member;
  return [did, handle, role, canPublish ? "yes" : "no", grantedAt.slice(0, 10)];
}
