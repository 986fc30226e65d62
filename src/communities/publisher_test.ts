import { describe, expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import { isHostError } from "../identity/mod.ts";
import { type Answerer, DID, fakeHost, PDS, refusal, unreachable } from "./hosts/stock_pds_fixture.ts";
import { type PublishedCall, Publisher, type PublishingCommunity } from "./publisher.ts";
import { StockSessions, type StockTokens } from "./sessions.ts";

const NATIVE: PublishingCommunity = { did: DID, kind: "native", pdsEndpoint: "https://here.example.com" };
const REMOTE: PublishingCommunity = { did: DID, kind: "remote", pdsEndpoint: PDS };
const LOOPBACK: PublishingCommunity = { did: DID, kind: "loopback", pdsEndpoint: PDS };
const MINTED: PublishingCommunity = { did: DID, kind: null, pdsEndpoint: null };
const RECORD = { collection: "dev.kith.test.post", rkey: "a", record: { text: "hello" } };
const PUT: PublishedCall = { nsid: "com.atproto.repo.putRecord", input: RECORD };
const blob = { blob: { ref: { $link: "bafk" } } };

function makePublisher(answers: Record<string, Answerer> = {}) {
  const { host, calls, asked } = fakeHost({
    createSession: { did: DID, accessJwt: "new", refreshJwt: "r" },
    putRecord: { uri: "at://x", cid: "bafy" },
    getSession: { did: DID },
    uploadBlob: blob,
    ...answers,
  });
  const secrets: { appPassword: string; session: StockTokens | null } = {
    appPassword: "app-password",
    session: { accessJwt: "old", refreshJwt: "r" },
  };
  const store = {
    secrets: () => secrets,
    saveSession: async (_: string, session: StockTokens | null) => {
      secrets.session = session;
    },
  };
  const local: unknown[] = [];
  const publisher = new Publisher({
    local: {
      call: async (did, call) => {
        local.push({ did, call });
        return { uri: "at://local" };
      },
      upload: async (did, upload) => {
        local.push({ did, upload });
        return blob;
      },
    },
    sessions: new StockSessions({ store, hostOf: () => host }),
    hostOf: () => host,
  });
  return { publisher, calls, asked, local };
}

const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);
const ended =
  (...tokens: string[]): Answerer =>
  (call) =>
    tokens.includes(call.token ?? "") ? refusal(401, "ExpiredToken") : blob;
const streamOf = (text: string) => new Response(text).body as ReadableStream<Uint8Array>;

describe("Publisher.call()", () => {
  test("writes into the repo here of a native community, whatever repo the input names", async () => {
    const { publisher, asked, local } = makePublisher();
    const call = { ...PUT, input: { ...RECORD, repo: "did:plc:another" } };
    expect(await publisher.call(NATIVE, call)).toEqual({ uri: "at://local" });
    expect(local).toEqual([{ did: DID, call: { nsid: PUT.nsid, input: { ...RECORD, repo: DID } } }]);
    expect(asked()).toEqual([]);
  });

  test.each([REMOTE, LOOPBACK])("asks the stock PDS of a community ($kind)", async (community) => {
    const { publisher, calls, local } = makePublisher();
    const call = { ...PUT, input: { ...RECORD, repo: "did:plc:another" } };
    expect(await publisher.call(community, call)).toEqual({ uri: "at://x", cid: "bafy" });
    expect(calls).toEqual([{ method: "putRecord", token: "old", given: { ...RECORD, repo: DID } }]);
    expect(local).toEqual([]);
  });

  test("goes on with a new session where the one before has ended", async () => {
    const { publisher, calls } = makePublisher({ putRecord: ended("old") });
    await publisher.call(REMOTE, PUT);
    expect(calls.map(({ method, token }) => `${method} ${token}`)).toEqual([
      "putRecord old",
      "createSession undefined",
      "putRecord new",
    ]);
  });

  test("has nothing to write into of an identity alone", async () => {
    const { publisher } = makePublisher();
    expect(await caught(publisher.call(MINTED, PUT))).toMatchObject({ code: "not_supported" });
    const upload = { type: "text/plain", body: new Uint8Array(1) };
    expect(await caught(publisher.upload(MINTED, upload))).toMatchObject({ code: "not_supported" });
  });

  test.each<[string, Answerer, string]>([
    ["a swap that does not match", refusal(400, "InvalidSwap", "Record was at bafy"), "invalid_swap"],
    ["a bad record", refusal(400, "InvalidRequest", "Invalid dev.kith.test.post"), "invalid_request"],
    ["a large record", refusal(413, "PayloadTooLarge"), "payload_too_large"],
    ["too many calls", refusal(429, "RateLimitExceeded"), "rate_limited"],
    ["a session that does not come back", refusal(400, "ExpiredToken"), "upstream_failure"],
    ["no right", refusal(403, "Forbidden"), "upstream_failure"],
    ["a failure", refusal(500, "InternalServerError"), "upstream_failure"],
    ["no answer", unreachable, "upstream_failure"],
  ])("tells of %s", async (_, putRecord, code) => {
    const { publisher, asked } = makePublisher({ putRecord });
    const error = await caught(publisher.call(REMOTE, PUT));
    expect(error).toMatchObject({ code });
    if (isHostError(error) && error.reason) expect(error.message).toContain(error.reason);
    // It may have been written: only what an ended session has refused is sent again.
    const sends = asked().filter((method) => method === "putRecord").length;
    expect(sends).toBe((error as Error).message.includes("ExpiredToken") ? 2 : 1);
  });
});

describe("Publisher.upload()", () => {
  test("stores into the repo here of a native community", async () => {
    const { publisher, local } = makePublisher();
    const upload = { type: "image/png", body: new Uint8Array([1]) };
    expect(await publisher.upload(NATIVE, upload)).toEqual(blob);
    expect(local).toEqual([{ did: DID, upload }]);
  });

  test("sends bytes, twice where the session has ended", async () => {
    const { publisher, calls } = makePublisher({ uploadBlob: ended("old") });
    const upload = { type: "image/png", body: new Uint8Array([1]) };
    expect(await publisher.upload(REMOTE, upload)).toEqual(blob);
    expect(calls.map(({ method, token }) => `${method} ${token}`)).toEqual([
      "uploadBlob old",
      "createSession undefined",
      "uploadBlob new",
    ]);
  });

  test("sends a stream once, after a look at the session", async () => {
    const { publisher, calls } = makePublisher({ getSession: ended("old") });
    expect(await publisher.upload(REMOTE, { type: "image/png", body: streamOf("x") })).toEqual(blob);
    expect(calls.map(({ method, token }) => `${method} ${token}`)).toEqual([
      "getSession old",
      "createSession undefined",
      "getSession new",
      "uploadBlob new",
    ]);
    const refused = makePublisher({ uploadBlob: refusal(401, "ExpiredToken") });
    const again = caught(refused.publisher.upload(REMOTE, { type: "image/png", body: streamOf("x") }));
    expect(await again).toBeInstanceOf(KithError);
    expect(refused.asked()).toEqual(["getSession", "uploadBlob"]);
  });
});
