/** What apps may do: every method that takes a user's token, called with `atproto` alone, with other permissions, and with the right one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Permissions } from "../../src/atproto/mod.ts";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer, type KithServer } from "../../src/server.ts";
import type { Call } from "../../src/xrpc/mod.ts";
import { type Account, createAccount } from "../client.ts";
import { OAuthApp } from "../oauth_app.ts";

const APP_VIEW = "did:web:appview.test";
const SERVICE_DID = "did:web:kith.test";
const LABELER = "did:web:reports.test";
/** Everything but what is asked for. */
const WRONG =
  "atproto repo:com.example.other repo:app.bsky.feed.like?action=create blob:text/plain account:email identity:handle rpc:com.example.other?aud=*";
const AT = `aud=${encodeURIComponent(`${APP_VIEW}#bsky_appview`)}`;
const POST = "app.bsky.feed.post";
const CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";

interface Row {
  readonly params?: Readonly<Record<string, string>>;
  readonly input?: object;
  readonly headers?: Readonly<Record<string, string>>;
  /** What is needed; the second where the message spells it otherwise than an app would. */
  readonly needs: "any" | "refused" | string;
  /** Also enough. */
  readonly or?: readonly string[];
}

const write = { repo: "did:plc:someone", collection: POST };
const record = { $type: POST, text: "x", createdAt: "2026-01-01T00:00:00Z" };
const rpc = (lxm: string, more: Partial<Row> = {}): [string, Row] => [
  lxm,
  { needs: `rpc:${lxm}?${AT}`, or: [`rpc:${lxm}?aud=*`, "transition:generic", `rpc:*?${AT}`], ...more },
];
const any = (nsid: string, more: Partial<Row> = {}): [string, Row] => [nsid, { needs: "any", ...more }];
const refused = (nsid: string, more: Partial<Row> = {}): [string, Row] => [
  nsid,
  { needs: "refused", ...more },
];
const generic = ["transition:generic"];
const applied = (action: string) => ({
  $type: `com.atproto.repo.applyWrites#${action}`,
  collection: POST,
  rkey: "a",
});

const group = { communityDid: "did:web:group.test" };
const KEY = "did:key:zQ3shqwJEJyMBsBXCWyCBpUBMqxcon9oHB7mCvx4sSpMdLJwc";
/** Of our own service; `deciding` ones are not in what stands for an app password. */
const ownRpc = (name: string, more: Partial<Row> & { deciding?: boolean } = {}): [string, Row] => {
  const lxm = `dev.kith.community.${name}`;
  const { deciding, ...row } = more;
  const needs = `rpc:${lxm}?aud=${SERVICE_DID}%23kith_community`;
  return [lxm, { needs, or: [`rpc:${lxm}?aud=*`, ...(deciding ? [] : generic)], ...row }];
};

const ROWS: readonly [nsid: string, row: Row][] = [
  rpc("app.bsky.actor.getPreferences"),
  rpc("app.bsky.actor.getProfile", { params: { actor: "alice.test" } }),
  rpc("app.bsky.actor.getProfiles", { params: { actors: "alice.test" } }),
  rpc("app.bsky.actor.putPreferences", { input: { preferences: [] } }),
  rpc("app.bsky.feed.getActorLikes", { params: { actor: "alice.test" } }),
  rpc("app.bsky.feed.getAuthorFeed", { params: { actor: "alice.test" } }),
  rpc("app.bsky.feed.getFeed", { params: { feed: "at://did:web:feeds.test/app.bsky.feed.generator/a" } }),
  rpc("app.bsky.feed.getPostThread", { params: { uri: `at://did:web:feeds.test/${POST}/a` } }),
  rpc("app.bsky.feed.getTimeline"),
  // Not answered here: passed on.
  rpc("app.bsky.feed.getPosts", { params: { uris: `at://did:web:feeds.test/${POST}/a` } }),
  [
    "app.bsky.graph.getLists",
    {
      headers: { "atproto-proxy": "did:web:other.test#svc" },
      needs: "rpc:app.bsky.graph.getLists?aud=did:web:other.test%23svc",
      or: generic,
    },
  ],
  [
    "chat.bsky.convo.getLog",
    {
      headers: { "atproto-proxy": "did:web:chat.test#bsky_chat" },
      needs: "rpc:chat.bsky.convo.getLog?aud=did:web:chat.test%23bsky_chat",
      or: ["transition:generic transition:chat.bsky"],
    },
  ],
  ...["registerPush", "unregisterPush"].map((name): [string, Row] => [
    `app.bsky.notification.${name}`,
    {
      input: { serviceDid: "did:web:push.test", token: "t", platform: "ios", appId: "a" },
      needs: `rpc:app.bsky.notification.${name}?aud=did:web:push.test%23bsky_notif`,
      or: generic,
    },
  ]),
  any("com.atproto.identity.getRecommendedDidCredentials"),
  any("com.atproto.identity.refreshIdentity", { input: { identifier: "nobody.test" } }),
  ["com.atproto.identity.requestPlcOperationSignature", { needs: "identity:*" }],
  ["com.atproto.identity.signPlcOperation", { input: {}, needs: "identity:*" }],
  ["com.atproto.identity.submitPlcOperation", { input: { operation: {} }, needs: "identity:*" }],
  [
    "com.atproto.identity.updateHandle",
    { input: { handle: "new.test" }, needs: "identity:handle", or: ["identity:*"] },
  ],
  [
    "com.atproto.moderation.createReport",
    {
      input: {
        reasonType: "com.atproto.moderation.defs#reasonSpam",
        subject: { $type: "com.atproto.admin.defs#repoRef", did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa" },
      },
      needs: `rpc:com.atproto.moderation.createReport?aud=${LABELER}%23atproto_labeler`,
      or: generic,
    },
  ],
  [
    "com.atproto.repo.applyWrites",
    {
      input: { repo: "did:plc:someone", writes: [applied("delete")] },
      needs: `repo:${POST}?action=delete`,
      or: ["repo:*", ...generic],
    },
  ],
  [
    "com.atproto.repo.createRecord",
    { input: { ...write, record }, needs: `repo:${POST}?action=create`, or: generic },
  ],
  [
    "com.atproto.repo.deleteRecord",
    { input: { ...write, rkey: "a" }, needs: `repo:${POST}?action=delete`, or: ["repo:*?action=delete"] },
  ],
  [
    "com.atproto.repo.putRecord",
    {
      input: { ...write, rkey: "a", record },
      needs: `repo:${POST}?action=create`,
      or: [`repo:${POST}?action=create&action=update`],
    },
  ],
  ["com.atproto.repo.importRepo", { needs: "account:repo?action=manage" }],
  any("com.atproto.repo.listMissingBlobs"),
  [
    "com.atproto.repo.uploadBlob",
    { headers: { "content-type": "image/png" }, needs: "blob:image/png", or: ["blob:image/*"] },
  ],
  refused("com.atproto.server.activateAccount"),
  any("com.atproto.server.checkAccountStatus"),
  [
    "com.atproto.server.confirmEmail",
    { input: { email: "a@b.test", token: "x" }, needs: "account:email?action=manage" },
  ],
  refused("com.atproto.server.createAppPassword", { input: { name: "x" } }),
  ["com.atproto.server.deactivateAccount", { input: {}, needs: "account:status?action=manage" }],
  refused("com.atproto.server.getAccountInviteCodes"),
  [
    "com.atproto.server.getServiceAuth",
    {
      params: { aud: "did:web:video.test#video", lxm: "app.bsky.video.getJobStatus" },
      needs: "rpc:app.bsky.video.getJobStatus?aud=did:web:video.test%23video",
      or: generic,
    },
  ],
  any("com.atproto.server.getSession"),
  refused("com.atproto.server.listAppPasswords"),
  refused("com.atproto.server.requestAccountDelete"),
  ["com.atproto.server.requestEmailConfirmation", { needs: "account:email?action=manage" }],
  refused("com.atproto.server.requestEmailUpdate"),
  refused("com.atproto.server.revokeAppPassword", { input: { name: "x" } }),
  refused("com.atproto.server.updateEmail", { input: { email: "a@b.test" } }),
  any("com.atproto.sync.getBlob", { params: { did: "did:web:a.test", cid: CID } }),
  any("com.atproto.sync.getBlocks", { params: { did: "did:web:a.test", cids: CID } }),
  any("com.atproto.sync.getCheckout", { params: { did: "did:web:a.test" } }),
  any("com.atproto.sync.getHead", { params: { did: "did:web:a.test" } }),
  any("com.atproto.sync.getLatestCommit", { params: { did: "did:web:a.test" } }),
  any("com.atproto.sync.getRecord", { params: { did: "did:web:a.test", collection: POST, rkey: "a" } }),
  any("com.atproto.sync.getRepo", { params: { did: "did:web:a.test" } }),
  any("com.atproto.sync.listBlobs", { params: { did: "did:web:a.test" } }),
  refused("com.atproto.temp.checkSignupQueue"),
  ownRpc("provision", {
    input: { idempotencyKey: "12345678", handle: "group.test", rotationKey: KEY },
    deciding: true,
  }),
  ownRpc("mint", { input: { idempotencyKey: "12345678", rotationKey: KEY }, deciding: true }),
  ownRpc("adopt", { input: { identifier: "did:web:group.test" }, deciding: true }),
  ownRpc("list"),
  ...["get", "getHealth", "listMembers", "invite.list"].map((name) => ownRpc(name, { params: group })),
  ownRpc("reauth", { input: { ...group, appPassword: "x" }, deciding: true }),
  ownRpc("delete", { input: group, deciding: true }),
  ownRpc("createRecord", { input: { ...group, collection: POST, record } }),
  ownRpc("putRecord", { input: { ...group, collection: POST, rkey: "a", record } }),
  ownRpc("deleteRecord", { input: { ...group, collection: POST, rkey: "a" } }),
  ownRpc("applyWrites", {
    input: {
      ...group,
      writes: [{ $type: "dev.kith.community.applyWrites#delete", collection: POST, rkey: "a" }],
    },
  }),
  ownRpc("uploadBlob", { params: group }),
  ownRpc("grant", { input: { ...group, subject: "did:web:a.test", role: "member" }, deciding: true }),
  ownRpc("revoke", { input: { ...group, subject: "did:web:a.test" }, deciding: true }),
  ownRpc("invite.create", { input: group, deciding: true }),
  ownRpc("invite.redeem", { input: { token: "kith-invite-0" } }),
  ownRpc("invite.revoke", { input: { ...group, id: "a" } }),
];

let server: KithServer;
let alice: Account;
let plain: { app: OAuthApp; token: string };
let wrong: { app: OAuthApp; token: string };
const folder = mkdtempSync(join(tmpdir(), "kith-scopes-"));

beforeAll(async () => {
  const env = {
    PDS_DATA_DIRECTORY: folder,
    PDS_DEV_MODE: "true",
    PDS_PORT: "0",
    LOG_ENABLED: "false",
    PDS_SERVICE_DID: SERVICE_DID,
    PDS_BSKY_APP_VIEW_URL: "http://127.0.0.1:9",
    PDS_BSKY_APP_VIEW_DID: APP_VIEW,
    PDS_REPORT_SERVICE_URL: "http://127.0.0.1:9",
    PDS_REPORT_SERVICE_DID: LABELER,
  };
  server = await createServer(loadConfig({ env }).config);
  alice = await createAccount(server.url, "alice");
  plain = await letIn("atproto");
  wrong = await letIn(WRONG);
});

afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

async function letIn(scope: string): Promise<{ app: OAuthApp; token: string }> {
  const app = await OAuthApp.start(server, { did: alice.did, scope });
  return { app, token: (await app.signIn()).access_token };
}

test("the table has every method that admits users, and no other that is answered here", () => {
  const served = server.methods.filter(({ oauth }) => oauth !== undefined).map(({ nsid }) => nsid);
  const passedOn = ["app.bsky.feed.getPosts", "app.bsky.graph.getLists", "chat.bsky.convo.getLog"];
  expect(ROWS.map(([nsid]) => nsid).sort()).toEqual([...served, ...passedOn].sort());
});

describe.each(ROWS)("%s", (nsid, row) => {
  const kind = () => server.methods.find((method) => method.nsid === nsid)?.kind ?? "query";
  const send = async ({ app, token }: { app: OAuthApp; token: string }) => {
    const answer = await app.call(nsid, token, row.input, {
      ...(row.params ? { params: row.params } : {}),
      ...(row.headers ? { headers: { ...row.headers } } : {}),
      method: kind() === "procedure" ? "POST" : "GET",
    });
    expect(answer.headers.get("dpop-nonce")).toBeString();
    const json = (await answer.json().catch(() => ({}))) as { error?: string; message?: string };
    return { status: answer.status, ...json };
  };

  test("with other permissions, and with none", async () => {
    for (const app of [plain, wrong]) {
      const { status, error, message } = await send(app);
      if (row.needs === "any") {
        expect(error).not.toBe("ScopeMissingError");
        expect(status).not.toBe(401);
        continue;
      }
      // The smaller right may be in the wrong scope.
      if (row.needs === "identity:handle" && app === wrong) continue;
      expect({ status, error, message }).toEqual({
        status: 403,
        error: "ScopeMissingError",
        message: expect.stringContaining(row.needs === "refused" ? "no app may" : `"${shown(row.needs)}"`),
      });
    }
  });

  test("with the right one", () => {
    const rule = server.methods.find((method) => method.nsid === nsid)?.oauth;
    if (typeof rule !== "function") return;
    for (const scope of [...(nsid === "com.atproto.repo.putRecord" ? [] : [row.needs]), ...(row.or ?? [])]) {
      const missing = rule(Permissions.of(`atproto ${scope}`), callOf(nsid, row));
      expect({ scope, missing }).toEqual({ scope, missing: undefined });
    }
  });
});

test("transition:generic lets nobody take the account away, nor read its messages", async () => {
  const rule = server.methods.find(({ nsid }) => nsid === "com.atproto.server.getServiceAuth")?.oauth;
  if (typeof rule !== "function") throw new Error("getServiceAuth asks for nothing");
  for (const lxm of ["com.atproto.server.createAccount", "chat.bsky.convo.getLog"]) {
    const params = { aud: "did:web:other.test#svc", lxm };
    expect(rule(Permissions.of("atproto transition:generic"), callOf("x", { params, needs: "any" }))).toBe(
      `rpc:${lxm}?aud=did:web:other.test%23svc`,
    );
  }
});

test("applyWrites asks for each of its acts, putRecord for both of its own", () => {
  const ruleOf = (name: string) =>
    server.methods.find(({ nsid }) => nsid === `com.atproto.repo.${name}`)?.oauth;
  const [apply, put] = [ruleOf("applyWrites"), ruleOf("putRecord")];
  if (typeof apply !== "function" || typeof put !== "function") throw new Error("A write asks for nothing");
  const permissions = Permissions.of(`atproto repo:${POST}?action=create`);
  const writes = ["create", "update", "delete"].map(applied);
  const call = (input: object) => callOf("x", { input, needs: "any" });
  expect(apply(permissions, call({ writes: writes.slice(0, 1) }))).toBeUndefined();
  expect(apply(permissions, call({ writes }))).toBe(`repo:${POST}?action=update`);
  expect(put(permissions, call({ collection: POST }))).toBe(`repo:${POST}?action=update`);
});

test("an upload is what its bytes are, whatever it says", async () => {
  const app = await letIn("atproto blob:text/plain");
  const png = Buffer.from(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "base64",
  );
  const answer = await app.app.upload(app.token, png, "text/plain");
  expect([answer.status, ((await answer.json()) as { error: string }).error]).toEqual([
    403,
    "ScopeMissingError",
  ]);
});

test("the e-mail address is shown to apps that may read it", async () => {
  for (const scope of ["atproto account:email", "atproto transition:email"]) {
    const { app, token } = await letIn(scope);
    const seen = await (await app.call("com.atproto.server.getSession", token)).json();
    expect(seen).toMatchObject({ email: alice.email, emailConfirmed: false });
  }
});

test("the birth date is kept from apps, as from app passwords", async () => {
  const { app, token } = await letIn("atproto transition:generic");
  const details = { $type: "app.bsky.actor.defs#personalDetailsPref", birthDate: "2000-01-01T00:00:00Z" };
  const refusedPut = await app.call("app.bsky.actor.putPreferences", token, { preferences: [details] });
  expect(refusedPut.status).toBe(400);
  const own = { authorization: `Bearer ${alice.accessJwt}`, "content-type": "application/json" };
  const url = `${server.url}/xrpc/app.bsky.actor.putPreferences`;
  const body = JSON.stringify({ preferences: [details] });
  expect((await fetch(url, { method: "POST", headers: own, body })).status).toBe(200);
  const read = (await (await app.call("app.bsky.actor.getPreferences", token)).json()) as {
    preferences: { $type: string }[];
  };
  expect(read.preferences.map(({ $type }) => $type)).toEqual(["app.bsky.actor.defs#declaredAgePref"]);
});

/** As the error spells it. */
function shown(scope: string): string {
  return scope.replaceAll("%3A", ":");
}

function callOf(nsid: string, { params, input, headers }: Row): Call {
  const request = new Request(`${server.url}/xrpc/${nsid}`, headers ? { headers: { ...headers } } : {});
  return { params: params ?? {}, input, request } as unknown as Call;
}
