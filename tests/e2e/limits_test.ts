/** Rate limits: what is counted for whom, what the headers say, and who is not limited. */
import { describe, expect, test } from "bun:test";
import { type Answer, type Call, createRecord, http, PASSWORD, post, xrpc } from "../client.ts";
import { type Row, type Stage, testRows, useStage } from "../stage.ts";

const KEY = "bypass-key-of-the-tests";
const DESCRIBE = "com.atproto.server.describeServer";
const APPLY = "com.atproto.repo.applyWrites";
const POST = "app.bsky.feed.post";
const REQUESTS_MAX = 3_000;

/** As the reverse proxy on this machine tells it. */
const from = (ip: string, more: Record<string, string> = {}) => ({ "x-forwarded-for": ip, ...more });
const limitOf = ({ headers }: Answer) => ({
  policy: headers.get("ratelimit-policy"),
  limit: headers.get("ratelimit-limit"),
  remaining: headers.get("ratelimit-remaining"),
});
const left = (policy: string, remaining: number) => ({
  policy,
  limit: policy.slice(0, policy.indexOf(";")),
  remaining: String(remaining),
});

function expectRefusal(answer: Answer, { windowS }: { windowS: number }): void {
  expect(answer.status).toBe(429);
  expect(answer.error).toBe("RateLimitExceeded");
  const retryAfter = Number(answer.headers.get("retry-after"));
  expect(retryAfter).toBeGreaterThan(0);
  expect(retryAfter).toBeLessThanOrEqual(windowS);
  const answeredAtS = Date.parse(answer.headers.get("date") ?? "") / 1_000;
  const resetInS = Number(answer.headers.get("ratelimit-reset")) - answeredAtS;
  expect(Math.abs(resetInS - retryAfter)).toBeLessThan(3);
  expect(answer.headers.get("access-control-expose-headers")).toContain("RateLimit-Remaining");
}

describe("rate limits", () => {
  const holder = useStage({
    env: {
      PDS_RATE_LIMITS_ENABLED: "true",
      PDS_RATE_LIMIT_BYPASS_KEY: KEY,
      PDS_RATE_LIMIT_BYPASS_IPS: "192.0.2.0/24,2001:db8:ffff::/48",
      KITH_SUBSCRIBERS_PER_NETWORK_MAX: "1",
    },
  });

  const token = (s: Stage, call: Call): Call => ({ token: s.alice.accessJwt, ...call });
  const body = { did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", password: "x", token: "aaaaa-aaaaa" };
  const rows: (readonly [nsid: string, policy: string, call: (s: Stage) => Call])[] = [
    [DESCRIBE, "3000;w=300", () => ({})],
    ["com.atproto.sync.getRepo", "6000;w=300", (s) => ({ params: { did: s.alice.did } })],
    ["com.atproto.server.createAccount", "100;w=300", () => ({ body: { handle: "no" } })],
    [
      "com.atproto.server.createSession",
      "30;w=300",
      () => ({ body: { identifier: "no.test", password: "x" } }),
    ],
    ["com.atproto.server.resetPassword", "50;w=300", () => ({ body })],
    ["com.atproto.server.deleteAccount", "50;w=300", () => ({ body })],
    ["com.atproto.server.requestPasswordReset", "15;w=3600", () => ({ body: { email: "no@example.com" } })],
    ["com.atproto.server.requestEmailUpdate", "5;w=3600", (s) => token(s, { method: "POST" })],
    ["com.atproto.server.requestEmailConfirmation", "5;w=3600", (s) => token(s, { method: "POST" })],
    ["com.atproto.server.requestAccountDelete", "5;w=3600", (s) => token(s, { method: "POST" })],
    [
      "dev.kith.community.grant",
      "1000;w=3600",
      (s) => token(s, { body: { communityDid: s.alice.did, subject: s.alice.did, role: "member" } }),
    ],
    ["com.atproto.repo.uploadBlob", "1000;w=86400", (s) => token(s, { body: new Uint8Array(9) })],
  ];
  test.each(rows)("%s tells its budget, %s", async (nsid, policy, callOf) => {
    const { stage } = holder;
    const points = Number.parseInt(policy, 10);
    const ip = `198.51.100.${rows.findIndex(([name]) => name === nsid) + 1}`;
    for (const used of [1, 2]) {
      const call = callOf(stage);
      const answer = await xrpc(stage.url, nsid, { ...call, headers: from(ip) });
      expect({ nsid, status: answer.status, ...limitOf(answer) }).toEqual({
        nsid,
        status: answer.status,
        ...left(policy, points - used),
      });
    }
  });

  const notCounted: Row[] = ["/xrpc/_health", "/health", "/", "/.well-known/did.json", "/robots.txt"].map(
    (to) => ({
      title: "is not counted",
      to,
      status: 200,
      check: (answer) => expect(answer.headers.get("ratelimit-limit")).toBeNull(),
    }),
  );
  testRows(holder, [
    ...notCounted,
    {
      title: "counts calls of what is not served, and of what is no method",
      to: "dev.kith.test.nothing",
      call: () => ({ headers: from("198.51.100.200") }),
      status: 501,
      error: "MethodNotImplemented",
      check: async (answer, stage) => {
        expect(limitOf(answer)).toEqual(left("3000;w=300", 2_999));
        const other = await xrpc(stage.url, "nonsense", { headers: from("198.51.100.200") });
        expect({ status: other.status, ...limitOf(other) }).toEqual({
          status: 400,
          ...left("3000;w=300", 2_998),
        });
      },
    },
  ]);

  test("requests of a network end at their bound; others, exports and the operator go on", async () => {
    const { url, alice } = holder.stage;
    const network = (host: number) => from(`2001:db8:1:1::${host.toString(16)}`);
    await Promise.all(
      Array.from({ length: 30 }, async (_, worker) => {
        for (let i = 0; i < REQUESTS_MAX / 30; i++) {
          const { status } = await xrpc(url, DESCRIBE, { headers: network(worker * 100 + i) });
          if (status !== 200) throw new Error(`describeServer answers ${status}`);
        }
      }),
    );
    const refused = await xrpc(url, DESCRIBE, { headers: network(7) });
    expectRefusal(refused, { windowS: 300 });
    expect(limitOf(refused)).toEqual(left("3000;w=300", 0));
    const upgrade = { connection: "Upgrade", upgrade: "websocket" };
    const params = { did: alice.did };
    const others: (readonly [string, string, Call, number])[] = [
      ["a method that is not served", "dev.kith.test.nothing", { headers: network(1) }, 429],
      ["the firehose", "com.atproto.sync.subscribeRepos", { headers: { ...network(1), ...upgrade } }, 429],
      ["an export", "com.atproto.sync.getRepo", { headers: network(1), params }, 200],
      ["the network beside it", DESCRIBE, { headers: from("2001:db8:1:2::1") }, 200],
      ["with the key", DESCRIBE, { headers: { ...network(1), "x-ratelimit-bypass": KEY } }, 200],
      ["with another key", DESCRIBE, { headers: { ...network(1), "x-ratelimit-bypass": `${KEY}.` } }, 429],
      ["from a named address", DESCRIBE, { headers: from("192.0.2.77") }, 200],
      ["through a named address", DESCRIBE, { headers: from("2001:db8:1:1::9, 192.0.2.77") }, 429],
      ["claiming a named address", DESCRIBE, { headers: from("192.0.2.77, 2001:db8:1:1::9") }, 429],
    ];
    for (const [title, nsid, call, status] of others) {
      const answer = await xrpc(url, nsid, call);
      expect({ title, status: answer.status }).toEqual({ title, status });
      const isFree = title === "with the key" || title === "from a named address";
      expect(answer.headers.has("ratelimit-limit")).toBe(!isFree);
    }
    expect((await http(`${url}/xrpc/_health`, { headers: network(1) })).status).toBe(200);
  });

  test("a name may be tried so often from one network, however it is written", async () => {
    const { url, alice } = holder.stage;
    const signIn = (identifier: string, ip = "198.51.100.150") =>
      xrpc(url, "com.atproto.server.createSession", {
        headers: from(ip),
        body: { identifier, password: PASSWORD },
      });
    for (let i = 0; i < 30; i++) {
      const answer = await signIn(i % 2 ? alice.handle : ` ${alice.handle.toUpperCase()} `);
      expect(limitOf(answer)).toEqual(left("30;w=300", 29 - i));
    }
    expectRefusal(await signIn(alice.handle), { windowS: 300 });
    expect((await signIn(alice.handle, "198.51.100.151")).status).toBe(200);
  });

  test("writes of a repo cost 3, 2 and 1, of all methods together", async () => {
    const { stage } = holder;
    const writer = await stage.account("writer");
    const call = (nsid: string, input: object) =>
      xrpc(stage.url, nsid, { token: writer.accessJwt, body: { repo: writer.did, ...input } });
    const create = (count: number) => ({
      writes: Array.from({ length: count }, (_, i) => ({
        $type: `${APPLY}#create`,
        collection: POST,
        value: post(`number ${i}`),
      })),
    });
    for (let i = 0; i < 8; i++) expect((await call(APPLY, create(200))).status).toBe(200);
    const { value: refused, events } = await stage.eventsDuring(() => call(APPLY, create(67)));
    expectRefusal(refused, { windowS: 3_600 });
    expect(limitOf(refused)).toEqual(left("5000;w=3600", 200));
    expect(events).toEqual([]);

    const place = { collection: "dev.kith.test.thing", rkey: "one" };
    const thing = (text: string) => ({ $type: place.collection, text });
    const update = { $type: `${APPLY}#update`, ...place, value: thing("3") };
    const steps: (readonly [string, object, number])[] = [
      ["com.atproto.repo.createRecord", { ...place, record: thing("1") }, 197],
      ["com.atproto.repo.putRecord", { ...place, record: thing("2") }, 195],
      [APPLY, { writes: [update] }, 193],
      [APPLY, { writes: [{ $type: `${APPLY}#delete`, ...place }] }, 192],
      ["com.atproto.repo.deleteRecord", place, 191],
    ];
    for (const [nsid, input, remaining] of steps) {
      const answer = await call(nsid, input);
      expect({ nsid, status: answer.status, ...limitOf(answer) }).toEqual({
        nsid,
        status: 200,
        ...left("5000;w=3600", remaining),
      });
    }
    await createRecord(stage.url, stage.alice, { record: post("another account's") });
  });

  test("codes by mail end at their bound, an account at a time", async () => {
    const { stage } = holder;
    const [one, other] = [await stage.account("mailed"), await stage.account("mailed2")];
    const ask = ({ accessJwt }: { accessJwt: string }) =>
      xrpc(stage.url, "com.atproto.server.requestEmailUpdate", { token: accessJwt, method: "POST" });
    for (let i = 0; i < 5; i++) expect((await ask(one)).status).toBe(200);
    expectRefusal(await ask(one), { windowS: 3_600 });
    expect((await ask(other)).status).toBe(200);
  });

  test("an account that moves in brings more blobs than one that lives here uploads", async () => {
    const { stage } = holder;
    const mover = await stage.account("mover");
    const upload = () =>
      xrpc(stage.url, "com.atproto.repo.uploadBlob", {
        token: mover.accessJwt,
        headers: from("198.51.100.160"),
        body: crypto.getRandomValues(new Uint8Array(8)),
      });
    expect(limitOf(await upload())).toEqual(left("1000;w=86400", 999));
    await xrpc(stage.url, "com.atproto.server.deactivateAccount", { token: mover.accessJwt, body: {} });
    expect(limitOf(await upload())).toEqual(left("3000;w=300", 2_998));
  });

  test("a network has so many subscriptions to the firehose, and another has its own", async () => {
    const { stage } = holder;
    const path = "com.atproto.sync.subscribeRepos";
    const upgrade = {
      connection: "Upgrade",
      upgrade: "websocket",
      "sec-websocket-version": "13",
      "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    };
    // The stage's own subscription is the one of this machine.
    const refused = await xrpc(stage.url, path, { headers: upgrade });
    expect([refused.status, refused.error, refused.headers.get("retry-after")]).toEqual([
      429,
      "RateLimitExceeded",
      "60",
    ]);
    const url = `${stage.url.replace("http", "ws")}/xrpc/${path}`;
    const socket = new WebSocket(url, { headers: from("198.51.100.170") } as never);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = reject;
    });
    socket.close();
  });
});
