/** Who is who: handles, the well-known documents, and the pages beside XRPC. */
import { describe, expect, test } from "bun:test";
import { http } from "../client.ts";
import { KEY_TYPES } from "../harness.ts";
import { rawRequest } from "../raw_http.ts";
import { type Row, testRows, useStage } from "../stage.ts";

const RESOLVE = "com.atproto.identity.resolveHandle";

const rows: Row[] = [
  {
    title: "finds an account",
    to: RESOLVE,
    call: (s) => ({ params: { handle: s.alice.handle } }),
    status: 200,
    check: (answer, s) => expect(answer.json).toEqual({ did: s.alice.did }),
  },
  {
    title: "finds it by capitals",
    to: RESOLVE,
    call: (s) => ({ params: { handle: s.alice.handle.toUpperCase() } }),
    status: 200,
    check: (answer, s) => expect(answer.json.did).toBe(s.alice.did),
  },
  {
    title: "does not find what would be here and is not",
    to: RESOLVE,
    call: () => ({ params: { handle: "nobody.test" } }),
    status: 400,
    error: "HandleNotFound",
  },
  {
    title: "refuses what is no handle",
    to: RESOLVE,
    call: () => ({ params: { handle: "../etc/passwd" } }),
    status: 400,
    error: "InvalidRequest",
  },
  { title: "asks for the handle", to: RESOLVE, status: 400, error: "InvalidRequest" },
  {
    title: "gives the DID document",
    to: "com.atproto.identity.resolveDid",
    call: (s) => ({ params: { did: s.alice.did } }),
    status: 200,
    check: async ({ json }, s) => expect(json).toEqual({ didDoc: await s.plc.document(s.alice.did) }),
  },
  {
    title: "does not find a DID that nobody has",
    to: "com.atproto.identity.resolveDid",
    call: () => ({ params: { did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa" } }),
    status: 400,
    error: "DidNotFound",
  },
  ...["did", "handle"].map(
    (kind): Row => ({
      title: `gives the identity of a ${kind}`,
      to: "com.atproto.identity.resolveIdentity",
      call: (s) => ({ params: { identifier: kind === "did" ? s.alice.did : s.alice.handle } }),
      status: 200,
      check: ({ json }, { alice: { did, handle } }) =>
        expect(json).toMatchObject({ did, handle, didDoc: { id: did } }),
    }),
  ),
  {
    title: "asks the network anew for an account of the server",
    to: "com.atproto.identity.refreshIdentity",
    call: (s) => ({ token: s.alice.accessJwt, body: { identifier: s.alice.did } }),
    status: 200,
    check: ({ json }, s) => expect(json).toMatchObject({ did: s.alice.did, handle: s.alice.handle }),
  },
  {
    title: "does so for nobody else",
    to: "com.atproto.identity.refreshIdentity",
    call: (s) => ({ body: { identifier: s.alice.did } }),
    status: 401,
    error: "AuthMissing",
  },
  {
    title: "gives the DID of the host it is asked as",
    to: "/.well-known/atproto-did",
    call: (s) => ({ headers: { host: s.alice.handle } }),
    status: 200,
    check: (answer, s) => {
      expect(new TextDecoder().decode(answer.bytes).trim()).toBe(s.alice.did);
      expect(answer.headers.get("content-type")).toMatch(/^text\/plain/);
    },
  },
  {
    title: "gives it with a port behind the host, and in capitals",
    to: "/.well-known/atproto-did",
    call: (s) => ({ headers: { host: `${s.alice.handle.toUpperCase()}:${s.server.port}` } }),
    status: 200,
    check: (answer, s) => expect(new TextDecoder().decode(answer.bytes).trim()).toBe(s.alice.did),
  },
];

describe.each([...KEY_TYPES])("identity (%s)", (keyType) => {
  const holder = useStage({ keyType });
  testRows(holder, rows);

  test("/.well-known/atproto-did: 404 for a host that is no account", async () => {
    const { stage } = holder;
    for (const host of ["nobody.test", "example.com", "localhost", "..", "a".repeat(300)]) {
      const answer = await rawRequest(
        stage.server.port,
        `GET /.well-known/atproto-did HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
      );
      expect(answer).toMatch(/^HTTP\/1\.1 (404|400) /);
    }
  });

  test("a Host header that makes the URL unreadable is a bad request on every path", async () => {
    const { stage } = holder;
    for (const host of ["", "a b", "<script>", "@", "[::1", "a/b#c", "%00"]) {
      for (const path of ["/", "/health", "/xrpc/_health", "/did:plc:aaaa"]) {
        const answer = await rawRequest(
          stage.server.port,
          `GET ${path} HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`,
        );
        expect(answer).toMatch(/^HTTP\/1\.1 4\d\d /);
      }
    }
    expect(await rawRequest(stage.server.port, "GET / HTTP/1.0\r\n\r\n")).toMatch(/^HTTP\/1\.1 4\d\d /);
  });

  test("/.well-known/did.json: the service's own document names its endpoint", async () => {
    const { stage } = holder;
    const answer = await http(`${stage.url}/.well-known/did.json`);
    expect(answer.status).toBe(200);
    const { did } = (await stage.alice.agent.com.atproto.server.describeServer()).data;
    expect(answer.json.id).toBe(did);
    expect(answer.json.service).toContainEqual(
      expect.objectContaining({ type: "AtprotoPersonalDataServer", serviceEndpoint: stage.url }),
    );
  });

  test("health, ready, the front page and robots.txt", async () => {
    const { stage } = holder;
    const health = await http(`${stage.url}/xrpc/_health`);
    expect(health.status).toBe(200);
    expect(typeof health.json.version).toBe("string");
    for (const path of ["/health", "/ready", "/", "/robots.txt"])
      expect((await http(`${stage.url}${path}`)).status).toBe(200);
    const robots = await http(`${stage.url}/robots.txt`);
    expect(new TextDecoder().decode(robots.bytes)).toMatch(/User-agent: \*/i);
    const health6 = await fetch(`http://[::1]:${stage.server.port}/xrpc/_health`);
    expect(health6.status).toBe(200);
  });
});
