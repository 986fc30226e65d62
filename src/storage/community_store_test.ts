import { describe, expect, test } from "bun:test";
import { ALICE, BOB, COMMUNITY, GROUP, openCommunityStores } from "./_community_fixture.ts";
import type { NewCommunityInvite } from "./community_invite_store.ts";
import type { Role } from "./community_store.ts";

const CAROL = "did:plc:carol";
const code = (value: string) => expect.objectContaining({ code: value });
const refuse = () => {
  throw new Error("refused");
};

async function withCommunity() {
  const stores = await openCommunityStores();
  await stores.communities.add({ ...COMMUNITY, appPassword: "app", now: 1 });
  const put = (subject: string, role: Role, actor = ALICE) =>
    stores.members.putMember({ community: GROUP, subject, role, canPublish: false, actor, now: 2 });
  return { ...stores, put };
}

const INVITE: NewCommunityInvite = {
  id: "invite-1",
  community: GROUP,
  tokenHash: "hash-1",
  role: "manager",
  canPublish: true,
  uses: 1,
  createdBy: ALICE,
  expiresAt: 1_000,
};

describe("CommunityStore", () => {
  test("adds a community with its owner, once, within the quota of its creator", async () => {
    await using stores = await withCommunity();
    const { communities, members } = stores;
    expect(communities.find(GROUP)).toEqual({ ...COMMUNITY, createdAt: 1 });
    expect(members.member(GROUP, ALICE)).toMatchObject({ role: "owner", canPublish: true });
    await expect(communities.add({ ...COMMUNITY, createdBy: BOB, now: 2 })).rejects.toThrow(
      code("already_exists"),
    );
    const more = communities.add({ ...COMMUNITY, did: "did:plc:more", communitiesMax: 1, now: 2 });
    await expect(more).rejects.toThrow(code("community_quota"));
    expect([communities.countOf(ALICE), communities.countOf(BOB)]).toEqual([1, 0]);
  });

  test("keeps secrets sealed and bound to the community", async () => {
    await using stores = await withCommunity();
    const { communities, hub, keyring } = stores;
    await communities.saveSession(GROUP, { accessJwt: "access", refreshJwt: "refresh" });
    const row = hub.readOne<{ app_password: Uint8Array; session: Uint8Array }>("SELECT * FROM community");
    expect(Buffer.from(row?.session ?? []).includes("refresh")).toBe(false);
    keyring.rotate();
    expect(await communities.resealSecrets()).toBe(1);
    expect(communities.secrets(GROUP)).toEqual({
      appPassword: "app",
      subordinateKey: null,
      session: { accessJwt: "access", refreshJwt: "refresh" },
    });
    await communities.setAppPassword(GROUP, "anew");
    expect(communities.secrets(GROUP)).toMatchObject({ appPassword: "anew", session: null });
    await hub.write((run) => run("UPDATE community SET session = app_password"));
    expect(() => communities.secrets(GROUP)).toThrow(code("storage_damaged"));
    await expect(communities.saveSession("did:plc:no", null)).rejects.toThrow(code("community_not_found"));
    expect(() => communities.secrets("did:plc:no")).toThrow(code("community_not_found"));
  });

  test("lists the communities of a member and forgets one with all that belongs to it", async () => {
    await using stores = await withCommunity();
    const { communities, members, invites, audit, put } = stores;
    await communities.add({ ...COMMUNITY, did: "did:plc:other", createdBy: BOB, now: 1 });
    await put(BOB, "manager");
    await communities.setHandle(GROUP, "new.test");
    const page = communities.listOf(BOB, { limit: 1 });
    expect(page).toMatchObject({
      communities: [{ did: GROUP, handle: "new.test", role: "manager", canPublish: false }],
      cursor: GROUP,
    });
    const rest = communities.listOf(BOB, { limit: 1, cursor: GROUP });
    expect(rest).toMatchObject({ communities: [{ did: "did:plc:other", role: "owner", canPublish: true }] });
    expect(rest.cursor).toBeUndefined();
    await invites.createInvite({ ...INVITE, now: 1 });
    const entry = { community: GROUP, actor: ALICE, action: "community.delete", at: 5 };
    expect(await communities.remove(GROUP, { audit: [entry] })).toBe(true);
    expect(await communities.remove(GROUP, { audit: [entry] })).toBe(false);
    expect(communities.find(GROUP)).toBeUndefined();
    expect(members.members(GROUP, { limit: 9 }).members).toEqual([]);
    expect(invites.invitesOf(GROUP, { limit: 9 }).invites).toEqual([]);
    expect(audit.of(GROUP, { limit: 9 }).entries).toMatchObject([entry]);
  });
});

describe("CommunityMemberStore", () => {
  test("decides a change by what both are when it is made", async () => {
    await using stores = await withCommunity();
    const { members, put } = stores;
    await put(BOB, "admin");
    const found: unknown[] = [];
    const change = { community: GROUP, subject: CAROL, actor: BOB, now: 3 };
    await members.putMember({
      ...change,
      role: "member",
      canPublish: true,
      decide: (given) => found.push(given),
    });
    expect(found).toMatchObject([{ actor: { subject: BOB, role: "admin" }, current: undefined }]);
    expect(members.member(GROUP, CAROL)).toEqual({
      subject: CAROL,
      role: "member",
      canPublish: true,
      grantedBy: BOB,
      grantedAt: 3,
    });
    const refused = members.putMember({ ...change, role: "owner", canPublish: true, decide: refuse });
    await expect(refused).rejects.toThrow("refused");
    await expect(members.removeMember({ ...change, decide: refuse })).rejects.toThrow("refused");
    expect(members.member(GROUP, CAROL)?.role).toBe("member");
    const audit = [{ community: GROUP, actor: BOB, action: "member.revoke", at: 3 }];
    expect(await members.removeMember({ ...change, audit })).toBe(true);
    expect(await members.removeMember({ ...change, audit })).toBe(false);
    expect(stores.audit.of(GROUP, { limit: 9 }).entries).toHaveLength(1);
    const nowhere = members.putMember({
      ...change,
      community: "did:plc:no",
      role: "member",
      canPublish: false,
    });
    await expect(nowhere).rejects.toThrow(code("community_not_found"));
    const page = members.members(GROUP, { limit: 1 });
    expect(page).toMatchObject({ members: [{ subject: ALICE }], cursor: ALICE });
    expect(members.members(GROUP, { limit: 1, cursor: ALICE }).members).toMatchObject([{ subject: BOB }]);
  });

  test("fault 14: the last owner cannot go, by no path", async () => {
    await using stores = await withCommunity();
    const { members, invites, put } = stores;
    await put(BOB, "admin");
    const self = { community: GROUP, subject: ALICE, actor: ALICE, now: 3 };
    await expect(put(ALICE, "admin")).rejects.toThrow(code("last_owner"));
    await expect(members.removeMember(self)).rejects.toThrow(code("last_owner"));
    await expect(members.removeSubject(ALICE)).rejects.toThrow(code("last_owner"));
    await invites.createInvite({ ...INVITE, now: 1 });
    const redeemed = invites.redeem({
      ...{ tokenHash: "hash-1", subject: ALICE, now: 3 },
      decide: () => ({ role: "manager", canPublish: true }),
    });
    await expect(redeemed).rejects.toThrow(code("last_owner"));
    expect(members.soleOwnerOf(ALICE)).toEqual([GROUP]);
    expect(members.member(GROUP, ALICE)?.role).toBe("owner");
    // an owner may stay one, and may be given another right
    await members.putMember({ ...self, role: "owner", canPublish: false });
    await put(BOB, "owner");
    expect(members.soleOwnerOf(ALICE)).toEqual([]);
    const both = await Promise.allSettled([put(ALICE, "member"), put(BOB, "member")]);
    expect(both.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    expect(await members.removeSubject(ALICE)).toBe(1);
  });
});

describe("CommunityInviteStore", () => {
  test("makes, lists and revokes invites, decided within the transaction", async () => {
    await using stores = await withCommunity();
    const { invites, hub } = stores;
    const seen: unknown[] = [];
    const made = await invites.createInvite({ ...INVITE, now: 5, decide: (creator) => seen.push(creator) });
    expect(seen).toMatchObject([{ subject: ALICE, role: "owner" }]);
    expect(made).toMatchObject({ id: "invite-1", used: 0, createdAt: 5, revokedAt: null });
    expect(made).not.toHaveProperty("tokenHash");
    const second = { ...INVITE, id: "invite-2", tokenHash: "hash-2", now: 6 };
    await expect(invites.createInvite({ ...second, decide: refuse })).rejects.toThrow("refused");
    await invites.createInvite(second);
    const page = invites.invitesOf(GROUP, { limit: 1 });
    expect(page).toMatchObject({ invites: [{ id: "invite-2" }], cursor: "6::invite-2" });
    expect(invites.invitesOf(GROUP, { limit: 1, cursor: "6::invite-2" })).toEqual({ invites: [made] });
    expect(() => invites.invitesOf(GROUP, { limit: 1, cursor: "x" })).toThrow(code("invalid_request"));
    const revoke = { community: GROUP, id: "invite-1", actor: BOB, now: 7 };
    await expect(invites.revokeInvite({ ...revoke, decide: refuse })).rejects.toThrow("refused");
    expect(await invites.revokeInvite(revoke)).toBe(true);
    expect(await invites.revokeInvite(revoke)).toBe(false);
    expect(await invites.revokeInvite({ ...revoke, community: "did:plc:other", id: "invite-2" })).toBe(false);
    await expect(invites.createInvite({ ...second, community: "did:plc:no" })).rejects.toThrow(
      code("community_not_found"),
    );
    expect(await invites.prune(8)).toBe(1);
    expect(hub.read("SELECT id FROM community_invite")).toEqual([{ id: "invite-2" }]);
  });

  test("redeems an invite once where it has one use, also of many at once", async () => {
    await using stores = await withCommunity();
    const { invites, members, audit } = stores;
    await invites.createInvite({ ...INVITE, now: 5 });
    const redeem = (subject: string) =>
      invites.redeem({
        ...{ tokenHash: "hash-1", subject, now: 6 },
        decide: ({ invite, creator }) => {
          expect(creator).toMatchObject({ subject: ALICE, role: "owner" });
          if (invite.used >= invite.uses) throw new Error("used");
          return invite;
        },
        audit: ({ invite }) => [
          { community: GROUP, actor: subject, action: "redeem", detail: { id: invite.id }, at: 6 },
        ],
      });
    const all = await Promise.allSettled([redeem(BOB), redeem(CAROL)]);
    expect(all.map(({ status }) => status)).toEqual(["fulfilled", "rejected"]);
    expect(members.member(GROUP, BOB)).toEqual({
      subject: BOB,
      role: "manager",
      canPublish: true,
      grantedBy: ALICE,
      grantedAt: 6,
    });
    expect(members.member(GROUP, CAROL)).toBeUndefined();
    expect(invites.invite(GROUP, "invite-1")?.used).toBe(1);
    expect(audit.of(GROUP, { limit: 9 }).entries).toMatchObject([{ actor: BOB, detail: { id: "invite-1" } }]);
    expect(await invites.prune(6)).toBe(1);
  });

  test("fault 16: an invite is judged by what its creator is when it is redeemed", async () => {
    await using stores = await withCommunity();
    const { invites, members, put } = stores;
    await put(BOB, "admin");
    await invites.createInvite({ ...INVITE, createdBy: BOB, now: 5 });
    const found: unknown[] = [];
    const redeem = () =>
      invites.redeem({
        ...{ tokenHash: "hash-1", subject: CAROL, now: 6 },
        decide: ({ creator }) => {
          found.push(creator?.role);
          throw new Error("void");
        },
      });
    for (const role of ["member", undefined] as const) {
      if (role) await put(BOB, role);
      else await members.removeMember({ community: GROUP, subject: BOB, actor: ALICE, now: 6 });
      await expect(redeem()).rejects.toThrow("void");
    }
    expect(found).toEqual(["member", undefined]);
    expect(members.member(GROUP, CAROL)).toBeUndefined();
  });

  test("spends nothing on who needs no more, and knows no other token", async () => {
    await using stores = await withCommunity();
    const { invites, members } = stores;
    await invites.createInvite({ ...INVITE, now: 5 });
    const redeem = (tokenHash: string, subject: string) =>
      invites.redeem({ tokenHash, subject, now: 6, decide: () => undefined });
    expect(await redeem("hash-1", ALICE)).toMatchObject({
      community: GROUP,
      changed: false,
      member: { role: "owner" },
    });
    expect(await redeem("other", ALICE)).toBeUndefined();
    await expect(redeem("hash-1", BOB)).rejects.toThrow("needs a member");
    expect(invites.invite(GROUP, "invite-1")?.used).toBe(0);
    expect(members.member(GROUP, BOB)).toBeUndefined();
  });
});

test("CommunityAudit pages newest first and forgets what is old", async () => {
  await using stores = await withCommunity();
  const { audit } = stores;
  const entry = { community: GROUP, actor: ALICE, action: "a" };
  await audit.add({ ...entry, at: 1, detail: { role: "owner" } }, { ...entry, action: "b", at: 2 });
  const page = audit.of(GROUP, { limit: 1 });
  expect(page.entries).toMatchObject([{ action: "b", at: 2, attempt: null }]);
  const rest = audit.of(GROUP, { limit: 1, cursor: page.cursor });
  expect(rest).toMatchObject({ entries: [{ action: "a", detail: { role: "owner" } }] });
  expect(audit.of(GROUP, { limit: 1, cursor: "x" }).entries).toEqual([]);
  expect(await audit.prune(2)).toBe(1);
  expect(audit.of(GROUP, { limit: 9 }).entries).toHaveLength(1);
});
