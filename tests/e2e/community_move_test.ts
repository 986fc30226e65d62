/** `kith community key` and `kith community move`: what the owner's key alone does, on real servers and the real PLC directory. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Account, createAccount, PASSWORD, xrpc } from "../client.ts";
import { ROOM } from "../communities/group.ts";
import { kithCommand, serverEnv, TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";

const NEW_PASSWORD = "of the new house";

let plc: PlcDirectory;
let home: TestServer;
let elsewhere: TestServer;
let folder: string;
let alice: Account;
beforeAll(async () => {
  plc = await PlcDirectory.start();
  [home, elsewhere] = (await Promise.all(
    [ROOM, {}].map((env) => TestServer.start({ env: { PDS_DID_PLC_URL: plc.url, ...env } })),
  )) as [TestServer, TestServer];
  folder = mkdtempSync(join(tmpdir(), "kith-community-move-"));
  alice = await createAccount(home.url, "alice", { document: (did) => documentOf(did) });
  await createAccount(elsewhere.url, "taken", { document: (did) => documentOf(did) });
});
afterAll(async () => {
  await using stack = new AsyncDisposableStack();
  for (const one of [plc, elsewhere, home]) stack.use(one);
  rmSync(folder, { recursive: true, force: true });
});

async function documentOf(did: string): Promise<Record<string, unknown>> {
  return (await plc.document(did)) ?? {};
}

async function kith(...words: string[]) {
  const child = Bun.spawn(kithCommand("community", ...words), {
    cwd: folder,
    env: serverEnv({
      ...{ PDS_PORT: undefined, PDS_DID_PLC_URL: plc.url, KITH_TARGET_PASSWORD: NEW_PASSWORD },
      ...{ KITH_IDENTIFIER: alice.handle, KITH_PASSWORD: PASSWORD },
    }),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  return { code: await child.exited, out, err };
}

/** A native community with a post and a picture; its DID and the picture's CID. */
async function published(name: string): Promise<{ did: string; cid: string }> {
  const made = await kith("new", name, "--server", home.url, "--json");
  const { communityDid: did } = JSON.parse(made.out) as { communityDid: string };
  const picture = join(folder, `${name}.png`);
  await Bun.write(picture, crypto.getRandomValues(new Uint8Array(300)));
  const { out } = await kith("upload", did, picture, "--server", home.url);
  const blob = JSON.parse(out) as { ref: { $link: string } };
  await Bun.write(join(folder, "record.json"), JSON.stringify({ $type: "org.example.picture", blob }));
  const record = ["publish", did, "record.json", "--rkey", "self", "--server", home.url];
  expect(await kith(...record)).toMatchObject({ code: 0 });
  return { did, cid: blob.ref.$link };
}

const moveTo = (name: string, ...more: string[]) =>
  kith("move", `${name}.test`, "--to", elsewhere.url, "--email", `${name}@example.com`, ...more);

async function expectMoved(did: string, { handle, cid }: { handle: string; cid: string }): Promise<void> {
  const last = (await plc.log(did)).at(-1) as { rotationKeys: string[]; services: object };
  const key = /public key: (\S+)/.exec(readFileSync(join(folder, `${handle}.rotation-key`), "utf8"))?.[1];
  expect(last).toMatchObject({ services: { atproto_pds: { endpoint: elsewhere.url } } });
  expect([last.rotationKeys[0], last.rotationKeys.length]).toEqual([key ?? "", 2]);
  const body = { identifier: did, password: NEW_PASSWORD };
  const session = await xrpc(elsewhere.url, "com.atproto.server.createSession", { body });
  expect(session.json).toMatchObject({ did, active: true });
  const params = { repo: did, collection: "org.example.picture", rkey: "self" };
  const read = await xrpc(elsewhere.url, "com.atproto.repo.getRecord", { params });
  expect(read.json).toMatchObject({ value: { blob: { ref: { $link: cid } } } });
  const found = await fetch(`${elsewhere.url}/xrpc/com.atproto.sync.getBlob?did=${did}&cid=${cid}`);
  expect([found.status, (await found.arrayBuffer()).byteLength]).toEqual([200, 300]);
}

test("key: made once, its public half shown again, the private one never", async () => {
  const made = await kith("key", "mine.key", "--json");
  const { rotationKey } = JSON.parse(made.out) as { rotationKey: string };
  expect(JSON.parse(made.out)).toEqual({ rotationKey, keyFile: "mine.key", isNew: true });
  const path = join(folder, "mine.key");
  const [secret = ""] = readFileSync(path, "utf8").split("\n");
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const again = await kith("key", "mine.key");
  expect(again.out).toMatch(new RegExp(`^public key +${rotationKey}$`, "m"));
  for (const { out, err } of [made, again]) expect(out + err).not.toContain(secret);
  const used = await kith("new", "keyed", "--key-file", "mine.key", "--server", home.url, "--json");
  expect(JSON.parse(used.out)).toMatchObject({ rotationKey });
  expect(await kith("key")).toMatchObject({ code: 2, err: expect.stringContaining("FILE is missing") });
});

test("move: the key alone takes the community and all it has published elsewhere", async () => {
  const { did, cid } = await published("club");
  const { code, out, err } = await moveTo("club", "--yes");
  expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining("the account is active") });
  expect(out).toContain(`${did} is at ${elsewhere.url} now, as club.test`);
  await expectMoved(did, { handle: "club.test", cid });
  const again = await moveTo("club", "--yes", "--handle", "other.test");
  expect(again).toMatchObject({ code: 0, out: expect.stringContaining("now, as club.test") });
  const health = await kith("health", did, "--server", home.url);
  expect(health).toMatchObject({ code: 1, out: expect.stringMatching(/^status +moved$/m) });
  const away = await kith("post", did, "hello", "--server", home.url);
  expect(away).toMatchObject({ code: 1, err: expect.stringContaining("has moved") });
});

test("move: what is refused beforehand changes nothing, and what failed half-way is gone on with", async () => {
  const { did, cid } = await published("orchard");
  const before = await plc.log(did);
  const refusals: [string[], RegExp][] = [
    [["--yes", "--handle", "taken.test"], /handle "taken.test" is taken there/],
    [["--yes", "--key-file", "mine.key"], /does not rule|already/],
    [["--yes", "--key-file", "none.key"], /There is no key file "none.key"/],
    [[], /confirm with --yes/],
  ];
  for (const [words, message] of refusals) {
    const { code, err } = await kith(
      "move",
      did,
      "--to",
      elsewhere.url,
      "--email",
      "o@example.com",
      ...["--key-file", "orchard.test.rotation-key"],
      ...words,
    );
    expect([code === 0, err]).toEqual([false, expect.stringMatching(message)]);
  }
  expect(await plc.log(did)).toEqual(before);
  const cut = await kith(
    "move",
    "orchard.test",
    "--to",
    elsewhere.url,
    "--email",
    "taken@example.com",
    "--yes",
  );
  expect(cut).toMatchObject({ code: 1, err: expect.stringMatching(/e-?mail/i) });
  expect(await moveTo("orchard", "--yes")).toMatchObject({ code: 0 });
  await expectMoved(did, { handle: "orchard.test", cid });
  expect(await plc.log(did)).toHaveLength(3);
});

test("move: an identity alone is given an account", async () => {
  const made = await kith("mint", "--key-file", "minted.key", "--server", home.url, "--json");
  const { communityDid: did } = JSON.parse(made.out) as { communityDid: string };
  const words = ["move", did, "--key-file", "minted.key", "--to", elsewhere.url, "--email", "m@example.com"];
  expect(await kith(...words, "--yes")).toMatchObject({ code: 1, err: expect.stringContaining("--handle") });
  const { code, err } = await kith(...words, "--handle", "minted.test", "--yes");
  expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining("the account is active") });
  const body = { identifier: "minted.test", password: NEW_PASSWORD };
  const session = await xrpc(elsewhere.url, "com.atproto.server.createSession", { body });
  expect(session.json).toMatchObject({ did, active: true });
});

test("move: where the old server is gone, by what was saved before", async () => {
  const { did, cid } = await published("meadow");
  expect(await moveTo("meadow")).toMatchObject({ code: 2 });
  expect(existsSync(join(folder, "meadow.test.move/repo.car"))).toBe(true);
  await home[Symbol.asyncDispose]();
  const { code, err } = await moveTo("meadow", "--yes");
  expect({ code, err }).toEqual({ code: 0, err: expect.stringContaining("going on with what was saved") });
  await expectMoved(did, { handle: "meadow.test", cid });
});
