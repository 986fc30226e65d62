import { afterAll, beforeAll, expect, jest, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { isKithError } from "../errors.ts";
import { TEST_CERTIFICATE, TEST_KEY } from "./_test_certificate.ts";
import { createSafeStream, type StreamRequest } from "./safe_stream.ts";

let plain: Bun.Server<undefined>;
let secure: Bun.Server<undefined>;
const hang = Promise.withResolvers<Response>();

const ROUTES: Record<string, (request: Request) => Response | Promise<Response>> = {
  "/echo": (request) => new Response(request.body),
  "/gzip": () => new Response(gzipSync("hello"), { headers: { "content-encoding": "gzip" } }),
  "/redirect": () => new Response(null, { status: 302, headers: { location: "/echo" } }),
  "/missing": () => new Response("no", { status: 404 }),
  "/declared": () => new Response("x".repeat(2000)),
  "/endless": () =>
    new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(500)) })),
  "/stall": () =>
    new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(10)) })),
  "/hang": () => hang.promise,
};

function route(request: Request): Response | Promise<Response> {
  return ROUTES[new URL(request.url).pathname]?.(request) ?? new Response("?", { status: 404 });
}

beforeAll(() => {
  const tls = { cert: TEST_CERTIFICATE, key: TEST_KEY };
  plain = Bun.serve({ port: 0, hostname: "127.0.0.1", idleTimeout: 0, fetch: route });
  secure = Bun.serve({ port: 0, hostname: "127.0.0.1", tls, fetch: route });
});
afterAll(async () => {
  hang.resolve(new Response());
  await Promise.all([plain.stop(true), secure.stop(true)]);
});

const BOUNDS = { headersTimeoutMs: 60_000, bodyTimeoutMs: 60_000, bytesMax: 1_000_000 };
const GET: StreamRequest = { method: "GET", headers: {}, ...BOUNDS };
const http = (path: string) => `http://127.0.0.1:${plain.port}${path}`;
const dev = createSafeStream({ allowPrivateNetwork: true });

async function failureOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.catch((thrown: unknown) => thrown);
  return isKithError(error) ? `${error.code}: ${error.message}` : `not refused: ${error}`;
}
const textOf = (body: ReadableStream<Uint8Array> | null) => new Response(body).text();

test("safeStream() sends a body and gives the answer, whatever its status", async () => {
  const body = new ReadableStream<Uint8Array>({
    start: (controller) => {
      controller.enqueue(new TextEncoder().encode("ping "));
      controller.enqueue(new TextEncoder().encode("pong"));
      controller.close();
    },
  });
  const answer = await dev(http("/echo"), { ...GET, method: "POST", body });
  expect([answer.status, await textOf(answer.body)]).toEqual([200, "ping pong"]);
  expect((await dev(http("/missing"), GET)).status).toBe(404);
  expect((await dev(http("/declared"), { ...GET, method: "HEAD" })).body).toBeNull();
});

test("safeStream() leaves an encoded answer as it is", async () => {
  const { headers, body } = await dev(http("/gzip"), GET);
  expect(headers.get("content-encoding")).toBe("gzip");
  expect(new Uint8Array(await new Response(body).arrayBuffer())).toEqual(new Uint8Array(gzipSync("hello")));
});

test.each<[string, Partial<StreamRequest>, string]>([
  ["/redirect", {}, "upstream_failure: .*it redirects$"],
  ["/declared", { bytesMax: 1_999 }, "upstream_failure: .*larger than 1999 bytes$"],
  ["/hang", { headersTimeoutMs: 50 }, "timeout: .*took too long$"],
])("safeStream(%p, %j) is refused before its body", async (path, bounds, expected) => {
  expect(await failureOf(dev(http(path), { ...GET, ...bounds }))).toMatch(new RegExp(`^${expected}`));
});

test.each<[string, Partial<StreamRequest>, string]>([
  ["/endless", { bytesMax: 100_000 }, "upstream_failure: .*larger than 100000 bytes$"],
  ["/stall", { bodyTimeoutMs: 50 }, "timeout: .*took too long$"],
])("safeStream(%p, %j) breaks its body off", async (path, bounds, expected) => {
  const { body } = await dev(http(path), { ...GET, ...bounds });
  expect(await failureOf(textOf(body))).toMatch(new RegExp(`^${expected}`));
});

test("safeStream() gives a slow sender its time, and a silent one not", async () => {
  const sender = (pauseMs: number) => {
    let sent = 0;
    return new ReadableStream<Uint8Array>({
      pull: (controller) => {
        // The clock stands still but for this: what the machine takes beside it is nobody's time.
        jest.advanceTimersByTime(pauseMs);
        sent += 1;
        if (sent > 4) controller.close();
        else controller.enqueue(new Uint8Array(1));
      },
    });
  };
  const bounds = { ...GET, method: "POST", headersTimeoutMs: 100, bodyTimeoutMs: 100 } as const;
  jest.useFakeTimers();
  try {
    expect((await dev(http("/echo"), { ...bounds, body: sender(90) })).status).toBe(200);
    expect(await failureOf(dev(http("/echo"), { ...bounds, body: sender(110) }))).toMatch(/^timeout/);
  } finally {
    jest.useRealTimers();
  }
});

test("safeStream() asks again where the server is not reached, as often as is said", async () => {
  const url = "http://127.0.0.1:1/echo";
  expect(await failureOf(dev(url, GET))).toBe(
    `upstream_failure: Could not fetch "${url}": the server could not be reached`,
  );
  expect(await failureOf(dev(url, { ...GET, retriesMax: 3 }))).toMatch(/could not be reached$/);
});

test("safeStream() ends with the caller's signal, in the body too", async () => {
  const leave = new AbortController();
  const { body } = await dev(http("/stall"), { ...GET, signal: leave.signal });
  const reading = failureOf(textOf(body));
  leave.abort();
  expect(await reading).toMatch(/^upstream_failure/);
});

test.each([
  ["http://example.com/", "it is not https"],
  ["https://example.com:8443/", "it names a port"],
  ["https://169.254.169.254/latest", "its host is an IP address"],
  ["https://localhost/", "its host is not a public name"],
  ["https://private.example.com/", '"private.example.com" is not on the public internet'],
])("safeStream(%p) refuses: %s", async (url, why) => {
  const lookup = async (host: string) => (host === "private.example.com" ? ["10.1.2.3"] : []);
  const stream = createSafeStream({ allowPrivateNetwork: false, lookup });
  expect(await failureOf(stream(url, GET))).toBe(`upstream_failure: Could not fetch "${url}": ${why}`);
});

test("safeStream() connects to the checked address, under the host's own name", async () => {
  const stream = createSafeStream({
    allowPrivateNetwork: false,
    lookup: async () => ["127.0.0.1"],
    testing: {
      isAllowedAddress: (address) => address === "127.0.0.1",
      port: String(secure.port),
      ca: TEST_CERTIFICATE,
    },
  });
  const url = `https://pds.example.com:${secure.port}/echo`;
  const answer = await stream(url, { ...GET, method: "POST", body: "ping" });
  expect([answer.status, await textOf(answer.body)]).toEqual([200, "ping"]);
});
