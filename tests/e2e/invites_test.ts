/** Invite codes: the admin's view of them, members' own, and what switches them off. */
import { describe, expect, test } from "bun:test";
import { AtpAgent } from "@atproto/api";
import { type Account, type Call, createAccount, PASSWORD, xrpc } from "../client.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { waitFor } from "../wait.ts";

const ADMIN = {
  authorization: `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString("base64")}`,
};
const server = (name: string) => `com.atproto.server.${name}`;
const admin = (name: string) => `com.atproto.admin.${name}`;

async function start(env: Record<string, string> = {}) {
  const kith = await TestServer.start({ env });
  const act = (nsid: string, body: unknown) => xrpc(kith.url, nsid, { headers: ADMIN, body });
  const agent = new AtpAgent({ service: kith.url });
  agent.setHeader("authorization", ADMIN.authorization);
  const signUp = async (name: string, inviteCode: string) => {
    const body = { handle: `${name}.test`, email: `${name}@example.com`, password: PASSWORD, inviteCode };
    const { status, error, json } = await xrpc(kith.url, server("createAccount"), { body });
    return { outcome: error ?? status, did: String(json.did), token: String(json.accessJwt) };
  };
  const makeCode = async (body: object = { useCount: 1 }) =>
    String((await act(server("createInviteCode"), body)).json.code);
  return { kith, act, agent: agent.com.atproto, signUp, makeCode };
}

type Code = { code: string; disabled: boolean; available: number; createdBy: string; uses: unknown[] };

async function ownCodes(url: string, token: string, params: Call["params"] = {}) {
  const { status, error, json } = await xrpc(url, server("getAccountInviteCodes"), { token, params });
  return { outcome: error ?? status, codes: (json.codes ?? []) as Code[] };
}

describe("invite codes as the admin sees them", () => {
  test("getInviteCodes pages by age and by use, and the account's view tells who invited whom", async () => {
    const { kith, agent, signUp, makeCode } = await start({ PDS_INVITE_REQUIRED: "true" });
    await using _ = kith;
    const codes: string[] = [];
    for (let n = 0; n < 5; n++) codes.push(await makeCode({ useCount: 3 }));
    const [first = "", second = ""] = codes;
    const one = await signUp("one", second);
    await signUp("two", second);
    const three = await signUp("three", first);
    expect(three.outcome).toBe(200);
    const walk = async (sort: "recent" | "usage") => {
      const seen: { code: string; uses: { usedBy: string }[] }[] = [];
      let cursor: string | undefined;
      do {
        const { data } = await agent.admin.getInviteCodes({ sort, limit: 2, cursor });
        expect(data.codes.length).toBeLessThanOrEqual(2);
        seen.push(...data.codes);
        cursor = data.cursor;
      } while (cursor !== undefined && seen.length < 20);
      return seen;
    };
    const byAge = await walk("recent");
    expect(byAge.map(({ code }) => code).sort()).toEqual([...codes].sort());
    const byUse = await walk("usage");
    expect(byUse.slice(0, 2).map(({ code, uses }) => [code, uses.length])).toEqual([
      [second, 2],
      [first, 1],
    ]);
    expect(byUse).toHaveLength(5);
    const { data } = await agent.admin.getAccountInfo({ did: one.did });
    expect(data.invitedBy).toMatchObject({
      code: second,
      available: 3,
      forAccount: "admin",
      createdBy: "admin",
    });
    expect(data.invitedBy?.uses.map(({ usedBy }) => usedBy)).toContain(one.did);
  });

  test("disableInviteCodes switches codes off, by name and by account, and sign-ups with them", async () => {
    const { kith, act, signUp, makeCode, agent } = await start({ PDS_INVITE_REQUIRED: "true" });
    await using _ = kith;
    const alice = await signUp("alice", await makeCode());
    const [byName, kept] = [await makeCode({ useCount: 5 }), await makeCode()];
    const given = await makeCode({ useCount: 5, forAccount: alice.did });
    const owned = (await ownCodes(kith.url, alice.token)).codes;
    expect(owned.map(({ code, createdBy }) => [code, createdBy])).toEqual([[given, "admin"]]);
    const body = { codes: [byName, "unheard-of"], accounts: [alice.did] };
    expect((await act(admin("disableInviteCodes"), body)).status).toBe(200);
    for (const code of [byName, given]) expect((await signUp("bob", code)).outcome).toBe("InvalidInviteCode");
    expect((await ownCodes(kith.url, alice.token)).codes).toEqual([]);
    const { data } = await agent.admin.getInviteCodes({});
    const disabled = data.codes.filter((code) => code.disabled).map(({ code }) => code);
    expect(disabled.sort()).toEqual([byName, given].sort());
    expect((await signUp("bob", kept)).outcome).toBe(200);
  });

  test("a code of an account that is taken down is of no use", async () => {
    const { kith, act, signUp, makeCode } = await start({ PDS_INVITE_REQUIRED: "true" });
    await using _ = kith;
    const alice = await signUp("alice", await makeCode());
    const given = await makeCode({ useCount: 5, forAccount: alice.did });
    const take = (applied: boolean) => {
      const subject = { $type: "com.atproto.admin.defs#repoRef", did: alice.did };
      return act(admin("updateSubjectStatus"), { subject, takedown: { applied } });
    };
    expect((await take(true)).status).toBe(200);
    expect((await signUp("bob", given)).outcome).toBe("InvalidInviteCode");
    expect((await take(false)).status).toBe(200);
    expect((await signUp("bob", given)).outcome).toBe(200);
  });
});

describe("invite codes of members", () => {
  const earning = { PDS_INVITE_REQUIRED: "true", PDS_INVITE_INTERVAL: "1" };

  test("getAccountInviteCodes makes what has been earned, five open at most", async () => {
    const { kith, signUp, makeCode, agent } = await start(earning);
    await using _ = kith;
    const alice = await signUp("alice", await makeCode());
    const none = await ownCodes(kith.url, alice.token, { createAvailable: false });
    expect(none).toEqual({ outcome: 200, codes: [] });
    // An interval is a millisecond here.
    const asked = await Promise.all([1, 2, 3].map(() => ownCodes(kith.url, alice.token)));
    expect(asked.map(({ outcome }) => outcome)).toEqual([200, 200, 200]);
    const { codes } = await ownCodes(kith.url, alice.token);
    expect(codes).toHaveLength(5);
    for (const code of codes) {
      expect(code).toMatchObject({ available: 1, createdBy: alice.did, forAccount: alice.did } as object);
    }
    const used = codes[0]?.code ?? "";
    expect((await signUp("bob", used)).outcome).toBe(200);
    const open = await ownCodes(kith.url, alice.token, { createAvailable: false, includeUsed: false });
    expect(open.codes).toHaveLength(4);
    const all = await ownCodes(kith.url, alice.token);
    expect([all.codes.length, all.codes.filter(({ uses }) => uses.length === 1).length]).toEqual([6, 1]);
    const { data } = await agent.admin.getAccountInfo({ did: alice.did });
    expect(data.invites).toHaveLength(6);
  });

  test("whose invites are disabled gets none that are of use, until they are enabled", async () => {
    const { kith, signUp, makeCode, act, agent } = await start(earning);
    await using _ = kith;
    const alice = await signUp("alice", await makeCode());
    const switched = async (name: string, note?: string) => {
      expect((await act(admin(name), { account: alice.did, note })).status).toBe(200);
      const { invitesDisabled, inviteNote } = (await agent.admin.getAccountInfo({ did: alice.did })).data;
      return { invitesDisabled, inviteNote };
    };
    expect(await switched("disableAccountInvites", "spam")).toEqual({
      invitesDisabled: true,
      inviteNote: "spam",
    });
    expect((await ownCodes(kith.url, alice.token)).codes).toEqual([]);
    const { data } = await agent.admin.getAccountInfo({ did: alice.did });
    const made = (data.invites ?? []).filter(({ disabled }) => disabled);
    expect(made.length).toBeGreaterThan(0);
    expect((await signUp("bob", made[0]?.code ?? "")).outcome).toBe("InvalidInviteCode");
    expect(await switched("enableAccountInvites")).toEqual({ invitesDisabled: false, inviteNote: undefined });
    await waitFor("codes", async () => (await ownCodes(kith.url, alice.token)).codes.length > 0);
  });

  test.each([
    ["before the epoch", { ...earning, PDS_INVITE_EPOCH: String(Date.now() + 3_600_000) }],
    ["without an interval", { PDS_INVITE_REQUIRED: "true" }],
    ["where nobody needs a code", { ...earning, PDS_INVITE_REQUIRED: "false" }],
  ] as [string, Record<string, string>][])("nothing is earned %s", async (_title, env) => {
    const { kith, signUp, makeCode } = await start(env);
    await using _ = kith;
    const alice = await signUp("alice", await makeCode());
    expect(await ownCodes(kith.url, alice.token)).toEqual({ outcome: 200, codes: [] });
  });

  test("getAccountInviteCodes is for the main password of an active account", async () => {
    await using kith = await TestServer.start();
    const alice: Account = await createAccount(kith.url, "alice");
    const { error } = await xrpc(kith.url, server("getAccountInviteCodes"));
    expect(error).toBe("AuthMissing");
    const made = await xrpc(kith.url, server("createAppPassword"), {
      token: alice.accessJwt,
      body: { name: "phone", privileged: true },
    });
    const session = await xrpc(kith.url, server("createSession"), {
      body: { identifier: alice.handle, password: made.json.password },
    });
    expect((await ownCodes(kith.url, String(session.json.accessJwt))).outcome).toBe("InvalidToken");
    const wrong = await ownCodes(kith.url, alice.accessJwt, { includeUsed: "yes" });
    expect(wrong.outcome).toBe("InvalidRequest");
    await xrpc(kith.url, server("deactivateAccount"), { token: alice.accessJwt, body: {} });
    expect((await ownCodes(kith.url, alice.accessJwt)).outcome).toBe("NotFound");
  });
});
