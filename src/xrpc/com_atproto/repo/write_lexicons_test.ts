import { expect, test } from "bun:test";
import type { WriteRequest } from "../../../actors/mod.ts";
import { cidOfCbor, parseLexiconDoc, recordLexiconOf } from "../../../atproto/mod.ts";
import { callerOf } from "../../calls_fixture.ts";
import { writeMethods } from "./write_methods.ts";

const ALICE = "did:plc:alicealicealicealicealic";
const NOTE = "com.example.note";
const DOC = {
  lexicon: 1,
  id: NOTE,
  defs: {
    main: {
      type: "record",
      key: "literal:self",
      record: { type: "object", required: ["text"], properties: { text: { type: "string", maxLength: 5 } } },
    },
  },
};
const lexicon = recordLexiconOf(NOTE, new Map([[NOTE, parseLexiconDoc(DOC, { nsid: NOTE })]]));

/** Methods to which the lexicon of NOTE is known, and what they asked and wrote. */
function setUp() {
  const asked: string[] = [];
  const written: WriteRequest[] = [];
  const methods = writeMethods({
    accounts: { byIdentifier: () => ({ did: ALICE, handle: "alice.test", state: "active" }) },
    repos: {
      write: async (did, request) => {
        written.push(request);
        const results = request.writes.map(({ action, collection, rkey }) => {
          const uri = `at://${did}/${collection}/${rkey}`;
          return action === "delete"
            ? { action, uri }
            : { action: "create" as const, uri, cid: cidOfCbor(new Uint8Array([1])) };
        });
        return { commit: { cid: cidOfCbor(new Uint8Array([2])), rev: "3mabcdefghi2a" }, results };
      },
    },
    lexicons: {
      find: async (nsid, { patient }) => {
        asked.push(`${nsid}${patient ? " patiently" : ""}`);
        return nsid === NOTE ? { lexicon } : { problem: `"${nsid}" is nowhere` };
      },
    },
    now: () => 1_795_000_000_000,
    clockId: 7,
  });
  return { call: callerOf(methods), asked, written };
}

const fits = { $type: NOTE, text: "hello" };
const tooLong = { $type: NOTE, text: "hello you" };
type Answer = readonly [status: number, said: string | undefined];

test.each([
  [{ record: fits, rkey: "self" }, [200, "valid"], [NOTE]],
  [{ record: fits, rkey: "self", validate: true }, [200, "valid"], [`${NOTE} patiently`]],
  [{ record: tooLong, rkey: "self" }, [400, "Invalid com.example.note record: text: "], [NOTE]],
  [{ record: tooLong, rkey: "self", validate: true }, [400, "Invalid com."], [`${NOTE} patiently`]],
  [{ record: tooLong, rkey: "self", validate: false }, [200, undefined], []],
  [{ record: fits, rkey: "other" }, [400, 'not a record key for "com.example.note"'], [NOTE]],
  [{ record: fits, rkey: "other", validate: false }, [200, undefined], []],
  [{ record: {}, collection: "com.example.nowhere" }, [200, "unknown"], ["com.example.nowhere"]],
  [
    { record: {}, collection: "com.example.nowhere", validate: true },
    [400, 'Could not validate the record: "com.example.nowhere" is nowhere'],
    ["com.example.nowhere patiently"],
  ],
  [
    { collection: "app.bsky.graph.follow", record: { subject: ALICE, createdAt: "2026-11-21T08:00:00Z" } },
    [200, "valid"],
    [],
  ],
] as [object, Answer, string[]][])(
  "createRecord and putRecord judge %j by its lexicon: %j, having asked for %j",
  async (fields, [status, said], expected) => {
    for (const nsid of ["com.atproto.repo.createRecord", "com.atproto.repo.putRecord"]) {
      const { call, asked, written } = setUp();
      const json = { repo: ALICE, collection: NOTE, rkey: "3jzfcijpj2z2a", ...fields };
      const answer = await call({ nsid, as: ALICE, json });
      const body = answer.body as { message?: string; validationStatus?: string };
      expect([answer.status, asked, written.length]).toEqual([status, expected, status === 200 ? 1 : 0]);
      if (status === 200) expect(body.validationStatus).toBe(said);
      else expect(body.message).toContain(said ?? "");
    }
  },
);

test("applyWrites asks once for each record type, and for none of what it only deletes", async () => {
  const { call, asked } = setUp();
  const create = (collection: string, value: object) => ({
    $type: "com.atproto.repo.applyWrites#create",
    collection,
    rkey: "self",
    value,
  });
  const writes = [
    create(NOTE, fits),
    { $type: "com.atproto.repo.applyWrites#update", collection: NOTE, rkey: "self", value: fits },
    create("com.example.nowhere", {}),
    { $type: "com.atproto.repo.applyWrites#delete", collection: "com.example.gone", rkey: "a" },
  ];
  const nsid = "com.atproto.repo.applyWrites";
  const answer = await call({ nsid, as: ALICE, json: { repo: ALICE, writes } });
  const { results } = answer.body as { results: { validationStatus?: string }[] };
  expect(results.map(({ validationStatus }) => validationStatus)).toEqual([
    "valid",
    "valid",
    "unknown",
    undefined,
  ]);
  expect(asked).toEqual([NOTE, "com.example.nowhere"]);
  const refused = await call({
    nsid,
    as: ALICE,
    json: { repo: ALICE, writes: [create(NOTE, fits), create(NOTE, tooLong)] },
  });
  expect(refused.body).toMatchObject({
    error: "InvalidRequest",
    message: expect.stringMatching(/^writes\.1: /),
  });
});
