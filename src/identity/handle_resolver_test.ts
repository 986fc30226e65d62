import { afterAll, beforeAll, expect, test } from "bun:test";
import { createSocket, type Socket } from "node:dgram";
import { isKithError, KithError } from "../errors.ts";
import { createHandleResolver, type HandleResolverOptions } from "./handle_resolver.ts";
import type { SafeFetch } from "./safe_fetch.ts";

const DID_A = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const DID_B = "did:web:b.example.com";
const absent = Object.assign(new Error("queryTxt ENOTFOUND"), { code: "ENOTFOUND" });
const broken = Object.assign(new Error("queryTxt ETIMEOUT"), { code: "ETIMEOUT" });
const unreachable = new KithError("upstream_failure", "Could not fetch");

type Web = Record<string, [number, string] | Error>;
function web(pages: Web, asked: string[] = []): SafeFetch {
  return async (url) => {
    asked.push(url);
    const page = pages[url] ?? unreachable;
    if (page instanceof Error) throw page;
    return { status: page[0], headers: new Headers(), url, body: new TextEncoder().encode(page[1]) };
  };
}
const PAGE = "https://a.example.com/.well-known/atproto-did";

function resolver(txt: string[][] | Error, pages: Web, more: Partial<HandleResolverOptions> = {}) {
  const resolveTxt = async () => {
    if (txt instanceof Error) throw txt;
    return txt;
  };
  return createHandleResolver({
    safeFetch: web(pages),
    timeoutMs: 60_000,
    devMode: false,
    resolveTxt,
    ...more,
  });
}

test.each([
  ["the DNS", [[`did=${DID_A}`]], {}, DID_A],
  ["the DNS, in parts", [["did=did:plc:ewvi7nx", "zyoun6zhxrhs64oiz"]], {}, DID_A],
  ["the DNS, among others", [["v=spf1"], [`did=${DID_A}`], [`did=${DID_A}`]], {}, DID_A],
  ["the DNS before the web host", [[`did=${DID_A}`]], { [PAGE]: [200, DID_B] }, DID_A],
  ["the web host", absent, { [PAGE]: [200, ` ${DID_B}\n`] }, DID_B],
  ["the web host, as the DNS fails", broken, { [PAGE]: [200, DID_B] }, DID_B],
  ["nothing: 404", absent, { [PAGE]: [404, DID_B] }, undefined],
  ["nothing: unreachable", absent, {}, undefined],
  ["nothing: not a DID", [["did=nonsense"]], { [PAGE]: [200, "<html>"] }, undefined],
] as [string, string[][] | Error, Web, string | undefined][])(
  "resolve() by %s",
  async (_, txt, pages, expected) => {
    expect(await resolver(txt, pages).resolve("A.example.com")).toBe(expected);
  },
);

test.each([
  [
    "a.example.com",
    [[`did=${DID_A}`], [`did=${DID_B}`]],
    "upstream_failure",
    "the DNS names several DIDs for it",
  ],
  ["a.example.com", broken, "upstream_failure", "neither the DNS nor its web host answered"],
  ["not a handle", absent, "invalid_handle", "it is not a handle"],
] as [string, string[][] | Error, string, string][])("resolve(%p) fails", async (handle, txt, code, why) => {
  const pages: Web = why.startsWith("the DNS") ? { [PAGE]: [200, DID_A] } : {};
  const error = await resolver(txt, pages)
    .resolve(handle)
    .catch((thrown: unknown) => thrown);
  expect(isKithError(error) ? [error.code, error.message] : error).toEqual([
    code as KithError["code"],
    `Could not resolve "${handle}": ${why}`,
  ]);
});

test("resolve() does not wait for the web host when the DNS knows", async () => {
  let signal: AbortSignal | undefined;
  const safeFetch: SafeFetch = (_, request) => {
    signal = request?.signal;
    return new Promise(() => {});
  };
  expect(await resolver([[`did=${DID_A}`]], {}, { safeFetch }).resolve("a.example.com")).toBe(DID_A);
  expect(signal?.aborted).toBe(true);
});

test("resolve() in dev mode asks web hosts over http too, and no DNS for .test", async () => {
  const asked: string[] = [];
  const safeFetch = web({ "http://a.test/.well-known/atproto-did": [200, DID_A] }, asked);
  const dev = resolver([[`did=${DID_B}`]], {}, { safeFetch, devMode: true });
  expect(await dev.resolve("a.test")).toBe(DID_A);
  expect(asked).toEqual(["https://a.test/.well-known/atproto-did", "http://a.test/.well-known/atproto-did"]);
});

/** A name server on loopback that answers each TXT question with one record, or with "no such name". */
let server: Socket;
let answer: string | undefined;
const questions: string[] = [];
beforeAll(async () => {
  server = createSocket("udp4");
  server.on("message", (query, { port, address }) => {
    questions.push(questionName(query));
    server.send(reply(query, answer), port, address);
  });
  await new Promise<void>((resolve) => server.bind(0, "127.0.0.1", resolve));
});
afterAll(() => {
  server.close();
});

function questionName(query: Buffer): string {
  const labels: string[] = [];
  for (let at = 12; query[at]; at += (query[at] ?? 0) + 1)
    labels.push(query.subarray(at + 1, at + 1 + (query[at] ?? 0)).toString());
  return labels.join(".");
}

function reply(query: Buffer, text: string | undefined): Buffer {
  const end = query.indexOf(0, 12) + 5;
  const header = Buffer.from(query.subarray(0, 12));
  header.writeUInt16BE(text === undefined ? 0x8183 : 0x8180, 2);
  header.writeUInt16BE(text === undefined ? 0 : 1, 6);
  header.writeUInt32BE(0, 8);
  const record = Buffer.from([
    0xc0,
    12,
    0,
    16,
    0,
    1,
    0,
    0,
    0,
    60,
    0,
    (text?.length ?? 0) + 1,
    text?.length ?? 0,
  ]);
  const body = text === undefined ? [] : [record, Buffer.from(text)];
  return Buffer.concat([header, query.subarray(12, end), ...body]);
}

test("resolve() asks the backup name servers where the system's know nothing", async () => {
  const backupNameservers = [`127.0.0.1:${server.address().port}`];
  answer = `did=${DID_A}`;
  expect(await resolver(absent, {}, { backupNameservers }).resolve("a.example.com")).toBe(DID_A);
  expect(questions.at(-1)).toBe("_atproto.a.example.com");
  answer = undefined;
  expect(await resolver(broken, {}, { backupNameservers }).resolve("a.example.com")).toBeUndefined();
});

test("HandleResolver asks nobody about a handle that may not be resolved", async () => {
  const asked: string[] = [];
  const safeFetch = web({}, asked);
  for (const handle of ["printer.local", "a.onion", "a.internal", "a.test"]) {
    expect(await resolver([[`did=${DID_A}`]], {}, { safeFetch }).resolve(handle)).toBeUndefined();
  }
  expect(asked).toEqual([]);
});
