/** `kith community invite create`, `list`, `revoke` and `redeem`. */
import {
  DevKithCommunityInviteCreate,
  DevKithCommunityInviteList,
  DevKithCommunityInviteRedeem,
  DevKithCommunityInviteRevoke,
} from "../lexicons/mod.ts";
import { durationOf } from "./_duration.ts";
import { countOf, textOf, UsageError } from "./admin_command.ts";
import { EXIT_OK } from "./command.ts";
import { ROLES, roleOf } from "./community_change.ts";
import { communityFacts, communityOf } from "./community_read.ts";
import { memberCommand, tell } from "./member_command.ts";
import { facts, type Row, Table } from "./table.ts";

const PAGE_ENTRIES = 100;
const MINUTE_MS = 60_000;

export const inviteCreateCommand = memberCommand({
  name: "community invite create",
  summary: "make an invite: whoever has its text can come in",
  operands: ["COMMUNITY"],
  options: [
    { name: "role", value: "ROLE", help: `${ROLES.join(", ")} (member)` },
    { name: "publish", value: undefined, help: "who comes in by it may publish as the community" },
    { name: "uses", value: "N", help: "how many may come in by it (1)" },
    { name: "expires-in", value: "TIME", help: "how long it is good: 12h, 30d (7 days)" },
  ],
  check: (given) => {
    roleOf(textOf(given, "role") ?? "member");
    countOf(given, "uses", 1);
    durationOf(given, "expires-in", 0);
  },
  run: async (context) => {
    const { given, client, io } = context;
    const communityDid = await communityOf(client, given.rest[0] ?? "");
    const lastsMs = durationOf(given, "expires-in", 0);
    const input = {
      communityDid,
      role: roleOf(textOf(given, "role") ?? "member"),
      canPublish: given.options.publish === true,
      uses: countOf(given, "uses", 1),
      ...(lastsMs === 0 ? {} : { expiresAt: new Date(Date.now() + lastsMs).toISOString() }),
    };
    const answer = await client.call(DevKithCommunityInviteCreate.mainSchema, { input });
    const { id, token, invite } = answer;
    tell(context, answer, () =>
      facts([
        ["invite", token],
        ["id", id],
        ["role", `${invite.role}${invite.canPublish ? ", may publish" : ""}`],
        ["uses", String(invite.uses)],
        ["good until", invite.expiresAt],
      ]),
    );
    io.err(
      "Give the invite to whom it is for: it is told this once. They type: kith community invite redeem INVITE\n",
    );
    return EXIT_OK;
  },
});

interface InviteView {
  readonly id: string;
  readonly role: string;
  readonly canPublish: boolean;
  readonly uses: number;
  readonly used: number;
  readonly expiresAt: string;
  readonly revokedAt?: string;
  readonly valid: boolean;
}

export const inviteListCommand = memberCommand({
  name: "community invite list",
  summary: "list the invites of a community, without their texts",
  operands: ["COMMUNITY"],
  run: async ({ given, client, io, isJson }) => {
    const communityDid = await communityOf(client, given.rest[0] ?? "");
    const table = new Table(["ID", "ROLE", "PUBLISH", "USED", "GOOD UNTIL", "STATE"], io.out);
    let cursor: string | undefined;
    do {
      const params = { communityDid, limit: PAGE_ENTRIES, cursor };
      const page = await client.call(DevKithCommunityInviteList.mainSchema, { params });
      if (isJson) io.out(page.invites.map((invite) => `${JSON.stringify(invite)}\n`).join(""));
      else table.add((page.invites as InviteView[]).map((invite) => rowOf(invite, Date.now())));
      cursor = page.cursor;
    } while (cursor !== undefined);
    return EXIT_OK;
  },
});

function rowOf(invite: InviteView, now: number): Row {
  const { id, role, canPublish, uses, used, expiresAt } = invite;
  const until = `${expiresAt.slice(0, 16).replace("T", " ")} UTC`;
  return [id, role, canPublish ? "yes" : "no", `${used}/${uses}`, until, stateOf(invite, now)];
}

function stateOf({ valid, revokedAt, used, uses, expiresAt }: InviteView, now: number): string {
  if (valid) return "good";
  if (revokedAt !== undefined) return "revoked";
  if (used >= uses) return "used up";
  // A minute's grace: this clock and the server's may differ.
  return Date.parse(expiresAt) <= now + MINUTE_MS ? "expired" : "its maker may not invite any more";
}

export const inviteRevokeCommand = memberCommand({
  name: "community invite revoke",
  summary: "make an invite void",
  operands: ["COMMUNITY", "ID"],
  run: async (context) => {
    const { given, client } = context;
    const [community = "", id = ""] = given.rest;
    const communityDid = await communityOf(client, community);
    await client.call(DevKithCommunityInviteRevoke.mainSchema, { input: { communityDid, id } });
    return tell(context, { communityDid, id }, () => "Nobody comes in by it any more.\n");
  },
});

export const inviteRedeemCommand = memberCommand({
  name: "community invite redeem",
  summary: "come into a community by an invite",
  operands: ["INVITE"],
  run: async (context) => {
    const { given, client } = context;
    const token = (given.rest[0] ?? "").trim();
    if (token === "") throw new UsageError("INVITE is missing");
    const { community } = await client.call(DevKithCommunityInviteRedeem.mainSchema, { input: { token } });
    return tell(context, community, () => communityFacts(community));
  },
});
