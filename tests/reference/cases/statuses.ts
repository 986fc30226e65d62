/** What an account may that is deactivated or taken down, and what others see of it. */
import { type Call, PASSWORD } from "../../client.ts";
import { basic, type Case, type Side, signIn } from "../oracle.ts";

const server = (name: string) => `com.atproto.server.${name}`;
const POST = "app.bsky.feed.post";
const record = { $type: POST, text: "of an account that may not", createdAt: "2026-05-05T05:05:05.000Z" };

/** Reads and writes by an account and about it, whatever its state. */
function everything(name: string, when: string): Case[] {
  const by = (to: string, more: (side: Side) => Call = () => ({})): Case => ({
    title: `by ${name}, ${when}`,
    to,
    call: (side) => ({ token: side.token(name), ...more(side) }),
  });
  const about = (to: string, key: "did" | "repo", more: Call["params"] = {}): Case => ({
    title: `of ${name}, ${when}`,
    to,
    call: (side) => ({ params: { [key]: side.did(name), ...more } }),
  });
  const repo = (side: Side) => side.did(name);
  return [
    by(server("getSession")),
    by(server("refreshSession"), (side) => ({ method: "POST", token: side.member(name).refreshJwt })),
    by(server("checkAccountStatus")),
    by(server("listAppPasswords")),
    by(server("createAppPassword"), () => ({ body: { name: when } })),
    by(server("getAccountInviteCodes")),
    by(server("requestEmailUpdate"), () => ({ method: "POST" })),
    by(server("requestEmailConfirmation"), () => ({ method: "POST" })),
    by(server("requestAccountDelete"), () => ({ method: "POST" })),
    by(server("getServiceAuth"), (side) => ({
      params: { aud: side.serviceDid, lxm: "com.atproto.server.createAccount" },
    })),
    by(server("getServiceAuth"), (side) => ({
      params: { aud: side.serviceDid, lxm: "app.bsky.feed.getTimeline" },
    })),
    by("com.atproto.identity.getRecommendedDidCredentials"),
    by("com.atproto.temp.checkSignupQueue"),
    by("com.atproto.repo.createRecord", (side) => ({ body: { repo: repo(side), collection: POST, record } })),
    by("com.atproto.repo.putRecord", (side) => ({
      body: { repo: repo(side), collection: POST, rkey: "3kaaaaaaaaaa2", record },
    })),
    by("com.atproto.repo.deleteRecord", (side) => ({
      body: { repo: repo(side), collection: POST, rkey: "3kaaaaaaaaaa2" },
    })),
    by("com.atproto.repo.applyWrites", (side) => ({
      body: {
        repo: repo(side),
        writes: [{ $type: "com.atproto.repo.applyWrites#create", collection: POST, value: record }],
      },
    })),
    by("com.atproto.repo.uploadBlob", () => ({
      method: "POST",
      body: "blob",
      headers: { "content-type": "text/plain" },
    })),
    by("com.atproto.repo.listMissingBlobs"),
    by("app.bsky.actor.getPreferences"),
    by("app.bsky.actor.putPreferences", () => ({ body: { preferences: [] } })),
    by("app.bsky.feed.getTimeline"),
    by("com.atproto.sync.getRepo", (side) => ({ params: { did: repo(side) } })),
    by("com.atproto.sync.listBlobs", (side) => ({ params: { did: repo(side) } })),
    by("com.atproto.sync.getLatestCommit", (side) => ({ params: { did: repo(side) } })),
    about("com.atproto.sync.getRepo", "did"),
    about("com.atproto.sync.getLatestCommit", "did"),
    about("com.atproto.sync.getRepoStatus", "did"),
    about("com.atproto.sync.getHead", "did"),
    about("com.atproto.sync.getRecord", "did", { collection: POST, rkey: "3kaaaaaaaaaa2" }),
    about("com.atproto.sync.getBlocks", "did", {
      cids: ["bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a"],
    }),
    about("com.atproto.sync.listBlobs", "did"),
    about("com.atproto.repo.getRecord", "repo", { collection: POST, rkey: "3kaaaaaaaaaa2" }),
    about("com.atproto.repo.listRecords", "repo", { collection: POST }),
    about("com.atproto.repo.describeRepo", "repo"),
    {
      title: `of ${name}, ${when}, by an administrator`,
      to: "com.atproto.sync.getRepo",
      call: (side) => ({ headers: side.basic, params: { did: repo(side) } }),
    },
    {
      title: `of ${name}, ${when}, by another`,
      to: "com.atproto.sync.getRepo",
      call: (side) => ({ token: side.token("alice"), params: { did: repo(side) } }),
    },
    {
      title: `${name}'s, ${when}`,
      to: "com.atproto.identity.resolveHandle",
      call: () => ({ params: { handle: `${name}.test` } }),
    },
    {
      title: `${name}'s, ${when}`,
      to: "/.well-known/atproto-did",
      call: () => ({ headers: { host: `${name}.test` } }),
    },
    { title: `after ${name} is ${when}`, to: "com.atproto.sync.listRepos", call: () => ({}) },
    {
      title: `of ${name}, ${when}`,
      to: server("createSession"),
      call: () => ({ body: { identifier: `${name}.test`, password: PASSWORD } }),
    },
  ];
}

const firstPost = (name: string): Case => ({
  title: `by ${name}`,
  to: "com.atproto.repo.createRecord",
  call: (side) => ({
    token: side.token(name),
    body: { repo: side.did(name), collection: POST, rkey: "3kaaaaaaaaaa2", record },
  }),
  status: 200,
});

export const deactivated: readonly Case[] = [
  firstPost("carol"),
  {
    title: "carol",
    to: server("deactivateAccount"),
    call: (side) => ({ token: side.token("carol"), body: {} }),
    status: 200,
  },
  {
    title: "carol again",
    to: server("deactivateAccount"),
    call: (side) => ({ token: side.token("carol"), body: {} }),
  },
  ...everything("carol", "deactivated"),
  signIn("carol"),
  {
    title: "carol, without a body",
    to: server("activateAccount"),
    call: (side) => ({ method: "POST", token: side.token("carol") }),
    status: 200,
  },
  {
    title: "carol, who is active",
    to: server("activateAccount"),
    call: (side) => ({ method: "POST", token: side.token("carol") }),
  },
  {
    title: "by an app",
    to: server("deactivateAccount"),
    call: (side) => ({ token: side.token("bob's app"), body: {} }),
  },
  {
    title: "with a bad date",
    to: server("deactivateAccount"),
    call: (side) => ({ token: side.token("carol"), body: { deleteAfter: "tomorrow" } }),
  },
  ...everything("carol", "active").filter(({ to }) => !/createAppPassword|requestAccountDelete/.test(to)),
];

const takedown = (name: string, applied: boolean, more: object = {}): Case => ({
  title: `${applied ? "takes" : "lets"} ${name} ${applied ? "down" : "up again"}`,
  to: "com.atproto.admin.updateSubjectStatus",
  call: (side) => ({
    headers: basic(side.adminPassword),
    body: {
      subject: { $type: "com.atproto.admin.defs#repoRef", did: side.did(name) },
      takedown: { applied, ...more },
    },
  }),
  status: 200,
});

export const takenDown: readonly Case[] = [
  firstPost("dan"),
  takedown("dan", true, { ref: "1" }),
  ...everything("dan", "taken down"),
  {
    title: "of dan, as the app asks",
    to: server("createSession"),
    call: () => ({ body: { identifier: "dan.test", password: PASSWORD, allowTakendown: true } }),
    keep: ({ json }, side) => {
      const { accessJwt, refreshJwt } = json as { accessJwt: string; refreshJwt: string };
      Object.assign(side.member("dan"), { accessJwt, refreshJwt });
    },
    status: 200,
  },
  ...everything("dan", "in a narrow session"),
  takedown("dan", false),
  signIn("dan"),
  ...everything("dan", "let up again").filter(({ to }) =>
    /getSession|createRecord|sync|describeRepo/.test(to),
  ),
];
