/** `kith community` and `kith reap`: the real commands against the real server, at a pipe and at a terminal. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { comeBack, decideAtKith } from "../communities/consent.ts";
import { emailCode, ROOM } from "../communities/group.ts";
import { kithCommand, serverEnv, TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { waitFor } from "../wait.ts";

/** A directory that answers, and takes operations only while it is told to. */
class MoodyDirectory implements AsyncDisposable {
  takesOperations = true;
  readonly #plc: PlcDirectory;
  readonly #server: Bun.Server<undefined>;

  private constructor(plc: PlcDirectory) {
    this.#plc = plc;
    this.#server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: (request) => this.#pass(request) });
  }

  static async start(): Promise<MoodyDirectory> {
    return new MoodyDirectory(await PlcDirectory.start());
  }

  get url(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  log(did: string) {
    return this.#plc.log(did);
  }

  async #pass(request: Request): Promise<Response> {
    if (request.method === "POST" && !this.takesOperations) return new Response("away", { status: 503 });
    const { pathname } = new URL(request.url);
    const body = request.method === "POST" ? await request.text() : undefined;
    const headers = { "content-type": "application/json" };
    return await fetch(`${this.#plc.url}${pathname}`, { method: request.method, headers, body });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
    await this.#plc[Symbol.asyncDispose]();
  }
}

let plc: MoodyDirectory;
let server: TestServer;
/** Another server, which to this one is like any. */
let elsewhere: TestServer;
let folder: string;
let [alice, bob]: Account[] = [];
beforeAll(async () => {
  plc = await MoodyDirectory.start();
  elsewhere = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
  const rules = { KITH_COMMUNITY_PDS_ALLOWLIST: elsewhere.url, ...ROOM };
  server = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url, ...rules } });
  folder = mkdtempSync(join(tmpdir(), "kith-communities-"));
  alice = await createAccount(server.url, "alice", { document: documentOf });
  bob = await createAccount(server.url, "bob", { document: documentOf });
});
afterAll(async () => {
  await using stack = new AsyncDisposableStack();
  for (const one of [plc, elsewhere, server]) stack.use(one);
  rmSync(folder, { recursive: true, force: true });
});

async function documentOf(did: string): Promise<Record<string, unknown>> {
  return (await (await fetch(`${plc.url}/${did}`)).json()) as Record<string, unknown>;
}

/** Runs `kith WORDS` to its end, in a folder that is not the server's. */
async function kith(
  words: readonly string[],
  { env = {}, input = "" }: { env?: object; input?: string } = {},
) {
  const child = Bun.spawn(kithCommand(...words), {
    cwd: folder,
    env: serverEnv({ PDS_PORT: undefined, USER: "olga", SUDO_USER: undefined, ...env }),
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

type As = "alice" | "bob";
const who = (as: As) => ({ KITH_IDENTIFIER: `${as}.test`, KITH_PASSWORD: PASSWORD });

function community(words: readonly string[], { as = "alice", input }: { as?: As; input?: string } = {}) {
  const argv = ["community", ...words, "--server", server.url];
  return kith(argv, { env: who(as), ...(input === undefined ? {} : { input }) });
}

/** One that is expected to do it; what it printed for scripts. */
async function json(words: readonly string[], more: { as?: As; input?: string } = {}) {
  const { code, out, err } = await community([...words, "--json"], more);
  expect({ code, err }).toEqual({ code: 0, err });
  return out
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

describe.each(["native", "stock", "remote"] as const)("a community, %s", (host) => {
  const handle = `club-${host}.test`;
  const keyPath = () => join(folder, `${handle}.rotation-key`);
  const home = () => (host === "remote" ? elsewhere.url : server.url);
  const options = () => {
    if (host === "native") return [];
    return [
      ...(host === "stock" ? ["--host", "stock"] : ["--pds", elsewhere.url]),
      "--email",
      "club@example.com",
    ];
  };
  let did: string;

  test("new: the key comes first in the directory and stays here", async () => {
    const kind = host === "native" ? ["--key-type", "K-256"] : [];
    const { code, out, err } = await community([
      "new",
      host === "remote" ? handle : `club-${host}`,
      ...kind,
      ...options(),
    ]);
    expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining("keep it secret") });
    did = /^community +(did:plc:\w+)$/m.exec(out)?.[1] ?? "";
    expect(statSync(keyPath()).mode & 0o777).toBe(0o600);
    const text = readFileSync(keyPath(), "utf8");
    const [privateKey = "", ...notes] = text.split("\n");
    const didKey = notes.find((line) => line.includes("public key"))?.split(": ")[1] ?? "";
    const last = (await plc.log(did)).at(-1) as { rotationKeys: string[] };
    expect(last.rotationKeys[0]).toBe(didKey);
    expect(text).toEndWith(`# community: ${did}\n`);
    for (const shown of [out, err, server.output]) expect(shown).not.toContain(privateKey);
    const password = /^password +(\S+)$/m.exec(out)?.[1];
    expect(password === undefined).toBe(host === "native");
    if (password === undefined) return;
    const session = await xrpc(home(), "com.atproto.server.createSession", {
      body: { identifier: handle, password },
    });
    expect([session.status, session.json.did]).toEqual([200, did]);
  });

  test("the same command again: the same community, and no password", async () => {
    const before = readFileSync(keyPath(), "utf8");
    const [again] = await json(["new", handle, ...options()]);
    expect(again).toMatchObject({ communityDid: did });
    expect(again).not.toHaveProperty("rootCredentials");
    expect(readFileSync(keyPath(), "utf8")).toBe(before);
  });

  test("health, list and show", async () => {
    expect((await community(["health", handle])).out).toContain("status     healthy\n");
    expect(await json(["list"])).toContainEqual(expect.objectContaining({ did, handle, role: "owner" }));
    expect((await community(["show", did])).out).toContain("your role  owner\n");
  });

  test("publish: a post, a record over itself, one deleted, a blob", async () => {
    const posted = await community(["post", handle, "Hello from us", "--lang", "en"]);
    const uri = /^URI +(at:\S+)$/m.exec(posted.out)?.[1] ?? "";
    const [, , , collection = "", rkey = ""] = uri.split("/");
    const params = { repo: did, collection, rkey };
    const read = () => xrpc(home(), "com.atproto.repo.getRecord", { params });
    expect((await read()).json.value).toMatchObject({ text: "Hello from us", langs: ["en"] });
    const record = { $type: collection, text: "Hello again", createdAt: "2026-01-02T03:04:05Z" };
    await json(["publish", handle, "--rkey", rkey], { input: JSON.stringify(record) });
    expect((await read()).json.value).toEqual(record);
    const gone = await community(["publish", handle, "--delete", "--collection", collection, "--rkey", rkey]);
    expect([gone.code, (await read()).status]).toEqual([0, 400]);
    writeFileSync(join(folder, "picture.png"), Buffer.from("89504e470d0a1a0a", "hex"));
    const blob = await community(["upload", handle, "picture.png"]);
    expect(JSON.parse(blob.out)).toMatchObject({ $type: "blob", mimeType: "image/png", size: 8 });
  });

  test("invite, roles, hand over: who was the only owner can leave then", async () => {
    const [invite] = await json(["invite", "create", handle, "--publish", "--expires-in", "2h"]);
    expect((await community(["invite", "list", handle])).out).toMatch(/member +yes +0\/1 .* good\n/);
    const redeemed = await community(["invite", "redeem", String(invite?.token)], { as: "bob" });
    expect(redeemed.out).toContain("your role  member\n");
    expect((await community(["post", handle, "from bob"], { as: "bob" })).code).toBe(0);
    const again = await community(["invite", "redeem", String(invite?.token)]);
    expect([again.code, again.err]).toEqual([1, expect.stringContaining("Could not use the invite")]);
    const tooLow = await community(["grant", handle, "alice.test", "member"], { as: "bob" });
    expect([tooLow.code, tooLow.out]).toEqual([1, ""]);
    const last = await community(["revoke", handle, "alice.test"]);
    expect([last.code, last.err]).toEqual([1, expect.stringMatching(/owner/)]);
    const granted = await community(["grant", handle, "@bob.test", "owner"]);
    expect(granted.out).toBe("bob.test is owner now, and may publish.\n");
    expect((await json(["members", handle])).map(({ role }) => role)).toEqual(["owner", "owner"]);
    expect((await community(["revoke", handle, alice?.did ?? ""], { as: "bob" })).code).toBe(0);
    expect((await json(["list"])).map((one) => one.did)).not.toContain(did);
  });

  test("delete, and the same new is not taken for made", async () => {
    const unsure = await community(["delete", handle], { as: "bob" });
    expect([unsure.code, unsure.err]).toEqual([2, expect.stringContaining("--yes")]);
    const { code, out } = await community(["delete", handle, "--yes"], { as: "bob" });
    expect([code, out]).toEqual([0, expect.stringContaining(did)]);
    const again = await community(["new", handle, ...options()]);
    expect([again.code, again.err]).toEqual([
      1,
      expect.stringMatching(/has been deleted.*another --key-file/s),
    ]);
  });
});

test("mint: an identity that its key alone rules, and that nobody publishes for", async () => {
  const { code, out } = await community(["mint"]);
  const did = /^community +(did:plc:\w+)$/m.exec(out)?.[1] ?? "";
  expect(code).toBe(0);
  const key = /^# public key: (\S+)$/m.exec(readFileSync(join(folder, "minted-1.rotation-key"), "utf8"))?.[1];
  expect((await plc.log(did)).at(-1)).toMatchObject({ rotationKeys: [key] });
  const post = await community(["post", did, "nothing"]);
  expect([post.code, post.out]).toEqual([1, ""]);
});

test("adopt and reauth: an account that is there, by its app password", async () => {
  const choir = await createAccount(server.url, "choir", { document: documentOf });
  const appPassword = async (name: string) =>
    String(
      (
        await xrpc(server.url, "com.atproto.server.createAppPassword", {
          token: choir.accessJwt,
          body: { name },
        })
      ).json.password,
    );
  const as = (password: string, ...words: string[]) =>
    kith(["community", ...words, "--server", server.url], {
      env: { ...who("alice"), KITH_APP_PASSWORD: password },
    });
  const wrong = await as("aaaa-bbbb-cccc-dddd", "adopt", "choir.test");
  expect([wrong.code, wrong.out]).toEqual([1, ""]);
  const adopted = await as(await appPassword("one"), "adopt", "@choir.test");
  expect([adopted.code, adopted.out]).toEqual([0, expect.stringContaining(choir.did)]);
  expect((await community(["post", "choir.test", "la la"])).code).toBe(0);
  await xrpc(server.url, "com.atproto.server.revokeAppPassword", {
    token: choir.accessJwt,
    body: { name: "one" },
  });
  expect((await as(await appPassword("two"), "reauth", "choir.test")).code).toBe(0);
  expect((await community(["health", "choir.test"])).code).toBe(0);
});

test("adopt and reauth --oauth: by the consent of whoever owns the account, without an app password", async () => {
  const owner = await createAccount(elsewhere.url, "quire", { document: documentOf });
  const agree = async (...words: string[]) => {
    const { code, out, err } = await community([...words, "--oauth"]);
    expect({ code, err }).toEqual({ code: 0, err });
    const link = /^https?:\/\/\S+$/m.exec(out)?.[0] ?? "";
    expect(new URL(link).origin).toBe(elsewhere.url);
    const { decide } = await comeBack(server.url, await decideAtKith(link, owner));
    return (await decide("allow")).title;
  };
  expect(await agree("adopt", owner.did)).toBe("The account is a community now");
  expect((await community(["post", "quire.test", "by consent"])).code).toBe(0);
  expect(await agree("reauth", "quire.test")).toBe("This server is let in again");
  expect((await community(["health", "quire.test"])).code).toBe(0);
  const [asked] = await json(["reauth", owner.did, "--oauth"]);
  expect(asked).toEqual({ status: "consentNeeded", authorizeUrl: expect.stringContaining(elsewhere.url) });
  const again = await community(["adopt", owner.did, "--oauth"]);
  expect([again.code, again.out]).toEqual([1, ""]);
});

test("half-way: the command says how to go on, goes on, and kith reap takes back what is abandoned", async () => {
  plc.takesOperations = false;
  const failed = await community(["new", "late"]);
  expect(failed.code).toBe(75);
  const again = /^ {2}kith (community new late\.test .*)$/m.exec(failed.err)?.[1]?.split(" ") ?? [];
  const abandoned = await kith(["community", "new", "never", "--server", server.url], { env: who("bob") });
  expect(abandoned.code).toBe(75);
  plc.takesOperations = true;
  const done = await kith(again, { env: who("alice") });
  expect([done.code, done.out]).toEqual([0, expect.stringContaining("late.test")]);
  const reap = (...words: string[]) => kith(["reap", "--data", server.folder, ...words]);
  expect((await reap()).out).toBe("No attempt is stuck.\n");
  const listed = await reap("--older-than", "0s");
  expect([listed.code, listed.out]).toEqual([0, expect.stringMatching(/^ATTEMPT .*\n\w{26} .*never\.test/)]);
  expect(listed.out).not.toContain("late.test");
  const dry = await reap("--all-stuck", "--older-than", "0s");
  expect([dry.code, dry.out, dry.err]).toEqual([
    0,
    expect.stringContaining("would be archived"),
    expect.stringContaining("dry run"),
  ]);
  const unsure = await reap("--all-stuck", "--older-than", "0s", "--no-dry-run");
  expect([unsure.code, unsure.err]).toEqual([1, expect.stringContaining("nobody to ask")]);
  const reaped = await reap("--all-stuck", "--older-than", "0s", "--no-dry-run", "--yes");
  expect([reaped.code, reaped.err]).toEqual([0, "1 taken back, 0 left as they are.\n"]);
  expect((await reap("--older-than", "0s")).out).toBe("No attempt is stuck.\n");
  await waitFor("the server's log of it", () =>
    /took back an attempt.*olga|olga.*took back an attempt/s.test(server.output),
  );
});

/** `kith community WORDS` at a terminal, and a person who waits for a question and answers it. */
function atTerminal(...words: string[]) {
  let screen = "";
  let seen = 0;
  const child = Bun.spawn(kithCommand("community", ...words, "--server", server.url), {
    cwd: folder,
    env: serverEnv({ PDS_PORT: undefined, TERM: "xterm" }),
    terminal: {
      cols: 200,
      rows: 50,
      data: (_terminal, data) => {
        screen += new TextDecoder().decode(data);
      },
    },
  });
  const answer = async (question: string, text: string | (() => Promise<string>)) => {
    await waitFor(`"${question}" on the screen:\n${screen}`, () => screen.includes(question, seen));
    seen = screen.indexOf(question, seen) + question.length;
    child.terminal?.write(`${typeof text === "string" ? text : await text()}\r`);
  };
  return { child, answer, shown: () => screen };
}

test("at a terminal: who, password and the last question are asked, and the password is not shown", async () => {
  await json(["new", "talk"]);
  const { child, answer, shown } = atTerminal("delete", "talk.test");
  await answer("Your handle or e-mail address", "alice.test");
  await answer('Password of "alice.test"', "wrong one");
  await answer('Password of "alice.test"', PASSWORD);
  await answer("Delete the community talk.test", "n");
  await child.exited;
  await waitFor("its last words", () => shown().includes("Nothing was done."));
  const screen = shown();
  expect({ code: child.exitCode, screen }).toEqual({ code: 1, screen });
  for (const secret of [PASSWORD, "wrong one"]) expect(screen).not.toContain(secret);
  expect((await community(["show", "talk.test"])).code).toBe(0);
}, 120_000);

test("the code of a second factor is asked for at a terminal, and otherwise an option", async () => {
  const { did = "", email, accessJwt: token = "" } = bob ?? {};
  const call = (name: string, body: object) =>
    xrpc(server.url, `com.atproto.server.${name}`, { token, body });
  await call("confirmEmail", { email, token: await emailCode(server, did, "confirm_email") });
  const change = { email, emailAuthFactor: true, token: await emailCode(server, did, "update_email") };
  expect((await call("updateEmail", change)).status).toBe(200);
  const refused = await community(["list"], { as: "bob" });
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining("with --factor-code CODE")]);
  const code = await emailCode(server, did, "second_factor");
  expect((await community(["list", "--factor-code", code], { as: "bob" })).code).toBe(0);
  const { child, answer, shown } = atTerminal("list", "--identifier", "bob.test");
  await answer('Password of "bob.test"', PASSWORD);
  await answer("Code of your second factor", () => emailCode(server, did, "second_factor"));
  await child.exited;
  await waitFor("the list", () => shown().includes("HANDLE"));
  expect(child.exitCode).toBe(0);
}, 120_000);

test("a key file is made for nobody who is not let in", async () => {
  const { code } = await kith(["community", "new", "sneak", "--server", server.url], {
    env: { ...who("alice"), KITH_PASSWORD: "not it" },
  });
  expect([code, existsSync(join(folder, "sneak.test.rotation-key"))]).toEqual([1, false]);
});
