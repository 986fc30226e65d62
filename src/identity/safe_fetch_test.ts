import { afterAll, beforeAll, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { isKithError } from "../errors.ts";
import { TEST_CERTIFICATE, TEST_KEY } from "./_test_certificate.ts";
import { createSafeFetch, type SafeFetchOptions, type SafeRequest } from "./safe_fetch.ts";

type Handler = (request: Request) => Response | Promise<Response>;
let plain: Bun.Server<undefined>;
let secure: Bun.Server<undefined>;
const asked: { path: string; authorization: string | null; host: string | null }[] = [];
const hang = Promise.withResolvers<Response>();

const ROUTES: Record<string, Handler> = {
  "/hello": () => new Response("hello", { headers: { "x-test": "1" } }),
  "/echo": async (request) => new Response(`${request.method} ${await request.text()}`),
  "/missing": () => new Response("no", { status: 404 }),
  "/loop": () => new Response(null, { status: 302, headers: { location: "/loop" } }),
  "/hop": () => new Response(null, { status: 301, headers: { location: "/hello" } }),
  "/away": () =>
    new Response(null, { status: 302, headers: { location: `http://127.0.0.1:${plain.port}/hello` } }),
  "/inward": () =>
    new Response(null, {
      status: 302,
      headers: { location: `https://intern.example.com:${secure.port}/hello` },
    }),
  "/metadata": () =>
    new Response(null, { status: 302, headers: { location: "https://169.254.169.254/latest" } }),
  "/file": () => new Response(null, { status: 302, headers: { location: "file:///etc/passwd" } }),
  "/declared": () => new Response("x".repeat(2000)),
  "/endless": () => new Response(endless()),
  "/bomb": () =>
    new Response(gzipSync(Buffer.alloc(10_000_000)), { headers: { "content-encoding": "gzip" } }),
  "/hang": () => hang.promise,
  "/stall": () => new Response(stall(), { headers: { "content-type": "text/plain" } }),
};

function endless(): ReadableStream<Uint8Array> {
  return new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(500)) });
}
function stall(): ReadableStream<Uint8Array> {
  return new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(10)) });
}

function route(request: Request): Response | Promise<Response> {
  const { pathname } = new URL(request.url);
  const { headers } = request;
  asked.push({ path: pathname, authorization: headers.get("authorization"), host: headers.get("host") });
  return ROUTES[pathname]?.(request) ?? new Response("?", { status: 404 });
}

beforeAll(() => {
  plain = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: route });
  secure = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    tls: { cert: TEST_CERTIFICATE, key: TEST_KEY },
    fetch: route,
  });
});
afterAll(async () => {
  hang.resolve(new Response());
  await Promise.all([plain.stop(true), secure.stop(true)]);
});

const dev = (options: Partial<SafeFetchOptions> = {}) =>
  createSafeFetch({ allowPrivateNetwork: true, ...options });
const http = (path: string) => `http://127.0.0.1:${plain.port}${path}`;
const text = (body: Uint8Array) => new TextDecoder().decode(body);
async function failureOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.catch((thrown: unknown) => thrown);
  return isKithError(error) ? `${error.code}: ${error.message}` : String(error);
}

test("safeFetch() answers with status, headers, final URL and body", async () => {
  const answer = await dev()(http("/hop"));
  expect([answer.status, text(answer.body), answer.url]).toEqual([200, "hello", http("/hello")]);
  expect(answer.headers.get("x-test")).toBe("1");
  expect((await dev()(http("/missing"))).status).toBe(404);
  expect(text((await dev()(http("/echo"), { method: "POST", body: "ping" })).body)).toBe("POST ping");
});

test.each([
  ["/loop", {}, "upstream_failure", "more than 5 redirects"],
  ["/hop", { redirectsMax: 0 }, "upstream_failure", "more than 0 redirects"],
  ["/hop", { method: "POST", body: "x" }, "upstream_failure", "it redirects a request that has a body"],
  ["/file", {}, "upstream_failure", "it is neither http nor https"],
  ["/declared", { bytesMax: 1999 }, "upstream_failure", "the answer is larger than 1999 bytes"],
  ["/endless", { bytesMax: 100_000 }, "upstream_failure", "the answer is larger than 100000 bytes"],
  ["/bomb", { bytesMax: 100_000 }, "upstream_failure", "the answer is larger than 100000 bytes"],
  ["/hang", { timeoutMs: 50 }, "timeout", "it took too long"],
  ["/stall", { timeoutMs: 50 }, "timeout", "it took too long"],
] as [string, SafeRequest, string, string][])(
  "safeFetch(%p, %j) is bounded",
  async (path, request, code, why) => {
    const failure = await failureOf(dev()(http(path), request));
    expect(failure.startsWith(`${code}: Could not fetch "`)).toBe(true);
    expect(failure.endsWith(`": ${why}`)).toBe(true);
  },
);

test("safeFetch() says that a server cannot be reached", async () => {
  const url = "http://127.0.0.1:1/";
  expect(await failureOf(dev()(url))).toBe(
    `upstream_failure: Could not fetch "${url}": the server could not be reached`,
  );
});

test("safeFetch() sends no credentials to another origin", async () => {
  asked.length = 0;
  const url = http("/away").replace("127.0.0.1", "localhost");
  await dev()(url, { headers: { authorization: "Bearer x" } });
  expect(asked.map(({ path, authorization }) => [path, authorization])).toEqual([
    ["/away", "Bearer x"],
    ["/hello", null],
  ]);
});

test.each([
  ["http://example.com/", "it is not https"],
  ["ftp://example.com/", "it is not https"],
  ["file:///etc/passwd", "it is not https"],
  ["https://example.com:8443/", "it names a port"],
  ["https://user:pw@example.com/", "it has a user name"],
  ["https://127.0.0.1/", "its host is an IP address"],
  ["https://1.1.1.1/", "its host is an IP address"],
  ["https://[::1]/", "its host is an IP address"],
  ["https://[::ffff:127.0.0.1]/", "its host is an IP address"],
  ["https://0x7f.1/", "its host is an IP address"],
  ["https://2130706433/", "its host is an IP address"],
  ["https://0177.0.0.1/", "its host is an IP address"],
  ["https://localhost/", "its host is not a public name"],
  ["https://intranet/", "its host is not a public name"],
  ["https://intranet./", "its host is not a public name"],
  ["https://private.example.com/", '"private.example.com" is not on the public internet'],
  ["https://mixed.example.com/", '"mixed.example.com" is not on the public internet'],
  ["https://mapped.example.com/", '"mapped.example.com" is not on the public internet'],
  ["https://none.example.com/", 'the host "none.example.com" was not found'],
  ["not a url", "it is not a URL"],
])("safeFetch(%p) refuses: %s", async (url, why) => {
  const names: Record<string, string[]> = {
    "private.example.com": ["10.1.2.3"],
    "mixed.example.com": ["1.1.1.1", "127.0.0.1"],
    "mapped.example.com": ["::ffff:10.0.0.1"],
  };
  const safeFetch = createSafeFetch({
    allowPrivateNetwork: false,
    lookup: async (host) => names[host] ?? [],
  });
  expect(await failureOf(safeFetch(url))).toBe(`upstream_failure: Could not fetch "${url}": ${why}`);
});

/** A public client in every respect, but that 127.0.0.1 counts as public, at the port of the test server. */
function publicClient(names: Record<string, string[]>, lookups: string[] = []) {
  return createSafeFetch({
    allowPrivateNetwork: false,
    lookup: async (host) => {
      lookups.push(host);
      return names[host] ?? [];
    },
    testing: {
      isAllowedAddress: (address) => address === "127.0.0.1",
      port: String(secure.port),
      ca: TEST_CERTIFICATE,
    },
  });
}
const https = (path: string, host = "pds.example.com") => `https://${host}:${secure.port}${path}`;

test("safeFetch() connects to the checked address, under the host's own name", async () => {
  asked.length = 0;
  const lookups: string[] = [];
  const answer = await publicClient({ "pds.example.com": ["127.0.0.1"] }, lookups)(https("/hello"));
  expect([answer.status, text(answer.body), answer.url]).toEqual([200, "hello", https("/hello")]);
  expect(asked[0]?.host).toBe(`pds.example.com:${secure.port}`);
  expect(lookups).toEqual(["pds.example.com"]);
});

test("safeFetch() verifies the certificate against the host's name, not the address", async () => {
  const names = { "pds.example.com": ["127.0.0.1"], "other.example.com": ["127.0.0.1"] };
  const client = publicClient(names);
  await client(https("/hello"));
  expect(await failureOf(client(https("/hello", "other.example.com")))).toMatch(
    /the server could not be reached$/,
  );
});

test.each([
  ["/inward", /"intern\.example\.com" is not on the public internet$/],
  ["/metadata", /it names a port$|its host is an IP address$/],
  ["/away", /it is not https$/],
])("safeFetch() checks the target of a redirect: %p", async (path, why) => {
  const client = publicClient({ "pds.example.com": ["127.0.0.1"], "intern.example.com": ["10.0.0.1"] });
  expect(await failureOf(client(https(path)))).toMatch(why);
});

test("safeFetch() gives up on a name server that does not answer", async () => {
  const lookup = () => new Promise<string[]>(() => {});
  const safeFetch = createSafeFetch({ allowPrivateNetwork: false, lookup, timeoutMs: 30 });
  expect(await failureOf(safeFetch("https://slow.example.com/"))).toBe(
    'timeout: Could not fetch "https://slow.example.com/": it took too long',
  );
});
