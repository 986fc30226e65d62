import { expect, test } from "bun:test";
import { isKithError, KithError } from "../errors.ts";
import { createDidResolver, type DidResolverOptions } from "./did_resolver.ts";
import type { SafeFetch } from "./safe_fetch.ts";

const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const json = (status: number, body: unknown) => {
  const bytes = new TextEncoder().encode(typeof body === "string" ? body : JSON.stringify(body));
  return { status, headers: new Headers(), url: "", body: bytes };
};

function setup(more: Partial<DidResolverOptions> = {}) {
  const clock = { now: 0 };
  const asked: string[] = [];
  let version = 0;
  const plc = {
    document: async (did: string) => {
      asked.push(did);
      return { id: did, version: version++ };
    },
  };
  const safeFetch: SafeFetch = async (url) => {
    asked.push(url);
    return json(404, {});
  };
  const options = {
    plc,
    safeFetch,
    timeoutMs: 1000,
    staleMs: 100,
    maxMs: 1000,
    devMode: false,
    now: () => clock.now,
  };
  return { resolver: createDidResolver({ ...options, ...more }), clock, asked };
}

test("resolve() keeps a document, refreshes a stale one behind the caller's back, and drops an old one", async () => {
  const { resolver, clock, asked } = setup();
  expect(await resolver.resolve(DID)).toMatchObject({ version: 0 });
  clock.now = 99;
  expect(await resolver.resolve(DID)).toMatchObject({ version: 0 });
  expect(asked.length).toBe(1);
  clock.now = 150;
  expect(await resolver.resolve(DID)).toMatchObject({ version: 0 });
  expect(asked.length).toBe(2);
  await Promise.resolve();
  expect(await resolver.resolve(DID)).toMatchObject({ version: 1 });
  clock.now = 1150;
  expect(await resolver.resolve(DID)).toMatchObject({ version: 2 });
  expect(await resolver.resolve(DID, { fresh: true })).toMatchObject({ version: 3 });
  resolver.forget(DID);
  expect(await resolver.resolve(DID)).toMatchObject({ version: 4 });
});

test("resolve() asks once for callers that come together", async () => {
  const { resolver, asked } = setup();
  const [one, two] = await Promise.all([resolver.resolve(DID), resolver.resolve(DID)]);
  expect(one).toBe(two);
  expect(asked.length).toBe(1);
});

test("resolve() holds a bounded number of documents, the least recently used goes first", async () => {
  const { resolver, asked } = setup({ entriesMax: 2 });
  const [a, b, c] = ["a", "b", "c"].map((end) => `${DID.slice(0, -1)}${end}`) as [string, string, string];
  for (const did of [a, b, a, c, a, b]) await resolver.resolve(did);
  expect(asked).toEqual([a, b, c, b]);
});

test("resolve() does not keep a failure", async () => {
  let fails = true;
  const plc = {
    document: async (did: string) => {
      if (fails) throw new KithError("upstream_failure", "down");
      return { id: did };
    },
  };
  const { resolver } = setup({ plc });
  expect(resolver.resolve(DID)).rejects.toThrow("down");
  await resolver.resolve(DID).catch(() => undefined);
  fails = false;
  expect(await resolver.resolve(DID)).toEqual({ id: DID });
});

test("resolve() fetches did:web from its host", async () => {
  const urls: string[] = [];
  const safeFetch: SafeFetch = async (url) => {
    urls.push(url);
    return json(200, {
      id: url.includes("localhost") ? "did:web:localhost%3A2583" : "did:web:a.example.com",
    });
  };
  await setup({ safeFetch }).resolver.resolve("did:web:a.example.com");
  await setup({ safeFetch, devMode: true }).resolver.resolve("did:web:localhost%3A2583");
  expect(urls).toEqual([
    "https://a.example.com/.well-known/did.json",
    "http://localhost:2583/.well-known/did.json",
  ]);
});

test.each([
  ["nonsense", json(200, {}), "invalid_request", "it is not a DID"],
  ["did:key:zQ3sh", json(200, {}), "invalid_request", "only did:plc and did:web are supported"],
  [
    "did:web:a.example.com:path",
    json(200, {}),
    "invalid_request",
    "it must name a host, without port or path",
  ],
  [
    "did:web:a.example.com%3A8443",
    json(200, {}),
    "invalid_request",
    "it must name a host, without port or path",
  ],
  ["did:web:localhost%3A2583", json(200, {}), "invalid_request", "it must name a host, without port or path"],
  ["did:web:a.example.com", json(404, {}), "did_not_found", "is not there"],
  ["did:web:a.example.com", json(500, {}), "upstream_failure", "answered 500"],
  ["did:web:a.example.com", json(200, "<html>"), "upstream_failure", "is not its DID document"],
  [
    "did:web:a.example.com",
    json(200, { id: "did:web:b.example.com" }),
    "upstream_failure",
    "is not its DID document",
  ],
])("resolve(%p) fails", async (did, answer, code, why) => {
  const { resolver } = setup({ safeFetch: async () => answer });
  const error = await resolver.resolve(did).catch((thrown: unknown) => thrown);
  expect(isKithError(error) && error.code).toBe(code as KithError["code"]);
  expect((error as Error).message).toEndWith(why);
});
