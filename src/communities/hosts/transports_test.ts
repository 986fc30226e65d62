import { describe, expect, test } from "bun:test";
import { KithError } from "../../errors.ts";
import type { StreamRequest } from "../../identity/mod.ts";
import { createLoopbackStream, type Handler, Transports } from "./transports.ts";

const HERE = "https://pds.example.com";
const BOUNDS = { headersTimeoutMs: 60_000, bodyTimeoutMs: 60_000, bytesMax: 1_000 };
const GET: StreamRequest = { method: "GET", headers: {}, ...BOUNDS };

const outcomeOf = (promise: Promise<unknown>) =>
  promise.catch((error: unknown) => (error instanceof KithError ? `${error.code}: ${error.message}` : error));
const loopback = (handler: Handler) => createLoopbackStream({ handler, publicUrl: HERE });
const never = () => new Promise<never>(() => {});
const stalled = () =>
  new Response(new ReadableStream({ start: (controller) => controller.enqueue(new Uint8Array(1)) }));

describe("createLoopbackStream()", () => {
  test("hands a request to the handler as it came through a socket, and gives its answer", async () => {
    const seen: unknown[] = [];
    const stream = loopback(async (request) => {
      const { method, url } = request;
      seen.push({ method, url, type: request.headers.get("content-type"), text: await request.text() });
      return Response.json({ error: "InvalidRequest" }, { status: 400, headers: { "x-a": "b" } });
    });
    const headers = { "content-type": "application/json" };
    const body = new Response("streamed").body as ReadableStream<Uint8Array>;
    for (const sent of ['{"a":1}', body]) {
      const {
        status,
        headers: answered,
        body: text,
      } = await stream(`${HERE}/xrpc/a.b.c?d=e`, {
        ...{ ...GET, method: "POST" },
        headers,
        body: sent,
      });
      expect([status, answered.get("x-a"), await new Response(text).json()]).toEqual([
        400,
        "b",
        { error: "InvalidRequest" },
      ]);
    }
    const common = { method: "POST", url: "http://pds.example.com/xrpc/a.b.c?d=e", type: "application/json" };
    expect(seen).toEqual([
      { ...common, text: '{"a":1}' },
      { ...common, text: "streamed" },
    ]);
  });

  test.each([
    "https://pds.example.org/",
    "https://pds.example.com.evil.example.org/",
    "http://pds.example.com/",
    "https://pds.example.com:8443/",
    "https://10.0.0.1/",
    "no address",
  ])("goes nowhere else: %j", async (url) => {
    const handler = () => Promise.reject(new Error("must not be called"));
    expect(await outcomeOf(loopback(handler)(url, GET))).toMatch(
      /^upstream_failure: .* it is not this server$/,
    );
  });

  const ok = async () => new Response("x".repeat(2_000));
  test.each<[string, Handler, Partial<StreamRequest>, RegExp]>([
    ["a redirect", async () => Response.redirect("https://10.0.0.1/"), {}, /^upstream_failure: .*redirects$/],
    ["a large answer", ok, {}, /^upstream_failure: .*larger than 1000 bytes$/],
    ["no answer", async () => undefined, {}, /^upstream_failure: .*did not answer$/],
    ["an answer that does not come", never, { headersTimeoutMs: 20 }, /^timeout: .*too long$/],
    ["an answer that does not end", async () => stalled(), { bodyTimeoutMs: 20 }, /^timeout: .*too long$/],
    ["a call that is over", never, { signal: AbortSignal.abort() }, /^timeout: .*too long$/],
  ])("refuses %s", async (_, handler, bounds, expected) => {
    expect(await outcomeOf(loopback(handler)(`${HERE}/`, { ...GET, ...bounds }))).toMatch(expected);
  });

  test("tells the handler that nobody waits any more", async () => {
    let signal: AbortSignal | undefined;
    const stream = loopback((request) => {
      signal = request.signal;
      return never();
    });
    await outcomeOf(stream(`${HERE}/`, { ...GET, headersTimeoutMs: 20 }));
    expect(signal?.aborted).toBe(true);
  });

  test("leaves an answer without a body as it is", async () => {
    const { status, body } = await loopback(async () => new Response(null, { status: 200 }))(`${HERE}/`, GET);
    expect([status, await new Response(body).text()]).toEqual([200, ""]);
  });
});

test("Transports.host() goes to strangers by the safe way, and here without it", async () => {
  const ways: string[] = [];
  const answer = () => Response.json({ ok: true });
  const transports = new Transports({
    stream: async (url) => {
      ways.push(`out ${url}`);
      const { status, headers, body } = answer();
      return { status, headers, body };
    },
    handler: async ({ url }) => {
      ways.push(`in ${url}`);
      return answer();
    },
    publicUrl: HERE,
    sleep: async () => undefined,
    now: () => 0,
  });
  await transports.host("remote", "https://pds.example.org").json("a.b.c");
  // Also where the name is ours: only what is meant as a loopback is one.
  await transports.host("remote", HERE).json("a.b.c");
  await transports.host("loopback", HERE).json("a.b.c");
  expect(ways).toEqual([
    "out https://pds.example.org/xrpc/a.b.c",
    `out ${HERE}/xrpc/a.b.c`,
    "in http://pds.example.com/xrpc/a.b.c",
  ]);
});
