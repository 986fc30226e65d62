/** The pages of an account, by a browser without JavaScript: every page and every act, with the events that they cause. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Account, PASSWORD, xrpc } from "../client.ts";
import { community, provision } from "../communities/group.ts";
import { describeEvent } from "../firehose.ts";
import { ADMIN_PASSWORD } from "../harness.ts";
import { formTo, PageVisitor } from "../page_visitor.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { Stage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const ADMIN = "com.atproto.admin";
const FROM = "kith <noreply@pds.example.com>";

describe("account pages", () => {
  const smtp = new SmtpSink();
  let stage: Stage;
  beforeAll(async () => {
    await smtp.start();
    stage = await Stage.open({ env: { PDS_EMAIL_SMTP_URL: smtp.url, PDS_EMAIL_FROM_ADDRESS: FROM } });
  });
  afterAll(async () => {
    await stage?.[Symbol.asyncDispose]();
    await smtp[Symbol.asyncDispose]();
  });

  /** Signs in, on a page that was asked for before that. */
  const signIn = async (account: Pick<Account, "handle">, { to = "/account", password = PASSWORD } = {}) => {
    const visitor = new PageVisitor(stage.url);
    const asked = await visitor.get(to);
    expect(asked.path).toStartWith("/account/sign-in");
    const fields = { identifier: account.handle, password };
    const page = await visitor.send(formTo(asked, "/account/sign-in"), { fields });
    return { visitor, page };
  };
  const noticeTo = async (address: string, subject: RegExp) => {
    const mail = await waitFor(`a notice about ${subject}`, () =>
      smtp.mails.find(({ to, text }) => to.includes(address) && subject.test(text)),
    );
    smtp.mails.splice(smtp.mails.indexOf(mail), 1);
    return mail.text;
  };

  test("who is not signed in signs in first, and then has what was asked for", async () => {
    const { alice } = stage;
    const { page } = await signIn(alice, { to: "/account/devices?done=out" });
    expect([page.status, page.path]).toEqual([200, `/account/${alice.did}/devices?done=out`]);
    expect(page.text).toContain("This device");
    expect(page.text).toContain("Signed out.");
  });

  test("the overview says who somebody is, and leads to every page", async () => {
    const { alice } = stage;
    const { visitor, page } = await signIn(alice);
    expect(page.path).toBe(`/account/${alice.did}`);
    for (const text of [alice.handle, alice.did, alice.email, "not confirmed", "Second factor off"]) {
      expect(page.text).toContain(text);
    }
    const own = page.links.filter((link) => link.startsWith("/account/did:") && !link.includes("lang="));
    expect(new Set(own).size).toBe(8);
    for (const link of new Set(own)) {
      const there = await visitor.get(link);
      expect([there.status, there.path]).toEqual([200, link]);
      expect(there.html).toStartWith('<!doctype html>\n<html lang="en">');
      expect(there.headers.get("content-security-policy")).toContain("form-action 'self'");
      expect(there.headers.get("cache-control")).toBe("no-store");
    }
  });

  test("in German", async () => {
    const { visitor } = await signIn(stage.alice);
    const page = await visitor.get(`/account/${stage.alice.did}/security?lang=de`);
    expect(page.html).toContain('<html lang="de">');
    expect(page.text).toContain("Sicherheit");
    expect((await visitor.get("/account")).text).toContain("Übersicht");
  });

  test("the password: the old one is asked for, and every other session ends", async () => {
    const account = await stage.account("changer");
    const { visitor } = await signIn(account);
    const { visitor: other } = await signIn(account);
    const path = `/account/${account.did}/security`;
    const change = async (fields: Record<string, string>) =>
      visitor.send(formTo(await visitor.get(path), `${path}/password`), { fields });
    const wrong = await change({ current: "wrong", password: "a new password" });
    expect([wrong.status, wrong.text]).toEqual([400, expect.stringContaining("The password is wrong.")]);
    const short = await change({ current: PASSWORD, password: "short" });
    expect([short.status, short.text]).toEqual([400, expect.stringContaining("8 to 256 characters")]);
    const done = await change({ current: PASSWORD, password: "a new password" });
    expect([done.status, done.path]).toEqual([200, `${path}?done=password`]);
    expect(done.text).toContain("Your password is changed.");
    expect((await visitor.get("/account")).path).toBe(`/account/${account.did}`);
    expect((await other.get(`/account/${account.did}`)).path).toStartWith("/account/sign-in");
    const refresh = { method: "POST", token: account.refreshJwt };
    expect((await xrpc(stage.url, "com.atproto.server.refreshSession", refresh)).status).not.toBe(200);
    expect(await noticeTo(account.email, /Your password was changed/)).toContain("/account");
    const { page } = await signIn(account, { password: "a new password" });
    expect(page.path).toBe(`/account/${account.did}`);
  });

  test("app passwords: made, shown once, used, removed", async () => {
    const { alice } = stage;
    const { visitor } = await signIn(alice);
    const path = `/account/${alice.did}/app-passwords`;
    const add = async (fields: Record<string, string>) =>
      visitor.send(formTo(await visitor.get(path), path), { fields });
    const made = await add({ name: "My <b>phone</b>", privileged: "on" });
    expect(made.text).toContain("App password for My <b>phone</b>");
    const [password = ""] = /[a-z2-7]{4}(?:-[a-z2-7]{4}){3}/.exec(made.text) ?? [];
    const session = { body: { identifier: alice.handle, password } };
    expect((await xrpc(stage.url, "com.atproto.server.createSession", session)).status).toBe(200);
    await noticeTo(alice.email, /App password made/);
    expect((await add({ name: "My <b>phone</b>" })).text).toContain("one of this name already");
    expect((await add({ name: "  " })).text).toContain("a name of 1 to 64 characters");
    const listed = await visitor.get(path);
    expect(listed.text).not.toContain(password);
    expect(listed.text).toContain("may read private messages");
    const removed = await visitor.send(formTo(listed, `${path}/remove`));
    expect(removed.text).toContain("The app password is gone");
    expect((await xrpc(stage.url, "com.atproto.server.createSession", session)).status).toBe(401);
  });

  test("devices: one thrown out, then all others", async () => {
    const account = await stage.account("devices");
    const visitors = [await signIn(account), await signIn(account), await signIn(account)];
    const [mine, second, third] = visitors.map(({ visitor }) => visitor);
    if (!mine || !second || !third) throw new Error("Three browsers");
    const path = `/account/${account.did}/devices`;
    const isIn = async (visitor: PageVisitor) => (await visitor.get(path)).path === path;
    const listed = await mine.get(path);
    const outs = listed.forms.filter(({ action }) => action === `${path}/sign-out`);
    expect(outs).toHaveLength(3);
    const out = outs[1];
    if (!out) throw new Error("No form");
    expect((await mine.send(out)).text).toContain("Signed out.");
    const left = [await isIn(second), await isIn(third)];
    expect(left.filter(Boolean)).toHaveLength(1);
    expect((await mine.send(formTo(await mine.get(path), `${path}/sign-out-others`))).text).toContain(
      "Signed out.",
    );
    expect([await isIn(mine), await isIn(second), await isIn(third)]).toEqual([true, false, false]);
    const signedOut = await mine.send(formTo(await mine.get(path), `${path}/sign-out`));
    expect(signedOut.text).toContain(`@${account.handle} is signed out on this device.`);
    expect(await isIn(mine)).toBe(false);
  });

  test("several accounts in one browser: chosen, signed out one by one and together", async () => {
    const [one, two] = [await stage.account("one"), await stage.account("two")];
    const { visitor } = await signIn(one);
    const also = await visitor.get("/account/sign-in");
    const fields = { identifier: two.handle, password: PASSWORD };
    expect((await visitor.send(formTo(also, "/account/sign-in"), { fields })).path).toBe(
      `/account/${two.did}`,
    );
    const choose = await visitor.get("/account/security");
    expect(choose.path).toStartWith("/account/choose");
    const chosen = await visitor.send(formTo(choose, "/account/choose"), { fields: { did: one.did } });
    expect(chosen.path).toBe(`/account/${one.did}/security`);
    const stranger = await visitor.send(formTo(choose, "/account/choose"), {
      fields: { did: stage.alice.did },
    });
    expect(stranger.path).toStartWith("/account/choose");
    const home = await visitor.get(`/account/${one.did}`);
    await visitor.send(formTo(choose, "/account/sign-out"), { fields: { did: two.did } });
    expect((await visitor.get("/account")).path).toBe(`/account/${one.did}`);
    const gone = await visitor.send(formTo(home, `/account/${one.did}/sign-out-all`));
    expect(gone.text).toContain("Nobody is signed in on this device any more.");
    expect((await visitor.get("/account")).path).toStartWith("/account/sign-in");
  });

  test("the handle: another name here, with the event", async () => {
    const account = await stage.account("before");
    const { visitor } = await signIn(account);
    const path = `/account/${account.did}/handle`;
    const change = async (fields: Record<string, string>) =>
      visitor.send(formTo(await visitor.get(path), path), { fields });
    for (const [handle, text] of [
      ["a b", "letters, digits and hyphens"],
      ["x", "letters, digits and hyphens"],
      ["alice", "This handle is taken"],
    ] as const) {
      const page = await change({ handle });
      expect([handle, page.status, page.text]).toEqual([handle, 400, expect.stringContaining(text)]);
    }
    const { value, events } = await stage.eventsDuring(() => change({ handle: "After" }));
    expect(value.text).toContain("Your handle is @after.test now.");
    expect(events.map(describeEvent)).toEqual(["#identity"]);
    await noticeTo(account.email, /Your handle was changed/);
    const own = await visitor.send(formTo(value, `${path}/own`), { fields: { ownHandle: "nobody.invalid" } });
    expect([own.status, own.text]).toEqual([
      400,
      expect.stringContaining("nobody.invalid does not name this account"),
    ]);
    const bad = await visitor.send(formTo(own, `${path}/own`), { fields: { ownHandle: "no domain" } });
    expect(bad.text).toContain("This is not a domain name");
    const here = await visitor.send(formTo(bad, `${path}/own`), { fields: { ownHandle: "third.test" } });
    expect([here.status, here.text]).toEqual([400, expect.stringContaining("This handle is taken")]);
  });

  test("the e-mail address: confirmed, changed with a code to the old one, which is told", async () => {
    const account = await stage.account("postie");
    const { visitor } = await signIn(account);
    const path = `/account/${account.did}/email`;
    let page = await visitor.send(formTo(await visitor.get(path), `${path}/send-code`));
    const wrong = await visitor.send(formTo(page, `${path}/confirm`), { fields: { code: "AAAAA-22222" } });
    expect([wrong.status, wrong.text]).toEqual([
      400,
      expect.stringContaining("The code is wrong or has expired."),
    ]);
    const code = await smtp.codeTo(account.email, /Confirm your e-mail/);
    page = await visitor.send(formTo(wrong, `${path}/confirm`), { fields: { code } });
    expect(page.text).toContain("Your address is confirmed.");
    page = await visitor.get(path);
    const send = (fields: Record<string, string>) => visitor.send(formTo(page, path), { fields });
    page = await send({ email: "no address" });
    expect([page.status, page.text]).toEqual([
      400,
      expect.stringContaining("This is not an e-mail address."),
    ]);
    page = await send({ email: "new@example.org" });
    expect(page.text).toContain(`we have sent a code to ${account.email}`);
    page = await send({ email: "new@example.org", changeCode: "AAAAA-22222" });
    expect([page.status, page.text]).toEqual([
      400,
      expect.stringContaining("The code is wrong or has expired."),
    ]);
    const changeCode = await smtp.codeTo(account.email, /Change of your e-mail/);
    page = await send({ email: stage.alice.email, changeCode });
    expect([page.status, page.text]).toEqual([400, expect.stringContaining("This address cannot be used.")]);
    page = await send({ email: "new@example.org", changeCode });
    expect(page.text).toContain("Your address is changed. Please confirm it.");
    expect(await noticeTo(account.email, /Your e-mail address was changed/)).toContain("new@example.org");
    await smtp.codeTo("new@example.org", /Confirm your e-mail/);
  });

  test("codes by mail at sign-in, which then are asked for", async () => {
    const account = await stage.account("mailcode");
    const { visitor } = await signIn(account);
    const path = `/account/${account.did}`;
    const off = await visitor.get(`${path}/security`);
    expect(off.text).toContain("Confirm your e-mail address first.");
    const asked = await visitor.send(formTo(await visitor.get(`${path}/email`), `${path}/email/send-code`));
    const code = await smtp.codeTo(account.email, /Confirm your e-mail/);
    await visitor.send(formTo(asked, `${path}/email/confirm`), { fields: { code } });
    const on = await visitor.send(
      formTo(await visitor.get(`${path}/security`), `${path}/security/email-codes`),
    );
    expect(on.text).toContain("That is changed.");
    await noticeTo(account.email, /Codes by e-mail turned on/);
    const { visitor: other, page } = await signIn(account);
    expect(page.path).toStartWith("/account/factor");
    const mailed = await smtp.codeTo(account.email, /Your sign-in code/);
    const done = await other.send(formTo(page, "/account/factor"), { fields: { code: mailed } });
    expect(done.path).toBe(path);
    const renewed = await visitor.send(
      formTo(await visitor.get(`${path}/security`), `${path}/security/backup-codes`),
    );
    expect(renewed.text.match(/[a-z2-7]{4}-[a-z2-7]{4}-[a-z2-7]{4}/g)).toHaveLength(10);
  });

  test("a break and the way back, with their events", async () => {
    const account = await stage.account("break");
    const { visitor } = await signIn(account);
    const path = `/account/${account.did}/status`;
    const toggle = (act: string) => async () =>
      visitor.send(formTo(await visitor.get(path), `${path}/${act}`));
    const off = await stage.eventsDuring(toggle("deactivate"));
    expect(off.value.text).toContain("Your account is deactivated.");
    expect(off.events.map(describeEvent)).toEqual(["#account deactivated"]);
    const { page } = await signIn(account);
    expect(page.text).toContain("Deactivated");
    const on = await stage.eventsDuring(toggle("reactivate"));
    expect(on.value.text).toContain("Your account is active again.");
    expect(on.events.map(describeEvent)).toContain("#account active");
  });

  test("an account that is taken down sees that it is, and can throw out apps and devices", async () => {
    const account = await stage.account("down");
    const { visitor } = await signIn(account);
    const body = {
      subject: { $type: "com.atproto.admin.defs#repoRef", did: account.did },
      takedown: { applied: true, ref: "test" },
    };
    const authorization = `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}`;
    const down = await xrpc(stage.url, `${ADMIN}.updateSubjectStatus`, {
      body,
      headers: { authorization },
    });
    expect(down.status).toBe(200);
    const home = await visitor.get(`/account/${account.did}/security`);
    if (home.path.startsWith("/account/sign-in")) throw new Error("Signed out by the takedown");
    expect([home.path, home.text]).toEqual([
      `/account/${account.did}`,
      expect.stringContaining("have taken this account down"),
    ]);
    expect((await visitor.get(`/account/${account.did}/apps`)).status).toBe(200);
    const { page } = await signIn(account);
    expect(page.text).toContain("has been taken down");
  });

  test("deletion: by a mailed code, the password, and a tick", async () => {
    const account = await stage.account("leaving");
    const { visitor } = await signIn(account);
    const path = `/account/${account.did}/delete`;
    const asked = await visitor.send(formTo(await visitor.get(path), `${path}/send-code`));
    expect(asked.text).toContain(`We have sent a code to ${account.email}`);
    const code = await smtp.codeTo(account.email, /Deletion of your account/);
    const send = (fields: Record<string, string>) => visitor.send(formTo(asked, path), { fields });
    const all = { code, password: PASSWORD, understood: "on" };
    const refusals: [Record<string, string>, string][] = [
      [{ ...all, understood: "" }, "Please tick that you understand"],
      [{ ...all, password: "wrong" }, "The password is wrong."],
      [{ ...all, code: "AAAAA-22222" }, "The code is wrong or has expired."],
    ];
    for (const [fields, text] of refusals) {
      const page = await send(fields);
      expect([page.status, page.text]).toEqual([400, expect.stringContaining(text)]);
    }
    const group = await provision(stage.url, account, { name: "leavers", hosting: "native" });
    const held = await send(all);
    expect([held.status, held.text]).toEqual([400, expect.stringContaining("the last owner of")]);
    expect(held.text).toContain("leavers.test");
    const ended = await community(stage.url, "delete", {
      token: account.accessJwt,
      body: { communityDid: group.did },
    });
    expect(ended.status).toBe(200);
    const { value, events } = await stage.eventsDuring(() => send(all));
    expect(value.text).toContain("Your account is deleted");
    expect(events.map(describeEvent)).toEqual(["#account deleted"]);
    expect((await visitor.get(`/account/${account.did}`)).path).toStartWith("/account/sign-in");
  });

  test("the firehose was in order all the while", () => stage.judgeAll());
});
