/** Records of types that the server does not know: their lexicons are found in the network, kept, and judge the records. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type Account, type Answer, createAccount, createRecord, xrpc } from "../client.ts";
import { DnsServer } from "../dns_server.ts";
import { TestServer } from "../harness.ts";
import { LexiconHost } from "../lexicon_host.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { expectErrorBody } from "../stage.ts";
import { waitFor } from "../wait.ts";

const RESOLVE = "com.atproto.lexicon.resolveLexicon";
const SCHEMA = "com.atproto.lexicon.schema";

/** Main definition of a record type with these properties, of which "text" is required. */
const main = (properties: object, key = "any") => ({
  type: "record",
  key,
  record: { type: "object", required: ["text"], properties: { text: { type: "string" }, ...properties } },
});
const short = { text: { type: "string", maxLength: 5 } };

const parts = new AsyncDisposableStack();
let dns: DnsServer;
let plc: PlcDirectory;
/** The server under test, a kith that a publisher lives on, and a publisher that is no kith. */
let server: TestServer;
let publishing: TestServer;
let host: LexiconHost;
let alice: Account;
let publisher: Account;

beforeAll(async () => {
  dns = parts.use(await DnsServer.start());
  plc = parts.use(await PlcDirectory.start());
  host = parts.use(await LexiconHost.start());
  publishing = parts.use(await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } }));
  publisher = await createAccount(publishing.url, "publisher", plc);
  server = parts.use(await TestServer.start({ env: env({}) }));
  alice = await createAccount(server.url, "alice", plc);
  dns.texts.set("_lexicon.lab.test", [`did=${publisher.did}`]);
  dns.texts.set("_lexicon.host.test", [`did=${host.did}`]);
});
afterAll(async () => {
  await parts.disposeAsync();
});

const env = (more: Record<string, string>) => ({
  PDS_DID_PLC_URL: plc.url,
  PDS_HANDLE_BACKUP_NAMESERVERS: dns.address,
  PDS_ID_RESOLVER_TIMEOUT: "8000",
  KITH_LEXICON_RESOLUTION: "true",
  KITH_LEXICON_FRESH_MS: "0",
  ...more,
});

function write(collection: string, record: object, more: object = {}): Promise<Answer> {
  return xrpc(server.url, "com.atproto.repo.createRecord", {
    token: alice.accessJwt,
    body: { repo: alice.did, collection, record, ...more },
  });
}

/** The status, and the validation status or the message. */
async function verdict(collection: string, record: object, more: object = {}): Promise<[number, string]> {
  const { status, json } = await write(collection, record, more);
  return [status, String(json.validationStatus ?? json.message)];
}

function publish(nsid: string, defs: object): Promise<unknown> {
  return createRecord(publishing.url, publisher, {
    collection: SCHEMA,
    rkey: nsid,
    record: { $type: SCHEMA, lexicon: 1, id: nsid, defs },
  });
}

describe("a lexicon that another kith has", () => {
  beforeAll(async () => {
    await publish("test.lab.note", { main: main(short, "tid") });
    // A write that may do without waits for it a second at most, and then has it the next time.
    await waitFor("the lexicon", async () => {
      const [, said] = await verdict("test.lab.note", { text: "short" });
      return said === "valid";
    });
  });

  test.each([
    [{ text: "short" }, {}, [200, "valid"]],
    [{ text: "short" }, { validate: true }, [200, "valid"]],
    [{ text: "too long" }, {}, [400, "Invalid test.lab.note record: text: "]],
    [{ text: "too long" }, { validate: true }, [400, "Invalid test.lab.note record: text: "]],
    [{ text: "too long" }, { validate: false }, [200, "undefined"]],
    [{}, {}, [400, "text: missing"]],
    [{ text: "short" }, { rkey: "self" }, [400, "not a valid tid"]],
  ] as [object, object, [number, string]][])(
    "judges %j written with %j: %j",
    async (record, more, expected) => {
      const [status, said] = await verdict("test.lab.note", record, more);
      expect(status).toBe(expected[0]);
      expect(said).toContain(expected[1]);
    },
  );

  test("is asked for once by many writes at a time", async () => {
    await publish("test.lab.many", { main: main(short) });
    const before = dns.questions.length;
    const patient = { validate: true };
    const writes = Array.from({ length: 20 }, () => verdict("test.lab.many", { text: "hello" }, patient));
    for (const said of await Promise.all(writes)) expect(said).toEqual([200, "valid"]);
    expect(dns.questions.length - before).toBeLessThanOrEqual(4);
  });

  test("is given by resolveLexicon, with where it is", async () => {
    const { status, json } = await xrpc(server.url, RESOLVE, { params: { nsid: "test.lab.note" } });
    expect([status, json]).toEqual([
      200,
      {
        uri: `at://${publisher.did}/${SCHEMA}/test.lab.note`,
        cid: expect.stringMatching(/^bafyrei/),
        schema: { $type: SCHEMA, lexicon: 1, id: "test.lab.note", defs: { main: main(short, "tid") } },
      },
    ]);
  });

  test("judges as it was until the changed one is there, and then as that does", async () => {
    await publish("test.lab.change", { main: main({}) });
    const first = await verdict("test.lab.change", { text: "as long as one likes" }, { validate: true });
    expect(first).toEqual([200, "valid"]);
    await xrpc(publishing.url, "com.atproto.repo.putRecord", {
      token: publisher.accessJwt,
      body: {
        repo: publisher.did,
        collection: SCHEMA,
        rkey: "test.lab.change",
        record: { $type: SCHEMA, lexicon: 1, id: "test.lab.change", defs: { main: main(short) } },
      },
    });
    await waitFor("the changed lexicon", async () => {
      const [status] = await verdict("test.lab.change", { text: "as long as one likes" });
      return status === 400;
    });
  });
});

describe("lexicons that are not what they should be", () => {
  const cycle = { type: "object", properties: { again: { type: "ref", ref: "test.host.cycle2#b" } } };
  beforeAll(() => {
    host.publish("test.host.good", { main: main(short) });
    host.publish("test.host.forged", { main: main(short) });
    host.forged.add("test.host.forged");
    host.records.set("test.host.other", { $type: SCHEMA, lexicon: 1, id: "test.host.good", defs: {} });
    host.publish("test.host.method", { main: { type: "query" } });
    host.publish("test.host.huge", {
      main: main({}),
      more: { type: "token", description: "x".repeat(300_000) },
    });
    host.publish("test.host.enormous", {
      main: main({}),
      d: { type: "token", description: "x".repeat(900_000) },
    });
    host.publish("test.host.odd", { main: { type: "record", record: { type: "nothing" } } });
    host.publish("test.host.partial", { main: main({ x: { type: "ref", ref: "test.host.gone#part" } }) });
    host.publish("test.host.open", { main: main({ x: { type: "union", refs: ["test.host.gone#part"] } }) });
    host.publish("test.host.cycle1", { main: main({ a: { type: "ref", ref: "#a" } }), a: cycle });
    host.publish("test.host.cycle2", {
      b: {
        type: "object",
        required: ["name"],
        properties: { name: { type: "string" }, a: { type: "ref", ref: "test.host.cycle1#a" } },
      },
    });
    for (let i = 0; i < 40; i++) {
      const next = { type: "object", properties: { x: { type: "ref", ref: `test.host.chain${i + 1}` } } };
      host.publish(`test.host.chain${i}`, { main: i === 0 ? main(next.properties) : next });
    }
    dns.texts.set("_lexicon.two.test", [`did=${host.did}`, "did=did:plc:ewvi7nxzyoun6zhxrhs64oiz"]);
    dns.texts.set("_lexicon.nobody.test", ["did=did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"]);
    host.publish("test.two.note", { main: main({}) });
  });

  test.each([
    ["test.host.forged", "the proof of its record does not hold"],
    ["test.host.other", "is not its document"],
    ["test.host.gone", "answered 400"],
    ["test.host.huge", "bytes, 262144 at most"],
    ["test.host.enormous", "is larger than 524288 bytes"],
    ["test.host.method", "does not define a record type"],
    ["test.host.odd", "Could not use the lexicon"],
    ["test.host.partial", 'refers to "test.host.gone#part"'],
    ["test.host.chain0", "one document too many"],
    ["test.two.note", 'the text records of "_lexicon.two.test" name several DIDs'],
    ["test.nobody.note", 'its authority "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa" could not be resolved'],
    ["test.absent.note", 'no text record of "_lexicon.absent.test" names a DID'],
    ["local.printer.note", '"printer.local" is not a domain of the network'],
    ["app.bsky.feed.getPosts", "is not of a record type"],
  ])("%s: a record is taken as unknown, and refused only where it must be validated", async (nsid, why) => {
    expect(await verdict(nsid, { text: 5 })).toEqual([200, "unknown"]);
    const answer = await write(nsid, { text: 5 }, { validate: true });
    expect([answer.status, answer.error]).toEqual([400, "InvalidRequest"]);
    expectErrorBody(answer);
    expect(String(answer.json.message)).toContain("Could not validate the record: ");
    expect(String(answer.json.message)).toContain(why);
  });

  test.each([
    ["test.host.open", { x: { $type: "test.host.gone#part" } }, [200, "valid"]],
    ["test.host.cycle1", { a: { again: { name: "b", a: { again: { name: "c" } } } } }, [200, "valid"]],
    [
      "test.host.cycle1",
      { a: { again: { name: "b", a: { again: {} } } } },
      [400, "a.again.a.again.name: missing"],
    ],
  ] as [string, object, [number, string]][])("%s judges %j: %j", async (nsid, fields, [status, said]) => {
    const answer = await verdict(nsid, { text: "", ...fields }, { validate: true });
    expect(answer[0]).toBe(status);
    expect(answer[1]).toContain(said);
  });

  test("a slow publisher and a silent name server hold no write up: the first waits a moment, the next not at all", async () => {
    host.silent.add("test.host.slow");
    dns.silent.add("_lexicon.silent.test");
    for (const nsid of ["test.host.slow", "test.silent.note"]) {
      expect(await verdict(nsid, { text: "" })).toEqual([200, "unknown"]);
    }
    expect(host.asked).toContain("test.host.slow");
    const patient = write("test.host.slow", { text: "" }, { validate: true });
    // Answered while the other still waits for the publisher.
    expect(await verdict("test.lab.note", { text: "short" })).toEqual([200, "valid"]);
    const { status, json } = await patient;
    expect([status, json.error]).toEqual([400, "InvalidRequest"]);
  });

  test("are LexiconNotFound to resolveLexicon", async () => {
    for (const nsid of [
      "test.host.forged",
      "test.host.other",
      "test.host.huge",
      "test.absent.note",
      "test.host.slow",
    ]) {
      const answer = await xrpc(server.url, RESOLVE, { params: { nsid } });
      expect([nsid, answer.status, answer.error]).toEqual([nsid, 400, "LexiconNotFound"]);
      expectErrorBody(answer);
    }
  });
});

test.each([
  ["no NSID", {}],
  ["something else than an NSID", { nsid: "thing" }],
  ["a wrong one", { nsid: "com.example.../etc" }],
  ["two", { nsid: ["test.lab.note", "test.lab.many"] }],
])("resolveLexicon refuses %s", async (_, params) => {
  const answer = await xrpc(server.url, RESOLVE, { params: params as Record<string, string> });
  expect([answer.status, answer.error]).toEqual([400, "InvalidRequest"]);
  expectErrorBody(answer);
});

test("PDS_LEXICON_AUTHORITY_DID is asked instead of the DNS", async () => {
  const before = dns.questions.length;
  await using other = await TestServer.start({ env: env({ PDS_LEXICON_AUTHORITY_DID: host.did }) });
  host.publish("org.example.anything", { main: main({}) });
  const { status, json } = await xrpc(other.url, RESOLVE, { params: { nsid: "org.example.anything" } });
  expect([status, json.uri]).toEqual([200, `at://${host.did}/${SCHEMA}/org.example.anything`]);
  expect(dns.questions.length).toBe(before);
});

test("KITH_LEXICON_RESOLUTION=false asks nobody", async () => {
  const before = dns.questions.length;
  await using other = await TestServer.start({ env: env({ KITH_LEXICON_RESOLUTION: "false" }) });
  const bob = await createAccount(other.url, "bob", plc);
  const body = { repo: bob.did, collection: "test.lab.note", record: { text: 5 } };
  const call = { token: bob.accessJwt, body };
  const taken = await xrpc(other.url, "com.atproto.repo.createRecord", call);
  expect([taken.status, taken.json.validationStatus]).toEqual([200, "unknown"]);
  const refused = await xrpc(other.url, "com.atproto.repo.createRecord", {
    ...call,
    body: { ...body, validate: true },
  });
  expect([refused.status, refused.error]).toEqual([400, "InvalidRequest"]);
  const resolved = await xrpc(other.url, RESOLVE, { params: { nsid: "test.lab.note" } });
  expect(resolved.status).not.toBe(200);
  expect(dns.questions.length).toBe(before);
});

test("a lexicon that was found serves on without the network, over a restart", async () => {
  expect(await verdict("test.host.good", { text: "short" }, { validate: true })).toEqual([200, "valid"]);
  await host[Symbol.asyncDispose]();
  await publishing.stop();
  expect(await server.stop()).toBe(0);
  await server.start();
  expect((await verdict("test.host.good", { text: "too long" }))[0]).toBe(400);
  expect(await verdict("test.lab.note", { text: "short" })).toEqual([200, "valid"]);
});
