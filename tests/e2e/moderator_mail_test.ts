/** What moderators write to members: through their own mail server, or through the one that everything goes through. */
import { expect, test } from "bun:test";
import { createAccount, xrpc } from "../client.ts";
import { ADMIN_PASSWORD, TestServer } from "../harness.ts";
import { SmtpSink } from "../smtp_sink.ts";
import { waitFor } from "../wait.ts";

const ADMIN = {
  authorization: `Basic ${Buffer.from(`admin:${ADMIN_PASSWORD}`).toString("base64")}`,
};
const SENDER = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa";
const MODERATION_FROM = "Moderators <moderation@pds.example.com>";

const send = (kith: TestServer, body: object) =>
  xrpc(kith.url, "com.atproto.admin.sendEmail", { headers: ADMIN, body: { senderDid: SENDER, ...body } });

const subjectOf = (sink: SmtpSink, subject: string) =>
  waitFor(`"${subject}"`, () => sink.mails.find(({ text }) => text.includes(`Subject: ${subject}`)));

test("sendEmail goes through the moderators' own server where there is one, as text and as HTML", async () => {
  await using normal = await new SmtpSink().start();
  await using moderation = await new SmtpSink().start();
  const env = {
    ...normal.env(),
    PDS_MODERATION_EMAIL_SMTP_URL: moderation.url,
    PDS_MODERATION_EMAIL_ADDRESS: MODERATION_FROM,
  };
  await using kith = await TestServer.start({ env });
  const alice = await createAccount(kith.url, "alice");
  const content =
    '<p>Your post was <b>removed</b>.</p><p>See <a href="https://example.com/rules">the rules</a>.</p>';
  const sent = await send(kith, {
    recipientDid: alice.did,
    content,
    subject: "About your post",
    comment: "c",
  });
  expect([sent.status, sent.json]).toEqual([200, { sent: true }]);
  const mail = await subjectOf(moderation, "About your post");
  expect(mail).toMatchObject({ from: "moderation@pds.example.com", to: [alice.email] });
  expect(mail.text).toContain(`From: ${MODERATION_FROM}`);
  expect(mail.text).toContain("Your post was removed.");
  expect(mail.text).toContain("the rules (https://example.com/rules)");
  expect(mail.text).toContain("<b>removed</b>");
  await subjectOf(normal, "Welcome");
  expect(normal.mails.some(({ text }) => text.includes("About your post"))).toBe(false);
  expect(kith.output).not.toContain("removed");
});

test("sendEmail goes through the normal mail without one, with a subject of its own", async () => {
  await using normal = await new SmtpSink().start();
  await using kith = await TestServer.start({
    env: normal.env(),
  });
  const alice = await createAccount(kith.url, "alice");
  expect((await send(kith, { recipientDid: alice.did, content: "a < b\n\nbye" })).status).toBe(200);
  const mail = await subjectOf(normal, "Message via your PDS");
  expect(mail).toMatchObject({ from: "noreply@pds.example.com", to: [alice.email] });
  expect(mail.text).toContain("a < b");
  expect(mail.text).toContain("a &lt; b</p>");
});

test("where moderators alone have mail, theirs goes out, and codes are refused in words", async () => {
  await using moderation = await new SmtpSink().start();
  const env = {
    PDS_DEV_MODE: "false",
    PDS_HOSTNAME: "pds.example.com",
    PDS_INVITE_REQUIRED: "false",
    PDS_CRAWLERS: "",
    PDS_DISABLE_SSRF_PROTECTION: "true",
    PDS_MODERATION_EMAIL_SMTP_URL: moderation.url,
    PDS_MODERATION_EMAIL_ADDRESS: MODERATION_FROM,
  };
  await using stage = await withDirectory(env);
  const { kith, plc } = stage;
  const alice = await createAccount(kith.url, "alice", plc);
  expect((await send(kith, { recipientDid: alice.did, content: "hello", subject: "Hello" })).status).toBe(
    200,
  );
  await subjectOf(moderation, "Hello");
  const asked = await xrpc(kith.url, "com.atproto.server.requestAccountDelete", {
    method: "POST",
    token: alice.accessJwt,
  });
  expect([asked.status, asked.error]).toEqual([400, "InvalidRequest"]);
  expect(String(asked.json.message)).toContain("no mail set up");
});

test("sendEmail says that there is no mail", async () => {
  const env = {
    PDS_DEV_MODE: "false",
    PDS_HOSTNAME: "pds.example.com",
    PDS_INVITE_REQUIRED: "false",
    PDS_CRAWLERS: "",
    PDS_DISABLE_SSRF_PROTECTION: "true",
  };
  await using stage = await withDirectory(env);
  const alice = await createAccount(stage.kith.url, "alice", stage.plc);
  const refused = await send(stage.kith, { recipientDid: alice.did, content: "x" });
  expect([refused.status, refused.error]).toEqual([400, "InvalidRequest"]);
  expect(String(refused.json.message)).toContain("no mail set up");
});

async function withDirectory(env: Record<string, string>) {
  const { PlcDirectory } = await import("../plc_directory.ts");
  const plc = await PlcDirectory.start();
  const kith = await TestServer.start({ env: { ...env, PDS_DID_PLC_URL: plc.url } });
  const close = async () => {
    await kith[Symbol.asyncDispose]();
    await plc[Symbol.asyncDispose]();
  };
  return { kith, plc, [Symbol.asyncDispose]: close };
}
