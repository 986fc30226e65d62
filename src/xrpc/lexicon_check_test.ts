import { expect, test } from "bun:test";
import {
  ComAtprotoRepoGetRecord,
  ComAtprotoServerDeleteSession,
  ComAtprotoSyncGetBlob,
  ComAtprotoSyncGetRepo,
} from "@atcute/atproto";
import { type ErrorCode, KithError } from "../errors.ts";
import { LexiconCheck } from "./lexicon_check.ts";
import { JsonText, type Method, type MethodSchema, method } from "./method.ts";
import { UpstreamError } from "./proxy/upstream_error.ts";
import { Router } from "./router.ts";

const GET = ComAtprotoRepoGetRecord.mainSchema;
const GET_PATH = `${GET.nsid}?repo=a.test&collection=app.bsky.feed.post&rkey=a`;
const REPO = ComAtprotoSyncGetRepo.mainSchema;
const REPO_PATH = `${REPO.nsid}?did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa`;
const BLOB = ComAtprotoSyncGetBlob.mainSchema;
const CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku";
const BLOB_PATH = `${BLOB.nsid}?did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa&cid=${CID}`;
const LEAVE = ComAtprotoServerDeleteSession.mainSchema;
const URI = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/a";

const typed = (type: string): Response => new Response("x", { headers: { "content-type": type } });

async function call(schema: MethodSchema, path: string, handler: () => unknown) {
  const warnings: unknown[] = [];
  const lexiconCheck = new LexiconCheck({ warn: (_message, fields) => void warnings.push(fields) });
  const methods: Method[] = [method(schema, { auth: "none", handler })];
  const router = new Router({ methods, lexiconCheck, authenticator: { authenticate: async () => null } });
  const verb = schema.type === "xrpc_query" ? "GET" : "POST";
  const request = new Request(`http://kith.test/xrpc/${path}`, { method: verb });
  const context = { requestId: "r1", ip: "203.0.113.1" };
  const response = await router.handle(request, { nsid: schema.nsid, context });
  const text = await response.text();
  const message = response.status === 200 ? undefined : (JSON.parse(text) as { message: string }).message;
  return { status: response.status, message, warnings };
}

const wrong = (nsid: string, what: string) => `The answer of "${nsid}" is not its lexicon's: ${what}`;

test.each([
  ["what it says", GET, GET_PATH, { uri: URI, value: {} }, undefined],
  ["with something undefined", GET, GET_PATH, { uri: URI, cid: undefined, value: {} }, undefined],
  ["with something more", GET, GET_PATH, { uri: URI, value: {}, more: 1 }, undefined],
  ["what it does not say", GET, GET_PATH, { uri: "here", value: {} }, "uri: not a valid at-uri"],
  ["without what it says", GET, GET_PATH, { uri: URI }, "value: missing"],
  ["with what does not go over the wire", GET, GET_PATH, { uri: URI, value: undefined }, "value: missing"],
  ["as text, what it says", GET, GET_PATH, new JsonText(JSON.stringify({ uri: URI, value: {} })), undefined],
  [
    "as text, without what it says",
    GET,
    GET_PATH,
    new JsonText(JSON.stringify({ uri: URI })),
    "value: missing",
  ],
  [
    "as bytes, what it says",
    GET,
    GET_PATH,
    new JsonText(Buffer.from(`{"uri":"${URI}","value":{}}`)),
    undefined,
  ],
  [
    "as bytes, without what it says",
    GET,
    GET_PATH,
    new JsonText(Buffer.from(`{"uri":"${URI}"}`)),
    "value: missing",
  ],
  ["nothing", GET, GET_PATH, undefined, "there is none"],
  ["JSON of a service", GET, GET_PATH, typed("application/json"), undefined],
  ["nothing, rightly", LEAVE, LEAVE.nsid, undefined, undefined],
  ["something where there is nothing", LEAVE, LEAVE.nsid, {}, "it has none"],
  ["a CAR", REPO, REPO_PATH, typed("application/vnd.ipld.car"), undefined],
  ["bytes of another type", REPO, REPO_PATH, typed("text/html"), 'its type is "text/html"'],
  ["JSON for bytes", REPO, REPO_PATH, {}, "it is to be bytes"],
  ["bytes of any type", BLOB, BLOB_PATH, typed("image/png"), undefined],
] as [string, MethodSchema, string, unknown, string | undefined][])(
  "LexiconCheck.answer() of %s",
  async (_title, schema, path, output, problem) => {
    const { status, message } = await call(schema, path, () => output);
    expect({ status, message }).toEqual(
      problem === undefined
        ? { status: 200, message: undefined }
        : { status: 500, message: wrong(schema.nsid, problem) },
    );
  },
);

test.each([
  ["record_not_found", []],
  ["invalid_request", []],
  ["busy", []],
  ["internal", []],
  ["invalid_invite_code", [{ nsid: GET.nsid, name: "InvalidInviteCode" }]],
] as [ErrorCode, object[]][])("LexiconCheck.error() of %s", async (code, expected) => {
  const { warnings } = await call(GET, GET_PATH, () => {
    throw new KithError(code, "no");
  });
  expect(warnings).toEqual(expected);
});

test("LexiconCheck.error() leaves to a service what it answers", async () => {
  const { warnings, status } = await call(GET, GET_PATH, () => {
    throw new UpstreamError({ status: 400, json: { error: "Odd", message: "no" }, headers: new Headers() });
  });
  expect({ warnings, status }).toEqual({ warnings: [], status: 400 });
});
