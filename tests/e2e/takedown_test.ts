/** Takedowns: what they hide, from whom, what the owner may still do, and what the network is told. */
import { describe, expect, test } from "bun:test";
import { type Account, type Call, createAccount, createRecord, PASSWORD, xrpc } from "../client.ts";
import { describeEvent } from "../firehose.ts";
import { ADMIN_PASSWORD, KEY_TYPES, TestServer } from "../harness.ts";
import { judgeRepo } from "../judges.ts";
import { type Stage, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const ADMIN = {
  authorization: `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString("base64")}`,
};
const REPO = "com.atproto.admin.defs#repoRef";
const RECORD = "com.atproto.repo.strongRef";
const BLOB = "com.atproto.admin.defs#repoBlobRef";
const NOTE = "dev.kith.test.note";
const note = (text: string) => ({ $type: NOTE, text });
const REPORT_HOST = "did:web:nowhere.example.com";
const sync = (name: string) => `com.atproto.sync.${name}`;
const server = (name: string) => `com.atproto.server.${name}`;

async function update(stage: Stage, body: Record<string, unknown>) {
  const nsid = "com.atproto.admin.updateSubjectStatus";
  const { value, events } = await stage.eventsDuring(() => xrpc(stage.url, nsid, { headers: ADMIN, body }));
  return { status: value.status, error: value.error, json: value.json, events: events.map(describeEvent) };
}

async function statusOf(stage: Stage, params: Call["params"]) {
  const nsid = "com.atproto.admin.getSubjectStatus";
  const { status, json } = await xrpc(stage.url, nsid, { headers: ADMIN, params });
  expect(status).toBe(200);
  return json;
}

const took = (stage: Stage, did: string, takedown: object) =>
  update(stage, { subject: { $type: REPO, did }, takedown });

async function uploadTo(stage: Stage, account: Account, content: string) {
  const body = new TextEncoder().encode(content);
  const headers = { "content-type": "text/plain" };
  return xrpc(stage.url, "com.atproto.repo.uploadBlob", { token: account.accessJwt, body, headers });
}

type BlobRef = { ref: { $link: string } };

async function blobOf(stage: Stage, account: Account, content: string): Promise<BlobRef> {
  const { status, json } = await uploadTo(stage, account, content);
  expect(status).toBe(200);
  return json.blob as BlobRef;
}

const attach = (stage: Stage, account: Account, blob: unknown, rkey: string) =>
  createRecord(stage.url, account, {
    collection: "dev.kith.test.file",
    rkey,
    record: { $type: "dev.kith.test.file", blob },
  });

describe.each([...KEY_TYPES])("the takedown of an account (%s)", (keyType) => {
  const holder = useStage({ keyType });

  const narrowSession = async (stage: Stage, account: Account) => {
    const body = { identifier: account.did, password: PASSWORD, allowTakendown: true };
    const { status, json } = await xrpc(stage.url, server("createSession"), { body });
    expect([status, json.active, json.status]).toEqual([200, false, "takendown"]);
    return { access: String(json.accessJwt), refresh: String(json.refreshJwt) };
  };

  test("hides it from everybody, tells the network, and is undone as it was", async () => {
    const { stage } = holder;
    const { alice } = stage;
    await createRecord(stage.url, alice, { collection: NOTE, rkey: "one", record: note("hello") });
    const taken = await took(stage, alice.did, { applied: true, ref: "case 1" });
    expect(taken).toMatchObject({ status: 200, events: ["#account takendown"] });
    expect(taken.json).toEqual({
      subject: { $type: REPO, did: alice.did },
      takedown: { applied: true, ref: "case 1" },
    });
    expect(await statusOf(stage, { did: alice.did })).toEqual({
      subject: { $type: REPO, did: alice.did },
      takedown: { applied: true, ref: "case 1" },
      deactivated: { applied: false },
    });
    const did = alice.did;
    const hidden: [string, Call["params"], string][] = [
      [sync("getRepo"), { did }, "RepoTakendown"],
      [sync("getCheckout"), { did }, "RepoTakendown"],
      [sync("getHead"), { did }, "RepoTakendown"],
      [sync("getLatestCommit"), { did }, "RepoTakendown"],
      [sync("getRecord"), { did, collection: NOTE, rkey: "one" }, "RepoTakendown"],
      [sync("listBlobs"), { did }, "RepoTakendown"],
      ["com.atproto.repo.getRecord", { repo: did, collection: NOTE, rkey: "one" }, "RecordNotFound"],
      ["com.atproto.repo.listRecords", { repo: did, collection: NOTE }, "InvalidRequest"],
      ["com.atproto.repo.describeRepo", { repo: did }, "RepoTakendown"],
      ["com.atproto.identity.resolveHandle", { handle: alice.handle }, "HandleNotFound"],
    ];
    for (const [nsid, params, error] of hidden) {
      expect([nsid, (await xrpc(stage.url, nsid, { params })).error]).toEqual([nsid, error]);
      if (!nsid.startsWith(sync(""))) continue;
      expect([nsid, (await xrpc(stage.url, nsid, { params, headers: ADMIN })).status]).toEqual([nsid, 200]);
    }
    const repoStatus = await xrpc(stage.url, sync("getRepoStatus"), { params: { did } });
    expect(repoStatus.json).toEqual({ did, active: false, status: "takendown" });

    expect(await took(stage, did, { applied: false })).toMatchObject({
      status: 200,
      events: ["#account active", "#identity", "#sync"],
    });
    expect(await statusOf(stage, { did })).toMatchObject({ takedown: { applied: false } });
    expect((await xrpc(stage.url, sync("getRepo"), { params: { did } })).status).toBe(200);
  });

  test("ends every session for good; only the main password opens a narrow one", async () => {
    const { stage } = holder;
    const bob = await stage.account("bob");
    const phone = await xrpc(stage.url, server("createAppPassword"), {
      token: bob.accessJwt,
      body: { name: "phone", privileged: true },
    });
    const second = Math.floor(Date.now() / 1000);
    await waitFor("the next second", () => Math.floor(Date.now() / 1000) > second);
    await took(stage, bob.did, { applied: true });
    const signIn = async (password: unknown, allowTakendown?: boolean) => {
      const body = { identifier: bob.handle, password, allowTakendown };
      const { status, error } = await xrpc(stage.url, server("createSession"), { body });
      return `${status} ${error}`;
    };
    expect(await signIn(PASSWORD)).toBe("401 AccountTakedown");
    expect(await signIn("wrong", true)).toBe("401 AuthenticationRequired");
    expect(await signIn(phone.json.password, true)).toBe("401 AccountTakedown");
    const session = await narrowSession(stage, bob);
    const refreshOf = async (token: string) =>
      (await xrpc(stage.url, server("refreshSession"), { method: "POST", token })).error;
    expect(await refreshOf(bob.refreshJwt)).toBe("AccountTakedown");
    expect(await refreshOf(session.refresh)).toBe("AccountTakedown");
    for (const token of [bob.accessJwt, session.access]) {
      for (const [nsid, call] of [
        [server("getSession"), {}],
        [server("listAppPasswords"), {}],
        [server("activateAccount"), { method: "POST" }],
        ["com.atproto.repo.createRecord", { body: { repo: bob.did, collection: NOTE, record: note("no") } }],
        ["app.bsky.actor.putPreferences", { body: { preferences: [] } }],
      ] as [string, Call][]) {
        const refused = await xrpc(stage.url, nsid, { ...call, token });
        const expected = token === session.access ? "400 InvalidToken" : "401 AccountTakedown";
        expect([nsid, `${refused.status} ${refused.error}`]).toEqual([nsid, expected]);
      }
    }
    await took(stage, bob.did, { applied: false });
    expect(await refreshOf(bob.refreshJwt)).toBe("ExpiredToken");
    expect(await refreshOf(session.refresh)).toBe("ExpiredToken");
    const after = await xrpc(stage.url, server("getSession"), { token: bob.accessJwt });
    expect(after.error).toBe("ExpiredToken");
    expect(await signIn(PASSWORD)).toBe("200 undefined");
  });

  test("lets the owner carry everything away", async () => {
    const { stage } = holder;
    const carl = await stage.account("carl");
    const blob = await blobOf(stage, carl, "the file of carl");
    await attach(stage, carl, blob, "one");
    const preferences = [{ $type: "app.bsky.actor.defs#adultContentPref", enabled: false }];
    const put = { token: carl.accessJwt, body: { preferences } };
    expect((await xrpc(stage.url, "app.bsky.actor.putPreferences", put)).status).toBe(200);
    await took(stage, carl.did, { applied: true });
    const { access: token } = await narrowSession(stage, carl);
    const { did } = carl;

    const car = await xrpc(stage.url, sync("getRepo"), { token, params: { did } });
    expect(car.status).toBe(200);
    expect((await judgeRepo(car.bytes, did, carl.didKey)).records.size).toBe(1);
    const cids = await xrpc(stage.url, sync("listBlobs"), { token, params: { did } });
    expect(cids.json.cids).toEqual([blob.ref.$link]);
    const got = await xrpc(stage.url, sync("getBlob"), { token, params: { did, cid: blob.ref.$link } });
    expect(new TextDecoder().decode(got.bytes)).toBe("the file of carl");
    const kept = await xrpc(stage.url, "app.bsky.actor.getPreferences", { token });
    expect(kept.json.preferences).toEqual(preferences as never);

    const serviceAuth = async (lxm: string) => {
      const params = { aud: "did:web:new.example.com", lxm };
      return (await xrpc(stage.url, server("getServiceAuth"), { token, params })).status;
    };
    expect(await serviceAuth(server("createAccount"))).toBe(200);
    expect(await serviceAuth("com.atproto.repo.uploadBlob")).toBe(400);
    // It goes on to a service that nobody has set up here: what matters is that the session is taken.
    const report = await xrpc(stage.url, "com.atproto.moderation.createReport", {
      token,
      body: { reasonType: "com.atproto.moderation.defs#reasonAppeal", subject: { $type: REPO, did } },
      headers: { "atproto-proxy": `${REPORT_HOST}#atproto_labeler` },
    });
    expect(report.error).not.toBe("AccountTakedown");
    expect(report.error).not.toBe("InvalidToken");

    const { value, events } = await stage.eventsDuring(() =>
      xrpc(stage.url, server("deactivateAccount"), { token, body: {} }),
    );
    expect([value.status, events.map(describeEvent)]).toEqual([200, ["#account takendown"]]);
    expect(await statusOf(stage, { did })).toMatchObject({
      takedown: { applied: true },
      deactivated: { applied: true },
    });
    expect(await took(stage, did, { applied: false })).toMatchObject({ events: ["#account deactivated"] });
    expect(await statusOf(stage, { did })).toMatchObject({
      takedown: { applied: false },
      deactivated: { applied: true },
    });
  });

  test("a takedown of what its owner has deactivated gives it back so, and does not activate it", async () => {
    const { stage } = holder;
    const dora = await stage.account("dora");
    const { did } = dora;
    const subject = { $type: REPO, did };
    const off = await update(stage, { subject, deactivated: { applied: true } });
    expect(off).toMatchObject({ status: 200, events: ["#account deactivated"] });
    expect(off.json).toEqual({ subject } as never);
    expect((await took(stage, did, { applied: true })).events).toEqual(["#account takendown"]);
    const refused = await update(stage, { subject, deactivated: { applied: false } });
    expect([refused.status, refused.error, refused.events]).toEqual([400, "InvalidRequest", []]);
    expect((await took(stage, did, { applied: false })).events).toEqual(["#account deactivated"]);
    const on = await update(stage, { subject, deactivated: { applied: false } });
    expect(on.events).toEqual(["#account active", "#identity", "#sync"]);
  });

  test("the firehose of all this holds to Sync 1.1", () => holder.stage.judgeAll());
});

describe.each([...KEY_TYPES])("other changes of a subject's status (%s)", (keyType) => {
  const holder = useStage({ keyType });

  test("both at once, and one that asks for nothing tells the status anew", async () => {
    const { stage } = holder;
    const bob = await stage.account("bob");
    const subject = { $type: REPO, did: bob.did };
    expect((await update(stage, { subject })).events).toEqual(["#account active"]);
    expect((await took(stage, bob.did, { applied: false })).events).toEqual(["#account active"]);
    const both = { subject, takedown: { applied: true }, deactivated: { applied: true } };
    expect((await update(stage, both)).events).toEqual(["#account takendown", "#account takendown"]);
    expect((await update(stage, { subject })).events).toEqual(["#account takendown"]);
    expect((await took(stage, bob.did, { applied: true, ref: "again" })).events).toEqual([
      "#account takendown",
    ]);
    expect(await statusOf(stage, { did: bob.did })).toMatchObject({ takedown: { ref: "again" } });
    const neither = { subject, takedown: { applied: false }, deactivated: { applied: false } };
    expect((await update(stage, neither)).events).toEqual([
      "#account deactivated",
      "#account active",
      "#identity",
      "#sync",
    ]);
    expect((await update(stage, { subject, deactivated: { applied: false } })).events[0]).toBe(
      "#account active",
    );
  });

  test("the takedown of a record hides it from everybody but its owner, and the repo stays whole", async () => {
    const { stage } = holder;
    const { alice } = stage;
    const { did } = alice;
    const one = await createRecord(stage.url, alice, { collection: NOTE, rkey: "one", record: note("bad") });
    await createRecord(stage.url, alice, { collection: NOTE, rkey: "two", record: note("good") });
    const subject = { $type: RECORD, uri: one.uri, cid: one.cid };
    const change = (applied: boolean) => update(stage, { subject, takedown: { applied, ref: "r" } });
    const byHandle = `at://${alice.handle}/${NOTE}/one`;
    expect(await statusOf(stage, { uri: byHandle })).toEqual({ subject, takedown: { applied: false } });
    const done = await change(true);
    expect([done.status, done.events]).toEqual([200, []]);
    expect(done.json).toEqual({ subject, takedown: { applied: true, ref: "r" } });
    expect(await statusOf(stage, { uri: one.uri })).toEqual({
      subject,
      takedown: { applied: true, ref: "r" },
    });

    const seen = async () => {
      const listed = await xrpc(stage.url, "com.atproto.repo.listRecords", {
        params: { repo: did, collection: NOTE },
      });
      const read = (nsid: string, params: Call["params"], more: Call = {}) =>
        xrpc(stage.url, nsid, { params, ...more }).then(({ status, error }) => error ?? status);
      const proof = { did, collection: NOTE, rkey: "one" };
      return {
        listed: (listed.json.records as { uri: string }[]).map(({ uri }) => uri.slice(-3)),
        got: await read("com.atproto.repo.getRecord", { repo: did, collection: NOTE, rkey: "one" }),
        proof: await read(sync("getRecord"), proof),
        blocks: await read(sync("getBlocks"), { did, cids: [one.cid] }),
        owner: await read(sync("getRecord"), proof, { token: alice.accessJwt }),
        admin: await read(sync("getRecord"), proof, { headers: ADMIN }),
      };
    };
    const hidden = {
      listed: ["two"],
      got: "RecordNotFound",
      proof: "RecordNotFound",
      blocks: "BlockNotFound",
      owner: 200,
      admin: 200,
    };
    expect(await seen()).toEqual(hidden);
    expect((await stage.repo(alice)).records.size).toBe(2);

    // A takedown is of the address: another version does not get around it.
    const put = { repo: did, collection: NOTE, rkey: "one", record: note("worse") };
    const edited = await xrpc(stage.url, "com.atproto.repo.putRecord", { token: alice.accessJwt, body: put });
    expect(edited.status).toBe(200);
    expect(await seen()).toMatchObject({ listed: ["two"], got: "RecordNotFound" });
    const gone = { token: alice.accessJwt, body: { repo: did, collection: NOTE, rkey: "one" } };
    expect((await xrpc(stage.url, "com.atproto.repo.deleteRecord", gone)).status).toBe(200);
    expect(await statusOf(stage, { uri: one.uri })).toMatchObject({ subject, takedown: { applied: true } });
    await createRecord(stage.url, alice, { collection: NOTE, rkey: "one", record: note("bad") });
    await change(false);
    expect((await seen()).listed).toContain("one");
  });

  test("the takedown of a blob puts its file away, refuses it anew, and is undone", async () => {
    const { stage } = holder;
    const { alice } = stage;
    const { did } = alice;
    const blob = await blobOf(stage, alice, "a bad file");
    const good = await blobOf(stage, alice, "a good file");
    const cid = blob.ref.$link;
    await attach(stage, alice, blob, "bad");
    await attach(stage, alice, good, "good");
    const subject = { $type: BLOB, did, cid };
    const change = (takedown: object) => update(stage, { subject, takedown });
    expect(await statusOf(stage, { did, blob: cid })).toEqual({ subject, takedown: { applied: false } });
    const done = await change({ applied: true });
    expect([done.status, done.events]).toEqual([200, []]);
    expect(await statusOf(stage, { did, blob: cid })).toEqual({
      subject,
      takedown: { applied: true, ref: expect.stringMatching(/^\d{4}-.*Z$/) as unknown as string },
    });

    const get = async (call: Call = {}) => {
      const answer = await xrpc(stage.url, sync("getBlob"), { params: { did, cid }, ...call });
      return answer.error ?? new TextDecoder().decode(answer.bytes);
    };
    const listed = async (call: Call = {}) =>
      (await xrpc(stage.url, sync("listBlobs"), { params: { did }, ...call })).json.cids as string[];
    expect([await get(), await get({ token: alice.accessJwt })]).toEqual(["BlobNotFound", "BlobNotFound"]);
    expect(await get({ headers: ADMIN })).toBe("a bad file");
    expect(await listed()).toEqual([good.ref.$link]);
    expect((await listed({ headers: ADMIN })).sort()).toEqual([cid, good.ref.$link].sort());
    const again = await uploadTo(stage, alice, "a bad file");
    expect([again.status, again.error]).toEqual([400, "InvalidRequest"]);
    expect(String(again.json.message)).toContain("has been taken down");
    await expect(attach(stage, alice, blob, "again")).rejects.toThrow("BlobNotFound");
    const bob = await stage.account("blob-bob");
    expect((await uploadTo(stage, bob, "a bad file")).status).toBe(200);

    expect((await change({ applied: false })).events).toEqual([]);
    expect(await get()).toBe("a bad file");
    expect((await listed()).length).toBe(2);
    expect((await uploadTo(stage, alice, "a bad file")).status).toBe(200);
  });

  test("the firehose of all this holds to Sync 1.1", () => holder.stage.judgeAll());
});

test("takedowns survive kill -9", async () => {
  await using kith = await TestServer.start();
  const alice = await createAccount(kith.url, "alice");
  const bob = await createAccount(kith.url, "bob");
  const at = { url: kith.url } as Stage;
  const one = await createRecord(kith.url, alice, { collection: NOTE, rkey: "one", record: note("bad") });
  const blob = await blobOf(at, alice, "a bad file");
  await attach(at, alice, blob, "file");
  const nsid = "com.atproto.admin.updateSubjectStatus";
  const subjects = [
    { $type: RECORD, uri: one.uri, cid: one.cid },
    { $type: BLOB, did: alice.did, cid: blob.ref.$link },
    { $type: REPO, did: bob.did },
  ];
  const all = (applied: boolean) =>
    Promise.all(
      subjects.map((subject) =>
        xrpc(kith.url, nsid, { headers: ADMIN, body: { subject, takedown: { applied } } }),
      ),
    );
  const seen = async () => {
    const record = { repo: alice.did, collection: NOTE, rkey: "one" };
    const answers = await Promise.all([
      xrpc(kith.url, "com.atproto.repo.getRecord", { params: record }),
      xrpc(kith.url, sync("getBlob"), { params: { did: alice.did, cid: blob.ref.$link } }),
      xrpc(kith.url, sync("getLatestCommit"), { params: { did: bob.did } }),
    ]);
    return answers.map(({ status, error }) => error ?? status);
  };
  for (const applied of [true, false]) {
    expect((await all(applied)).map(({ status }) => status)).toEqual([200, 200, 200]);
    await kith.kill();
    await kith.start();
    expect(await seen()).toEqual(
      applied ? ["RecordNotFound", "BlobNotFound", "RepoTakendown"] : [200, 200, 200],
    );
  }
});
