/** The pages of communities, by a browser without JavaScript: making, letting in, inviting, handing over, deleting. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { generatePrivateKey, signerFromPrivateKey } from "../../src/atproto/mod.ts";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { comeBack, decideAtKith } from "../communities/consent.ts";
import { TestServer } from "../harness.ts";
import { fieldOf, formTo, type Page, PageVisitor } from "../page_visitor.ts";
import { Stage } from "../stage.ts";

const QUOTAS = {
  KITH_COMMUNITIES_PER_MEMBER: "100",
  KITH_COMMUNITIES_PER_MEMBER_PER_DAY: "100",
  KITH_COMMUNITIES_PER_DAY: "100",
};
const newKey = (): string => signerFromPrivateKey("p256", generatePrivateKey("p256", randomBytes(32))).didKey;

describe("community pages", () => {
  let stage: Stage;
  let alice: PageVisitor;
  let bob: Account;

  beforeAll(async () => {
    stage = await Stage.open({ env: QUOTAS });
    bob = await stage.account("bob");
    alice = await signedIn(stage.alice);
  });
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
  });

  const signedIn = async (account: Account, visitor = new PageVisitor(stage.url)) => {
    const asked = await visitor.get("/account");
    const fields = { identifier: account.handle, password: PASSWORD };
    await visitor.send(formTo(asked, "/account/sign-in"), { fields });
    return visitor;
  };
  const home = (account: Account, rest = "") => `/account/${account.did}/communities${rest}`;
  const newForm = async (name: string, { visitor = alice, account = stage.alice } = {}) => {
    const page = await visitor.get(home(account, "/new"));
    const fields = { handle: name, rotationKey: newKey(), saved: "on" };
    return { page, fields, form: formTo(page, "/communities/new") };
  };
  const make = async (name: string) => {
    const { form, fields } = await newForm(name);
    const page = await alice.send(form, { fields });
    const did = /did:plc:[a-z2-7]{24}/.exec(page.text.replace(stage.alice.did, ""))?.[0] ?? "";
    expect([page.status, page.title]).toEqual([200, expect.stringMatching(/ is there$/)]);
    return { page, did, fields, form };
  };
  const pageOf = (did: string, visitor = alice, account = stage.alice) =>
    visitor.get(home(account, `/one?${new URLSearchParams({ community: did })}`));

  test("without any, the list says what one is", async () => {
    const page = await alice.get(home(stage.alice));
    expect(page.text).toContain("A community is an identity that a group shares");
    expect(page.links).toContain(home(stage.alice, "/new"));
  });

  test("a community is made, and the same form again makes no second one", async () => {
    const { did, page, fields, form } = await make("club");
    expect(page.text).toContain("Nobody can sign in as the community");
    const log = await stage.plc.log(did);
    expect(log).toMatchObject([{ rotationKeys: [fields.rotationKey, expect.any(String)] }]);
    const again = await alice.send(form, { fields });
    expect(again.text).toContain(did);
    const list = await alice.get(home(stage.alice));
    expect(list.text.match(/@club\.test/g)).toHaveLength(1);
    const status = await xrpc(stage.url, "com.atproto.sync.getRepoStatus", { params: { did } });
    expect(status.json).toMatchObject({ did, active: true });
    const one = await pageOf(did);
    expect([one.title, one.text]).toEqual(["@club.test", expect.stringContaining("Lives on this server")]);
    const health = await alice.submit(one, "/communities/check");
    expect(health.text).toContain("All is well");
  });

  test.each([
    ["no key", { rotationKey: "" }, "This is no public key"],
    ["a key that is none", { rotationKey: "did:key:z123" }, "This is no public key"],
    ["a key that was not kept", { saved: "" }, "Please tick that you have saved the key"],
    ["a taken handle", { handle: "alice" }, "This handle is taken"],
    ["a handle that is none", { handle: "a b" }, "This handle cannot be used"],
    ["a domain of others", { domain: ".example.com" }, "This handle cannot be used"],
  ])("with %s nothing is made, and what was typed stays", async (_, wrong, text) => {
    const { form, fields } = await newForm("never");
    const page = await alice.send(form, { fields: { ...fields, ...wrong } });
    expect([page.status, page.text]).toEqual([400, expect.stringContaining(text)]);
    const typed = { ...fields, ...wrong };
    expect(fieldOf(formTo(page, "/communities/new"), "rotationKey")).toBe(typed.rotationKey);
    const right = await alice.send(formTo(page, "/communities/new"), {
      fields: { ...fields, handle: `right-${randomBytes(4).toString("hex")}`, domain: ".test" },
    });
    expect(right.title).toEndWith(" is there");
  });

  test("a form that was used is not used for another community", async () => {
    const { form, fields } = await make("used");
    const page = await alice.send(form, { fields: { ...fields, handle: "used-again" } });
    expect([page.status, page.text]).toEqual([400, expect.stringContaining("used for another community")]);
    const key = fieldOf(formTo(page, "/communities/new"), "idempotencyKey");
    expect(key).not.toBe(fieldOf(form, "idempotencyKey"));
  });

  test("an account on another server is not offered where the operator allows none", async () => {
    expect((await alice.get(home(stage.alice, "/new"))).text).not.toContain("On another server");
    expect((await alice.get(home(stage.alice, "/new-elsewhere"))).path).toBe(home(stage.alice, "/new"));
  });

  test("an identity alone is made", async () => {
    const page = await alice.get(home(stage.alice, "/mint"));
    const fields = { rotationKey: newKey(), saved: "on" };
    const made = await alice.send(formTo(page, "/communities/mint"), { fields });
    expect([made.status, made.title]).toEqual([200, "The identity is there"]);
    expect(made.text).toContain("the identity has no account");
    const one = await alice.get(made.links.find((link) => link.includes("/one?")) ?? "");
    expect(one.text).toContain("nowhere: an identity alone");
  });

  test("members are let in, changed and taken out", async () => {
    const { did } = await make("circle");
    let page = await pageOf(did);
    page = await alice.submit(page, "/communities/add", { subject: "@nobody.test" });
    expect([page.status, page.text]).toEqual([400, expect.stringContaining("Nobody is found")]);
    page = await alice.submit(page, "/communities/add", { subject: bob.handle, role: "member" });
    expect(page.text).toContain("The member is let in.");
    expect(page.text).toContain(`@${bob.handle} Member`);
    const change = formTo(page, "/communities/change", { subject: bob.did });
    page = await alice.send(change, { fields: { role: "manager", canPublish: "on" } });
    expect(page.text).toContain(`@${bob.handle} Manager may publish`);
    // An owner is made by handing over alone.
    page = await alice.send(change, { fields: { role: "owner" } });
    expect(page.text).toContain(`@${bob.handle} Admin`);
    const visitor = await signedIn(bob);
    const theirs = await pageOf(did, visitor, bob);
    expect(theirs.title).toBe("@circle.test");
    expect(theirs.links.some((link) => link.includes("/delete"))).toBe(false);
    page = await alice.send(formTo(page, "/communities/remove", { subject: bob.did }));
    expect(page.text).toContain("The member is taken out.");
    expect((await pageOf(did, visitor, bob)).path).toBe(home(bob));
    const refused = await visitor.send(formTo(theirs, "/communities/invite"));
    expect(refused.path).toBe(home(bob));
  });

  test("an invite link lets somebody in who signs in first, once", async () => {
    const { did } = await make("invited");
    const page = await alice.submit(await pageOf(did), "/communities/invite", { role: "member", uses: "1" });
    const link = linkOf(page);
    expect(new URL(link).origin).toBe(stage.url);
    const path = link.slice(stage.url.length);
    const visitor = new PageVisitor(stage.url);
    const asked = await visitor.get(path);
    expect(asked.path).toStartWith("/account/sign-in");
    const fields = { identifier: bob.handle, password: PASSWORD };
    const offered = await visitor.send(formTo(asked, "/account/sign-in"), { fields });
    expect([offered.title, offered.text]).toEqual([
      "Join @invited.test",
      expect.stringContaining(`You are invited as Member. You would join as @${bob.handle}.`),
    ]);
    // To look makes nobody a member.
    expect((await pageOf(did)).text).not.toContain(`@${bob.handle}`);
    const joined = await visitor.submit(offered, "/communities/join");
    expect(joined.text).toContain("Welcome: you are a member now.");
    const again = await visitor.get(home(bob, path.slice("/account/communities".length)));
    expect([again.status, again.title]).toEqual([400, "This invite cannot be used"]);
    const left = await visitor.submit(joined, "/communities/leave");
    expect([left.path, left.text]).toEqual([
      `${home(bob)}?done=left`,
      expect.stringContaining("You are no member any more."),
    ]);
  });

  test("an invite that is revoked lets nobody in", async () => {
    const { did } = await make("revoked");
    const page = await alice.submit(await pageOf(did), "/communities/invite", { role: "admin", uses: "5" });
    const path = linkOf(page).slice(stage.url.length);
    const gone = await alice.submit(page, "/communities/revoke");
    expect(gone.text).toContain("The invite is revoked.");
    expect(gone.text).toContain("No invite is open.");
    const visitor = await signedIn(bob);
    expect((await visitor.get(path)).title).toBe("This invite cannot be used");
  });

  test("the last owner cannot leave, and hands over first", async () => {
    const { did } = await make("handed");
    let page = await alice.submit(await pageOf(did), "/communities/leave");
    expect([page.status, page.text]).toEqual([
      400,
      expect.stringContaining("A community cannot be without an owner"),
    ]);
    page = await alice.get(home(stage.alice, `/hand-over?community=${did}`));
    const fields = { subject: bob.handle, self: "leave" };
    page = await alice.submit(page, "/communities/hand-over", fields);
    expect(page.path).toBe(`${home(stage.alice)}?done=left`);
    const visitor = await signedIn(bob);
    const theirs = await pageOf(did, visitor, bob);
    expect(theirs.links.some((link) => link.includes("/delete"))).toBe(true);
    // Whoever is no owner is not shown how to delete it, and cannot.
    expect((await alice.get(home(stage.alice, `/delete?community=${did}`))).path).toBe(home(stage.alice));
  });

  test("it is deleted by its name alone", async () => {
    const { did } = await make("ended");
    let page = await alice.get(home(stage.alice, `/delete?community=${did}`));
    page = await alice.submit(page, "/communities/delete", { name: "club.test" });
    expect([page.status, page.text]).toEqual([400, expect.stringContaining("That is not the name")]);
    page = await alice.submit(page, "/communities/delete", { name: "@Ended.test" });
    expect([page.path, page.text]).toEqual([
      `${home(stage.alice)}?done=deleted`,
      expect.stringContaining("The community is deleted."),
    ]);
    expect(page.text).not.toContain("@ended.test");
    const status = await xrpc(stage.url, "com.atproto.sync.getRepoStatus", { params: { did } });
    expect(status.json.active).not.toBe(true);
  });

  test("everything is said in German too", async () => {
    const german = await signedIn(stage.alice, new PageVisitor(stage.url, { "Accept-Language": "de" }));
    for (const [rest, title] of [
      ["", "Gemeinschaften"],
      ["/new", "Neue Gemeinschaft"],
      ["/ways", "Andere Wege zu einer Gemeinschaft"],
    ] as const) {
      expect((await german.get(home(stage.alice, rest))).title).toBe(title);
    }
  });
});

describe("community pages of a server that allows another", () => {
  let stage: Stage;
  let other: TestServer;
  let alice: PageVisitor;
  beforeAll(async () => {
    stage = await Stage.open();
    other = await TestServer.start({ env: { PDS_DID_PLC_URL: stage.plc.url } });
    await stage.server.stop();
    stage.server.set("KITH_COMMUNITY_PDS_ALLOWLIST", other.url);
    await stage.server.start();
    alice = new PageVisitor(stage.url);
    const asked = await alice.get("/account");
    await alice.send(formTo(asked, "/account/sign-in"), {
      fields: { identifier: stage.alice.handle, password: PASSWORD },
    });
  });
  afterAll(async () => {
    await other?.[Symbol.asyncDispose]();
    await stage?.[Symbol.asyncDispose]();
  });
  const home = (rest: string) => `/account/${stage.alice.did}/communities${rest}`;

  test("an account is made there, and its password told once", async () => {
    const page = await alice.get(home("/new-elsewhere"));
    const form = formTo(page, "/communities/new-elsewhere");
    const fields = {
      ...{ endpoint: other.url, handle: "away.test", email: "away@example.com" },
      ...{ rotationKey: newKey(), saved: "on" },
    };
    const refused = await alice.send(form, { fields: { ...fields, endpoint: "http://localhost:1" } });
    expect([refused.status, refused.text]).toEqual([
      400,
      expect.stringContaining("do not allow communities on that server"),
    ]);
    const made = await alice.send(formTo(refused, "/communities/new-elsewhere"), { fields });
    expect([made.status, made.title]).toEqual([200, "@away.test is there"]);
    const password = /class="secret"><code>([^<]+)</.exec(made.html)?.[1] ?? "";
    const session = await xrpc(other.url, "com.atproto.server.createSession", {
      body: { identifier: "away.test", password },
    });
    expect(session.status).toBe(200);
    const again = await alice.send(formTo(refused, "/communities/new-elsewhere"), { fields });
    expect([again.title, again.html.includes('class="secret"')]).toEqual(["@away.test is there", false]);
    const one = await alice.get(made.links.find((link) => link.includes("/one?")) ?? "");
    expect(one.text).toContain(`Lives on ${new URL(other.url).host}`);
    const wrong = await alice.submit(one, "/communities/reauth", { appPassword: "aaaa-bbbb-cccc-dddd" });
    expect([wrong.status, wrong.text]).toEqual([
      400,
      expect.stringContaining("does not take this app password"),
    ]);
    const right = await alice.submit(one, "/communities/reauth", {
      appPassword: await appPasswordOf(session.json),
    });
    expect(right.text).toContain("The new app password is in use.");
  });

  test("an account that is there is adopted by an app password, and by no other", async () => {
    const account = await xrpc(other.url, "com.atproto.server.createAccount", {
      body: { handle: "there.test", email: "there@example.com", password: PASSWORD },
    });
    let page = await alice.get(home("/ways"));
    page = await alice.submit(page, "/communities/adopt", { account: "there.test", appPassword: PASSWORD });
    expect(page.status).toBe(400);
    const did = String(account.json.did);
    page = await alice.submit(page, "/communities/adopt", { account: did, appPassword: PASSWORD });
    expect([page.status, page.text]).toEqual([
      400,
      expect.stringContaining("does not take this app password"),
    ]);
    const appPassword = await appPasswordOf(account.json);
    page = await alice.submit(page, "/communities/adopt", { account: did, appPassword });
    expect([page.status, page.title]).toEqual([200, "@there.test is there"]);
  });

  test("an account is adopted by its owner's consent, and lets the server in again by another", async () => {
    const owner = await createAccount(other.url, "consents", stage.plc);
    const agree = async (page: Page, title: string) => {
      const link = linkOf(page);
      expect([page.status, page.title]).toEqual([200, "Ask the owner of the account"]);
      expect([new URL(link).origin, page.links.includes(link)]).toEqual([other.url, true]);
      const back = await comeBack(stage.url, await decideAtKith(link, owner));
      expect(back.page.text).toContain(`@${stage.alice.handle}`);
      expect((await back.decide("allow")).title).toBe(title);
    };
    const ways = await alice.get(home("/ways"));
    const nobody = await alice.submit(ways, "/communities/ask", { account: "nobody.test" });
    expect([nobody.status, nobody.text]).toEqual([400, expect.stringContaining("Nobody is found")]);
    const asked = await alice.submit(nobody, "/communities/ask", { account: owner.did });
    await agree(asked, "The account is a community now");
    const list = await alice.get(home(""));
    const one = await alice.get(
      list.links.find((link) => link.includes(encodeURIComponent(owner.did))) ?? "",
    );
    expect(one.title).toBe(`@${owner.handle}`);
    await agree(await alice.submit(one, "/communities/ask-again"), "This server is let in again");
    const health = await alice.submit(one, "/communities/check");
    expect(health.text).toContain("All is well");
    const taken = await alice.submit(ways, "/communities/ask", { account: owner.did });
    expect([taken.status, taken.text]).toEqual([400, expect.stringContaining("a community here already")]);
  });

  async function appPasswordOf({ accessJwt }: Record<string, unknown>): Promise<string> {
    const { json } = await xrpc(other.url, "com.atproto.server.createAppPassword", {
      body: { name: "kith" },
      token: String(accessJwt),
    });
    return String(json.password);
  }
});

function linkOf(page: Page): string {
  const link = /class="secret"><code>([^<]+)</.exec(page.html)?.[1];
  if (link === undefined) throw new Error(`No link on "${page.title}": ${page.text}`);
  return link.replaceAll("&amp;", "&");
}
