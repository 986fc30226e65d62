/** What operators and moderators call. */
import type { Call } from "../../client.ts";
import { PASSWORD } from "../../client.ts";
import type { Case, Side } from "../oracle.ts";

const admin = (name: string) => `com.atproto.admin.${name}`;
const FAR_DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const FAR_CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";

const ask = (title: string, to: string, call: (side: Side) => Call, status?: number): Case => ({
  title,
  to: admin(to),
  call: (side) => ({ headers: side.basic, ...call(side) }),
  ...(status ? { status } : {}),
});

const repoRef = (did: string) => ({ $type: "com.atproto.admin.defs#repoRef", did });
const strongRef = (uri: string, cid: string) => ({ $type: "com.atproto.repo.strongRef", uri, cid });
const blobRef = (did: string, cid: string) => ({ $type: "com.atproto.admin.defs#repoBlobRef", did, cid });
const one = (side: Side) => `at://${side.did("alice")}/app.bsky.feed.post/3kaaaaaaaaaa2`;

export const accounts: readonly Case[] = [
  ask("alice", "getAccountInfo", (side) => ({ params: { did: side.did("alice") } }), 200),
  ask("erin", "getAccountInfo", (side) => ({ params: { did: side.did("erin") } }), 200),
  ask("nobody", "getAccountInfo", () => ({ params: { did: FAR_DID } })),
  ask("two", "getAccountInfos", (side) => ({ params: { dids: [side.did("alice"), side.did("bob")] } }), 200),
  ask("one and nobody", "getAccountInfos", (side) => ({ params: { dids: [side.did("alice"), FAR_DID] } })),
  ask("none", "getAccountInfos", () => ({})),
  ask("all", "getInviteCodes", () => ({})),
  ask("by use", "getInviteCodes", () => ({ params: { sort: "usage", limit: 2 } })),
  ask("in another order", "getInviteCodes", () => ({ params: { sort: "name" } })),
  ask("none", "getInviteCodes", () => ({ params: { limit: 0 } })),
  ask("one", "disableInviteCodes", (side) => ({ body: { codes: [side.kept("invite")] } })),
  ask("of the server", "disableInviteCodes", () => ({ body: { accounts: ["admin"] } })),
  ask("of erin", "disableAccountInvites", (side) => ({ body: { account: side.did("erin"), note: "test" } })),
  ask("erin, who may not invite", "getAccountInfo", (side) => ({ params: { did: side.did("erin") } })),
  ask("of erin", "enableAccountInvites", (side) => ({ body: { account: side.did("erin") } })),
  ask("of nobody", "disableAccountInvites", () => ({ body: { account: FAR_DID } })),
  ask("to none", "updateAccountEmail", () => ({ body: { account: "erin.test", email: "erin" } })),
  ask("of erin", "updateAccountEmail", (side) => ({
    body: { account: side.did("erin"), email: "erin@example.net" },
  })),
  ask("by handle", "updateAccountEmail", () => ({
    body: { account: "erin.test", email: "erin@example.com" },
  })),
  ask("to one that is taken", "updateAccountEmail", () => ({
    body: { account: "erin.test", email: "alice@example.com" },
  })),
  ask("of nobody", "updateAccountEmail", () => ({ body: { account: FAR_DID, email: "nobody@example.com" } })),
  ask(
    "of erin",
    "updateAccountHandle",
    (side) => ({ body: { did: side.did("erin"), handle: "erin-two.test" } }),
    200,
  ),
  ask("to one that is taken", "updateAccountHandle", (side) => ({
    body: { did: side.did("erin"), handle: "alice.test" },
  })),
  ask("to a foreign one", "updateAccountHandle", (side) => ({
    body: { did: side.did("erin"), handle: "erin.example.com" },
  })),
  ask("to a reserved one", "updateAccountHandle", (side) => ({
    body: { did: side.did("erin"), handle: "about.test" },
  })),
  ask("of nobody", "updateAccountHandle", () => ({ body: { did: FAR_DID, handle: "nobody-new.test" } })),
  ask(
    "of erin",
    "updateAccountPassword",
    (side) => ({ body: { did: side.did("erin"), password: "next password" } }),
    200,
  ),
  ask("of nobody", "updateAccountPassword", () => ({ body: { did: FAR_DID, password: "next password" } })),
  {
    title: "with the old password",
    to: "com.atproto.server.createSession",
    call: (side) => ({ body: { identifier: side.did("erin"), password: PASSWORD } }),
  },
  {
    title: "with the operator's",
    to: "com.atproto.server.createSession",
    call: (side) => ({ body: { identifier: side.did("erin"), password: "next password" } }),
  },
  ask("to erin", "sendEmail", (side) => ({
    body: { recipientDid: side.did("erin"), senderDid: side.did("alice"), content: "Hello", subject: "News" },
  })),
  ask("to nobody", "sendEmail", (side) => ({
    body: { recipientDid: FAR_DID, senderDid: side.did("alice"), content: "Hello" },
  })),
  ask("of gina's twin", "deleteAccount", () => ({ body: { did: FAR_DID } })),
];

const status = (title: string, subject: (side: Side) => object, body: object, code?: number): Case =>
  ask(title, "updateSubjectStatus", (side) => ({ body: { subject: subject(side), ...body } }), code);

const on = { takedown: { applied: true, ref: "7" } };
const off = { takedown: { applied: false } };
const read = (title: string, to: string, params: (side: Side) => Call["params"]): Case => ({
  title,
  to,
  call: (side) => ({ params: params(side) }),
});
const readOne = (when: string): Case[] => [
  read(when, "com.atproto.repo.getRecord", (side) => ({
    repo: side.did("alice"),
    collection: "app.bsky.feed.post",
    rkey: "3kaaaaaaaaaa2",
  })),
  read(when, "com.atproto.repo.listRecords", (side) => ({
    repo: side.did("alice"),
    collection: "app.bsky.feed.post",
    limit: 100,
  })),
  read(when, "com.atproto.sync.getBlob", (side) => ({ did: side.did("alice"), cid: side.kept("png") })),
];

export const takedowns: readonly Case[] = [
  ask("of alice", "getSubjectStatus", (side) => ({ params: { did: side.did("alice") } }), 200),
  ask("of a record", "getSubjectStatus", (side) => ({ params: { uri: one(side) } })),
  ask("of a blob", "getSubjectStatus", (side) => ({
    params: { did: side.did("alice"), blob: side.kept("png") },
  })),
  ask("of a blob alone", "getSubjectStatus", (side) => ({ params: { blob: side.kept("png") } })),
  ask("of nobody", "getSubjectStatus", () => ({ params: { did: FAR_DID } })),
  ask("of a record that is not there", "getSubjectStatus", (side) => ({ params: { uri: `${one(side)}2` } })),
  ask("of nothing", "getSubjectStatus", () => ({})),
  status("a record", (side) => strongRef(one(side), side.kept("one")), on, 200),
  status("a blob", (side) => blobRef(side.did("alice"), side.kept("png")), on, 200),
  ask("of a record taken down", "getSubjectStatus", (side) => ({ params: { uri: one(side) } })),
  ask("of a blob taken down", "getSubjectStatus", (side) => ({
    params: { did: side.did("alice"), blob: side.kept("png") },
  })),
  ...readOne("taken down"),
  status("a record, up again", (side) => strongRef(one(side), side.kept("one")), off, 200),
  status("a blob, up again", (side) => blobRef(side.did("alice"), side.kept("png")), off, 200),
  ...readOne("up again"),
  status("a record that is not there", (side) => strongRef(`${one(side)}2`, FAR_CID), on),
  status(
    "a blob that is not there",
    (side) => blobRef(side.did("alice"), "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"),
    on,
  ),
  status("an account that is not there", () => repoRef(FAR_DID), on),
  status("a subject of an unknown kind", () => ({ $type: "com.example.ref", did: FAR_DID }), on),
  status("neither", (side) => repoRef(side.did("gina")), {}),
  status("deactivated", (side) => repoRef(side.did("gina")), { deactivated: { applied: true } }),
  ask("of one deactivated", "getSubjectStatus", (side) => ({ params: { did: side.did("gina") } })),
  status("both", (side) => repoRef(side.did("gina")), { ...on, deactivated: { applied: false } }),
  status("active again", (side) => repoRef(side.did("gina")), { deactivated: { applied: false } }),
  status("without its flag", (side) => repoRef(side.did("gina")), { takedown: {} }),
];

/** Last, when nothing needs erin any more. */
export const removals: readonly Case[] = [
  ask("erin", "deleteAccount", (side) => ({ body: { did: side.did("erin") } }), 200),
  ask("erin, who is deleted", "getAccountInfo", (side) => ({ params: { did: side.did("erin") } })),
];
