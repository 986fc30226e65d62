import { expect, test } from "bun:test";
import {
  ComAtprotoRepoListRecords,
  ComAtprotoRepoUploadBlob,
  ComAtprotoServerCreateSession,
  ComAtprotoServerGetSession,
  ComAtprotoServerRefreshSession,
  ComAtprotoSyncGetBlocks,
} from "@atcute/atproto";
import { cidOfRaw, cidToString } from "../atproto/mod.ts";
import type { Authenticator, AuthKind, Principal } from "../auth/mod.ts";
import { KithError } from "../errors.ts";
import { callerDid, JsonText, method } from "./method.ts";
import { Router } from "./router.ts";

const CALLER: Principal = { kind: "user", did: "did:plc:caller", scope: "com.atproto.access" };

const authenticator: Authenticator = {
  authenticate: async (request: Request, kind: AuthKind) => {
    if (request.headers.has("authorization")) return CALLER;
    if (kind === "optional") return null;
    throw new KithError("auth_missing", "Authentication required");
  },
};

const methods = [
  method(ComAtprotoRepoListRecords.mainSchema, { auth: "none", handler: ({ params }) => params }),
  method(ComAtprotoSyncGetBlocks.mainSchema, {
    auth: "optional",
    oauth: "any",
    handler: ({ params, principal }) => ({ ...params, principal }),
  }),
  method(ComAtprotoServerCreateSession.mainSchema, {
    auth: "none",
    bodyBytesMax: 200,
    handler: ({ input }) => input,
  }),
  method(ComAtprotoServerGetSession.mainSchema, {
    auth: "access",
    oauth: "any",
    handler: (call) => ({ did: callerDid(call) }),
  }),
  method(ComAtprotoServerRefreshSession.mainSchema, {
    auth: "none",
    handler: () => {
      throw new Error("a secret detail");
    },
  }),
  method(ComAtprotoRepoUploadBlob.mainSchema, {
    auth: "none",
    handler: async ({ body }) => ({ text: await new Response(body).text() }),
  }),
];

const router = new Router({ methods, authenticator });
const JSON_TYPE = { "content-type": "application/json" };
const LIST = "com.atproto.repo.listRecords?repo=a.test&collection=app.bsky.feed.post";
const SESSION = "com.atproto.server.createSession";
const LOGIN = JSON.stringify({ identifier: "a.test", password: "p" });

async function call(path: string, init: RequestInit = {}): Promise<{ response: Response; body: unknown }> {
  const request = new Request(`http://kith.test/xrpc/${path}`, init);
  const nsid = path.split("?")[0] ?? "";
  const response = await router.handle(request, { nsid, context: { requestId: "r1", ip: "203.0.113.1" } });
  const text = await response.text();
  return { response, body: text === "" ? undefined : JSON.parse(text) };
}

interface Row {
  name: string;
  path: string;
  init?: RequestInit;
  status: number;
  body: unknown;
}

const error = (name: string, message: unknown = expect.any(String)) => ({
  error: name,
  message,
  requestId: "r1",
});
const refused = (pattern: RegExp) => error("InvalidRequest", expect.stringMatching(pattern));

const rows: Row[] = [
  {
    name: "gives parameters their types and defaults",
    path: `${LIST}&reverse=true`,
    status: 200,
    body: { repo: "a.test", collection: "app.bsky.feed.post", limit: 50, reverse: true },
  },
  {
    name: "ignores parameters that the lexicon does not name",
    path: `${LIST}&limit=3&lang=en`,
    status: 200,
    body: { repo: "a.test", collection: "app.bsky.feed.post", limit: 3 },
  },
  {
    name: "refuses a float for an integer",
    path: `${LIST}&limit=1.5`,
    status: 400,
    body: refused(/"limit"/),
  },
  { name: "refuses 1e2 for an integer", path: `${LIST}&limit=1e2`, status: 400, body: refused(/"limit"/) },
  { name: "refuses an integer out of range", path: `${LIST}&limit=101`, status: 400, body: refused(/limit/) },
  { name: "refuses yes for a boolean", path: `${LIST}&reverse=yes`, status: 400, body: refused(/"reverse"/) },
  {
    name: "refuses a scalar given twice",
    path: `${LIST}&limit=1&limit=2`,
    status: 400,
    body: refused(/limit/),
  },
  { name: "refuses __proto__", path: `${LIST}&__proto__=1`, status: 400, body: refused(/__proto__/) },
  {
    name: "names a missing parameter",
    path: "com.atproto.repo.listRecords?repo=a.test",
    status: 400,
    body: refused(/collection/),
  },
  {
    name: "refuses a traversing identifier",
    path: "com.atproto.repo.listRecords?repo=../../etc&collection=app.bsky.feed.post",
    status: 400,
    body: refused(/repo/),
  },
  {
    name: "reads repeated parameters as an array",
    path: "com.atproto.sync.getBlocks?did=did:plc:abcdefghijklmnopqrstuvwx&cids=bafyreihffx5a2e7k5uwrmmgofbvzujc5cmw5h4espouwuxt3liqoflx3ee&cids=bafyreihffx5a2e7k5uwrmmgofbvzujc5cmw5h4espouwuxt3liqoflx3ee",
    status: 200,
    body: expect.objectContaining({ cids: expect.arrayContaining([expect.any(String)]), principal: null }),
  },
  {
    name: "refuses an unknown method",
    path: "com.example.nothing",
    status: 501,
    body: error("MethodNotImplemented"),
  },
  { name: "refuses what is no NSID", path: "nothing", status: 400, body: refused(/NSID/) },
  { name: "refuses GET of a procedure", path: SESSION, status: 405, body: error("InvalidRequest") },
  {
    name: "refuses POST to a query",
    path: LIST,
    init: { method: "POST" },
    status: 405,
    body: error("InvalidRequest"),
  },
  {
    name: "validates JSON and lets extra fields pass",
    path: SESSION,
    init: { method: "POST", headers: JSON_TYPE, body: `{"identifier":"a","password":"b","more":1}` },
    status: 200,
    body: { identifier: "a", password: "b", more: 1 },
  },
  {
    name: "names a missing field",
    path: SESSION,
    init: { method: "POST", headers: JSON_TYPE, body: `{"identifier":"a"}` },
    status: 400,
    body: refused(/password/),
  },
  {
    name: "names a field of the wrong type",
    path: SESSION,
    init: { method: "POST", headers: JSON_TYPE, body: `{"identifier":"a","password":5}` },
    status: 400,
    body: refused(/password/),
  },
  {
    name: "refuses no body at all",
    path: SESSION,
    init: { method: "POST" },
    status: 400,
    body: refused(/identifier/),
  },
  {
    name: "refuses malformed JSON",
    path: SESSION,
    init: { method: "POST", headers: JSON_TYPE, body: "{" },
    status: 400,
    body: refused(/not JSON/),
  },
  {
    name: "refuses what is not UTF-8",
    path: SESSION,
    init: { method: "POST", headers: JSON_TYPE, body: new Uint8Array([0x22, 0xff, 0x22]) },
    status: 400,
    body: refused(/UTF-8/),
  },
  {
    name: "refuses another content type",
    path: SESSION,
    init: { method: "POST", headers: { "content-type": "text/plain" }, body: LOGIN },
    status: 400,
    body: refused(/text\/plain/),
  },
  {
    name: "refuses a body over the bound",
    path: SESSION,
    init: { method: "POST", headers: JSON_TYPE, body: `{"identifier":"${"a".repeat(300)}"}` },
    status: 413,
    body: error("PayloadTooLarge"),
  },
  {
    name: "reads a gzip body",
    path: SESSION,
    init: {
      method: "POST",
      headers: { ...JSON_TYPE, "content-encoding": "gzip" },
      body: Bun.gzipSync(LOGIN),
    },
    status: 200,
    body: JSON.parse(LOGIN),
  },
  {
    name: "bounds a gzip body by its decoded size",
    path: SESSION,
    init: {
      method: "POST",
      headers: { ...JSON_TYPE, "content-encoding": "gzip" },
      body: Bun.gzipSync(`"${"a".repeat(100_000)}"`),
    },
    status: 413,
    body: error("PayloadTooLarge"),
  },
  {
    name: "refuses broken gzip",
    path: SESSION,
    init: { method: "POST", headers: { ...JSON_TYPE, "content-encoding": "gzip" }, body: "not gzip" },
    status: 400,
    body: refused(/decode/),
  },
  {
    name: "refuses an encoding that it does not know",
    path: SESSION,
    init: { method: "POST", headers: { ...JSON_TYPE, "content-encoding": "compress" }, body: LOGIN },
    status: 415,
    body: error("UnsupportedMediaType"),
  },
  {
    name: "hands raw bytes to a method that takes them",
    path: "com.atproto.repo.uploadBlob",
    init: { method: "POST", headers: { "content-type": "*/*" }, body: "raw" },
    status: 200,
    body: { text: "raw" },
  },
  {
    name: "asks for authentication",
    path: "com.atproto.server.getSession",
    status: 401,
    body: error("AuthMissing"),
  },
  {
    name: "gives the caller to the method",
    path: "com.atproto.server.getSession",
    init: { headers: { authorization: "Bearer x" } },
    status: 200,
    body: { did: "did:plc:caller" },
  },
  {
    name: "hides a defect of ours",
    path: "com.atproto.server.refreshSession",
    init: { method: "POST" },
    status: 500,
    body: error("InternalServerError", "Internal Server Error"),
  },
  {
    name: "takes {} where no input is expected",
    path: "com.atproto.server.refreshSession",
    init: { method: "POST", headers: JSON_TYPE, body: "{}" },
    status: 500,
    body: error("InternalServerError"),
  },
];

test.each(rows.map((row) => [row.name, row] as const))("Router.handle() %s", async (_name, row) => {
  const { response, body } = await call(row.path, row.init);
  expect(body).toEqual(row.body);
  expect(response.status).toBe(row.status);
});

test("Router.handle() says which verb is allowed", async () => {
  expect((await call(SESSION)).response.headers.get("allow")).toBe("POST");
  expect((await call(LIST, { method: "DELETE" })).response.headers.get("allow")).toBe("GET, HEAD");
});

test("Router.handle() keeps answers that depend on the caller out of shared caches", async () => {
  const { response } = await call("com.atproto.server.getSession");
  expect(response.headers.get("cache-control")).toBe("private");
  expect(response.headers.get("vary")).toBe("Authorization, Accept-Encoding");
  expect(response.headers.get("www-authenticate")).toBe("Bearer");
});

test("Router.handle() answers HEAD as GET without a body", async () => {
  const { response, body } = await call(LIST, { method: "HEAD" });
  expect(response.status).toBe(200);
  expect(body).toBeUndefined();
});

test.each([
  [ComAtprotoRepoUploadBlob.mainSchema, { status: 403, error: "AccountNotFound" }],
  [ComAtprotoSyncGetBlocks.mainSchema, { status: 400, error: "RepoNotFound" }],
] as const)(
  "Router.handle() names an account that is deleted meanwhile as the method does, row %#",
  async (schema, expected) => {
    const handler = () => {
      throw new KithError("repo_not_found", "the account is being deleted");
    };
    const { nsid } = schema;
    const own = new Router({ methods: [method(schema, { auth: "none", handler })], authenticator });
    const isProcedure = schema.type === "xrpc_procedure";
    const query = isProcedure ? "" : `?did=did:web:a.test&cids=${cidToString(cidOfRaw(new Uint8Array()))}`;
    const request = new Request(`http://kith.test/xrpc/${nsid}${query}`, {
      method: isProcedure ? "POST" : "GET",
    });
    const response = await own.handle(request, { nsid, context: { requestId: "r1", ip: "203.0.113.1" } });
    const { error } = (await response.json()) as { error: string };
    expect({ status: response.status, error }).toEqual(expected);
  },
);

test("Router.handle() refuses JSON nested without end", async () => {
  const body = `{"identifier":${"[".repeat(90)}${"]".repeat(90)}}`;
  expect((await call(SESSION, { method: "POST", headers: JSON_TYPE, body })).response.status).toBe(400);
});

test("new Router() refuses two methods of one NSID", () => {
  expect(() => new Router({ methods: [...methods, ...methods], authenticator })).toThrow(/same NSID/);
});

test("Router.handle() passes on what a method says is another service's", async () => {
  const passed: string[] = [];
  const here = new Router({
    methods: [
      method(ComAtprotoServerGetSession.mainSchema, {
        auth: "access",
        oauth: "any",
        goesOn: (request) => request.headers.get("atproto-proxy") === "did:web:other.test#svc",
        handler: (call) => ({ did: callerDid(call) }),
      }),
    ],
    authenticator,
    proxy: {
      handle: async (_, { nsid }) => {
        passed.push(nsid);
        return Response.json({ from: "elsewhere" });
      },
    },
  });
  const nsid = "com.atproto.server.getSession";
  const ask = async (service?: string) => {
    const headers = { authorization: "Bearer x", ...(service ? { "atproto-proxy": service } : {}) };
    const request = new Request(`http://kith.test/xrpc/${nsid}`, { headers });
    const answer = await here.handle(request, { nsid, context: { requestId: "x", ip: "203.0.113.1" } });
    return await answer.json();
  };
  expect(await ask()).toEqual({ did: CALLER.did });
  expect(await ask("did:web:us.test#svc")).toEqual({ did: CALLER.did });
  expect(passed).toEqual([]);
  expect(await ask("did:web:other.test#svc")).toEqual({ from: "elsewhere" });
  expect(passed).toEqual([nsid]);
});

test("handle() sends a JsonText as it would the value", async () => {
  const answered = async (output: unknown) => {
    const one = method(ComAtprotoServerRefreshSession.mainSchema, { auth: "none", handler: () => output });
    const request = new Request(`http://kith.test/xrpc/${one.nsid}`, { method: "POST" });
    const context = { requestId: "r1", ip: "203.0.113.1" };
    const response = await new Router({ methods: [one], authenticator }).handle(request, {
      nsid: one.nsid,
      context,
    });
    return { status: response.status, headers: [...response.headers], text: await response.text() };
  };
  const value = { text: "ü", list: [1] };
  const text = JSON.stringify(value);
  expect(await answered(new JsonText(text))).toEqual(await answered(value));
  expect(await answered(new JsonText(new TextEncoder().encode(text)))).toEqual(await answered(value));
});
