/** A source that answers wrongly ends no move for good, and writes nothing of its own on the terminal. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createAccount, createRecord, PASSWORD, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { EXIT_UNANSWERED, Migrator } from "../migrator.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { leadTo, type Script, ScriptedHost } from "../scripted_host.ts";

const ROTATION_KEY_HEX = `${"a".repeat(63)}1`;

let plc: PlcDirectory;
let source: TestServer;
let target: TestServer;
beforeAll(async () => {
  plc = await PlcDirectory.start();
  const env = { PDS_DID_PLC_URL: plc.url };
  target = await TestServer.start({ env });
  source = await TestServer.start({
    env: { ...env, PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: ROTATION_KEY_HEX },
  });
});
afterAll(async () => {
  await source[Symbol.asyncDispose]();
  await target[Symbol.asyncDispose]();
  await plc[Symbol.asyncDispose]();
});

interface Lie {
  readonly name: string;
  readonly method: string;
  readonly script: Script;
  /** What the first run ends with and says. */
  readonly code: number;
  readonly words: string;
  /** For the second run; without it the source is honest by then. */
  readonly more?: readonly string[];
}

const lies: readonly Lie[] = [
  {
    name: "other bytes than a blob's can be left behind",
    method: "getBlob",
    script: () => new Response("other bytes"),
    code: EXIT_UNANSWERED,
    words: "Go on without them?",
    more: ["--without-blobs"],
  },
  {
    name: "a broken repo is fetched again",
    method: "getRepo",
    script: () => new Response(new Uint8Array(5_000)),
    code: 1,
    words: "Could not read the CAR file",
  },
  {
    name: "a rate limit without end is told",
    method: "getRepo",
    script: () => new Response("{}", { status: 429, headers: { "retry-after": "1e300" } }),
    code: 1,
    words: "it takes no more calls until",
  },
  {
    name: "a refusal leaves the terminal alone",
    method: "getRepo",
    script: () => Response.json({ error: "Bad", message: "no\u001b[2J\u009b2K" }, { status: 400 }),
    code: 1,
    words: "Bad: no\u{fffd}[2J\u{fffd}2K\n",
  },
];

test.each(lies.map((lie, at) => [lie.name, lie, at] as const))("%s", async (_name, lie, at) => {
  const { did, accessJwt } = await createAccount(source.url, `mover${at}`, plc);
  const { blob } = (
    await xrpc(source.url, "com.atproto.repo.uploadBlob", {
      token: accessJwt,
      body: new Uint8Array(500).fill(at),
      headers: { "content-type": "image/png" },
    })
  ).json;
  const record = { $type: "dev.kith.test.image", blob };
  await createRecord(source.url, { did, accessJwt }, { collection: "dev.kith.test.image", record });
  await using host = new ScriptedHost(source.url);
  await leadTo(host.url, { did, plc, rotationKeyHex: ROTATION_KEY_HEX });
  host.scripts.set(lie.method, lie.script);
  using migrator = new Migrator({ plc: plc.url, sourcePassword: PASSWORD, targetPassword: PASSWORD });
  const options = [
    "--to",
    target.url,
    "--yes",
    "--email",
    `new${at}@example.com`,
    "--handle",
    `new${at}.test`,
  ];
  const first = await migrator.run(["in", did, ...options]);
  expect([first.code, first.err]).toEqual([lie.code, expect.stringContaining(lie.words)]);
  if (!lie.more) host.scripts.clear();
  const second = await migrator.run(["in", did, ...options, ...(lie.more ?? [])]);
  // All but the change of identity is done, for which a code was mailed.
  expect([second.code, second.err]).toEqual([EXIT_UNANSWERED, expect.stringContaining("Identity code")]);
});
