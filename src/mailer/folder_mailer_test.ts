import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createFolderMailer } from "./mod.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "kith-mail-"));
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const from = "kith@localhost";
const mail = { to: "alice@example.com", subject: "Hello ü", text: "code ABCDE\nbye" };

test("send() writes a message that only the owner reads", async () => {
  const folder = join(root, "mail");
  await createFolderMailer({ folder, from, now: () => 0 }).send(mail);
  expect(readdirSync(folder)).toEqual(["1970-01-01T00-00-00-000Z-000001.eml"]);
  const path = join(folder, "1970-01-01T00-00-00-000Z-000001.eml");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(readFileSync(path, "utf8")).toBe(
    "From: kith@localhost\r\nTo: alice@example.com\r\nSubject: Hello ü\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n" +
      "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" +
      "code ABCDE\r\nbye\r\n",
  );
});

test("send() writes text and HTML as alternatives", async () => {
  await createFolderMailer({ folder: root, from }).send({ ...mail, html: "<b>hi</b>" });
  const [name = ""] = readdirSync(root);
  const content = readFileSync(join(root, name), "utf8");
  expect(content).toMatch(
    /multipart\/alternative; boundary="(=_[\w-]+)"[\s\S]*--\1\r\n[\s\S]*text\/html[\s\S]*--\1--\r\n$/,
  );
});

test("send() keeps a bounded number of messages", async () => {
  const mailer = createFolderMailer({ folder: root, from, mailsMax: 2 });
  for (const subject of ["1", "2", "3"]) await mailer.send({ ...mail, subject });
  const subjects = readdirSync(root)
    .sort()
    .map((name) => /Subject: (.*)\r/.exec(readFileSync(join(root, name), "utf8"))?.[1]);
  expect(subjects).toEqual(["2", "3"]);
});

test.each([{ to: "a@b.c\r\nBcc: x@y.z" }, { subject: "a\nb" }, { subject: "x".repeat(999) }])(
  "send(%j) refuses a header that is not one line",
  async (bad) => {
    const mailer = createFolderMailer({ folder: root, from });
    expect(mailer.send({ ...mail, ...bad })).rejects.toThrow(/^Could not send a mail: its header/);
    expect(readdirSync(root)).toEqual([]);
  },
);

test("send() says that the folder cannot be written", async () => {
  const folder = join(root, "file");
  writeFileSync(folder, "");
  expect(createFolderMailer({ folder, from }).send(mail)).rejects.toThrow(/^Could not write the mail/);
});
