/** Addresses of servers as attackers write them, to a server as it runs in public, where any public server is allowed. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Secp256k1Keypair } from "@atproto/crypto";
import { KithParts } from "../kith_parts.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { provisionInput, ROOM } from "./group.ts";

let plc: PlcDirectory;
let kith: KithParts;
let token: string;
/** What nobody outside of this machine may have us ask. */
let inner: Bun.Server<undefined>;
const asked: string[] = [];

beforeAll(async () => {
  plc = await PlcDirectory.start();
  inner = Bun.serve({
    port: 0,
    hostname: "0.0.0.0",
    fetch: (request) => {
      asked.push(request.url);
      return Response.json({ did: "did:web:localhost", availableUserDomains: [".example.com"] });
    },
  });
  kith = await KithParts.open({
    ...ROOM,
    PDS_DEV_MODE: "false",
    PDS_HOSTNAME: "pds.kith.example.com",
    PDS_DID_PLC_URL: plc.url,
    PDS_RATE_LIMITS_ENABLED: "false",
    PDS_INVITE_REQUIRED: "false",
    PDS_CRAWLERS: "",
    // The filter of resolved addresses is off, as the directory is on this machine: names alone have to do.
    PDS_DISABLE_SSRF_PROTECTION: "true",
    KITH_COMMUNITY_PDS_ALLOWLIST: "*",
  });
  const input = {
    handle: "alice.pds.kith.example.com",
    email: "alice@example.com",
    password: "password-of-alice",
  };
  const { json } = await kith.call("com.atproto.server.createAccount", { input });
  token = String(json.accessJwt);
});
afterAll(async () => {
  await kith?.[Symbol.asyncDispose]();
  await inner?.stop(true);
  await plc?.[Symbol.asyncDispose]();
});

const HOSTS = [
  "localhost",
  "localhost.",
  "LOCALHOST",
  "a.localhost",
  "127.0.0.1",
  "127.1",
  "0x7f.1",
  "0x7f000001",
  "2130706433",
  "017700000001",
  "0177.0.0.1",
  "0",
  "0.0.0.0",
  "[::1]",
  "[::]",
  "[::ffff:127.0.0.1]",
  "[::ffff:7f00:1]",
  "[0:0:0:0:0:0:0:1]",
  "[fe80::1]",
  "[fd00::1]",
  "[64:ff9b::7f00:1]",
  "10.0.0.1",
  "172.16.0.1",
  "192.168.0.1",
  "169.254.169.254",
  "100.64.0.1",
  "224.0.0.1",
  "①②⑦.0.0.1",
  "127。0。0。1",
  "ｌｏｃａｌｈｏｓｔ",
  "metadata",
  "metadata.google.internal",
  "router.local",
  "pds.test",
  "pds.invalid",
  "pds.onion",
  "pds.home.arpa",
  "1.0.0.127.in-addr.arpa",
];

test.each(HOSTS)("%s is no server that anything is made at", async (host) => {
  const key = await Secp256k1Keypair.create();
  const { port } = inner;
  const addresses = [
    `https://${host}`,
    `http://${host}`,
    `http://${host}:${port}`,
    `https://${host}:${port}`,
    `https://${host}:${port}/`,
    `https://pds.example.com@${host}:${port}`,
    `https://${host}:${port}#@pds.example.com`,
    `https://${host}:${port}\\@pds.example.com`,
    `https://${host}:${port}?pds.example.com`,
  ];
  for (const pdsEndpoint of addresses) {
    for (const hosting of [undefined, "stock", "native"]) {
      const more = {
        handle: "group.example.com",
        email: "group@example.com",
        pdsEndpoint,
        ...(hosting ? { hosting } : {}),
      };
      const input = provisionInput(key, more);
      const { status, json } = await kith.call("dev.kith.community.provision", { token, input });
      expect([pdsEndpoint, status, json.error]).toEqual([pdsEndpoint, 400, "InvalidRequest"]);
    }
  }
  expect(asked).toEqual([]);
  expect(kith.stores.attempts.stuck({ now: Date.now() + 1_000, idleMs: 0 })).toEqual([]);
});

test("its own name, however it is written, is itself", async () => {
  const own = ["https://pds.kith.example.com", "https://PDS.kith.example.com.:443/"];
  for (const [i, pdsEndpoint] of own.entries()) {
    const handle = `group${i}.pds.kith.example.com`;
    const input = provisionInput(await Secp256k1Keypair.create(), { handle, pdsEndpoint });
    const { status, json } = await kith.call("dev.kith.community.provision", { token, input });
    expect([status, json.message, json.pdsEndpoint]).toEqual([
      200,
      undefined,
      "https://pds.kith.example.com",
    ]);
  }
});

test("a server in public is a stock PDS to itself", async () => {
  const key = await Secp256k1Keypair.create();
  const more = { handle: "stocked.pds.kith.example.com", email: "stocked@example.com", hosting: "stock" };
  const input = provisionInput(key, more);
  const { status, json } = await kith.call("dev.kith.community.provision", { token, input });
  expect([status, json.message]).toEqual([200, undefined]);
  const record = { $type: "dev.kith.test.note", text: "hello" };
  const write = { communityDid: json.communityDid, collection: "dev.kith.test.note", rkey: "first", record };
  const published = await kith.call("dev.kith.community.putRecord", { token, input: write });
  expect([published.status, published.json.message]).toEqual([200, undefined]);
});
