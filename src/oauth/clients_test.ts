/** Documents of apps as hosts on a real network serve them; safe_fetch_test.ts has the rules of addresses, one by one. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { createSafeFetch, type SafeFetch } from "../identity/mod.ts";
import { CACHE_BYTES_MAX, Clients, DOCUMENT_BYTES_MAX, FETCH_TIMEOUT_MS } from "./clients.ts";
import { documentOf, newKey } from "./oauth_fixture.ts";

const HOST = "https://web.example.org";
/** So long an answer is awaited that never comes: enough for the request to be made on a busy machine. */
const SLOW_MS = 500;
/** What is answered, however busy the machine is. */
const ANSWERED_MS = 60_000;
const NEVER_ANSWERED = /silent|stalled/;
const clientKey = await newKey("key-1");
let host: Bun.Server<undefined>;
const held = Promise.withResolvers<Response>();
const asked: string[] = [];

const goodDocument = (path: string) => ({ ...documentOf(HOST + path), client_uri: HOST });
const keyed = (path: string, keysPath: string) => ({
  ...goodDocument(path),
  token_endpoint_auth_method: "private_key_jwt",
  jwks_uri: HOST + keysPath,
});
const withStatus = (status: number) => (path: string) => Response.json(goodDocument(path), { status });
const leading = (status: number, location: string) => () =>
  new Response(null, { status, headers: { location } });
const endless = () =>
  new ReadableStream<Uint8Array>({ pull: (controller) => controller.enqueue(new Uint8Array(10_000)) });
const stalled = () =>
  new ReadableStream<Uint8Array>({ start: (controller) => controller.enqueue(Buffer.from("{")) });
const json = { "content-type": "application/json" };

/** What the host answers, by path. */
const BAD: Record<string, (path: string) => Response | Promise<Response>> = {
  "/redirect-301.json": leading(301, "/good.json"),
  "/redirect-302.json": leading(302, "/good.json"),
  "/redirect-307.json": leading(307, "/good.json"),
  "/redirect-inward.json": leading(302, "http://169.254.169.254/latest"),
  "/redirect-file.json": leading(302, "file:///etc/passwd"),
  "/status-201.json": withStatus(201),
  "/status-203.json": withStatus(203),
  "/status-206.json": withStatus(206),
  "/status-204.json": () => new Response(null, { status: 204, headers: json }),
  "/status-304.json": () => new Response(null, { status: 304, headers: json }),
  "/status-400.json": withStatus(400),
  "/status-404.json": withStatus(404),
  "/status-500.json": withStatus(500),
  "/huge.json": (path) =>
    Response.json({ ...goodDocument(path), client_name: "n".repeat(DOCUMENT_BYTES_MAX) }),
  "/endless.json": () => new Response(endless(), { headers: json }),
  "/bomb.json": () =>
    new Response(gzipSync(Buffer.alloc(50_000_000, " ")), {
      headers: { ...json, "content-encoding": "gzip" },
    }),
  "/silent.json": () => held.promise,
  "/stalled.json": () => new Response(stalled(), { headers: json }),
  "/text.json": (path) =>
    new Response(JSON.stringify(goodDocument(path)), { headers: { "content-type": "text/plain" } }),
  "/html.json": () => new Response("<html>", { headers: { "content-type": "text/html" } }),
  "/binary.json": () => new Response(Uint8Array.of(0xff, 0xfe, 0), { headers: json }),
  "/empty.json": () => new Response("", { headers: json }),
  "/list.json": () => Response.json([]),
  "/deep.json": () => new Response("[".repeat(100_000), { headers: json }),
};
const KEYS: Record<string, () => Response | Promise<Response>> = {
  "/keys.json": () => Response.json({ keys: [clientKey.jwk] }),
  "/keys-typed.json": () =>
    new Response(JSON.stringify({ keys: [clientKey.jwk] }), {
      headers: { "content-type": "application/jwk-set+json" },
    }),
  "/keys-private.json": () => Response.json({ keys: [{ ...clientKey.jwk, d: "secret" }] }),
  "/keys-secret.json": () => Response.json({ keys: [{ kty: "oct", k: "AAAA", kid: "key-1" }] }),
  "/keys-many.json": () => Response.json({ keys: Array(33).fill(clientKey.jwk) }),
  "/keys-redirect.json": leading(302, "/keys.json"),
  "/keys-endless.json": () => new Response(endless(), { headers: json }),
  "/keys-stalled.json": () => new Response(stalled(), { headers: json }),
  "/keys-html.json": () => new Response("{}", { headers: { "content-type": "text/html" } }),
};

beforeAll(() => {
  host = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: ({ url }) => {
      const { pathname } = new URL(url);
      asked.push(pathname);
      const [, keys] = /^\/with(\/.*)$/.exec(pathname) ?? [];
      if (keys !== undefined) return Response.json(keyed(pathname, keys));
      const answer = BAD[pathname] ?? KEYS[pathname];
      return answer ? answer(pathname) : Response.json(goodDocument(pathname));
    },
  });
});

afterAll(async () => {
  held.resolve(new Response());
  await host.stop(true);
});

/** The real one, led to the host, with more patience, and with less for what is never answered. */
function network(): SafeFetch {
  const safeFetch = createSafeFetch({ allowPrivateNetwork: true });
  return (url, request) => {
    expect(request).toMatchObject({ timeoutMs: FETCH_TIMEOUT_MS, redirectsMax: 0 });
    const there = url.replace(HOST, host.url.origin);
    return safeFetch(there, { ...request, timeoutMs: NEVER_ANSWERED.test(there) ? SLOW_MS : ANSWERED_MS });
  };
}

describe("Clients.find()", () => {
  test("takes a document that is served as it should be", async () => {
    const clients = new Clients({ safeFetch: network() });
    expect((await clients.find(`${HOST}/good.json`)).id).toBe(`${HOST}/good.json`);
  });

  test.each(Object.keys(BAD))("refuses %s, and goes nowhere else for it", async (path) => {
    const clients = new Clients({ safeFetch: network() });
    asked.length = 0;
    const found = clients.find(HOST + path);
    await expect(found).rejects.toMatchObject({ error: "invalid_client_metadata" });
    await expect(found).rejects.not.toThrow(/127\.0\.0\.1|169\.254/);
    expect(asked).toEqual([path]);
  });

  test.each(["10.0.0.1", "127.0.0.1", "169.254.169.254", "192.168.1.1", "::1", "fd00::1", "0.0.0.0"])(
    "refuses a host at %s, without asking it, and does not say so to strangers",
    async (address) => {
      asked.length = 0;
      const lookup = async () => ["93.184.216.34", address];
      const clients = new Clients({ safeFetch: createSafeFetch({ allowPrivateNetwork: false, lookup }) });
      const found = clients.find(`${HOST}/good.json`);
      await expect(found).rejects.toMatchObject({ error: "invalid_client_metadata" });
      await expect(found).rejects.toThrow("or is not public");
      await expect(found).rejects.not.toThrow(address);
      expect(asked).toEqual([]);
    },
  );

  test("many at once ask for one document once, and too many documents are refused", async () => {
    const clients = new Clients({ safeFetch: network() });
    asked.length = 0;
    await Promise.all(Array.from({ length: 20 }, () => clients.find(`${HOST}/good.json`)));
    expect(asked).toEqual(["/good.json"]);
    const many = Array.from({ length: 65 }, (_, index) => clients.find(`${HOST}/${index}/good.json`));
    const errors = await Promise.allSettled(many);
    const refused = errors.flatMap((one) => (one.status === "rejected" ? [one.reason.error] : []));
    expect(refused).toEqual(["temporarily_unavailable"]);
  });
});

describe("Clients.key()", () => {
  test.each(["/keys.json", "/keys-typed.json"])("finds a key in %s", async (path) => {
    const clients = new Clients({ safeFetch: network() });
    const client = await clients.find(`${HOST}/with${path}`);
    expect(await clients.key(client, "key-1")).toMatchObject({ kid: "key-1" });
    expect(await clients.key(client, "key-2")).toBeUndefined();
  });

  const bad = Object.keys(KEYS).filter((path) => !/^\/keys(-typed)?\.json$/.test(path));
  test.each(bad)("refuses %s", async (path) => {
    const clients = new Clients({ safeFetch: network() });
    const client = await clients.find(`${HOST}/with${path}`);
    await expect(clients.key(client, "key-1")).rejects.toMatchObject({ error: "invalid_client_metadata" });
  });
});

test("what strangers' documents take in memory is bounded by their bytes, however many there are", async () => {
  // A megabyte of these takes thirty as objects.
  const bomb = Buffer.from(`[${"{},".repeat(DOCUMENT_BYTES_MAX / 3 - 2)}{}]`);
  const addressOf = (index: number) => `https://app-${index}.example.org/client.json`;
  const fetched: string[] = [];
  const clients = new Clients({
    safeFetch: async (url) => {
      fetched.push(url);
      return { status: 200, headers: new Headers({ "content-type": "application/json" }), url, body: bomb };
    },
  });
  const ask = (index: number) => clients.find(addressOf(index)).catch(() => {});
  Bun.gc(true);
  const before = process.memoryUsage().heapUsed;
  const kept = Math.floor(CACHE_BYTES_MAX / bomb.byteLength);
  for (let index = 0; index <= kept; index++) await ask(index);
  Bun.gc(true);
  expect(process.memoryUsage().heapUsed - before).toBeLessThan(2 * CACHE_BYTES_MAX);
  fetched.length = 0;
  await ask(kept);
  await ask(1);
  expect(fetched).toEqual([]);
  // The first has made room for the last.
  await ask(0);
  expect(fetched).toEqual([addressOf(0)]);
});
