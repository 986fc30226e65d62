/** What operators call by goat and pdsadmin, and how an account moves from host to host. */
import { type Call, PASSWORD } from "../../client.ts";
import { type Case, type Side, signIn } from "../oracle.ts";
import { as, ask, identity, keep, POST, post, record, repo, server, sync } from "./goat_calls.ts";

const admin = (name: string) => `com.atproto.admin.${name}`;
const basic =
  (call: (side: Side) => Call = () => ({})) =>
  (side: Side): Call => ({ headers: side.basic, ...call(side) });
const takedown = (title: string, body: (side: Side) => object): Case =>
  ask(
    title,
    admin("updateSubjectStatus"),
    basic((side) => ({ body: body(side) })),
  );
const account = (side: Side) => ({ $type: "com.atproto.admin.defs#repoRef", did: side.did("gwen") });
const blob = (side: Side) => ({
  $type: "com.atproto.admin.defs#repoBlobRef",
  did: side.did("gwen"),
  cid: side.kept("blob"),
});

/** Sections 2 and 7: goat pds admin, and the scripts of pdsadmin. */
export const operators: readonly Case[] = [
  ask(
    "account list, with the header",
    sync("listRepos"),
    basic(() => ({ params: { limit: 500 } })),
  ),
  ask(
    "account info",
    admin("getAccountInfo"),
    basic((side) => ({ params: { did: side.did("gwen") } })),
  ),
  ask(
    "account create: an invite",
    server("createInviteCode"),
    basic(() => ({ body: { useCount: 1 } })),
    keep("invite", (json: { code: string }) => json.code),
  ),
  ask(
    "account create",
    server("createAccount"),
    (side) => ({
      body: {
        handle: "ada.test",
        email: "ada@example.com",
        password: PASSWORD,
        inviteCode: side.kept("invite"),
      },
    }),
    keep("ada", (json: { did: string }) => json.did),
  ),
  ask(
    "account update: address",
    admin("updateAccountEmail"),
    basic((side) => ({ body: { account: side.kept("ada"), email: "ada@example.org" } })),
  ),
  ask(
    "account update: handle",
    admin("updateAccountHandle"),
    basic((side) => ({ body: { did: side.kept("ada"), handle: "adele.test" } })),
  ),
  ask(
    "account reset-password",
    admin("updateAccountPassword"),
    basic((side) => ({ body: { did: side.kept("ada"), password: "another password" } })),
  ),
  takedown("account takedown", (side) => ({ subject: account(side), takedown: { applied: true } })),
  ask("account status, taken down", sync("getRepoStatus"), (side) => ({ params: { did: side.did("gwen") } })),
  takedown("account takedown --reverse", (side) => ({
    subject: account(side),
    takedown: { applied: false },
  })),
  takedown("pdsadmin account takedown", (side) => ({
    subject: account(side),
    takedown: { applied: true, ref: "1779969600" },
  })),
  takedown("pdsadmin account untakedown", (side) => ({
    subject: account(side),
    takedown: { applied: false },
  })),
  // Whoever was taken down signs in again.
  signIn("gwen"),
  takedown("blob purge", (side) => ({ subject: blob(side), takedown: { applied: true } })),
  ask(
    "blob status",
    admin("getSubjectStatus"),
    basic((side) => ({ params: { did: side.did("gwen"), blob: side.kept("blob") } })),
  ),
  takedown("blob purge --reverse", (side) => ({ subject: blob(side), takedown: { applied: false } })),
  ask(
    "account delete",
    admin("deleteAccount"),
    basic((side) => ({ body: { did: side.kept("ada") } })),
  ),
  ask(
    "of the deleted one",
    server("createSession"),
    (side) => ({ body: { identifier: side.kept("ada"), password: "another password" } }),
    { status: 401 },
  ),
];

const moved =
  (call: (side: Side) => Call | Promise<Call>) =>
  async (side: Side): Promise<Call> => ({
    token: side.kept("new access"),
    ...(await call(side)),
  });
const oldDid = (side: Side) => side.peer.did("nora");
const answerOf = async (side: Side, to: string, call: Call = {}) =>
  (await side.peer.send(to, { token: side.peer.token("nora"), ...call })).json;

/** Sections 3 and 6: goat account migrate, and PDS MOover where it asks something else. */
export const migration: readonly Case[] = [
  ask(
    "old: a post to bring along",
    repo("createRecord"),
    as("nora", (side) => ({
      body: { repo: side.did("nora"), collection: POST, rkey: "3kaaaaaaaaaa2", record: record("along") },
    })),
  ),
  ask("1 old", server("getSession"), as("nora")),
  ask("2 new", server("describeServer")),
  ask("MOover 2 new: not here yet", sync("getRepoStatus"), (side) => ({ params: { did: oldDid(side) } }), {
    status: 400,
  }),
  ask(
    "3 old",
    server("getServiceAuth"),
    as("nora", (side) => ({
      params: {
        aud: side.peer.serviceDid,
        lxm: "com.atproto.server.createAccount",
        exp: Math.floor(Date.now() / 1000) + 60,
      },
    })),
    keep("service token", (json: { token: string }) => json.token),
  ),
  ask("4 new", server("createAccount"), (side) => ({
    token: side.peer.kept("service token"),
    body: { did: oldDid(side), handle: "norah.test", email: "norah@example.com", password: PASSWORD },
  })),
  ask(
    "4 new, again",
    server("createAccount"),
    async (side) => ({
      token: String(
        (
          await answerOf(side, server("getServiceAuth"), {
            params: { aud: side.serviceDid, lxm: "com.atproto.server.createAccount" },
          })
        ).token,
      ),
      body: { did: oldDid(side), handle: "norah.test", email: "norah@example.com", password: PASSWORD },
    }),
    { status: 400 },
  ),
  ask(
    "5 new, with the old token",
    server("createSession"),
    (side) => ({
      token: side.peer.token("nora"),
      body: { identifier: oldDid(side), password: PASSWORD },
    }),
    keep("new access", (json: { accessJwt: string }) => json.accessJwt),
  ),
  ask(
    "new: deactivated",
    server("getSession"),
    moved(() => ({})),
  ),
  ask(
    "6 old, by the owner",
    sync("getRepo"),
    as("nora", (side) => ({ params: { did: side.did("nora") } })),
  ),
  ask(
    "6 new",
    repo("importRepo"),
    moved(async (side) => ({
      body: (
        await side.peer.send(sync("getRepo"), {
          token: side.peer.token("nora"),
          params: { did: oldDid(side) },
        })
      ).bytes,
      headers: { "content-type": "application/vnd.ipld.car" },
    })),
  ),
  ask("7 old", "app.bsky.actor.getPreferences", as("nora")),
  ask(
    "7 new",
    "app.bsky.actor.putPreferences",
    moved(() => ({ body: { preferences: [] } })),
  ),
  ask("8 old", sync("listBlobs"), (side) => ({ params: { did: side.did("nora"), limit: 100 } })),
  ask(
    "8 new",
    repo("uploadBlob"),
    moved(() => ({ method: "POST", body: "blob", headers: { "content-type": "*/*" } })),
  ),
  ask(
    "MOover 7 new",
    repo("listMissingBlobs"),
    moved(() => ({ params: { limit: 100 } })),
  ),
  ask(
    "9 new",
    server("checkAccountStatus"),
    moved(() => ({})),
  ),
  ask(
    "10 new",
    identity("getRecommendedDidCredentials"),
    moved(() => ({})),
    { keep: ({ json }, side) => void side.memory.set("credentials", JSON.stringify(json)) },
  ),
  ask("old: a code", identity("requestPlcOperationSignature"), as("nora", post)),
  ask(
    "11 old",
    identity("signPlcOperation"),
    async (side) => ({
      token: side.token("nora"),
      body: {
        ...(JSON.parse(side.peer.kept("credentials")) as object),
        token: await side.code("nora", /Subject:.*(?:PLC|identity)/i),
      },
    }),
    { keep: ({ json }, side) => void side.memory.set("move", JSON.stringify(json.operation)) },
  ),
  ask(
    "12 new",
    identity("submitPlcOperation"),
    moved((side) => ({ body: { operation: JSON.parse(side.peer.kept("move")) as object } })),
  ),
  ask("13 new", server("activateAccount"), moved(post)),
  ask(
    "13 old",
    server("deactivateAccount"),
    as("nora", () => ({ body: {} })),
  ),
  ask("after all: old", sync("getRepoStatus"), (side) => ({ params: { did: side.did("nora") } })),
  ask("after all: new", sync("getRepoStatus"), (side) => ({ params: { did: oldDid(side) } })),
  ask("after all: new", repo("listRecords"), (side) => ({
    params: { repo: oldDid(side), collection: POST },
  })),
  ask(
    "unknown methods go on",
    "com.pdsmoover.backup.signUp",
    as("gwen", (side) => ({
      body: {},
      headers: { "atproto-proxy": `${side.moderation.did}#atproto_labeler` },
    })),
  ),
];
