/** HTTP itself: CORS, verbs, error bodies, request ids, and paths that try to get out. */
import { describe, expect, test } from "bun:test";
import { http, post, xrpc } from "../client.ts";
import { KEY_TYPES } from "../harness.ts";
import { expectErrorBody, type Row, testRows, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const CREATE = "com.atproto.repo.createRecord";
const UNKNOWN = "dev.kith.test.thing";
const JSON_TYPE = { "content-type": "application/json" };
const bad = { status: 400, error: "InvalidRequest" } as const;

const sent =
  (body: string | Uint8Array, headers: Record<string, string> = JSON_TYPE): Row["call"] =>
  (stage) => ({ token: stage.alice.accessJwt, body, headers });
const record =
  (json: string): Row["call"] =>
  (stage) => ({
    token: stage.alice.accessJwt,
    headers: JSON_TYPE,
    body: `{"repo":"${stage.alice.did}","collection":"${UNKNOWN}","record":${json}}`,
  });
const nested = (depth: number) => `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;

const malformed: Row[] = [
  { title: "refuses JSON that is cut off", to: CREATE, call: sent('{"repo":'), ...bad },
  { title: "refuses an empty body", to: CREATE, call: sent(""), ...bad },
  {
    title: "refuses bytes that are no UTF-8",
    to: CREATE,
    call: sent(Uint8Array.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d])),
    ...bad,
  },
  { title: "refuses a list for the input", to: CREATE, call: sent("[]"), ...bad },
  { title: "refuses null for the input", to: CREATE, call: sent("null"), ...bad },
  {
    title: "refuses CBOR for the input",
    to: CREATE,
    call: sent(Uint8Array.from([0xa1, 0x61, 0x61, 0x01]), { "content-type": "application/cbor" }),
    ...bad,
  },
  { title: "refuses a list for the record", to: CREATE, call: record("[]"), ...bad },
  { title: "refuses text for the record", to: CREATE, call: record('"text"'), ...bad },
  { title: "refuses null for the record", to: CREATE, call: record("null"), ...bad },
  {
    title: "refuses a float in a record",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","n":1.5}`),
    ...bad,
  },
  {
    title: "refuses a float deep in a record",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","n":[{"m":[0.1]}]}`),
    ...bad,
  },
  {
    title: "refuses a whole number that is not exact",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","n":9007199254740993}`),
    ...bad,
  },
  { title: "refuses 1e400", to: CREATE, call: record(`{"$type":"${UNKNOWN}","n":1e400}`), ...bad },
  {
    title: "takes the largest exact number",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","n":9007199254740991,"m":-9007199254740991}`),
    status: 200,
    events: [`#commit create ${UNKNOWN}`],
  },
  {
    title: "refuses a $link that is no CID",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","l":{"$link":"nonsense"}}`),
    ...bad,
  },
  {
    title: "refuses a $link with another key",
    to: CREATE,
    call: record(
      `{"$type":"${UNKNOWN}","l":{"$link":"bafyreidfayvfuwqa7qlnopdjiqrxzs6blmoeu4rujcjtnci5beludirz2a","x":1}}`,
    ),
    ...bad,
  },
  {
    title: "refuses $bytes that are no base64",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","b":{"$bytes":"*"}}`),
    ...bad,
  },
  { title: "refuses a $type that is no text", to: CREATE, call: record(`{"$type":7}`), ...bad },
  {
    title: "refuses an inner $type that is no text",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","in":{"$type":7}}`),
    ...bad,
  },
  {
    title: "refuses a malformed blob",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","b":{"$type":"blob","ref":"x","mimeType":"a/b","size":1}}`),
    ...bad,
  },
  {
    title: "refuses a record nested beyond measure",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","n":${nested(200)}}`),
    ...bad,
  },
  {
    title: "refuses JSON nested to break the stack",
    to: CREATE,
    call: record(`{"$type":"${UNKNOWN}","n":${"[".repeat(100_000)}${"]".repeat(100_000)}}`),
    ...bad,
  },
  {
    title: "refuses a verb that is not the method's",
    to: CREATE,
    call: (s) => ({ method: "GET", token: s.alice.accessJwt }),
    status: 405,
    error: "InvalidRequest",
  },
  {
    title: "refuses a verb that is not the method's",
    to: "com.atproto.repo.getRecord",
    call: () => ({ method: "POST", body: {} }),
    status: 405,
    error: "InvalidRequest",
  },
  {
    title: "refuses PUT",
    to: "com.atproto.server.describeServer",
    call: () => ({ method: "PUT" }),
    status: 405,
    error: "InvalidRequest",
  },
  {
    title: "knows no such method",
    to: "com.example.nothing.here",
    status: 501,
    error: "MethodNotImplemented",
  },
  { title: "refuses what is no NSID", to: "nonsense", ...bad },
  {
    title: "refuses a parameter of the wrong type",
    to: "com.atproto.sync.listRepos",
    call: () => ({ params: { limit: "many" } }),
    ...bad,
  },
];

const TRAVERSALS = [
  "../../../../etc/passwd",
  "..%2f..%2fetc%2fpasswd",
  "did:plc:../../../etc/passwd",
  "did:web:../../x",
  "/etc/passwd",
  "..\\..\\windows",
  "did:plc:aaaa%00bbbb",
  "\u0000",
  ".",
];

describe.each([...KEY_TYPES])("http (%s)", (keyType) => {
  const holder = useStage({ keyType });
  testRows(holder, malformed);

  test("path traversal in any identifier is a 400 with no trace of a file", async () => {
    const { stage } = holder;
    const { did } = stage.alice;
    const calls = TRAVERSALS.flatMap((evil): [string, Record<string, string>][] => [
      ["com.atproto.sync.getRepo", { did: evil }],
      ["com.atproto.sync.getRepoStatus", { did: evil }],
      ["com.atproto.sync.getBlob", { did: evil, cid: evil }],
      ["com.atproto.sync.getBlob", { did, cid: evil }],
      ["com.atproto.sync.getBlocks", { did, cids: evil }],
      ["com.atproto.sync.getRecord", { did, collection: evil, rkey: "a" }],
      ["com.atproto.sync.getRecord", { did, collection: UNKNOWN, rkey: evil }],
      ["com.atproto.repo.getRecord", { repo: evil, collection: UNKNOWN, rkey: "a" }],
      ["com.atproto.repo.getRecord", { repo: did, collection: evil, rkey: "a" }],
      ["com.atproto.repo.listRecords", { repo: did, collection: evil }],
      ["com.atproto.repo.describeRepo", { repo: evil }],
      ["com.atproto.identity.resolveHandle", { handle: evil }],
    ]);
    for (const [nsid, params] of calls) {
      const answer = await xrpc(stage.url, nsid, { params });
      expect({ nsid, params, status: answer.status }).toEqual({ nsid, params, status: 400 });
      expectErrorBody(answer);
      expect(new TextDecoder().decode(answer.bytes)).not.toContain("root:");
    }
    for (const evil of TRAVERSALS) {
      const write = await xrpc(stage.url, "com.atproto.repo.putRecord", {
        token: stage.alice.accessJwt,
        body: { repo: did, collection: UNKNOWN, rkey: evil, record: { $type: UNKNOWN } },
      });
      if (!/^[A-Za-z0-9.\-_:~]{1,512}$/.test(evil) || evil === ".")
        expect({ evil, status: write.status }).toEqual({ evil, status: 400 });
    }
    for (const path of [
      "/xrpc/..%2f..%2fetc%2fpasswd",
      "/..%2f..%2fetc%2fpasswd",
      "/.well-known/..%2f..%2faccounts.sqlite",
      "/xrpc/",
      "/xrpc",
      "/%00",
      "/%ff",
    ]) {
      const answer = await http(`${stage.url}${path}`);
      expect({ path, refused: answer.status >= 400 && answer.status < 502 && answer.status !== 500 }).toEqual(
        { path, refused: true },
      );
    }
  });

  test("a body beyond the limit is refused with 413 and the server goes on", async () => {
    const { stage } = holder;
    const body = `{"repo":"${stage.alice.did}","collection":"${UNKNOWN}","record":{"$type":"${UNKNOWN}","t":"${"x".repeat(8_000_000)}"}}`;
    const answer = await xrpc(stage.url, CREATE, { token: stage.alice.accessJwt, body, headers: JSON_TYPE });
    expect([answer.status, answer.error]).toEqual([413, "PayloadTooLarge"]);
    const login = await xrpc(stage.url, "com.atproto.server.createSession", {
      body: { identifier: "x".repeat(2_000_000), password: "x" },
    });
    expect(login.status).toBe(413);
    expect((await http(`${stage.url}/xrpc/_health`)).status).toBe(200);
  });

  test("compressed bodies are read as what they hold, and bombs are refused", async () => {
    const { stage } = holder;
    const json = JSON.stringify({
      repo: stage.alice.did,
      collection: "app.bsky.feed.post",
      record: post("zipped"),
    });
    const zipped = await xrpc(stage.url, CREATE, {
      token: stage.alice.accessJwt,
      body: Bun.gzipSync(json),
      headers: { ...JSON_TYPE, "content-encoding": "gzip" },
    });
    expect([200, 415]).toContain(zipped.status);
    const bomb = await xrpc(stage.url, CREATE, {
      token: stage.alice.accessJwt,
      body: Bun.gzipSync(Buffer.alloc(50_000_000)),
      headers: { ...JSON_TYPE, "content-encoding": "gzip" },
    });
    expect([400, 413, 415]).toContain(bomb.status);
  });

  test("CORS: any origin, the headers that clients send, the headers that clients read", async () => {
    const { stage } = holder;
    const asked = "authorization, content-type, dpop, atproto-accept-labelers, atproto-proxy";
    const preflight = await http(`${stage.url}/xrpc/${CREATE}`, {
      method: "OPTIONS",
      headers: {
        origin: "https://app.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": asked,
      },
    });
    expect([200, 204]).toContain(preflight.status);
    expect(preflight.headers.get("access-control-allow-origin")).toBe("*");
    const allowed = (preflight.headers.get("access-control-allow-headers") ?? "").toLowerCase();
    for (const name of asked.split(", ")) expect(allowed).toContain(name);
    expect(preflight.headers.get("access-control-allow-methods")).toContain("POST");
    for (const [path, status] of [
      ["com.atproto.server.describeServer", 200],
      ["com.atproto.server.getSession", 401],
      ["com.example.nothing.here", 501],
    ] as const) {
      const answer = await xrpc(stage.url, path, { headers: { origin: "https://app.example" } });
      expect(answer.status).toBe(status);
      expect(answer.headers.get("access-control-allow-origin")).toBe("*");
      const exposed = (answer.headers.get("access-control-expose-headers") ?? "").toLowerCase();
      for (const name of [
        "dpop-nonce",
        "ratelimit-limit",
        "ratelimit-remaining",
        "ratelimit-reset",
        "ratelimit-policy",
        "atproto-repo-rev",
      ])
        expect(exposed).toContain(name);
    }
  });

  test("an error carries the request id of its header and its log line", async () => {
    const { stage } = holder;
    const answer = await xrpc(stage.url, "com.atproto.server.getSession");
    const id = answer.headers.get("x-request-id") ?? "";
    expect(id).not.toBe("");
    expect(JSON.stringify(answer.json)).toContain(id);
    expect(answer.headers.get("www-authenticate")).not.toBeNull();
    const line = await waitFor("the log line", () =>
      stage.server.output.split("\n").find((text) => text.includes(id) && text.endsWith("}")),
    );
    expect(JSON.parse(line)).toBeObject();
  });

  test("answers about a session are not for caches", async () => {
    const { stage } = holder;
    const answer = await xrpc(stage.url, "com.atproto.server.getSession", { token: stage.alice.accessJwt });
    expect(answer.headers.get("cache-control")).toMatch(/private|no-store/);
  });

  test("HEAD is GET without a body", async () => {
    const { stage } = holder;
    const answer = await xrpc(stage.url, "com.atproto.server.describeServer", { method: "HEAD" });
    expect([answer.status, answer.bytes.length]).toEqual([200, 0]);
  });

  test("after all this the server has said nothing of an inner error", () => {
    expect(holder.stage.server.output).not.toMatch(/"status":5(?!01|03)\d\d/);
  });
});
