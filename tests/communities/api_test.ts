/** Communities by XRPC, on the accounts of this server and through its own stock calls: from making one to its end. */
import { describe, expect, test } from "bun:test";
import { type Account, type Answer, type Call, PASSWORD, repoCar, xrpc } from "../client.ts";
import { describeEvent } from "../firehose.ts";
import { judgeRepo } from "../judges.ts";
import { keyLookup, type Row, testRows, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";
import { type Group, type Hosting, provision, ROOM } from "./group.ts";

const POST = "app.bsky.feed.post";
const INVITES = ".invite.";
const NOTE = "dev.kith.test.note";
/** A method of the invites. */
const invite = (name: string) => `dev.kith.community.invite.${name}`;
const note = (text: string) => ({ $type: NOTE, text });

interface Kind {
  readonly hosting: Hosting;
  readonly keyType: "k256" | "p256";
  readonly kind: "native" | "loopback";
  /** What the firehose tells of its birth. */
  readonly birth: readonly string[];
  readonly death: readonly string[];
}

const KINDS: readonly Kind[] = [
  {
    hosting: "native",
    kind: "native",
    keyType: "p256",
    birth: ["#identity", "#account active", "#commit", "#sync"],
    death: ["#account deleted"],
  },
  {
    hosting: "stock",
    kind: "loopback",
    keyType: "k256",
    birth: ["#account active", "#identity", "#sync"],
    death: [],
  },
];

describe.each([...KINDS])("a community ($kind)", ({ hosting, kind, keyType, birth, death }) => {
  const people: Record<string, Account> = {};
  const holder = useStage({
    keyType,
    env: { ...ROOM },
    onReady: async (stage) => {
      people.alice = stage.alice;
      for (const name of ["bob", "carol", "dave", "eve"]) people[name] = await stage.account(name);
    },
  });
  const who = (name: string): Account => {
    const account = people[name];
    if (!account) throw new Error(`There is no ${name}`);
    return account;
  };
  const as = (name: string, method: string, call: Call = {}): Promise<Answer> =>
    xrpc(holder.stage.url, method.includes(INVITES) ? method : `dev.kith.community.${method}`, {
      token: who(name).accessJwt,
      ...call,
    });
  /** A call that has to be done. */
  const does = async (name: string, method: string, call: Call = {}): Promise<Record<string, unknown>> => {
    const { status, json } = await as(name, method, call);
    expect({ status, json }).toMatchObject({ status: 200 });
    return json;
  };
  const refused = async (answer: Promise<Answer>, status: number, error: string): Promise<string> => {
    const { json, ...rest } = await answer;
    expect({ status: rest.status, error: json.error }).toEqual({ status, error });
    return String(json.message);
  };
  let group: Group;

  test("is made with the caller's key first, and announced", async () => {
    const { stage } = holder;
    const { value, events } = await stage.eventsDuring(() =>
      provision(stage.url, stage.alice, { name: "garden", hosting }),
    );
    group = value;
    const { did, answer, key } = group;
    expect(answer).toMatchObject({
      status: "activated",
      handle: "garden.test",
      pdsEndpoint: stage.url,
      canDo: expect.any(Array),
      cannotDo: expect.any(Array),
    });
    expect(events.map(describeEvent)).toEqual([...birth]);
    const log = await stage.plc.log(did);
    const last = log.at(-1) as { operation: Record<string, unknown> } & Record<string, unknown>;
    const operation = (last.operation ?? last) as Record<string, unknown>;
    expect((operation.rotationKeys as string[])[0]).toBe(key.did());
    expect(operation.alsoKnownAs).toEqual(["at://garden.test"]);
    const document = await stage.plc.document(did);
    expect(document?.service).toEqual([
      { id: "#atproto_pds", type: "AtprotoPersonalDataServer", serviceEndpoint: stage.url },
    ]);
    const resolved = await xrpc(stage.url, "com.atproto.identity.resolveHandle", {
      params: { handle: "garden.test" },
    });
    expect(resolved.json).toEqual({ did });
  });

  test("its account is as its kind says", async () => {
    const { stage } = holder;
    const credentials = group.answer.rootCredentials as { password: string } | undefined;
    const signIn = (password: string) =>
      xrpc(stage.url, "com.atproto.server.createSession", { body: { identifier: "garden.test", password } });
    if (hosting === "native") {
      expect(credentials).toBeUndefined();
      for (const password of ["", PASSWORD]) expect((await signIn(password)).status).toBe(401);
      return;
    }
    const session = await signIn(credentials?.password ?? "");
    expect(session.json).toMatchObject({ did: group.did, active: true });
    const listed = await xrpc(stage.url, "com.atproto.server.listAppPasswords", {
      token: String(session.json.accessJwt),
    });
    const names = (listed.json.passwords as { name: string }[]).map(({ name }) => name);
    expect(names).toEqual([`kith-${group.answer.attemptId}`]);
  });

  test("provision: the same call answers the same community, and tells no password twice", async () => {
    const again = await does("alice", "provision", { body: group.request });
    const { rootCredentials: _, ...first } = group.answer;
    expect(again).toEqual(first);
    const reordered = Object.fromEntries(Object.entries(group.request).reverse());
    expect(await does("alice", "provision", { body: reordered })).toEqual(first);
  });

  test("provision: the same key for another request is a conflict; another caller's key is another's", async () => {
    for (const change of [
      { handle: "other.test" },
      { rotationKey: who("bob").didKey },
      { hosting: hosting === "native" ? "stock" : "native" },
    ]) {
      const body = { ...group.request, ...change };
      await refused(as("alice", "provision", { body }), 409, "IdempotencyConflict");
    }
    await refused(as("alice", "mint", { body: { ...pick(group.request) } }), 409, "IdempotencyConflict");
    // The key of somebody else opens nothing of theirs.
    await refused(as("bob", "provision", { body: group.request }), 400, "HandleNotAvailable");
    await refused(as("bob", "get", { params: { communityDid: group.did } }), 400, "CommunityNotFound");
  });

  test("list, get, getHealth: for its members alone", async () => {
    const { url } = holder.stage;
    const view = {
      did: group.did,
      mode: "provisioned",
      hosting: kind,
      handle: "garden.test",
      pdsEndpoint: url,
      role: "owner",
      canPublish: true,
      createdAt: expect.any(String),
    };
    expect(await does("alice", "list")).toEqual({ communities: [view] });
    expect(await does("alice", "get", { params: { communityDid: group.did } })).toEqual(view);
    expect(await does("bob", "list")).toEqual({ communities: [] });
    const health = await does("alice", "getHealth", { params: { communityDid: group.did } });
    expect(health).toMatchObject({ status: "healthy", handle: "garden.test" });
    expect((health.checks as { ok: boolean }[]).every(({ ok }) => ok)).toBe(true);
    for (const method of ["get", "getHealth", "listMembers", invite("list")]) {
      const params = { communityDid: group.did };
      await refused(as("bob", method, { params }), 400, "CommunityNotFound");
      await refused(
        as("alice", method, { params: { communityDid: who("bob").did } }),
        400,
        "CommunityNotFound",
      );
    }
  });

  describe("publishes", () => {
    const body = (more: Record<string, unknown>) => ({ communityDid: group.did, collection: NOTE, ...more });
    let created: { uri: string; cid: string };
    const rows: readonly Row[] = [
      {
        title: "a new record",
        to: "dev.kith.community.createRecord",
        call: (stage) => ({ token: stage.alice.accessJwt, body: body({ record: note("one") }) }),
        status: 200,
        events: [`#commit create ${NOTE}`],
        check: ({ json }) => {
          created = json as unknown as { uri: string; cid: string };
          expect(created.uri).toStartWith(`at://${group.did}/${NOTE}/`);
        },
      },
      {
        title: "a record at its key",
        to: "dev.kith.community.putRecord",
        call: (stage) => ({ token: stage.alice.accessJwt, body: body({ rkey: "two", record: note("two") }) }),
        status: 200,
        events: [`#commit create ${NOTE}`],
      },
      {
        title: "over the one before",
        to: "dev.kith.community.putRecord",
        call: (stage) => ({
          token: stage.alice.accessJwt,
          body: body({ rkey: "two", record: note("two!") }),
        }),
        status: 200,
        events: [`#commit update ${NOTE}`],
      },
      {
        title: "not over another than was expected",
        to: "dev.kith.community.putRecord",
        call: (stage) => ({
          token: stage.alice.accessJwt,
          body: body({ rkey: "two", record: note("three"), swapRecord: created.cid }),
        }),
        status: 400,
        error: "InvalidSwap",
      },
      {
        title: "not where one is that must not be",
        to: "dev.kith.community.putRecord",
        call: (stage) => ({
          token: stage.alice.accessJwt,
          body: body({ rkey: "two", record: note("three"), swapRecord: null }),
        }),
        status: 400,
        error: "InvalidSwap",
      },
      {
        title: "no record that its lexicon does not have",
        to: "dev.kith.community.createRecord",
        call: (stage) => ({
          token: stage.alice.accessJwt,
          body: body({ collection: POST, record: { $type: POST, text: 1 } }),
        }),
        status: 400,
        error: "InvalidRequest",
      },
      {
        title: "several at once",
        to: "dev.kith.community.applyWrites",
        call: (stage) => ({
          token: stage.alice.accessJwt,
          body: {
            communityDid: group.did,
            writes: [
              write("create", { rkey: "a", value: note("a") }),
              write("update", { rkey: "two", value: note("two again") }),
              write("delete", { rkey: String(created.uri.split("/").at(-1)) }),
            ],
          },
        }),
        status: 200,
        events: [`#commit create ${NOTE}, delete ${NOTE}, update ${NOTE}`],
        check: ({ json }) => {
          const kinds = (json.results as { $type: string }[]).map(({ $type }) => $type.split("#")[1]);
          expect(kinds).toEqual(["createResult", "updateResult", "deleteResult"]);
        },
      },
      {
        title: "all or none",
        to: "dev.kith.community.applyWrites",
        call: (stage) => ({
          token: stage.alice.accessJwt,
          body: {
            communityDid: group.did,
            writes: [write("create", { rkey: "b", value: note("b") }), write("delete", { rkey: "nothing" })],
          },
        }),
        status: 400,
        error: "InvalidRequest",
      },
      {
        title: "the end of a record",
        to: "dev.kith.community.deleteRecord",
        call: (stage) => ({ token: stage.alice.accessJwt, body: body({ rkey: "a" }) }),
        status: 200,
        events: [`#commit delete ${NOTE}`],
      },
    ];
    testRows(holder, rows);

    test("a blob, and a record with it", async () => {
      const bytes = new TextEncoder().encode(`a blob of ${kind}`);
      const { blob } = (await does("alice", "uploadBlob", {
        params: { communityDid: group.did },
        body: bytes,
        headers: { "content-type": "text/plain" },
      })) as { blob: { ref: { $link: string } } };
      expect(blob).toMatchObject({ mimeType: "text/plain", size: bytes.length });
      const record = { $type: "dev.kith.test.file", file: blob };
      const collection = "dev.kith.test.file";
      await does("alice", "putRecord", { body: { communityDid: group.did, collection, rkey: "f", record } });
      const read = await xrpc(holder.stage.url, "com.atproto.sync.getBlob", {
        params: { did: group.did, cid: blob.ref.$link },
      });
      expect(Buffer.from(read.bytes).toString()).toBe(`a blob of ${kind}`);
    });

    test("what judges find in order", async () => {
      const { stage } = holder;
      const didKey = await keyLookup(stage.plc)(group.did);
      const repo = await judgeRepo(await repoCar(stage.url, group.did), group.did, didKey);
      expect([...repo.records.keys()].sort()).toEqual(["dev.kith.test.file/f", `${NOTE}/two`]);
    });
  });

  test("invite, redeem: a second member, who loses nothing by another invite", async () => {
    const made = await does("alice", invite("create"), {
      body: { communityDid: group.did, role: "manager", canPublish: true },
    });
    const { token, id } = made as { token: string; id: string };
    expect(made.invite).toMatchObject({ id, role: "manager", uses: 1, used: 0, valid: true });
    const before = await does("alice", invite("list"), { params: { communityDid: group.did } });
    expect(before.invites).toMatchObject([{ id, valid: true }]);
    expect(JSON.stringify(before)).not.toContain(token);
    const redeemed = await does("bob", invite("redeem"), { body: { token } });
    expect(redeemed.community).toMatchObject({ did: group.did, role: "manager", canPublish: true });
    // Used up: for others no word more than of one that never was.
    const used = await refused(as("carol", invite("redeem"), { body: { token } }), 400, "InvalidInvite");
    const never = await refused(
      as("carol", invite("redeem"), { body: { token: "kith-invite-0000000000" } }),
      400,
      "InvalidInvite",
    );
    expect(used).toBe(never);
    const lower = await does("alice", invite("create"), { body: { communityDid: group.did } });
    const still = await does("bob", invite("redeem"), { body: { token: lower.token } });
    expect(still.community).toMatchObject({ role: "manager", canPublish: true });
    await does("alice", invite("revoke"), { body: { communityDid: group.did, id: lower.id } });
    const revoked = await refused(
      as("carol", invite("redeem"), { body: { token: lower.token } }),
      400,
      "InvalidInvite",
    );
    expect(revoked).toBe(never);
    await refused(
      as("alice", invite("revoke"), { body: { communityDid: group.did, id: lower.id } }),
      400,
      "InvalidInvite",
    );
  });

  test("grant, listMembers: by handle or DID; everybody in it sees who is in it", async () => {
    const { did } = group;
    const carol = await does("bob", "grant", {
      body: { communityDid: did, subject: who("carol").handle, role: "member" },
    });
    expect(carol.member).toMatchObject({
      did: who("carol").did,
      handle: "carol.test",
      role: "member",
      canPublish: false,
      grantedBy: who("bob").did,
    });
    await does("alice", "grant", { body: { communityDid: did, subject: who("dave").did, role: "admin" } });
    const page = await does("carol", "listMembers", { params: { communityDid: did, limit: 3 } });
    const rest = await does("carol", "listMembers", {
      params: { communityDid: did, limit: 3, cursor: String(page.cursor) },
    });
    const members = [...(page.members as { handle: string }[]), ...(rest.members as { handle: string }[])];
    expect(members.map(({ handle }) => handle).sort()).toEqual(
      ["alice", "bob", "carol", "dave"].map((name) => `${name}.test`),
    );
    expect(rest.cursor).toBeUndefined();
  });

  test("roles: what each may not", async () => {
    const { did: communityDid } = group;
    const subject = (name: string) => who(name).did;
    const record = note("no");
    const calls: [string, string, Record<string, unknown>][] = [
      // carol: a member without the right to publish
      ["carol", "createRecord", { collection: NOTE, record }],
      ["carol", "putRecord", { collection: NOTE, rkey: "x", record }],
      ["carol", "deleteRecord", { collection: NOTE, rkey: "two" }],
      ["carol", "applyWrites", { writes: [write("delete", { rkey: "two" })] }],
      ["carol", "grant", { subject: subject("eve"), role: "member" }],
      ["carol", "grant", { subject: subject("carol"), role: "member", canPublish: true }],
      ["carol", "revoke", { subject: subject("bob") }],
      ["carol", "revoke", { subject: subject("eve") }],
      ["carol", invite("create"), {}],
      ["carol", "delete", {}],
      // bob: a manager
      ["bob", "grant", { subject: subject("eve"), role: "manager" }],
      ["bob", "grant", { subject: subject("bob"), role: "admin" }],
      ["bob", "grant", { subject: subject("dave"), role: "member" }],
      ["bob", "revoke", { subject: subject("alice") }],
      ["bob", invite("create"), { role: "admin" }],
      ["bob", "delete", {}],
      // dave: an admin, who may not publish
      ["dave", "createRecord", { collection: NOTE, record }],
      ["dave", "grant", { subject: subject("eve"), role: "owner" }],
      ["dave", "grant", { subject: subject("alice"), role: "member" }],
      ["dave", "revoke", { subject: subject("alice") }],
      ["dave", invite("create"), { role: "owner" }],
      ["dave", "delete", {}],
      ["dave", "reauth", { appPassword: "aaaa-bbbb-cccc-dddd" }],
    ];
    for (const [name, method, input] of calls) {
      await refused(as(name, method, { body: { communityDid, ...input } }), 403, "RoleTooLow");
    }
    await refused(
      as("carol", "uploadBlob", { params: { communityDid }, body: new Uint8Array([1]) }),
      403,
      "RoleTooLow",
    );
    await refused(as("carol", invite("list"), { params: { communityDid } }), 403, "RoleTooLow");
    // eve: nobody to it
    for (const [, method, input] of calls) {
      await refused(as("eve", method, { body: { communityDid, ...input } }), 400, "CommunityNotFound");
    }
    // bob may publish as he was let in with it
    await does("bob", "createRecord", { body: { communityDid, collection: NOTE, record: note("by bob") } });
  });

  test("an invite is void once its creator may not invite any more", async () => {
    const { did: communityDid } = group;
    const { token } = await does("bob", invite("create"), { body: { communityDid, uses: 5 } });
    await does("alice", "grant", { body: { communityDid, subject: who("bob").did, role: "member" } });
    await refused(as("eve", invite("redeem"), { body: { token } }), 400, "InvalidInvite");
    await does("alice", "grant", { body: { communityDid, subject: who("bob").did, role: "manager" } });
    await does("eve", invite("redeem"), { body: { token } });
    await does("eve", "revoke", { body: { communityDid, subject: who("eve").handle } });
    await refused(as("eve", "get", { params: { communityDid } }), 400, "CommunityNotFound");
  });

  test("the last owner stays, whatever way is tried", async () => {
    const { stage } = holder;
    const { did: communityDid } = group;
    const self = { communityDid, subject: who("alice").did };
    await refused(as("alice", "revoke", { body: self }), 400, "LastOwner");
    await refused(as("alice", "grant", { body: { ...self, role: "admin" } }), 400, "LastOwner");
    const { token } = await does("alice", invite("create"), { body: { communityDid } });
    expect((await does("alice", invite("redeem"), { body: { token } })).community).toMatchObject({
      role: "owner",
    });
    const operator = { authorization: `Basic ${btoa("admin:admin-password-of-the-tests")}` };
    const removal = await xrpc(stage.url, "com.atproto.admin.deleteAccount", {
      headers: operator,
      body: { did: who("alice").did },
    });
    expect([removal.status, removal.json.message]).toEqual([400, expect.stringContaining("garden.test")]);
    expect(removal.json.message).toContain("owner first");
  });

  test("handing over: another owner is made, and the first one goes", async () => {
    const { did: communityDid } = group;
    await does("alice", "grant", { body: { communityDid, subject: who("bob").did, role: "owner" } });
    await does("alice", "revoke", { body: { communityDid, subject: who("alice").did } });
    await refused(as("alice", "get", { params: { communityDid } }), 400, "CommunityNotFound");
    expect(await does("alice", "list")).toEqual({ communities: [] });
    await refused(as("alice", "delete", { body: { communityDid } }), 400, "CommunityNotFound");
    await refused(
      as("alice", "createRecord", { body: { communityDid, collection: NOTE, record: note("no") } }),
      400,
      "CommunityNotFound",
    );
  });

  test("delete: by its owner; what is left is told", async () => {
    const { stage } = holder;
    const { did: communityDid } = group;
    const { value, events } = await stage.eventsDuring(() =>
      does("bob", "delete", { body: { communityDid } }),
    );
    const { done, remains } = value as { done: string[]; remains: string[] };
    expect(done.length).toBeGreaterThan(0);
    expect(remains.join(" ")).toContain(group.key.did());
    expect(events.map(describeEvent)).toEqual([...death]);
    await refused(as("bob", "get", { params: { communityDid } }), 400, "CommunityNotFound");
    await refused(as("bob", "delete", { body: { communityDid } }), 400, "CommunityNotFound");
    const again = await refused(
      as("alice", "provision", { body: group.request }),
      409,
      "IdempotencyConflict",
    );
    expect(again).toContain("has been deleted");
    const repo = await xrpc(stage.url, "com.atproto.sync.getRepo", { params: { did: communityDid } });
    expect(repo.status).toBe(hosting === "native" ? 400 : 200);
    if (hosting !== "native") return;
    const isFree = async () =>
      (await as("alice", "provision", { body: { ...group.request, idempotencyKey: "another-key" } }))
        .status === 200;
    await waitFor("the name of a deleted community to be free", isFree);
  });

  test("everything that was told is in the repos, and in order", async () => {
    await holder.stage.judgeAll();
  });
});

function write(
  action: "create" | "update" | "delete",
  more: Record<string, unknown>,
): Record<string, unknown> {
  return { $type: `dev.kith.community.applyWrites#${action}`, collection: NOTE, ...more };
}

/** What of a request to provision mint takes too. */
function pick({ idempotencyKey, rotationKey }: { idempotencyKey: string; rotationKey: string }) {
  return { idempotencyKey, rotationKey };
}
