import { expect, test } from "bun:test";
import { newBackupKey } from "../backup/mod.ts";
import { loadConfig } from "../config/mod.ts";
import { shellWord, welcome } from "./welcome.ts";

const facts = (env: Record<string, string>) => {
  const { config } = loadConfig({ env, cwd: "/srv" });
  return {
    config,
    url: "http://127.0.0.1:2583",
    made: ["the accounts database"],
    devModeSet: env.PDS_DEV_MODE !== undefined,
  };
};

test("welcome() in dev mode gives commands that a shell takes as they are", () => {
  const text = welcome(facts({}));
  const commands = text.split("\n").filter((line) => line.startsWith("     "));
  expect(commands.length).toBe(3);
  // A curl that shows its words, and answers createSession as the server does.
  const curl = `curl() { case "$*" in *createSession*) echo '{"accessJwt":"abc"}';; *) for word in "$@"; do printf '%s\\n' "$word"; done;; esac; }`;
  const run = Bun.spawnSync(["sh", "-eu", "-c", `${curl}\n${commands.join("\n")}`]);
  const words = run.stdout.toString().split("\n");
  expect(run.exitCode).toBe(0);
  const bodies = words.filter((word) => word.startsWith("{")).map((word) => JSON.parse(word));
  expect(bodies[0]).toEqual({ handle: "alice.test", email: "alice@example.com", password: "correct-horse" });
  expect(bodies[1]).toMatchObject({ repo: "alice.test", record: { $type: "app.bsky.feed.post" } });
  expect(bodies[1].record.createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  expect(words).toContain("authorization: Bearer abc");
});

test("welcome() in dev mode shows what createSession answers where there is no token", () => {
  const [, write = ""] = welcome(facts({}))
    .split("\n")
    .filter((line) => line.startsWith("     "));
  const curl = `curl() { echo '{"error":"AuthenticationRequired"}'; }`;
  const run = Bun.spawnSync(["sh", "-u", "-c", `${curl}\n${write}`]);
  expect(run.stdout.toString()).toBe('{"error":"AuthenticationRequired"}\n');
});

test("welcome() tells the next steps at the first start only", () => {
  expect(welcome({ ...facts({}), made: [] })).not.toContain("Next");
});

test("welcome() in dev mode with invites begins with an invite code", () => {
  const text = welcome(facts({ PDS_INVITE_REQUIRED: "true" }));
  expect(text).toMatch(/1\. Make an invite code[\s\S]*2\. Create an account[\s\S]*"inviteCode":"THE-CODE"/);
});

test("welcome() names the reason for dev mode", () => {
  expect(welcome(facts({ PDS_DEV_MODE: "true" }))).toContain("because PDS_DEV_MODE is true\n");
});

test("welcome() of the real server tells how to check it and to invite", () => {
  const text = welcome(facts({ PDS_HOSTNAME: "pds.example.com" }));
  expect(text).toContain("  mode           public\n");
  expect(text).toContain("curl http://127.0.0.1:2583/xrpc/_health\n");
  expect(text).toContain("curl https://pds.example.com/xrpc/_health\n");
  expect(text).toContain("     kith account create you@example.com you --data /srv/data\n");
  expect(text).toContain("     kith invite create --data /srv/data\n");
});

test("welcome() of the real server asks for backups where none is set", () => {
  const env = { PDS_HOSTNAME: "pds.example.com" };
  expect(welcome(facts(env))).toContain("     (umask 077; kith backup new-key > kith-backup.key)\n");
  const backup = { KITH_BACKUP_DESTINATION: "/mnt/backup", KITH_BACKUP_KEY: newBackupKey() };
  expect(welcome(facts({ ...env, ...backup }))).not.toContain("new-key");
});

test.each(["/srv/data", "/srv/my data", "it's", "$HOME", ""])(
  "shellWord(%j) is one word of a shell",
  (text) => {
    const { stdout } = Bun.spawnSync(["sh", "-c", `printf '<%s>' ${shellWord(text)}`]);
    expect(stdout.toString()).toBe(`<${text}>`);
  },
);
