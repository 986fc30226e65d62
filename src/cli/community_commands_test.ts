/** `kith community` against a stand-in for the server: sessions, keys, what is sent, and what is said of failures. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { main } from "./mod.ts";

const DID = "did:plc:vwzwgnygau7ed7b7wt5ux7y2";
const KEY = "did:key:zDnaeTiq1PdzvZXUaMdezchcMJQpBdH2VN4pgrrEhMCCbmwSb";
const MEMBER = {
  did: DID,
  role: "member",
  canPublish: true,
  grantedBy: DID,
  grantedAt: "2026-01-02T03:04:05Z",
};
const VIEW = {
  did: DID,
  mode: "provisioned",
  hosting: "native",
  handle: "club.test",
  role: "owner",
  canPublish: true,
};
const MADE = {
  attemptId: "a",
  status: "activated",
  communityDid: DID,
  handle: "club.test",
  canDo: ["CAN"],
  cannotDo: ["CANNOT"],
};

interface Seen {
  readonly name: string;
  readonly token: string | undefined;
  readonly input: Record<string, unknown>;
}

let folder: string;
let server: Bun.Server<undefined>;
let seen: Seen[];
/** Answers over those below. */
let answers: Record<string, () => Response>;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-community-"));
  [seen, answers] = [[], {}];
  server = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: answer });
});
afterEach(async () => {
  await server.stop(true);
  rmSync(folder, { recursive: true, force: true });
});

const refusal = (status: number, error: string, message: string) => () =>
  Response.json({ error, message }, { status });

async function answer(request: Request): Promise<Response> {
  const name = new URL(request.url).pathname.replace(
    /^\/xrpc\/(dev\.kith\.community\.|com\.atproto\.\w+\.)/,
    "",
  );
  const text = await request.text();
  const token = request.headers.get("authorization")?.slice("Bearer ".length);
  seen.push({
    name,
    token,
    input: request.headers.get("content-type") === "application/json" ? JSON.parse(text) : {},
  });
  if (answers[name]) return answers[name]();
  if (name === "createSession")
    return Response.json({ accessJwt: "ACCESS", refreshJwt: "REFRESH", did: DID, handle: "alice.test" });
  if (name === "list")
    return Response.json({ communities: [{ ...VIEW, createdAt: "2026-01-02T03:04:05Z" }] });
  if (name === "get") return Response.json({ ...VIEW, createdAt: "2026-01-02T03:04:05Z" });
  if (name === "provision" || name === "mint") return Response.json(MADE);
  if (name === "describeServer") return Response.json({ did: "did:web:x", availableUserDomains: [".test"] });
  if (name === "grant") return Response.json({ member: MEMBER });
  if (name === "resolveHandle")
    return Response.json({ error: "InvalidRequest", message: "no" }, { status: 400 });
  return Response.json({ uri: `at://${DID}/a/b`, cid: "bafy", done: ["DONE"], remains: ["LEFT"] });
}

const ENV = { KITH_IDENTIFIER: "@alice.test", KITH_PASSWORD: "a password" };

async function run(
  argv: readonly string[],
  { env = ENV, input }: { env?: Record<string, string>; input?: string } = {},
) {
  let [out, err] = ["", ""];
  const io = {
    ...{ env, cwd: folder, isTerminal: false },
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    readInput: async () => input ?? "",
  };
  const loadServer = () => Promise.reject(new Error("no server here"));
  const words = ["community", ...argv, "--server", `http://127.0.0.1:${server.port}`];
  return { code: await main(words, { io, loadServer }), out, err };
}

const called = () => seen.map(({ name }) => name);
const inputOf = (name: string) => seen.find((call) => call.name === name)?.input;
const keyFile = (name = "club.key") => join(folder, name);
const newClub = (...more: string[]) => run(["new", "club", "--key-file", keyFile(), ...more]);

test("a command signs in, acts with the session, and ends it", async () => {
  const { code, out } = await run(["list"]);
  expect([code, out]).toEqual([
    0,
    expect.stringContaining(`${DID}  club.test  provisioned, native  owner  yes      2026-01-02`),
  ]);
  expect(seen).toEqual([
    { name: "createSession", token: undefined, input: { identifier: "alice.test", password: "a password" } },
    { name: "list", token: "ACCESS", input: {} },
    { name: "deleteSession", token: "REFRESH", input: {} },
  ]);
});

test("the session is ended where the command fails too", async () => {
  answers.list = refusal(500, "InternalServerError", "broken\u001b[2J");
  const { code, err } = await run(["list"]);
  expect([code, err]).toEqual([
    1,
    "kith community list: broken\u{fffd}[2J\nThe log of the server has the details.\n",
  ]);
  expect(called()).toEqual(["createSession", "list", "deleteSession"]);
});

test.each([
  [
    "the password from standard input",
    ["--password-stdin"],
    { KITH_IDENTIFIER: "a" },
    "of a pipe\nrest",
    { password: "of a pipe" },
  ],
  ["the code of the second factor", ["--factor-code", "123456"], ENV, "", { authFactorToken: "123456" }],
  ["who is named over the environment", ["--identifier", "bob.test"], ENV, "", { identifier: "bob.test" }],
])("signs in with %s", async (_, options, env, input, expected) => {
  expect((await run(["list", ...options], { env, input })).code).toBe(0);
  expect(inputOf("createSession")).toMatchObject(expected);
});

test.each([
  ["nobody to ask who", ["list"], {}, /who are you/],
  ["nobody to ask for the password", ["list"], { KITH_IDENTIFIER: "a" }, /it needs your password/],
  ["an empty standard input", ["list", "--password-stdin"], ENV, /standard input has no password/],
  ["no community", ["show"], ENV, /COMMUNITY is missing/],
  [
    "no such role",
    ["grant", "club.test", "bob.test", "king"],
    ENV,
    /no role "king": it is one of member, manager/,
  ],
  ["two minds", ["grant", "club.test", "bob.test", "member", "--publish", "--no-publish"], ENV, /contradict/],
  ["no such kind of key", ["new", "club", "--key-type", "RSA"], ENV, /P-256 or K-256, not "RSA"/],
  ["no such host", ["new", "club", "--host", "cloud"], ENV, /native or stock, not "cloud"/],
  [
    "a rotation key that is none",
    ["mint", "--rotation-key", "did:key:zQ3shx"],
    ENV,
    /Could not read the key/,
  ],
  [
    "a key of one's own and a file",
    ["mint", "--rotation-key", KEY, "--key-file", "x"],
    ENV,
    /makes no sense/,
  ],
  ["a handle that is none", ["new", "cl_ub"], ENV, /"cl_ub\.test" is no handle/],
  ["a declaration that is not there", ["new", "club", "--declaration", "/none.json"], ENV, /cannot be read/],
  ["a deletion without an answer", ["delete", "club.test"], ENV, /confirm with --yes/],
  ["a deletion of no record", ["publish", "club.test", "--delete"], ENV, /--collection and --rkey/],
  [
    "a file to delete",
    ["publish", "c", "f", "--delete", "--rkey", "a", "--collection", "b"],
    ENV,
    /takes no file/,
  ],
  ["a swap of nothing", ["publish", "c", "f", "--swap-record", "bafy"], ENV, /give its --rkey/],
  ["one input for two", ["publish", "c", "--password-stdin"], ENV, /cannot bring both/],
  ["no JSON", ["publish", "club.test"], ENV, /standard input is no JSON/],
  ["an empty post", ["post", "club.test", " "], ENV, /the text is empty/],
  ["a bad time", ["invite", "create", "club.test", "--expires-in", "soon"], ENV, /a time such as/],
  ["no app password", ["adopt", "club.test"], ENV, /KITH_APP_PASSWORD/],
])("refuses %s as wrongly typed", async (_, argv, env, words) => {
  const { code, out, err } = await run(argv, { env: env as Record<string, string> });
  expect([code, out, err]).toEqual([2, "", expect.stringMatching(words)]);
  expect(called()).not.toContain("provision");
});

test("a server elsewhere is called by https alone", async () => {
  const argv = ["community", "list", "--server", "http://kith.example.com"];
  let err = "";
  const io = {
    env: ENV,
    cwd: folder,
    isTerminal: false,
    out: () => undefined,
    err: (text: string) => {
      err += text;
    },
  };
  const code = await main(argv, { io, loadServer: () => Promise.reject(new Error("no server here")) });
  expect([code, err]).toEqual([1, expect.stringContaining("it must be an https address")]);
});

test("kith community new keeps the key before it asks, and notes the community after", async () => {
  answers.provision = () => {
    expect(readFileSync(keyFile(), "utf8")).toMatch(/^z42[tu]\S+\n# /);
    return Response.json({
      ...MADE,
      rootCredentials: { handle: "club.test", password: "ROOT", recoveryHint: "CHANGE IT" },
    });
  };
  const { code, out, err } = await newClub(
    "--host",
    "stock",
    "--email",
    "c@example.com",
    "--invite-code",
    "CODE",
  );
  expect(code).toBe(0);
  const text = readFileSync(keyFile(), "utf8");
  expect(text).toEndWith(`# community: ${DID}\n`);
  const [privateKey = ""] = text.split("\n");
  const { rotationKey, idempotencyKey, ...rest } = inputOf("provision") ?? {};
  expect(rest).toEqual({ handle: "club.test", hosting: "stock", email: "c@example.com", inviteCode: "CODE" });
  expect(text).toContain(
    `# public key: ${rotationKey}\n# handle: club.test\n# idempotency-key: ${idempotencyKey}\n`,
  );
  for (const words of [DID, "club.test", "ROOT", "CHANGE IT", "CAN", "CANNOT", keyFile()])
    expect(out).toContain(words);
  expect(err).toContain("keep it secret");
  for (const shown of [out, err, JSON.stringify(seen)]) expect(shown).not.toContain(privateKey);
});

test("the same command goes on with the same key and idempotency key, and keeps the file as it is", async () => {
  answers.provision = refusal(502, "ProvisioningFailed", "the directory is away");
  const first = await newClub(
    "--declaration",
    declaration({ $type: "org.example.declaration", name: "Club" }),
  );
  expect(first.code).toBe(75);
  expect(first.err).toContain(
    "the directory is away\nIt is not finished, and can be gone on with:\n  kith community new club.test --server ",
  );
  expect(first.err).toContain(` --key-file ${keyFile()}\n`);
  const text = readFileSync(keyFile(), "utf8");
  answers = {};
  const second = await newClub("--declaration", join(folder, "declaration.json"));
  expect([second.code, readFileSync(keyFile(), "utf8")]).toEqual([0, `${text}# community: ${DID}\n`]);
  const [one, two] = seen.filter(({ name }) => name === "provision");
  expect(two?.input).toEqual(one?.input ?? {});
  const declared = {
    collection: "org.example.declaration",
    rkey: "self",
    record: { $type: "org.example.declaration", name: "Club" },
  };
  expect(one?.input.declaration).toEqual(declared);
});

function declaration(json: object): string {
  writeFileSync(join(folder, "declaration.json"), JSON.stringify(json));
  return join(folder, "declaration.json");
}

test.each([
  [
    "a refusal",
    refusal(400, "HandleNotAvailable", "taken"),
    1,
    /^kith community new: taken\nNo community was made\..*rules nothing yet/m,
  ],
  ["a changed request", refusal(409, "IdempotencyConflict", "other"), 1, /takes another --key-file/],
  [
    "a quota",
    refusal(400, "CommunityQuotaExceeded", "you have begun 3"),
    1,
    /you have begun 3\n.*KITH_COMMUNITIES_PER_MEMBER_PER_DAY/,
  ],
  ["a server that is not allowed", refusal(400, "HostNotAllowed", "no"), 1, /KITH_COMMUNITY_PDS_ALLOWLIST/],
  ["an attempt that is busy", refusal(409, "AttemptBusy", "busy"), 75, /can be gone on with/],
  ["a server that fails", refusal(500, "InternalServerError", "oh"), 75, /can be gone on with/],
  ["a host that fails", refusal(502, "UpstreamFailure", "down"), 1, /No community was made/],
])("kith community new explains %s", async (_, refuse, exit, words) => {
  answers.provision = refuse;
  const { code, out, err } = await newClub();
  expect([code, out, err]).toEqual([exit, "", expect.stringMatching(words)]);
  expect(existsSync(keyFile())).toBe(true);
  expect(called().at(-1)).toBe("deleteSession");
});

test("a community that was deleted since is not shown as made", async () => {
  answers.get = refusal(400, "CommunityNotFound", "none");
  const { code, out, err } = await newClub();
  expect([code, out, err]).toEqual([
    1,
    "",
    expect.stringContaining("is no community of yours here any more"),
  ]);
});

test("a stock account needs an e-mail address, and its name goes under the domain of its own server", async () => {
  const bare = await newClub("--host", "stock");
  expect([bare.code, bare.err, seen]).toEqual([2, expect.stringContaining('give "--email ADDRESS"'), []]);
  expect(existsSync(keyFile())).toBe(false);
  const { url } = server;
  const words = ["--pds", url.origin, "--email", "c@example.com", "--rotation-key", KEY];
  expect((await run(["new", "club", ...words])).code).toBe(0);
  expect(inputOf("provision")).toMatchObject({
    handle: "club.test",
    pdsEndpoint: expect.stringContaining(url.origin),
  });
});

test("a key that rules another community is not taken for a new one", async () => {
  expect((await newClub()).code).toBe(0);
  const { code, err } = await run(["new", "choir", "--key-file", keyFile()]);
  expect([code, err]).toEqual([2, expect.stringContaining(`rules club.test (${DID}): name another file`)]);
});

test("with a public key of one's own no file is made, and the same command means the same attempt", async () => {
  for (let time = 0; time < 2; time++)
    expect((await run(["new", "club.test", "--rotation-key", KEY])).code).toBe(0);
  const [one, two] = seen.filter(({ name }) => name === "provision");
  expect(one?.input).toEqual({
    handle: "club.test",
    rotationKey: KEY,
    idempotencyKey: expect.stringMatching(/^kith-\w{32}$/),
  });
  expect(two?.input).toEqual(one?.input ?? {});
  await run(["mint", "club.test", "--rotation-key", KEY, "--idempotency-key", "my-own-key"]);
  expect(inputOf("mint")).toEqual({ handle: "club.test", rotationKey: KEY, idempotencyKey: "my-own-key" });
});

test("kith community new --json is one object, and its errors are too", async () => {
  const made = await newClub("--json");
  expect(JSON.parse(made.out)).toMatchObject({
    communityDid: DID,
    keyFile: keyFile(),
    rotationKey: inputOf("provision")?.rotationKey,
  });
  answers.provision = refusal(502, "ProvisioningFailed", "away");
  const failed = await newClub("--json");
  expect(JSON.parse(failed.out)).toMatchObject({
    error: "ProvisioningFailed",
    message: "away",
    isUnfinished: true,
  });
});

test.each([
  [
    "a new record",
    ["club.test"],
    "createRecord",
    { collection: "org.example.a", record: { $type: "org.example.a", n: 1 } },
  ],
  ["one of a key", ["club.test", "--rkey", "x"], "putRecord", { collection: "org.example.a", rkey: "x" }],
  ["one that must be new", ["club.test", "-", "--rkey", "x", "--create"], "createRecord", { rkey: "x" }],
  ["one unchecked", ["club.test", "--no-validate"], "createRecord", { validate: false }],
  ["a swap", ["club.test", "--rkey", "x", "--swap-record", "bafy"], "putRecord", { swapRecord: "bafy" }],
  [
    "a deletion",
    ["club.test", "--delete", "--rkey", "x", "--collection", "org.example.a"],
    "deleteRecord",
    { rkey: "x", collection: "org.example.a" },
  ],
])("kith community publish sends %s", async (_, argv, name, expected) => {
  const { code } = await run(["publish", ...argv], { input: '{"$type":"org.example.a","n":1}' });
  expect([code, inputOf(name)]).toEqual([0, expect.objectContaining({ communityDid: DID, ...expected })]);
});

test.each([
  [
    ["grant", "club.test", "@bob.test", "Manager", "--publish"],
    "grant",
    { communityDid: DID, subject: "bob.test", role: "manager", canPublish: true },
  ],
  [["grant", DID, "bob.test", "member"], "grant", { communityDid: DID, subject: "bob.test", role: "member" }],
  [
    ["grant", DID, "bob.test", "admin", "--no-publish"],
    "grant",
    { communityDid: DID, subject: "bob.test", role: "admin", canPublish: false },
  ],
  [["revoke", DID, "bob.test"], "revoke", { communityDid: DID, subject: "bob.test" }],
  [["delete", "club.test", "--yes"], "delete", { communityDid: DID }],
  [["invite", "revoke", DID, "ID"], "invite.revoke", { communityDid: DID, id: "ID" }],
])("kith community %p", async (argv, name, input) => {
  expect([(await run(argv)).code, inputOf(name)]).toEqual([0, input]);
});

test("a community is found by the handle that it has here, and one that is none is said to be", async () => {
  const { code, err } = await run(["show", "choir.test"]);
  expect([code, err]).toEqual([
    1,
    'kith community show: You are in no community "choir.test", and the handle leads nowhere\n',
  ]);
});

test.each([
  ["healthy", true, 0],
  ["expired", false, 1],
])("kith community health of one that is %s", async (status, ok, exit) => {
  answers.getHealth = () =>
    Response.json({
      status,
      checkedAt: "2026-01-02T03:04:05Z",
      checks: [{ name: "session", ok, message: "why" }],
    });
  const { code, out } = await run(["health", "club.test"]);
  expect([code, out]).toEqual([
    exit,
    `community  ${DID}\nstatus     ${status}\n${ok ? "ok         " : "FAILED     "}session: why\n`,
  ]);
});

test.each(["adopt", "reauth"])(
  "kith community %s --oauth prints the page for the account's owner",
  async (verb) => {
    answers[verb] = () =>
      Response.json({ status: "consentNeeded", authorizeUrl: "https://pds.test/x", canDo: [], cannotDo: [] });
    const { code, out } = await run([verb, DID, "--oauth"]);
    expect([code, out]).toEqual([0, expect.stringContaining("\nhttps://pds.test/x\n")]);
    expect(inputOf(verb)).toEqual(verb === "adopt" ? { identifier: DID } : { communityDid: DID });
  },
);
