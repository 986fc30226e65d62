import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "./mod.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-mail-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function run(argv: readonly string[], env: Record<string, string> = {}) {
  let [out, err] = ["", ""];
  const io = {
    env,
    cwd: folder,
    isTerminal: false,
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
  };
  const code = await main(argv, { io, loadServer: () => Promise.reject(new Error("no server here")) });
  return { code, out, err };
}

test("kith mail test keeps the message in a folder in dev mode", async () => {
  const { code, out } = await run(["mail", "test", "me@example.com"]);
  expect([code, out]).toEqual([0, `A test message to me@example.com was kept in ${folder}/data/mail\n`]);
  const [name = ""] = readdirSync(join(folder, "data/mail"));
  expect(readFileSync(join(folder, "data/mail", name), "utf8")).toContain("To: me@example.com");
});

test.each([
  [["mail"], {}, 2, "it takes"],
  [["mail", "test"], {}, 2, "it takes"],
  [["mail", "send", "me@example.com"], {}, 2, "it takes"],
  [["mail", "test", "me"], {}, 2, '"me" is no e-mail address'],
  [["mail", "test", "a@example.com,b@example.com"], {}, 2, "is no e-mail address"],
  [["mail", "test", "me@example.com"], { PDS_HOSTNAME: "pds.example.com" }, 78, "PDS_EMAIL_SMTP_URL"],
  [["mail", "test", "me@example.com"], { PDS_EMAIL_SMTP_URL: "smtp://a" }, 78, "PDS_EMAIL_FROM_ADDRESS"],
  [
    ["mail", "test", "me@example.com"],
    { PDS_EMAIL_SMTP_URL: "smtp://u:secret@127.0.0.1:1", PDS_EMAIL_FROM_ADDRESS: "a@b.example" },
    1,
    "Could not send a mail",
  ],
] as [string[], Record<string, string>, number, string][])(
  "kith %j with %j ends with %d",
  async (argv, env, code, words) => {
    const ended = await run(argv, env);
    expect(ended.code).toBe(code);
    expect(ended.err).toContain(words);
    expect(ended.err).not.toContain("secret");
  },
);
