/** `kith account`, `kith invite` and `kith request-crawl`: the real commands against the real server. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/config/mod.ts";
import { createLogger } from "../../src/logger.ts";
import { createServer } from "../../src/server.ts";
import { PASSWORD, xrpc } from "../client.ts";
import { describeEvent } from "../firehose.ts";
import { kithCommand, serverEnv, TestServer } from "../harness.ts";
import { useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const SETTINGS = { PDS_DATA_DIRECTORY: undefined, PDS_INVITE_REQUIRED: undefined };
const NOBODY = "did:plc:vwzwgnygau7ed7b7wt5ux7y2";

interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs one command to its end. */
async function run(
  command: readonly string[],
  { folder, input = "" }: { folder: string; input?: string },
): Promise<Ended> {
  const child = Bun.spawn([...command, "--data", folder], {
    cwd: tmpdir(),
    env: serverEnv({ ...SETTINGS, USER: "olga", SUDO_USER: undefined }),
    stdin: new TextEncoder().encode(input),
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, out, err };
}

const kith = (args: readonly string[], server: { folder: string }, input?: string) =>
  run(kithCommand(...args), { folder: server.folder, ...(input === undefined ? {} : { input }) });

const signIn = (url: string, identifier: string, password: string) =>
  xrpc(url, "com.atproto.server.createSession", { body: { identifier, password } });

describe("commands over a running server", () => {
  const holder = useStage({ env: { PDS_INVITE_REQUIRED: undefined } });
  const here = () => holder.stage.server;
  const json = async (...args: string[]) => {
    const { code, out, err } = await kith([...args, "--json"], here());
    expect({ code, err }).toEqual({ code: 0, err });
    return out
      .trim()
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line));
  };
  const refused: [title: string, args: () => string[], code: number, words: RegExp][] = [
    ["an unknown DID", () => ["account", "info", NOBODY], 1, /There is no account "did:plc:vwz/],
    [
      "an unknown handle",
      () => ["account", "delete", "nobody.test", "--yes"],
      1,
      /There is no account "nobody\.test"/,
    ],
    ["a takedown without an answer", () => ["account", "takedown", holder.stage.alice.did], 2, /--yes/],
    ["a deletion without an answer", () => ["account", "delete", holder.stage.alice.handle], 2, /--yes/],
    ["a bad handle", () => ["account", "create", "x@example.com", "bad_handle.test"], 1, /bad_handle\.test/],
    [
      "a handle elsewhere",
      () => ["account", "create", "x@example.com", "x.example.com"],
      1,
      /end with \.test/,
    ],
    [
      "a taken handle",
      () => ["account", "create", "x@example.com", "alice.test"],
      1,
      /already taken: alice\.test/,
    ],
    [
      "a taken address",
      () => ["account", "create", "alice@example.com", "x1234.test"],
      1,
      /already taken: alice@/,
    ],
    ["a bad address", () => ["account", "create", "--email", "x", "--handle", "x1234"], 1, /e-?mail/i],
    [
      "an empty password",
      () => ["account", "create", "x@example.com", "x1234", "--password", "-"],
      2,
      /no password/,
    ],
    ["a code for nobody", () => ["account", "code", NOBODY, "reset_password"], 1, /There is no account/],
    [
      "a code for nothing",
      () => ["account", "code", "alice.test", "party"],
      2,
      /no purpose "party": it is one of/,
    ],
    ["too many invite codes", () => ["invite", "create", "--count", "5000"], 1, /1 to 1000|1000 at most/],
    ["relays where none is set", () => ["request-crawl"], 1, /PDS_CRAWLERS/],
    ["a relay that is none", () => ["request-crawl", "ftp://relay.test"], 1, /ftp:\/\/relay\.test/],
  ];
  test.each(refused)("refuses %s", async (_, args, code, words) => {
    const { value: ended, events } = await holder.stage.eventsDuring(() => kith(args(), here()));
    expect(ended).toEqual({ code, out: "", err: expect.stringMatching(words) });
    expect(ended.err).not.toMatch(/^\s+at \S+/m);
    expect(events).toEqual([]);
  });

  test("account create makes a password that signs in, and says it once", async () => {
    const { value: ended, events } = await holder.stage.eventsDuring(() =>
      kith(["account", "create", "carol@example.com", "carol"], here()),
    );
    expect(ended.code).toBe(0);
    const [, did, password] =
      /^DID +(\S+)\nhandle +carol\.test\ne-mail +carol@example\.com\npassword +(\S+)\n$/.exec(ended.out) ??
      [];
    expect(events.map(describeEvent)).toEqual(["#identity", "#account active", "#commit", "#sync"]);
    const session = await signIn(holder.stage.url, "carol.test", password ?? "");
    expect(session.json.did).toBe(did);
    expect(here().output).not.toContain(password ?? "?");
  });

  test("account create takes goat's options, a password from a pipe, and reserved names", async () => {
    const args = [
      "account",
      "create",
      "--handle",
      "admin.test",
      "--email",
      "a2@example.com",
      "--password",
      "-",
      "--json",
    ];
    const { out } = await kith(args, here(), "from a pipe\n");
    expect(JSON.parse(out)).toEqual({
      did: expect.any(String),
      handle: "admin.test",
      email: "a2@example.com",
    });
    expect((await signIn(holder.stage.url, "admin.test", "from a pipe")).status).toBe(200);
  });

  test("account info shows one by DID, handle or address", async () => {
    const { did } = holder.stage.alice;
    for (const name of [did, "alice.test", "@ALICE.test", "alice@example.com"]) {
      expect(await json("account", "info", name)).toMatchObject([
        { did, handle: "alice.test", email: "alice@example.com", active: true },
      ]);
    }
    const { out } = await kith(["account", "info", did], here());
    expect(out).toMatch(/^status +active$/m);
    expect(out).toMatch(/^e-mail +alice@example\.com$/m);
  });

  test("account list lists all", async () => {
    const { out } = await kith(["account", "list"], here());
    expect(out).toMatch(/^DID +HANDLE +STATUS +E-MAIL +CREATED\n/);
    expect(out).toMatch(/^did:plc:\S+ +carol\.test +active +carol@example\.com +\d{4}-\d\d-\d\d$/m);
    const listed = await json("account", "list");
    expect(listed.map(({ handle }) => handle)).toEqual([
      "alice.test",
      "marker.test",
      "carol.test",
      "admin.test",
    ]);
  });

  test("account takedown and untakedown", async () => {
    const carol = ["account", "info", "carol.test"] as const;
    const down = await holder.stage.eventsDuring(() =>
      kith(["account", "takedown", "carol.test", "--ref", "report 7", "--yes"], here()),
    );
    expect(down.value).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^carol\.test \(did:plc:\S+\) is taken down\.\n$/),
    });
    expect(down.events.map(describeEvent)).toEqual(["#account takendown"]);
    expect(await json(...carol)).toMatchObject([{ active: false, status: "takendown" }]);
    expect((await kith([...carol], here())).out).toMatch(/^taken down +report 7$/m);
    const up = await holder.stage.eventsDuring(() => kith(["account", "untakedown", "carol.test"], here()));
    expect(up.events.map(describeEvent)).toEqual(["#account active", "#identity", "#sync"]);
    expect(await json(...carol)).toMatchObject([{ active: true }]);
    await kith(["account", "takedown", "carol.test", "--yes"], here());
    await kith(["account", "takedown", "--reverse", "carol.test"], here());
    expect(await json(...carol)).toMatchObject([{ active: true }]);
  });

  test("account reset-password ends the sessions and prints a new password", async () => {
    const [{ password }] = await json("account", "reset-password", "carol.test");
    expect((await signIn(holder.stage.url, "carol.test", password)).status).toBe(200);
    const given = await kith(["account", "reset-password", "carol.test", "--password", "of her own"], here());
    expect(given.out).not.toContain("of her own");
    expect((await signIn(holder.stage.url, "carol.test", password)).status).toBe(401);
    expect((await signIn(holder.stage.url, "carol.test", "of her own")).status).toBe(200);
  });

  test("account update gives another handle and address", async () => {
    const changed = await holder.stage.eventsDuring(() =>
      kith(["account", "update", "carol.test", "--handle", "caroline", "--email", "new@example.com"], here()),
    );
    expect(changed.value).toMatchObject({
      code: 0,
      out: expect.stringMatching(
        /^carol\.test \(\S+\) has the handle caroline\.test now\.\ncarol\.test \(\S+\) has the e-mail address new@example\.com now\.\n$/,
      ),
    });
    expect(changed.events.map(describeEvent)).toEqual(["#identity"]);
    const back = ["--handle", "@carol.test", "--email", "carol@example.com"];
    expect(await json("account", "update", "new@example.com", ...back)).toMatchObject([
      { handle: "carol.test", email: "carol@example.com" },
    ]);
    for (const [args, code, words] of [
      [[], 2, /--email or --handle/],
      [["--email", "alice@example.com"], 1, /alice@example\.com/],
      [["--email", "none"], 1, /none/],
      [["--handle", "alice"], 1, /alice\.test/],
      [["--handle", "no_handle"], 1, /no_handle\.test/],
    ] as [string[], number, RegExp][]) {
      const refused = await kith(["account", "update", "carol.test", ...args], here());
      expect(refused).toEqual({ code, out: "", err: expect.stringMatching(words) });
    }
  });

  test("account code makes a code that works once, and is seen in the log", async () => {
    const [{ code, expiresAt, did }] = await json("account", "code", "carol.test", "reset-password");
    expect(Date.parse(expiresAt) - Date.now()).toBeWithin(14 * 60_000, 15 * 60_000 + 1);
    const reset = () =>
      xrpc(holder.stage.url, "com.atproto.server.resetPassword", {
        body: { token: code, password: "by code" },
      });
    expect((await reset()).status).toBe(200);
    expect((await reset()).error).toBe("InvalidToken");
    expect((await signIn(holder.stage.url, "carol.test", "by code")).status).toBe(200);
    const lines = here()
      .output.split("\n")
      .filter((line) => line.includes("The operator made a code"));
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([
      { level: "warn", did, purpose: "reset_password", operator: "olga" },
    ]);
    expect(here().output).not.toContain(code);
    const shown = await kith(["account", "code", "carol.test", "plc_operation"], here());
    expect(shown.out).toMatch(/^code +[A-Z2-7]{5}-[A-Z2-7]{5}\nvalid +15 minutes, until \d{4}-/m);
  });

  test("account reset-second-factor lets a member in by the password again", async () => {
    const { url, alice } = holder.stage;
    const [{ code: token }] = await json("account", "code", alice.did, "confirm_email");
    const { email, accessJwt } = alice;
    await xrpc(url, "com.atproto.server.confirmEmail", { token: accessJwt, body: { email, token } });
    const on = { email, emailAuthFactor: true };
    expect((await xrpc(url, "com.atproto.server.updateEmail", { token: accessJwt, body: on })).status).toBe(
      200,
    );
    expect((await signIn(url, alice.did, PASSWORD)).error).toBe("AuthFactorTokenRequired");
    const [{ code: authFactorToken }] = await json("account", "code", alice.did, "second_factor");
    const body = { identifier: alice.did, password: PASSWORD, authFactorToken };
    expect((await xrpc(url, "com.atproto.server.createSession", { body })).status).toBe(200);
    expect((await kith(["account", "reset-second-factor", alice.handle], here())).code).toBe(2);
    const ended = await kith(["account", "reset-second-factor", alice.handle, "--yes"], here());
    expect(ended.out).toBe(`${alice.handle} (${alice.did}) signs in with its password alone.\n`);
    expect((await signIn(url, alice.did, PASSWORD)).status).toBe(200);
    const [noted = ""] = here()
      .output.split("\n")
      .filter((line) => line.includes("The operator took the second factors"));
    expect(JSON.parse(noted)).toMatchObject({ level: "warn", did: alice.did, operator: "olga" });
  });

  test("account delete", async () => {
    const ended = await holder.stage.eventsDuring(() =>
      kith(["account", "delete", "carol@example.com", "--yes"], here()),
    );
    expect(ended.value).toMatchObject({
      code: 0,
      out: expect.stringMatching(/^carol\.test \(did:plc:\S+\) is deleted\.\n$/),
    });
    expect(ended.events.map(describeEvent)).toEqual(["#account deleted"]);
    expect((await kith(["account", "info", "carol.test"], here())).code).toBe(1);
  });

  test("invite create prints codes that serve", async () => {
    const { out } = await kith(["invite", "create", "--count", "2", "--uses", "3"], here());
    expect(out).toMatch(/^(localhost-[a-z2-7]{5}-[a-z2-7]{5}\n){2}$/);
    const [made] = await json("invite", "create", "--for", "alice.test");
    expect(made).toMatchObject({ uses: 1, account: holder.stage.alice.did });
    const body = {
      handle: "dave.test",
      email: "dave@example.com",
      password: PASSWORD,
      inviteCode: made.code,
    };
    expect((await xrpc(holder.stage.url, "com.atproto.server.createAccount", { body })).status).toBe(200);
  });

  test("request-crawl shows each relay's answer", async () => {
    const asked: unknown[] = [];
    using relay = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request) => {
        asked.push(await request.json());
        if (request.headers.get("host")?.startsWith("127")) return Response.json({});
        return Response.json({ error: "HostBanned", message: "not you" }, { status: 400 });
      },
    });
    const [good, bad] = [`http://127.0.0.1:${relay.port}`, `http://localhost:${relay.port}`];
    const ended = await kith(["request-crawl", `${good},${bad}`], here());
    expect(ended.code).toBe(1);
    expect(ended.out).toMatch(new RegExp(`^${good} +was asked to crawl localhost$`, "m"));
    expect(ended.out).toMatch(new RegExp(`^${bad} +The relay .* answered 400 .*: HostBanned: not you$`, "m"));
    expect(asked).toEqual([{ hostname: "localhost" }, { hostname: "localhost" }]);
    expect(await json("request-crawl", good)).toEqual([
      { relay: good, accepted: true, hostname: "localhost" },
    ]);
  });

  test("what the socket alone serves, TCP does not, nor is anybody the admin there", async () => {
    for (const name of ["findAccount", "createEmailCode", "requestCrawl", "resetSecondFactor"]) {
      const answer = await xrpc(holder.stage.url, `dev.kith.admin.${name}`, {
        params: { account: "alice.test" },
      });
      expect(answer.error).toBe("MethodNotImplemented");
    }
    const answer = await xrpc(holder.stage.url, "com.atproto.server.createInviteCode", {
      body: { useCount: 1 },
    });
    expect(answer.status).toBe(401);
  });
});

describe("the admin socket", () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await TestServer.start({ env: { PDS_RATE_LIMITS_ENABLED: "true" } });
  });
  afterAll(async () => {
    await server[Symbol.asyncDispose]();
  });
  const socket = () => join(server.folder, "admin.sock");
  const list = (folder = server.folder) => kith(["account", "list"], { folder });

  test("is its owner's alone", () => {
    expect(statSync(socket()).mode & 0o777).toBe(0o600);
  });

  test("counts no calls, as the port does", async () => {
    const limitAt = async (origin: string, init?: BunFetchRequestInit) =>
      (await fetch(`${origin}/xrpc/com.atproto.server.describeServer`, init)).headers.get("ratelimit-limit");
    expect(await limitAt(server.url)).toBe("3000");
    expect(await limitAt("http://localhost", { unix: socket() })).toBeNull();
  });

  test("is not opened by another user", async () => {
    const isRoot = process.getuid?.() === 0;
    const script = join(import.meta.dir, "../as_nobody.ts");
    chmodSync(server.folder, 0o755);
    if (!isRoot) chmodSync(socket(), 0);
    const ended = await run([process.execPath, script, "account", "list"], { folder: server.folder });
    chmodSync(socket(), 0o600);
    expect(ended).toEqual({
      code: 1,
      out: "",
      err: expect.stringMatching(/admin\.sock": permission denied\nOnly the user/),
    });
  });

  test("answers through a symbolic link to the folder", async () => {
    const link = `${server.folder}-link`;
    symlinkSync(server.folder, link);
    try {
      expect((await list(link)).code).toBe(0);
    } finally {
      rmSync(link);
    }
  });

  test("that kill -9 has left is told from a live one, and replaced by the next start", async () => {
    await server.kill();
    expect(existsSync(socket())).toBe(true);
    expect(await list()).toEqual({
      code: 1,
      out: "",
      err: `kith account list: No server runs on the data folder "${server.folder}"\nStart it with kith serve. If it runs, its log says why it has no admin socket.\n`,
    });
    await server.start();
    expect((await list()).code).toBe(0);
    expect(statSync(socket()).mode & 0o777).toBe(0o600);
  });

  test("is gone after a stop", async () => {
    await server.stop();
    expect(existsSync(socket())).toBe(false);
    expect((await list()).err).toContain("No server runs on");
  });

  test("is not put in the place of a file that somebody needs", async () => {
    writeFileSync(socket(), "notes");
    await server.start();
    await waitFor("the log of it", () => server.output.includes("Could not open the admin socket"));
    expect(await Bun.file(socket()).text()).toBe("notes");
    await server.stop();
  });
});

test("a data folder whose path is too long for a socket has a server, and a command that says why", async () => {
  const base = mkdtempSync(join(tmpdir(), "kith-long-"));
  const folder = join(base, "x".repeat(100));
  mkdirSync(folder);
  try {
    await using server = await TestServer.start({ folder });
    await waitFor("the log of it", () => server.output.includes("Could not open the admin socket"));
    const ended = await kith(["account", "list"], { folder });
    expect(ended.code).toBe(1);
    expect(ended.err).toMatch(/has \d+ bytes[\s\S]*symbolic link/);
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
});

test("a folder without data is told, and left as it is", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-empty-"));
  try {
    const ended = await kith(["account", "list"], { folder });
    expect(ended).toMatchObject({ code: 1, err: expect.stringContaining("is no data folder of kith") });
    expect([...new Bun.Glob("**").scanSync({ cwd: folder, dot: true })]).toEqual([]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("account create needs no invite code where everybody else does", async () => {
  await using server = await TestServer.start({ env: { PDS_INVITE_REQUIRED: "true" } });
  expect((await kith(["account", "create", "eve@example.com", "eve"], server)).code).toBe(0);
  expect((await kith(["account", "list", "--json"], server)).out).toContain('"eve.test"');
});

test("a server that is mounted without listening has no admin socket", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-mounted-"));
  const { config } = loadConfig({ env: { PDS_DATA_DIRECTORY: folder }, cwd: folder });
  const server = await createServer(config, { listen: false, log: createLogger({ enabled: false }) });
  try {
    const request = new Request("http://localhost:2583/xrpc/_health");
    expect((await server.fetch(request, { requestIP: () => null, upgrade: () => false }))?.status).toBe(200);
    expect(existsSync(join(folder, "admin.sock"))).toBe(false);
    expect((await kith(["account", "list"], { folder })).err).toContain("No server runs on");
  } finally {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
