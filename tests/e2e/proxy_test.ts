/** Calls that go on to other services: which, to whom, in whose name, with which headers, and what comes back. */
import { afterAll, describe, expect, test } from "bun:test";
import { brotliCompressSync, gunzipSync, gzipSync } from "node:zlib";
import { AppView } from "../app_view.ts";
import { type Call, xrpc } from "../client.ts";
import { KEY_TYPES } from "../harness.ts";
import { type Row, type Stage, testRows, useStage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const METHOD = "app.bsky.unspecced.getConfig";
const WRITE = "app.bsky.graph.muteActor";
/** Longer than a busy machine stands still. */
const PATIENT = { PDS_PROXY_HEADERS_TIMEOUT: "60000", PDS_PROXY_BODY_TIMEOUT: "60000" };
const HASTY = { PDS_PROXY_HEADERS_TIMEOUT: "1000", PDS_PROXY_BODY_TIMEOUT: "1000" };

const as =
  (call: Call = {}) =>
  (stage: Stage) => ({ token: stage.alice.accessJwt, ...call });

describe.each([...KEY_TYPES])("the service proxy (%s)", (keyType) => {
  const appView = AppView.start();
  const other = AppView.start();
  const holder = useStage({
    keyType,
    env: {
      ...appView.env,
      PDS_MOD_SERVICE_URL: other.url,
      PDS_MOD_SERVICE_DID: other.did,
      ...PATIENT,
      PDS_PROXY_MAX_RESPONSE_SIZE: "200000",
    },
    onReady: (stage) => {
      appView.trust(stage.plc);
      other.trust(stage.plc);
      other.on("com.atproto.moderation.createReport", ({ claims, body }) =>
        Response.json({
          ...JSON.parse(new TextDecoder().decode(body)),
          id: 7,
          reportedBy: claims?.iss,
          createdAt: new Date().toISOString(),
        }),
      );
    },
  });
  afterAll(async () => {
    await appView[Symbol.asyncDispose]();
    await other[Symbol.asyncDispose]();
  });

  const rows: Row[] = [
    {
      title: "goes to the default AppView in the account's name, parameters and all",
      to: METHOD,
      call: as({ params: { a: ["1", "ä&="], b: true } }),
      status: 200,
      check: (answer, stage) => {
        expect(answer.json).toMatchObject({ nsid: METHOD, params: "?a=1&a=%C3%A4%26%3D&b=true" });
        const { claims } = appView.last;
        expect(claims).toMatchObject({ iss: stage.alice.did, aud: appView.did, lxm: METHOD });
        expect(answer.headers.get("cache-control")).toBe("private");
        expect(answer.headers.get("x-content-type-options")).toBe("nosniff");
      },
    },
    {
      title: "goes to the service that the header names",
      to: METHOD,
      call: as({ headers: { "atproto-proxy": `${other.did}#bsky_chat` } }),
      status: 200,
      check: (_answer, stage) => {
        const { claims } = other.last;
        expect(claims).toMatchObject({ iss: stage.alice.did, aud: other.did, lxm: METHOD });
      },
    },
    {
      title: "sends a body on, unread",
      to: WRITE,
      call: as({ body: "no JSON", headers: { "content-type": "text/plain" } }),
      status: 200,
      check: (answer) => {
        expect(answer.json.text).toBe("no JSON");
        expect(appView.last.headers.get("content-type")).toBe("text/plain");
        expect(appView.last.headers.get("content-length")).toBe("7");
      },
    },
    {
      title: "sends a procedure without a body",
      to: WRITE,
      call: as({ method: "POST" }),
      status: 200,
      check: () => expect([appView.last.method, appView.last.body.length]).toEqual(["POST", 0]),
    },
    {
      title: "HEAD stays HEAD",
      to: METHOD,
      call: as({ method: "HEAD" }),
      status: 200,
      check: () => expect(appView.last.method).toBe("HEAD"),
    },
    { title: "asks for a session", to: METHOD, status: 401, error: "AuthMissing" },
    {
      title: "refuses a refresh token",
      to: METHOD,
      call: (s) => ({ token: s.alice.refreshJwt }),
      status: 400,
      error: "InvalidToken",
    },
    {
      title: "refuses other verbs",
      to: METHOD,
      call: as({ method: "DELETE" }),
      status: 405,
      error: "InvalidRequest",
    },
    {
      title: "refuses what is no NSID",
      to: "not-an-nsid",
      call: as(),
      status: 400,
      error: "InvalidRequest",
    },
    ...[
      "#svc",
      "did:web:localhost",
      `${other.did}#`,
      `${other.did}#a#b`,
      `${other.did} #a`,
      "nonsense#svc",
    ].map(
      (header): Row => ({
        title: `refuses the proxy header ${JSON.stringify(header.replaceAll(/\d+/g, "N"))}`,
        to: METHOD,
        call: as({ headers: { "atproto-proxy": header } }),
        status: 400,
        error: "InvalidRequest",
      }),
    ),
    {
      title: "refuses a service that the DID does not have",
      to: METHOD,
      call: as({ headers: { "atproto-proxy": `${other.did}#nothing` } }),
      status: 400,
      error: "InvalidRequest",
    },
    {
      title: "refuses a DID that is nowhere",
      to: METHOD,
      call: as({ headers: { "atproto-proxy": "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa#svc" } }),
      status: 400,
      error: "InvalidRequest",
    },
    {
      title: "sends tools.ozone to the moderation service",
      to: "tools.ozone.moderation.queryStatuses",
      call: as(),
      status: 200,
      check: () => expect(other.last.nsid).toBe("tools.ozone.moderation.queryStatuses"),
    },
    {
      title: "sends on methods of com.atproto that it does not have",
      to: "com.atproto.label.queryLabels",
      call: as({ params: { uriPatterns: "*" } }),
      status: 200,
      check: () => expect(appView.last.nsid).toBe("com.atproto.label.queryLabels"),
    },
    {
      title: "brings a report to the moderation service, and its answer back",
      to: "com.atproto.moderation.createReport",
      call: (s) => ({
        token: s.alice.accessJwt,
        body: {
          reasonType: "com.atproto.moderation.defs#reasonSpam",
          subject: { $type: "com.atproto.admin.defs#repoRef", did: s.alice.did },
        },
      }),
      status: 200,
      check: (answer, stage) => {
        expect(other.last.claims).toMatchObject({
          iss: stage.alice.did,
          aud: other.did,
          lxm: "com.atproto.moderation.createReport",
        });
        expect(new TextDecoder().decode(other.last.body)).toContain(
          '"reasonType":"com.atproto.moderation.defs#reasonSpam"',
        );
        expect(answer.json.id).toBe(7);
      },
    },
    {
      title: "refuses a report without a subject before it goes anywhere",
      to: "com.atproto.moderation.createReport",
      call: as({ body: { reasonType: "com.atproto.moderation.defs#reasonSpam" } }),
      status: 400,
      error: "InvalidRequest",
    },
    {
      title: "asks the AppView for a record of a repo that is not here, in nobody's name",
      to: "com.atproto.repo.getRecord",
      call: as({ params: { repo: "other.test", collection: "app.bsky.feed.post", rkey: "a" } }),
      status: 200,
      check: (answer) => {
        expect(answer.json.nsid).toBe("com.atproto.repo.getRecord");
        expect(appView.last.claims).toBeUndefined();
      },
    },
    {
      title: "knows itself which records are not in a repo that is here",
      to: "com.atproto.repo.getRecord",
      call: (s) => ({ params: { repo: s.alice.did, collection: "app.bsky.feed.post", rkey: "a" } }),
      status: 400,
      error: "RecordNotFound",
    },
    {
      title: "answers its own methods of com.atproto, whatever the header says",
      to: "com.atproto.server.getSession",
      call: as({ headers: { "atproto-proxy": `${other.did}#bsky_chat` } }),
      status: 200,
      check: (answer, stage) => expect(answer.json.did).toBe(stage.alice.did),
    },
    {
      title: "never sends a protected method on, in whatever letters",
      to: "com.atproto.server.GETSession",
      call: as({ headers: { "atproto-proxy": `${other.did}#bsky_chat` } }),
      status: 400,
      error: "InvalidToken",
    },
  ];
  testRows(holder, rows);

  const get = (call: Call = {}, nsid = METHOD) => xrpc(holder.stage.url, nsid, as(call)(holder.stage));

  test("forwards the headers that are for the service, and no others", async () => {
    await get({
      headers: {
        "accept-language": "fr",
        "atproto-accept-labelers": "did:plc:a;redact",
        "x-bsky-topics": "t",
        "x-atproto-bsky-topics": "u",
        cookie: "secret=1",
        "x-forwarded-for": "1.2.3.4",
        "x-other": "z",
      },
    });
    const { headers } = appView.last;
    expect(headers.get("accept-language")).toBe("fr");
    expect(headers.get("atproto-accept-labelers")).toBe("did:plc:a;redact");
    expect(headers.get("x-bsky-topics")).toBe("t");
    expect(headers.get("x-atproto-bsky-topics")).toBe("u");
    for (const name of ["cookie", "x-forwarded-for", "x-other", "atproto-proxy"])
      expect(headers.get(name)).toBeNull();
    await get({ headers: { "atproto-accept-labelers": "" } });
    expect(appView.last.headers.get("atproto-accept-labelers")).toBe("");
    await get();
    expect(appView.last.headers.get("atproto-accept-labelers")).toBeNull();
  });

  test("returns the service's headers that are for the caller, and no others", async () => {
    appView.on("x.test.headers", () =>
      Response.json(
        { ok: true },
        {
          headers: {
            "atproto-repo-rev": "3aaa",
            "atproto-content-labelers": "did:plc:a",
            "retry-after": "7",
            "content-language": "fr",
            "set-cookie": "evil=1",
            "access-control-allow-origin": "https://evil.example",
            server: "x",
          },
        },
      ),
    );
    const { headers, json } = await get({}, "x.test.headers");
    expect(json).toEqual({ ok: true });
    expect(headers.get("atproto-repo-rev")).toBe("3aaa");
    expect(headers.get("atproto-content-labelers")).toBe("did:plc:a");
    expect(headers.get("retry-after")).toBe("7");
    expect(headers.get("content-language")).toBe("fr");
    expect(headers.get("set-cookie")).toBeNull();
    expect(headers.get("access-control-allow-origin")).toBe("*");
  });

  test("an encoded answer passes as it is, in an encoding that the caller takes", async () => {
    const text = JSON.stringify({ text: "x".repeat(5_000) });
    appView.on("x.test.encoded", ({ headers }) => {
      const brotli = headers.get("accept-encoding")?.includes("br");
      const bytes = brotli ? brotliCompressSync(text) : gzipSync(text);
      return new Response(bytes, {
        headers: { "content-type": "application/json", "content-encoding": brotli ? "br" : "gzip" },
      });
    });
    const { stage } = holder;
    const raw = async (encoding: string) => {
      const response = await fetch(`${stage.url}/xrpc/x.test.encoded`, {
        headers: { authorization: `Bearer ${stage.alice.accessJwt}`, "accept-encoding": encoding },
        decompress: false,
      } as BunFetchRequestInit);
      return { encoding: response.headers.get("content-encoding"), bytes: await response.bytes() };
    };
    const gzip = await raw("gzip");
    expect(gzip.encoding).toBe("gzip");
    expect(gunzipSync(gzip.bytes).toString()).toBe(text);
    expect((await raw("br")).encoding).toBe("br");
    expect(appView.last.headers.get("accept-encoding")).toBe("br");
  });

  test.each<[string, number, BodyInit, string, number, string, string]>([
    [
      "its error",
      400,
      '{"error":"BadCursor","message":"no such page"}',
      "application/json",
      400,
      "BadCursor",
      "no such page",
    ],
    [
      "401",
      401,
      '{"error":"AuthenticationRequired","message":"m"}',
      "application/json",
      401,
      "AuthenticationRequired",
      "m",
    ],
    [
      "500 as 502",
      500,
      '{"error":"InternalServerError","message":"db"}',
      "application/json",
      502,
      "InternalServerError",
      "db",
    ],
    ["500 without a name", 500, "oops", "text/plain", 502, "UpstreamFailure", "The service answered 500"],
    ["503", 503, "<html>", "text/html", 503, "NotEnoughResources", "The service answered 503"],
    ["429", 429, '{"message":"slow down"}', "application/json", 429, "RateLimitExceeded", "slow down"],
    [
      "an error that is no object",
      404,
      '["x"]',
      "application/json",
      404,
      "XRPCNotSupported",
      "The service answered 404",
    ],
  ])("keeps what the service refuses: %s", async (_title, status, body, type, ownStatus, error, message) => {
    appView.on(
      "x.test.fails",
      () =>
        new Response(body, { status, headers: { "content-type": type, "retry-after": "3", "x-other": "y" } }),
    );
    const answer = await get({}, "x.test.fails");
    expect([answer.status, answer.error, answer.json.message]).toEqual([ownStatus, error, message]);
    expect(answer.headers.get("retry-after")).toBe("3");
    expect(answer.headers.get("x-other")).toBeNull();
  });

  test("an encoded error is read", async () => {
    appView.on(
      "x.test.fails",
      () =>
        new Response(gzipSync('{"error":"Packed","message":"m"}'), {
          status: 400,
          headers: { "content-type": "application/json", "content-encoding": "gzip" },
        }),
    );
    expect((await get({}, "x.test.fails")).error).toBe("Packed");
  });

  test("a service that is not there, that redirects or says too much is a failure upstream", async () => {
    const gone = AppView.start();
    const header = { "atproto-proxy": `${gone.did}#bsky_chat` };
    expect((await get({ headers: header })).status).toBe(401); // it is there, and knows no keys
    await gone[Symbol.asyncDispose]();
    const unreachable = await get({ headers: header });
    expect([unreachable.status, unreachable.error]).toEqual([502, "UpstreamFailure"]);

    appView.on("x.test.redirects", () => Response.redirect(other.url, 302));
    const redirected = await get({}, "x.test.redirects");
    expect([redirected.status, redirected.error]).toEqual([502, "UpstreamFailure"]);

    appView.on("x.test.large", () => new Response("x".repeat(200_001)));
    const large = await get({}, "x.test.large");
    expect([large.status, large.error]).toEqual([502, "UpstreamFailure"]);
  });

  test("an answer that grows past the bound breaks off", async () => {
    appView.on("x.test.endless", () => trickle(300));
    await expect(get({ alone: true }, "x.test.endless")).rejects.toThrow();
  });

  test("streams both ways, at the pace of the slower side", async () => {
    const { stage } = holder;
    let seen = 0;
    appView.streamed.add("x.test.echo");
    appView.on("x.test.echo", (_call, request) => {
      const counted = new TransformStream<Uint8Array, Uint8Array>({
        transform: (chunk, controller) => {
          seen += chunk.byteLength;
          controller.enqueue(chunk);
        },
      });
      return new Response(request.body?.pipeThrough(counted), { headers: { "content-type": "text/plain" } });
    });
    const gate = Promise.withResolvers<void>();
    const body = new ReadableStream<Uint8Array>({
      start: async (controller) => {
        controller.enqueue(new TextEncoder().encode("first "));
        await gate.promise;
        controller.enqueue(new TextEncoder().encode("second"));
        controller.close();
      },
    });
    const headers = { authorization: `Bearer ${stage.alice.accessJwt}`, "content-type": "text/plain" };
    const answer = fetch(`${stage.url}/xrpc/x.test.echo`, { method: "POST", headers, body });
    await waitFor("the first part to arrive", () => (seen >= 6 ? true : undefined));
    gate.resolve();
    expect(await (await answer).text()).toBe("first second");
  });

  test("a caller who leaves ends the call to the service", async () => {
    const { stage } = holder;
    let cancelled = false;
    appView.on(
      "x.test.forever",
      () =>
        new Response(
          new ReadableStream<Uint8Array>({
            pull: async (controller) => {
              await Bun.sleep(10);
              controller.enqueue(new Uint8Array(10));
            },
            cancel: () => {
              cancelled = true;
            },
          }),
        ),
    );
    const leave = new AbortController();
    const response = await fetch(`${stage.url}/xrpc/x.test.forever`, {
      headers: { authorization: `Bearer ${stage.alice.accessJwt}` },
      signal: leave.signal,
    });
    await response.body?.getReader().read();
    leave.abort();
    await waitFor("the service to be left", () => (cancelled ? true : undefined));
  });
});

/** So many pieces of an answer, which then stands still. */
const trickle = (pieces: number) =>
  new Response(
    new ReadableStream<Uint8Array>({
      start: (controller) => {
        for (let n = 0; n < pieces; n++) controller.enqueue(new Uint8Array(1_000));
      },
    }),
  );

describe("the patience of the service proxy", () => {
  const appView = AppView.start();
  const holder = useStage({
    env: { ...appView.env, ...HASTY },
    onReady: (stage) => appView.trust(stage.plc),
  });
  afterAll(() => appView[Symbol.asyncDispose]());
  const get = (nsid: string) => xrpc(holder.stage.url, nsid, as({ alone: true })(holder.stage));

  test("a service that hangs is a failure upstream", async () => {
    appView.on("x.test.hangs", () => new Promise<Response>(() => {}));
    const late = await get("x.test.hangs");
    expect([late.status, late.error]).toEqual([504, "UpstreamTimeout"]);
  });

  test("an answer that stands still breaks off", async () => {
    appView.on("x.test.stalls", () => trickle(1));
    await expect(get("x.test.stalls")).rejects.toThrow();
  });
});

describe("the service proxy without a default service", () => {
  const other = AppView.start();
  const holder = useStage({
    env: { KITH_PROXY_AUDIENCE_WITH_SERVICE: "true" },
    onReady: (stage) => other.trust(stage.plc),
  });
  afterAll(() => other[Symbol.asyncDispose]());
  testRows(holder, [
    {
      title: "does not implement what it does not have",
      to: METHOD,
      status: 501,
      error: "MethodNotImplemented",
    },
    {
      title: "does not implement it for an account either",
      to: METHOD,
      call: as(),
      status: 501,
      error: "MethodNotImplemented",
    },
    {
      title: "sends on what names its service; the token names it too where that is set",
      to: METHOD,
      call: as({ headers: { "atproto-proxy": `${other.did}#bsky_appview` } }),
      status: 200,
      check: () => expect(other.last.claims?.aud).toBe(`${other.did}#bsky_appview`),
    },
  ]);
});
