import { expect, test } from "bun:test";
import { isKithError, KithError } from "../errors.ts";
import type { SafeStream, StreamRequest } from "./safe_stream.ts";
import { type HostCall, isHostError, type Patience, XrpcHost } from "./xrpc_host.ts";

const URL_OF_HOST = "https://pds.example.com";
const PATIENCE: Patience = {
  retryPausesMs: [1, 2],
  rateLimitWaitMsMax: 10_000,
  rateLimitWaitsMax: 2,
  answerTimeoutMs: 1_000,
  jsonBytesMax: 1_000,
};

type Reply = Response | KithError;

/** A host that gives these answers one after the other, the last one ever after. */
function hostOf(replies: readonly Reply[], patience: Patience = PATIENCE) {
  const sent: { url: string; request: StreamRequest }[] = [];
  const slept: number[] = [];
  const stream: SafeStream = async (url, request) => {
    const reply = replies[Math.min(sent.push({ url, request }), replies.length) - 1];
    if (reply === undefined || reply instanceof KithError) throw reply;
    const { status, headers, body } = reply.clone();
    return { status, headers, body };
  };
  const sleep = async (ms: number) => void slept.push(ms);
  const host = new XrpcHost({ url: URL_OF_HOST, stream, sleep, now: () => 1_000_000, patience });
  return { host, sent, slept };
}

const ok = (body: unknown = {}) => Response.json(body);
const refusal = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  Response.json(body, { status, headers });
const unreachable = new KithError("upstream_failure", "Could not fetch it");
const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

test("XrpcHost.json() sends a query or a procedure, and gives the answer", async () => {
  const { host, sent } = hostOf([ok({ a: 1 })]);
  const call: HostCall = { params: { x: "a&b", n: 2, no: undefined }, token: "tok" };
  expect(await host.json("dev.kith.test.get", call)).toEqual({ a: 1 });
  await host.json("dev.kith.test.put", { input: { b: 2 } });
  await host.json("dev.kith.test.put", { input: null });
  const seen = sent.map(({ url, request: { method, headers, body } }) => ({ url, method, headers, body }));
  expect(seen).toEqual([
    {
      url: `${URL_OF_HOST}/xrpc/dev.kith.test.get?x=a%26b&n=2`,
      method: "GET",
      headers: { accept: "*/*", authorization: "Bearer tok" },
      body: undefined,
    },
    {
      url: `${URL_OF_HOST}/xrpc/dev.kith.test.put`,
      method: "POST",
      headers: { accept: "*/*", "content-type": "application/json" },
      body: '{"b":2}',
    },
    {
      url: `${URL_OF_HOST}/xrpc/dev.kith.test.put`,
      method: "POST",
      headers: { accept: "*/*" },
      body: undefined,
    },
  ]);
});

test.each<[string, readonly Reply[], HostCall, number, readonly number[]]>([
  ["a query, until it is answered", [unreachable, refusal(502, {}), ok()], {}, 3, [1, 2]],
  ["a query, as often as it has patience", [unreachable], {}, 3, [1, 2]],
  ["no procedure", [unreachable], { input: {} }, 1, []],
  ["a procedure that says so", [unreachable, ok()], { input: {}, isRepeatable: true }, 2, [1]],
  ["nothing that was refused", [refusal(400, {})], {}, 1, []],
  ["nothing that is not implemented", [refusal(501, {})], {}, 1, []],
  [
    "what a rate limit has refused",
    [refusal(429, {}, { "retry-after": "3" }), ok()],
    { input: {} },
    2,
    [3_000],
  ],
  ["what resets later", [refusal(429, {}, { "ratelimit-reset": "1004" }), ok()], {}, 2, [4_000]],
  ["what does not say when", [refusal(429, {}), ok()], {}, 2, [2_000]],
  ["no rate limit for ever", [refusal(429, {})], {}, 3, [2_000, 2_000]],
])("XrpcHost.json() repeats %s", async (_, replies, call, sends, sleeps) => {
  const { host, sent, slept } = hostOf(replies);
  await caught(host.json("dev.kith.test.x", call));
  expect({ sends: sent.length, slept }).toEqual({ sends, slept: [...sleeps] });
});

test("XrpcHost.json() waits out no long rate limit, and says when it ends", async () => {
  const { host } = hostOf([refusal(429, {}, { "retry-after": "100000000" })]);
  const error = await caught(host.json("dev.kith.test.x"));
  expect(error).toMatchObject({ code: "rate_limited", retryAfterS: 86_400 });
  expect(String(error)).toMatch(/no more calls until 1973-03-03T/);
});

test.each<[string, Response, { error: string; reason: string; message: string }]>([
  [
    "its name and words",
    refusal(400, { error: "InvalidHandle", message: "Too short" }),
    { error: "InvalidHandle", reason: "Too short", message: "InvalidHandle: Too short" },
  ],
  ["its status", new Response("<html>", { status: 403 }), { error: "", reason: "", message: "status 403" }],
  [
    "nothing that is no text",
    refusal(400, { error: 7, message: {} }),
    { error: "", reason: "", message: "status 400" },
  ],
  [
    "no codes of a terminal, and not too much",
    refusal(400, { error: "X", message: `\u001b[2J\u202e\n${"m".repeat(9_000)}`.slice(0, 600) }),
    {
      error: "X",
      reason: `\ufffd[2J\ufffd\ufffd${"m".repeat(494)}`,
      message: `X: \ufffd[2J\ufffd\ufffd${"m".repeat(494)}`,
    },
  ],
])("XrpcHost tells of a refusal %s", async (_, response, expected) => {
  const error = await caught(hostOf([response]).host.json("dev.kith.test.x"));
  if (!isHostError(error)) throw error;
  expect({ error: error.error, reason: error.reason }).toEqual({
    error: expected.error,
    reason: expected.reason,
  });
  expect(error.message).toBe(`"${URL_OF_HOST}" refused dev.kith.test.x: ${expected.message}`);
  expect(isHostError(error, expected.error)).toBe(true);
  expect(isHostError(error, "Other")).toBe(false);
});

test("XrpcHost.json() refuses an answer that is no JSON", async () => {
  const error = await caught(hostOf([new Response("<html>")]).host.json("dev.kith.test.x"));
  expect(isKithError(error, "upstream_failure")).toBe(true);
  expect(String(error)).toContain("something other than JSON");
});

test("XrpcHost ends a call whose answer drips for longer than its patience", async () => {
  const patience = { ...PATIENCE, wholeTimeoutMs: 20 };
  const sent: AbortSignal[] = [];
  const stream: SafeStream = async (_, { signal }) => {
    if (signal) sent.push(signal);
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => signal?.addEventListener("abort", () => controller.error(unreachable)),
    });
    return { status: 200, headers: new Headers(), body };
  };
  const options = { url: URL_OF_HOST, stream, sleep: async () => undefined, now: () => 0, patience };
  const error = await caught(new XrpcHost(options).json("dev.kith.test.x"));
  expect({ code: (error as KithError).code, sends: sent.length }).toEqual({ code: "timeout", sends: 1 });
});

test("XrpcHost.json() has each request signed, and again where the host asks for it, but not for ever", async () => {
  const wantsNonce = (nonce: string) => refusal(401, { error: "use_dpop_nonce" }, { "dpop-nonce": nonce });
  const run = async (replies: readonly Reply[]) => {
    const { host, sent } = hostOf(replies);
    const seen: string[] = [];
    const token = {
      headers: async ({ method, url }: { method: string; url: string }) => {
        return { authorization: `DPoP t`, dpop: `${method} ${url} ${seen.at(-1)}` };
      },
      learn: ({ status, headers }: { status: number; headers: Headers }) => {
        const nonce = headers.get("dpop-nonce");
        if (nonce !== null) seen.push(nonce);
        return status === 401 && nonce !== null;
      },
    };
    const answer = await caught(host.json("a.b.c", { input: { a: 1 }, token }));
    return { answer, proofs: sent.map(({ request }) => request.headers.dpop) };
  };
  const url = `${URL_OF_HOST}/xrpc/a.b.c`;
  expect(await run([wantsNonce("one"), ok({ a: 1 })])).toEqual({
    answer: { a: 1 },
    proofs: [`POST ${url} undefined`, `POST ${url} one`],
  });
  const { answer, proofs } = await run([wantsNonce("one")]);
  expect([isHostError(answer, "use_dpop_nonce"), proofs.length]).toEqual([true, 3]);
  // What is refused otherwise is not repeated.
  expect((await run([refusal(401, { error: "invalid_token" })])).proofs).toHaveLength(1);
});
