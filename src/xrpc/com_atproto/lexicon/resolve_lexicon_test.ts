import { expect, test } from "bun:test";
import { encodeCbor } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { callerOf } from "../../calls_fixture.ts";
import { lexiconMethods } from "./resolve_lexicon.ts";

const nsid = "com.atproto.lexicon.resolveLexicon";
const NOTE = "com.example.note";
const schema = { $type: "com.atproto.lexicon.schema", lexicon: 1, id: NOTE, defs: {} };
const uri = `at://did:web:a.example.com/com.atproto.lexicon.schema/${NOTE}`;
const cid = "bafyreidykglsfhoixmivffc5uwhcgshx4j465xwqntbmu43nb2dzqwfvae";

test("resolveLexicon answers anybody with the record and where it is", async () => {
  const source = { find: async () => ({ uri, cid, bytes: encodeCbor(schema) }) };
  const { status, body } = await callerOf(lexiconMethods({ source }))({ nsid, params: { nsid: NOTE } });
  expect([status, body]).toEqual([200, { uri, cid, schema }]);
});

test.each([
  [new KithError("lexicon_not_found", "nowhere"), 400, { error: "LexiconNotFound", message: "nowhere" }],
  [new KithError("upstream_failure", "no answer"), 400, { error: "LexiconNotFound", message: "no answer" }],
  [new KithError("timeout", "late"), 400, { error: "LexiconNotFound", message: "late" }],
  [new KithError("busy", "too many"), 503, { error: "NotEnoughResources" }],
  [new TypeError("a defect"), 500, { error: "InternalServerError" }],
])("resolveLexicon answers %s by %d", async (error, status, body) => {
  const source = { find: () => Promise.reject(error) };
  const answer = await callerOf(lexiconMethods({ source }))({ nsid, params: { nsid: NOTE } });
  expect([answer.status, answer.body]).toMatchObject([status, body]);
});

test("resolveLexicon is not served where the network is not to be asked", () => {
  expect(lexiconMethods({ source: undefined })).toEqual([]);
});
