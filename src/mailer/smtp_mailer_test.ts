import { afterEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SMTPServer } from "smtp-server";
import { createSmtpMailer } from "./mod.ts";

const MAIL = { to: "alice@example.com", subject: "Hello ü", text: "code", html: "<b>code</b>" };
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** An SMTP server that answers each recipient with a code; 250 takes the message. */
async function listen(code: number): Promise<{ url: string; received: string[] }> {
  const received: string[] = [];
  const server = new SMTPServer({
    authOptional: true,
    hideSTARTTLS: true,
    onRcptTo: ({ address }, _session, done) => {
      if (code === 250) received.push(address);
      done(code === 250 ? null : Object.assign(new Error("no"), { responseCode: code }));
    },
    onData: (stream, _session, done) => {
      stream.on("data", (chunk: Uint8Array) => received.push(Buffer.from(chunk).toString()));
      stream.on("end", () => done());
    },
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
  closing.push(() => new Promise<void>((resolve) => server.close(resolve)));
  return { url: `smtp://127.0.0.1:${portOf(server.server as Server)}`, received };
}

function portOf(server: Server): number {
  const address = server.address();
  return address !== null && typeof address === "object" ? address.port : 0;
}

const sendOver = (url: string, mail: Partial<typeof MAIL> = {}, timeoutMs?: number) =>
  createSmtpMailer({ url, from: "kith@pds.test", timeoutMs }).send({ ...MAIL, ...mail });

test("SMTP send() hands over one message with two alternatives, to one recipient", async () => {
  const { url, received } = await listen(250);
  await sendOver(url);
  const [to, ...message] = received;
  expect(to).toBe("alice@example.com");
  const text = message.join("");
  expect(text).toMatch(/^Auto-Submitted: auto-generated/m);
  expect(text).toMatch(/multipart\/alternative[\s\S]*text\/plain[\s\S]*text\/html/);
});

test.each([
  [550, "invalid_request"],
  [451, "upstream_failure"],
])("SMTP send() that is answered %d throws %s", async (code, expected) => {
  const { url } = await listen(code);
  await expect(sendOver(url)).rejects.toMatchObject({ code: expected });
});

test("SMTP send() never takes the text of an address for two", async () => {
  const { url, received } = await listen(250);
  await sendOver(url, { to: "alice@example.com, eve@example.com" }).catch(() => undefined);
  expect(received).not.toContain("eve@example.com");
});

test("SMTP send() gives up on a server that is not there, and on one that says nothing", async () => {
  await expect(sendOver("smtp://127.0.0.1:1")).rejects.toMatchObject({ code: "upstream_failure" });
  const mute = createServer();
  await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
  closing.push(() => mute.close());
  const refused = sendOver(`smtp://127.0.0.1:${portOf(mute)}`, {}, 50);
  await expect(refused).rejects.toMatchObject({
    code: "upstream_failure",
    message: expect.stringContaining("no answer within"),
  });
});

test("sendmail gets the message on its standard input", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-sendmail-"));
  closing.push(() => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, "sendmail");
  writeFileSync(program, `#!/bin/sh\necho "$@" > "${folder}/args"\ncat > "${folder}/message"\n`);
  chmodSync(program, 0o755);
  await sendOver(`smtp:///?sendmail=true&path=${encodeURIComponent(program)}`);
  expect(readFileSync(join(folder, "args"), "utf8")).toContain("alice@example.com");
  expect(readFileSync(join(folder, "message"), "utf8")).toContain("Auto-Submitted: auto-generated");
});
