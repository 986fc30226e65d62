/** A harmless right call of every method, which the generated cases spoil in one way each. */
import type { Call } from "../../client.ts";
import type { Side } from "../oracle.ts";

/** What a method asks of its caller. */
export type Caller = "anybody" | "session" | "full" | "refresh" | "admin" | "maybe";

export interface Sample {
  readonly caller: Caller;
  readonly params?: (side: Side) => NonNullable<Call["params"]>;
  readonly body?: (side: Side) => Record<string, unknown>;
  /** Has no second time: it is not sent as it is. */
  readonly isSpent?: boolean;
}

const POST = "app.bsky.feed.post";
const CID = "bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a";
const gina = (side: Side) => side.did("gina");
const ofGina =
  (more: Call["params"] = {}) =>
  (side: Side) => ({ did: gina(side), ...more });
const repoOfGina =
  (more: object = {}) =>
  (side: Side) => ({ repo: gina(side), ...more });
const fixed = (body: Record<string, unknown>) => () => body;

const server: Record<string, Sample> = {
  activateAccount: { caller: "full" },
  checkAccountStatus: { caller: "session" },
  confirmEmail: { caller: "session", body: fixed({ email: "gina@example.com", token: "AAAAA-22222" }) },
  createAccount: {
    caller: "anybody",
    body: fixed({ handle: "gina-two.example.com", email: "gina2@example.com", password: "password" }),
  },
  createAppPassword: { caller: "full", body: fixed({ name: "sample" }), isSpent: true },
  createInviteCode: { caller: "admin", body: fixed({ useCount: 1 }) },
  createInviteCodes: { caller: "admin", body: fixed({ codeCount: 1, useCount: 1 }) },
  createSession: { caller: "anybody", body: fixed({ identifier: "nobody.test", password: "wrong" }) },
  deactivateAccount: { caller: "full", body: fixed({}), isSpent: true },
  deleteAccount: {
    caller: "anybody",
    body: (side) => ({ did: gina(side), password: "wrong", token: "AAAAA-22222" }),
  },
  deleteSession: { caller: "refresh", isSpent: true },
  describeServer: { caller: "anybody" },
  getAccountInviteCodes: { caller: "full" },
  getServiceAuth: {
    caller: "session",
    params: () => ({ aud: "did:web:example.com", lxm: "app.bsky.feed.getTimeline" }),
  },
  getSession: { caller: "session" },
  listAppPasswords: { caller: "session" },
  refreshSession: { caller: "refresh", isSpent: true },
  requestAccountDelete: { caller: "full" },
  requestEmailConfirmation: { caller: "session" },
  requestEmailUpdate: { caller: "full" },
  requestPasswordReset: { caller: "anybody", body: fixed({ email: "gina@example.com" }) },
  reserveSigningKey: { caller: "anybody", body: fixed({}) },
  resetPassword: { caller: "anybody", body: fixed({ token: "AAAAA-22222", password: "password" }) },
  revokeAppPassword: { caller: "session", body: fixed({ name: "none" }) },
  updateEmail: { caller: "full", body: fixed({ email: "gina@example.com" }) },
};

const record = { $type: POST, text: "sample", createdAt: "2026-06-06T06:06:06.000Z" };

const repo: Record<string, Sample> = {
  applyWrites: {
    caller: "session",
    body: repoOfGina({
      writes: [{ $type: "com.atproto.repo.applyWrites#create", collection: POST, value: record }],
    }),
  },
  createRecord: { caller: "session", body: repoOfGina({ collection: POST, record }) },
  deleteRecord: { caller: "session", body: repoOfGina({ collection: POST, rkey: "3kzzzzzzzzzz2" }) },
  describeRepo: { caller: "anybody", params: repoOfGina() },
  getRecord: { caller: "anybody", params: repoOfGina({ collection: POST, rkey: "3kzzzzzzzzzz2" }) },
  importRepo: { caller: "full", isSpent: true },
  listMissingBlobs: { caller: "session", params: () => ({ limit: 10 }) },
  listRecords: { caller: "anybody", params: repoOfGina({ collection: "com.example.no", limit: 10 }) },
  putRecord: { caller: "session", body: repoOfGina({ collection: POST, rkey: "3kyyyyyyyyyy2", record }) },
  uploadBlob: { caller: "session", isSpent: true },
};

const sync: Record<string, Sample> = {
  getBlob: {
    caller: "maybe",
    params: ofGina({ cid: "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq" }),
  },
  getBlocks: { caller: "maybe", params: ofGina({ cids: [CID] }) },
  getCheckout: { caller: "maybe", params: ofGina() },
  getHead: { caller: "maybe", params: ofGina() },
  getLatestCommit: { caller: "maybe", params: ofGina() },
  getRecord: { caller: "maybe", params: ofGina({ collection: POST, rkey: "3kzzzzzzzzzz2" }) },
  getRepo: { caller: "maybe", params: ofGina() },
  getRepoStatus: { caller: "anybody", params: ofGina() },
  listBlobs: { caller: "maybe", params: ofGina({ limit: 10 }) },
  listRepos: { caller: "anybody", params: () => ({ limit: 2 }) },
};

const identity: Record<string, Sample> = {
  getRecommendedDidCredentials: { caller: "session" },
  requestPlcOperationSignature: { caller: "full" },
  resolveHandle: { caller: "anybody", params: () => ({ handle: "gina.test" }) },
  signPlcOperation: { caller: "full", body: fixed({ token: "AAAAA-22222" }) },
  submitPlcOperation: { caller: "session", body: fixed({ operation: { type: "plc_operation" } }) },
  updateHandle: { caller: "session", body: fixed({ handle: "admin.test" }) },
};

const account =
  (more: object = {}) =>
  (side: Side) => ({ account: gina(side), ...more });

const admin: Record<string, Sample> = {
  deleteAccount: { caller: "admin", body: fixed({ did: "did:plc:ewvi7nxzyoun6zhxrhs64oiz" }), isSpent: true },
  disableAccountInvites: { caller: "admin", body: account() },
  disableInviteCodes: { caller: "admin", body: fixed({ codes: ["none"] }) },
  enableAccountInvites: { caller: "admin", body: account() },
  getAccountInfo: { caller: "admin", params: ofGina() },
  getAccountInfos: { caller: "admin", params: (side) => ({ dids: [gina(side)] }) },
  getInviteCodes: { caller: "admin", params: () => ({ limit: 2 }) },
  getSubjectStatus: { caller: "admin", params: ofGina() },
  sendEmail: {
    caller: "admin",
    body: (side) => ({ recipientDid: gina(side), senderDid: gina(side), content: "Hello" }),
  },
  updateAccountEmail: { caller: "admin", body: account({ email: "gina@example.com" }) },
  updateAccountHandle: { caller: "admin", body: (side) => ({ did: gina(side), handle: "gina.test" }) },
  updateAccountPassword: {
    caller: "admin",
    body: (side) => ({ did: gina(side), password: "correct horse battery staple" }),
    isSpent: true,
  },
  updateSubjectStatus: {
    caller: "admin",
    body: (side) => ({ subject: { $type: "com.atproto.admin.defs#repoRef", did: gina(side) } }),
  },
};

const named = (prefix: string, samples: Record<string, Sample>): [string, Sample][] =>
  Object.entries(samples).map(([name, sample]) => [`${prefix}.${name}`, sample]);

/** Every method of com.atproto that the reference serves, and the preferences. */
export const SAMPLES: ReadonlyMap<string, Sample> = new Map<string, Sample>([
  ...named("com.atproto.server", server),
  ...named("com.atproto.repo", repo),
  ...named("com.atproto.sync", sync),
  ...named("com.atproto.identity", identity),
  ...named("com.atproto.admin", admin),
  ["com.atproto.temp.checkSignupQueue", { caller: "session" }],
  [
    "com.atproto.moderation.createReport",
    {
      caller: "session",
      body: (side) => ({
        reasonType: "com.atproto.moderation.defs#reasonSpam",
        subject: { $type: "com.atproto.admin.defs#repoRef", did: gina(side) },
      }),
    },
  ],
  ["app.bsky.actor.getPreferences", { caller: "session" }],
  ["app.bsky.actor.putPreferences", { caller: "session", body: fixed({ preferences: [] }) }],
]);
