import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { errorOf, openStores, type Stores } from "./_attempts_fixture.ts";
import { CommunityInvites, INVITE_LIFETIME_MS, INVITE_LIFETIME_MS_MAX } from "./invites.ts";
import { Members } from "./members.ts";

const NOW = 1_790_000_000_000;
const [ALICE, BOB, CAROL, DAVE] = ["alice", "bob", "carol", "dave"].map((name) => `did:plc:${name}`) as [
  string,
  string,
  string,
  string,
];

const NOBODY = "did:plc:nobody";

let stores: Stores;
let members: Members;
let invites: CommunityInvites;
/** A new community of alice's for each test. */
let group: string;
let groups = 0;
const clock = { now: NOW };

beforeAll(async () => {
  stores = await openStores();
  const now = () => clock.now;
  const isSomebody = (did: string) => did !== NOBODY;
  members = new Members({ communities: stores.communities, members: stores.members, isSomebody, now });
  invites = new CommunityInvites({ invites: stores.invites, members, now });
});
afterAll(() => stores[Symbol.asyncDispose]());
beforeEach(async () => {
  clock.now = NOW;
  groups += 1;
  group = `did:plc:group${groups}`;
  const native = { mode: "provisioned", kind: "native", pdsEndpoint: "https://pds.test" } as const;
  await stores.communities.add({
    ...{ ...native, did: group, handle: `group${groups}.test`, pdsDid: "did:web:pds.test" },
    ...{ rotationKey: "did:key:z", createdBy: ALICE, now: NOW },
  });
});

const roleOf = (subject: string) => stores.members.member(group, subject)?.role;
const codeOf = async (promise: Promise<unknown>) => (await errorOf(promise)).code;
const grant = (
  caller: string,
  subject: string,
  role: "member" | "manager" | "admin" | "owner",
  canPublish?: boolean,
) => members.grant(group, { caller, subject, role, canPublish });
const revoke = (caller: string, subject: string) => members.revoke(group, { caller, subject });
const invite = (caller: string, more: Partial<Parameters<CommunityInvites["create"]>[1]> = {}) =>
  invites.create(group, { caller, role: "member", canPublish: false, uses: 1, ...more });

describe("Members", () => {
  test("the same words for a community that is not there and for one of others", () => {
    const messages = [group, "did:plc:nobody"].map((did) => {
      try {
        members.require(did, { caller: BOB, right: "see" });
        return "";
      } catch (error) {
        return (error as Error).message.replace(did, "X");
      }
    });
    expect(messages[0]).not.toBe("");
    expect(messages[0]).toBe(messages[1] as string);
  });

  test("each right is of its own", async () => {
    await grant(ALICE, BOB, "manager");
    await grant(ALICE, CAROL, "member", true);
    const may = (caller: string) =>
      (["see", "manage", "publish", "own"] as const).filter((right) => {
        try {
          members.require(group, { caller, right });
          return true;
        } catch {
          return false;
        }
      });
    expect(may(ALICE)).toEqual(["see", "manage", "publish", "own"]);
    expect(may(BOB)).toEqual(["see", "manage"]);
    expect(may(CAROL)).toEqual(["see", "publish"]);
    expect(may(DAVE)).toEqual([]);
  });

  test("grant() keeps the right to publish where it is not named", async () => {
    await grant(ALICE, BOB, "member", true);
    await grant(ALICE, BOB, "manager");
    expect(stores.members.member(group, BOB)).toMatchObject({ role: "manager", canPublish: true });
    await grant(ALICE, BOB, "manager", false);
    expect(stores.members.member(group, BOB)?.canPublish).toBe(false);
  });

  test("nobody grants above their own rank, or changes somebody above", async () => {
    await grant(ALICE, BOB, "manager");
    await grant(ALICE, CAROL, "admin");
    expect(await codeOf(grant(BOB, DAVE, "manager"))).toBe("role_too_low");
    expect(await codeOf(grant(BOB, BOB, "owner"))).toBe("role_too_low");
    expect(await codeOf(grant(BOB, DAVE, "member", true))).toBe("role_too_low");
    expect(await codeOf(grant(CAROL, DAVE, "owner"))).toBe("role_too_low");
    expect(await codeOf(grant(CAROL, ALICE, "member"))).toBe("role_too_low");
    expect(await codeOf(revoke(CAROL, ALICE))).toBe("role_too_low");
    expect(await codeOf(grant(DAVE, DAVE, "member"))).toBe("community_not_found");
  });

  test("who can never act is let in by nobody: they could be the only owner that is left", async () => {
    const other = `${group}other`;
    const shape = {
      mode: "provisioned",
      pdsEndpoint: "https://pds.test",
      pdsDid: "did:web:pds.test",
    } as const;
    const more = { ...shape, handle: null, rotationKey: null, createdBy: ALICE, now: NOW };
    await stores.communities.add({ ...more, did: other, kind: "native" });
    for (const subject of [group, other, NOBODY]) {
      expect(await codeOf(grant(ALICE, subject, "owner"))).toBe("invalid_request");
    }
    await grant(ALICE, BOB, "member");
    expect(await codeOf(grant(BOB, NOBODY, "member"))).toBe("role_too_low");
    const { token } = await invite(ALICE);
    expect(await codeOf(invites.redeem(token, group))).toBe("invalid_invite");
    // One who has become nobody can still be made less, and taken out.
    const right = { role: "manager", canPublish: false } as const;
    await stores.members.putMember({ community: group, subject: NOBODY, actor: ALICE, ...right, now: NOW });
    expect(await grant(ALICE, NOBODY, "member")).toMatchObject({ role: "member" });
    await revoke(ALICE, NOBODY);
  });

  test("the last owner stays, by grant and by revoke; of two, one may go", async () => {
    expect(await codeOf(grant(ALICE, ALICE, "member"))).toBe("last_owner");
    expect(await codeOf(revoke(ALICE, ALICE))).toBe("last_owner");
    await grant(ALICE, BOB, "owner");
    const both = await Promise.allSettled([revoke(ALICE, ALICE), revoke(BOB, BOB)]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    const owners = stores.members.members(group, { limit: 9 }).members.filter(({ role }) => role === "owner");
    expect(owners).toHaveLength(1);
  });

  test("two owners who take each other out at once leave one", async () => {
    await grant(ALICE, BOB, "owner");
    await Promise.allSettled([revoke(ALICE, BOB), revoke(BOB, ALICE)]);
    expect([roleOf(ALICE), roleOf(BOB)].filter((role) => role === "owner")).toHaveLength(1);
  });

  test("revoke() of somebody who is no member changes nothing, for those who may", async () => {
    await revoke(ALICE, DAVE);
    await grant(ALICE, BOB, "member");
    expect(await codeOf(revoke(BOB, DAVE))).toBe("role_too_low");
    await revoke(BOB, BOB);
    expect(roleOf(BOB)).toBeUndefined();
  });

  test("every change is in the audit, with who made it", async () => {
    await grant(ALICE, BOB, "member");
    await revoke(ALICE, BOB);
    const { entries } = stores.audit.of(group, { limit: 9 });
    expect(entries.map(({ action, actor }) => [action, actor]).sort()).toEqual([
      ["member.grant", ALICE],
      ["member.revoke", ALICE],
    ]);
  });
});

describe("CommunityInvites", () => {
  test("an invite lets its finder in as it says, and is used up then", async () => {
    const { token } = await invite(ALICE, { role: "manager", canPublish: true });
    await invites.redeem(token, BOB);
    expect(stores.members.member(group, BOB)).toMatchObject({ role: "manager", canPublish: true });
    expect(await codeOf(invites.redeem(token, CAROL))).toBe("invalid_invite");
  });

  test("fault 14: nobody loses anything by an invite, and it is not spent on them", async () => {
    await grant(ALICE, BOB, "admin", true);
    const { token } = await invite(ALICE);
    for (const subject of [BOB, ALICE]) {
      await invites.redeem(token, subject);
      expect(stores.members.member(group, subject)).toMatchObject({ canPublish: true });
    }
    expect([roleOf(ALICE), roleOf(BOB)]).toEqual(["owner", "admin"]);
    await invites.redeem(token, CAROL);
    expect(roleOf(CAROL)).toBe("member");
  });

  test.each([
    ["manager", "admin", "member"],
    ["admin", "member", "manager"],
    ["member", "manager", "admin"],
  ] as const)(
    "fault 15: of several ways to a role the best counts: %s, %s, %s",
    async (first, second, third) => {
      for (const [i, role] of [first, second, third].entries()) {
        const { token } = await invite(ALICE, { role, canPublish: i === 1 });
        await invites.redeem(token, BOB);
      }
      expect(stores.members.member(group, BOB)).toMatchObject({ role: "admin", canPublish: true });
    },
  );

  test("an invite raises who is less, and gives the right to publish to who has it not", async () => {
    await grant(ALICE, BOB, "manager");
    const { token } = await invite(ALICE, { canPublish: true });
    await invites.redeem(token, BOB);
    expect(stores.members.member(group, BOB)).toMatchObject({ role: "manager", canPublish: true });
  });

  test("it is void while its creator may not give what it gives", async () => {
    await grant(ALICE, BOB, "admin");
    const { token } = await invite(BOB, { role: "admin", uses: 9 });
    await grant(ALICE, BOB, "manager");
    expect(await codeOf(invites.redeem(token, CAROL))).toBe("invalid_invite");
    expect(invites.list(group, { caller: ALICE, limit: 9 }).invites).toMatchObject([{ valid: false }]);
    await revoke(ALICE, BOB);
    expect(await codeOf(invites.redeem(token, CAROL))).toBe("invalid_invite");
    await grant(ALICE, BOB, "admin");
    await invites.redeem(token, CAROL);
    expect(roleOf(CAROL)).toBe("admin");
  });

  test("the last use goes to one of many who come at once", async () => {
    const { token } = await invite(ALICE, { uses: 2 });
    const people = Array.from({ length: 10 }, (_, i) => `did:plc:person${i}`);
    const ends = await Promise.allSettled(people.map((subject) => invites.redeem(token, subject)));
    expect(ends.filter(({ status }) => status === "fulfilled")).toHaveLength(2);
    expect(stores.members.members(group, { limit: 50 }).members).toHaveLength(3);
  });

  test("equal words for what never was, is used up, has ended, was revoked or is void", async () => {
    const spent = await invite(ALICE);
    await invites.redeem(spent.token, BOB);
    const revoked = await invite(ALICE);
    await invites.revoke(group, { caller: ALICE, id: revoked.invite.id });
    await grant(ALICE, CAROL, "manager");
    const orphan = await invite(CAROL);
    await revoke(ALICE, CAROL);
    const late = await invite(ALICE, { expiresAt: NOW + 1_000 });
    clock.now = NOW + 1_000;
    const tokens = ["kith-invite-none", spent.token, revoked.token, orphan.token, late.token];
    const messages = await Promise.all(
      tokens.map(async (token) => (await errorOf(invites.redeem(token, DAVE))).message),
    );
    expect(new Set(messages).size).toBe(1);
    expect(roleOf(DAVE)).toBeUndefined();
  });

  test("an invite is good for a week, and for a year at most", async () => {
    expect((await invite(ALICE)).invite.expiresAt).toBe(NOW + INVITE_LIFETIME_MS);
    for (const expiresAt of [NOW, NOW - 1, NOW + INVITE_LIFETIME_MS_MAX + 1]) {
      expect(await codeOf(invite(ALICE, { expiresAt }))).toBe("invalid_request");
    }
  });

  test("who may make, see and revoke them", async () => {
    await grant(ALICE, BOB, "manager");
    await grant(ALICE, CAROL, "member");
    expect(await codeOf(invite(CAROL))).toBe("role_too_low");
    expect(await codeOf(invite(DAVE))).toBe("community_not_found");
    expect(await codeOf(invite(BOB, { role: "admin" }))).toBe("role_too_low");
    expect(await codeOf(invite(BOB, { canPublish: true }))).toBe("role_too_low");
    const own = await invite(BOB);
    const higher = await invite(ALICE, { role: "owner" });
    expect(await codeOf(invites.revoke(group, { caller: BOB, id: higher.invite.id }))).toBe("role_too_low");
    expect(await codeOf(invites.revoke(group, { caller: CAROL, id: own.invite.id }))).toBe("role_too_low");
    await invites.revoke(group, { caller: BOB, id: own.invite.id });
    expect(await codeOf(invites.revoke(group, { caller: BOB, id: own.invite.id }))).toBe("invalid_invite");
    expect(() => invites.list(group, { caller: CAROL, limit: 9 })).toThrow("Could not manage");
    // One of another community is none of this one.
    const other = `${group}-other`;
    await stores.communities.add({
      ...{ did: other, mode: "minted", kind: null, handle: null, pdsEndpoint: null, pdsDid: null },
      ...{ rotationKey: null, createdBy: DAVE, now: NOW },
    });
    const byDave = await codeOf(invites.revoke(other, { caller: DAVE, id: higher.invite.id }));
    expect(byDave).toBe("invalid_invite");
  });

  test("a new owner by invite is one who can stay when the first goes", async () => {
    const { token } = await invite(ALICE, { role: "owner" });
    await invites.redeem(token, BOB);
    await revoke(ALICE, ALICE);
    expect([roleOf(ALICE), roleOf(BOB)]).toEqual([undefined, "owner"]);
  });
});
