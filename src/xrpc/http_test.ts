import { afterAll, expect, test } from "bun:test";
import { ComAtprotoRepoListRecords, ComAtprotoServerCreateSession } from "@atcute/atproto";
import { KithError } from "../errors.ts";
import { createHttp } from "./http.ts";
import { LimitBypass } from "./limits/limit_bypass.ts";
import { method } from "./method.ts";
import type { SiteOptions } from "./well_known.ts";

const lines: string[] = [];
const record = (level: string) => (message: string, fields?: object) =>
  void lines.push(
    JSON.stringify({ level, message, ...fields }, (_key, value) =>
      value instanceof Error ? value.message : value,
    ),
  );
const log = { info: record("info"), warn: record("warn"), error: record("error") };

let state = { ready: true, state: "ready" };
const site: SiteOptions = {
  version: "0.0.1",
  publicUrl: "https://pds.test",
  handleDomains: [".pds.test"],
  pages: {
    welcome: () => new Response("<h1>welcome</h1>", { headers: { "Content-Type": "text/html" } }),
    file: (name) => (name === "page-1.css" ? new Response("body{}") : undefined),
  },
  readiness: () => state,
  serviceDidDocument: () => ({ id: "did:web:pds.test" }),
  didOfHandle: (handle) => (handle === "alice.pds.test" ? "did:plc:alice" : undefined),
};

const methods = [
  method(ComAtprotoRepoListRecords.mainSchema, {
    auth: "none",
    handler: ({ params }) => ({ records: [], text: "a".repeat(params.limit * 100) }),
  }),
  method(ComAtprotoServerCreateSession.mainSchema, {
    auth: "none",
    handler: ({ ip }) => {
      if (ip === "198.51.100.7") throw new Error("a defect");
      return { ip };
    },
  }),
];

const http = createHttp({
  bypass: new LimitBypass({ key: undefined, addresses: [] }),
  networkSubscribersMax: 10,
  methods,
  authenticator: {
    authenticate: async () => {
      throw new KithError("auth_missing", "Authentication required");
    },
  },
  firehose: { assertRoom: () => {}, subscribe: () => ({ drained: () => {}, closed: () => {} }) },
  site,
  log,
});
const server = Bun.serve({ port: 0, hostname: "127.0.0.1", ...http });
afterAll(() => server.stop(true));

const LIST = "/xrpc/com.atproto.repo.listRecords?repo=a.test&collection=app.bsky.feed.post";

function get(path: string, init: BunFetchRequestInit = {}): Promise<Response> {
  return fetch(new URL(path, server.url), init);
}

interface Row {
  name: string;
  path: string;
  init?: RequestInit;
  status: number;
  body?: RegExp;
}

const rows: Row[] = [
  { name: "says what this is", path: "/", status: 200, body: /PDS.*kith 0\.0\.1/ },
  {
    name: "shows a browser a page",
    path: "/",
    init: { headers: { Accept: "text/html,application/xhtml+xml,*/*;q=0.8" } },
    status: 200,
    body: /<h1>welcome/,
  },
  { name: "gives the files of pages", path: "/oauth/assets/page-1.css", status: 200, body: /body/ },
  { name: "has no other files of pages", path: "/oauth/assets/page-2.css", status: 404, body: /NotFound/ },
  { name: "lets robots in", path: "/robots.txt", status: 200, body: /Allow: \// },
  { name: "is healthy", path: "/xrpc/_health", status: 200, body: /"version":"0.0.1"/ },
  { name: "is healthy for a supervisor", path: "/health", status: 200, body: /0\.0\.1/ },
  { name: "is ready", path: "/ready", status: 200, body: /"ready":true/ },
  {
    name: "gives the service's DID document",
    path: "/.well-known/did.json",
    status: 200,
    body: /did:web:pds\.test/,
  },
  {
    name: "gives the DID of a handle host",
    path: "/.well-known/atproto-did",
    init: { headers: { host: "Alice.pds.test:2583" } },
    status: 200,
    body: /^did:plc:alice$/,
  },
  {
    name: "knows no DID of another handle host",
    path: "/.well-known/atproto-did",
    init: { headers: { host: "bob.pds.test" } },
    status: 404,
  },
  { name: "vouches for its own name", path: "/tls-check?domain=PDS.test", status: 200 },
  { name: "vouches for a handle that is there", path: "/tls-check?domain=alice.pds.test", status: 200 },
  { name: "vouches for no handle that is not there", path: "/tls-check?domain=bob.pds.test", status: 404 },
  { name: "vouches for no foreign domain", path: "/tls-check?domain=example.com", status: 400 },
  { name: "vouches for nothing without a domain", path: "/tls-check", status: 400 },
  { name: "knows no DID of its own host", path: "/.well-known/atproto-did", status: 404, body: /not found/ },
  {
    name: "has no service DID document on a handle host",
    path: "/.well-known/did.json",
    init: { headers: { host: "alice.pds.test" } },
    status: 404,
  },
  {
    name: "answers a static route under a short host",
    path: "/",
    init: { headers: { host: "x" } },
    status: 200,
  },
  { name: "answers a method under a short host", path: LIST, init: { headers: { host: "x" } }, status: 200 },
  { name: "has nothing elsewhere", path: "/nothing", status: 404, body: /"error":"NotFound"/ },
  { name: "has no path traversal", path: "/..%2f..%2fetc/passwd", status: 404, body: /NotFound/ },
  { name: "has nothing under a byte that is no UTF-8", path: "/%ff", status: 404 },
  { name: "has nothing under a NUL", path: "/%00", status: 404 },
  { name: "has nothing at /xrpc/", path: "/xrpc/", status: 404 },
  { name: "answers a method with a slash behind it", path: LIST.replace("?", "/?"), status: 200 },
  { name: "answers a method whose name is escaped", path: LIST.replaceAll(".", "%2E"), status: 200 },
  { name: "answers a method by a way around", path: `/x/..${LIST}`, status: 200 },
  { name: "reads parameters that are escaped", path: LIST.replace("a.test", "a%2Etest"), status: 200 },
  {
    name: "answers under an IPv4 address",
    path: LIST,
    init: { headers: { host: "127.0.0.1" } },
    status: 200,
  },
  {
    name: "answers under an IPv6 address",
    path: LIST,
    init: { headers: { host: "[::1]:2583" } },
    status: 200,
  },
  {
    name: "answers under an international name",
    path: LIST,
    init: { headers: { host: "xn--bcher-kva.test" } },
    status: 200,
  },
  {
    name: "refuses a host that is no address",
    path: LIST,
    init: { headers: { host: "1.2.3.256" } },
    status: 400,
    body: /Host header/,
  },
  {
    name: "refuses a host that is no name",
    path: LIST,
    init: { headers: { host: "xn--a.test" } },
    status: 400,
    body: /Host header/,
  },
  { name: "has nothing below a method", path: "/xrpc/com.example.a/b", status: 404, body: /NotFound/ },
  { name: "is healthy with a slash", path: "/xrpc/_health/", status: 200, body: /0\.0\.1/ },
  {
    name: "refuses a POST to its health",
    path: "/xrpc/_health",
    init: { method: "POST" },
    status: 400,
    body: /NSID/,
  },
  { name: "refuses a malformed escape", path: "/xrpc/%zz", status: 400, body: /NSID/ },
  { name: "refuses an encoded NUL", path: "/xrpc/com.atproto.sync%00x", status: 400, body: /InvalidRequest/ },
  {
    name: "refuses an unknown method",
    path: "/xrpc/com.example.nothing",
    status: 501,
    body: /MethodNotImplemented/,
  },
  {
    name: "refuses a subscription without a WebSocket",
    path: "/xrpc/com.atproto.sync.subscribeRepos",
    status: 426,
    body: /UpgradeRequired/,
  },
  {
    name: "refuses a POST to the subscription",
    path: "/xrpc/com.atproto.sync.subscribeRepos",
    init: { method: "POST" },
    status: 405,
    body: /InvalidRequest/,
  },
];

test.each(rows.map((row) => [row.name, row] as const))("createHttp() %s", async (_name, row) => {
  const response = await get(row.path, row.init);
  const text = await response.text();
  expect(response.status).toBe(row.status);
  if (row.body) expect(text).toMatch(row.body);
  expect(response.headers.get("access-control-allow-origin")).toBe("*");
  const requestId = response.headers.get("x-request-id") ?? "";
  expect(requestId).toMatch(/^[0-9a-f]{16}$/);
  if (
    response.headers.get("content-type")?.includes("json") &&
    response.status >= 400 &&
    row.path !== "/ready"
  ) {
    expect(JSON.parse(text)).toEqual({ error: expect.any(String), message: expect.any(String), requestId });
  }
});

test("createHttp() answers an address of https as one of http", async () => {
  const to = (scheme: string, init?: RequestInit) =>
    http.fetch(new Request(`${scheme}://pds.example.com/xrpc/com.atproto.server.createSession`, init), {
      requestIP: () => ({ address: "192.0.2.1" }),
      upgrade: () => false,
    });
  const init = {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ identifier: "alice.test", password: "secret" }),
  };
  for (const scheme of ["http", "https"]) {
    const answer = await to(scheme, init);
    expect([answer?.status, await answer?.json()]).toEqual([200, { ip: "192.0.2.1" }]);
  }
});

test("createHttp() is not ready while it drains", async () => {
  state = { ready: false, state: "draining" };
  const response = await get("/ready");
  state = { ready: true, state: "ready" };
  expect(response.status).toBe(503);
  expect(await response.text()).toMatch(/draining/);
});

test("createHttp() answers a preflight with 204 and what may be sent", async () => {
  const response = await get(LIST, {
    method: "OPTIONS",
    headers: {
      origin: "https://app.test",
      "access-control-request-headers": "Authorization, atproto-new-thing, x-evil",
    },
  });
  expect(response.status).toBe(204);
  const allowed = response.headers.get("access-control-allow-headers")?.split(", ") ?? [];
  for (const name of ["authorization", "content-type", "dpop", "atproto-proxy", "atproto-new-thing"]) {
    expect(allowed).toContain(name);
  }
  expect(allowed).not.toContain("x-evil");
  expect(response.headers.get("access-control-max-age")).toBe("86400");
});

test("createHttp() exposes the headers that clients read", async () => {
  const exposed = (await get("/health")).headers.get("access-control-expose-headers")?.split(", ") ?? [];
  expect(exposed).toContain("DPoP-Nonce");
  expect(exposed).toContain("RateLimit-Remaining");
  expect(exposed).toContain("Atproto-Repo-Rev");
  expect(exposed).toContain("X-Request-Id");
});

test("createHttp() compresses long JSON for those who ask", async () => {
  const raw = async (path: string, encoding: string) => {
    const response = await get(path, { headers: { "accept-encoding": encoding }, decompress: false });
    return { encoding: response.headers.get("content-encoding"), bytes: (await response.bytes()).length };
  };
  expect(await raw(`${LIST}&limit=100`, "br, gzip;q=0.8")).toEqual({
    encoding: "gzip",
    bytes: expect.any(Number),
  });
  expect((await raw(`${LIST}&limit=100`, "gzip")).bytes).toBeLessThan(1_000);
  expect((await raw(`${LIST}&limit=100`, "gzip;q=0")).encoding).toBeNull();
  expect((await raw(`${LIST}&limit=1`, "gzip")).encoding).toBeNull();
});

test("createHttp() takes a proxy's word for the client's address, and logs one line without secrets", async () => {
  lines.length = 0;
  const response = await get("/xrpc/com.atproto.server.createSession?access_token=tops3cret", {
    method: "POST",
    headers: {
      "content-type": "application/json",
      authorization: "Bearer tops3cret",
      "x-forwarded-for": "198.51.100.1",
    },
    body: JSON.stringify({ identifier: "alice", password: "tops3cret" }),
  });
  expect(await response.json()).toEqual({ ip: "198.51.100.1" });
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toContain("tops3cret");
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({
    level: "info",
    method: "POST",
    nsid: "com.atproto.server.createSession",
    status: 200,
    ip: "198.51.100.1",
    requestId: response.headers.get("x-request-id"),
  });
});

test("createHttp() logs a defect in full and tells the caller nothing", async () => {
  lines.length = 0;
  const response = await get("/xrpc/com.atproto.server.createSession", {
    method: "POST",
    headers: { "content-type": "application/json", "x-forwarded-for": "198.51.100.7" },
    body: JSON.stringify({ identifier: "alice", password: "x" }),
  });
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain("defect");
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? "")).toMatchObject({ level: "error", failure: "a defect" });
});

test.each([
  ["declared", () => new Uint8Array(20_000_000)],
  [
    "not declared",
    () => {
      let left = 20;
      return new ReadableStream<Uint8Array>({
        pull: (controller) =>
          left-- > 0 ? controller.enqueue(new Uint8Array(1_000_000)) : controller.close(),
      });
    },
  ],
])(
  "createHttp() lets the sender of a large body of a length %s see why it is refused",
  async (_name, body) => {
    const response = await get("/xrpc/com.atproto.server.createSession", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: body(),
    });
    expect(response.status).toBe(413);
    expect(await response.json()).toMatchObject({ error: "PayloadTooLarge" });
  },
);

test("createHttp() tells nothing of an answer that could not be sent", async () => {
  lines.length = 0;
  const response = http.error(new Error("ENOENT: /data/blobs/x"));
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain("/data");
  expect(lines.join()).toContain("ENOENT");
});

test("createHttp() says of a file that went before it could be sent that it is not there", async () => {
  lines.length = 0;
  const response = http.error(Object.assign(new Error("ENOENT: /data/blobs/x"), { code: "ENOENT" }));
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ error: "BlobNotFound" });
  expect(lines).toEqual([]);
});

test("createHttp() answers a HEAD without a body", async () => {
  const response = await get(LIST, { method: "HEAD" });
  expect(response.status).toBe(200);
  expect(await response.text()).toBe("");
});
