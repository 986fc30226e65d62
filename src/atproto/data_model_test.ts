import { describe, expect, test } from "bun:test";
import { Random } from "../../tests/random.ts";
import { hasVectors, vectorJson } from "../../tests/vectors.ts";
import { isKithError } from "../errors.ts";
import { decodeCbor, encodeCbor } from "./cbor.ts";
import { cidOfCbor, cidOfRaw, cidToString } from "./cid.ts";
import { blobsInRecord, recordFromJson, recordToJson } from "./data_model.ts";

const COLLECTION = "com.example.thing";
const LINK = cidToString(cidOfRaw(new Uint8Array([1])));
const BLOB = { $type: "blob", ref: { $link: LINK }, mimeType: "image/png", size: 3 };
const record = (fields: object): unknown => ({ $type: COLLECTION, ...fields });
const parse = (json: unknown) => recordFromJson(json, { collection: COLLECTION });

function refused(json: unknown): string {
  try {
    parse(json);
  } catch (error) {
    if (isKithError(error, "invalid_record")) return error.message;
    throw error;
  }
  return "accepted";
}

interface Fixture {
  readonly note?: string;
  readonly json: Record<string, unknown>;
  readonly cbor_base64: string;
  readonly cid: string;
}

const FOLDER = "atproto-interop-tests/data-model";
const HAS_FOLDER = hasVectors(FOLDER);
/** `test.each` reads its rows also where the tests are left out. */
const fixtures = (name: string): Fixture[] => (HAS_FOLDER ? vectorJson<Fixture[]>(`${FOLDER}/${name}`) : []);
describe.skipIf(!HAS_FOLDER)("data-model vectors", () => {
  test("recordFromJson() and recordToJson() give the bytes, the CID and the JSON of the fixtures", () => {
    for (const { json, cbor_base64, cid } of vectorJson<Fixture[]>(`${FOLDER}/data-model-fixtures.json`)) {
      const bytes = new Uint8Array(Buffer.from(cbor_base64, "base64"));
      expect(recordToJson(bytes)).toEqual(json);
      // the fixtures have no $type: take away what recordFromJson() adds
      const { $type, ...value } = parse(json).value as Record<string, unknown>;
      expect($type).toBe(COLLECTION);
      expect(encodeCbor(value)).toEqual(bytes);
      expect(cidToString(cidOfCbor(bytes))).toBe(cid);
    }
  });

  test.each(fixtures("data-model-valid.json"))("accepts: $note", ({ json }) => {
    const { rcrd } = json as { rcrd?: { $type: string } };
    parse(json);
    if (rcrd) recordFromJson(rcrd, { collection: rcrd.$type });
  });

  test.each(fixtures("data-model-invalid.json"))("refuses: $note", ({ json }) => {
    expect(refused(json)).toStartWith("Could not read the record");
  });
});

test.skipIf(!hasVectors("lex-cbor"))("lex-cbor vectors: the same bytes, look-alike links refused", () => {
  interface LexCase {
    readonly name: string;
    readonly json: unknown;
    readonly cbor_hex: string;
    readonly cid: string;
  }
  for (const { name, json, cbor_hex, cid } of vectorJson<{ vectors: LexCase[] }>(
    "lex-cbor/lex-cbor-vectors.json",
  ).vectors) {
    const bytes = new Uint8Array(Buffer.from(cbor_hex, "hex"));
    expect(cidToString(cidOfCbor(bytes))).toBe(cid);
    expect(recordToJson(bytes)).toEqual(json);
    if (name === "poorlyFormatted") expect(refused(json)).toContain("$link beside other keys");
    else expect(encodeCbor((parse({ v: json }).value as { v: unknown }).v)).toEqual(bytes);
  }
});

const LEXICON = "atproto-interop-tests/lexicon";
test.skipIf(!hasVectors(LEXICON))("records that are valid by their lexicon are valid data", () => {
  for (const { data } of vectorJson<{ data: { $type: string } }[]>(`${LEXICON}/record-data-valid.json`)) {
    const { bytes } = recordFromJson(data, { collection: data.$type });
    expect(bytes.length).toBeGreaterThan(0);
  }
});

test("recordFromJson() sets a missing $type and refuses another one", () => {
  expect(parse({ a: 1 }).value).toEqual({ $type: COLLECTION, a: 1 });
  expect(parse({ a: 1 }).cid).toEqual(parse({ a: 1, $type: COLLECTION }).cid);
  expect(refused({ $type: "com.example.other" })).toContain('$type is "com.example.other"');
  expect(refused({ $type: null })).toContain("$type is null");
  expect(refused({ $type: undefined })).toContain("$type is undefined");
});

test.each([[[]], [null], ["text"], [1], [true], [undefined], [{ $link: LINK }], [{ $bytes: "" }]])(
  "recordFromJson() refuses what is no object: %#",
  (json) => {
    expect(refused(json)).not.toBe("accepted");
  },
);

test("recordFromJson() does not change its input", () => {
  const json = Object.freeze({
    a: Object.freeze({ $link: LINK }),
    b: Object.freeze([Object.freeze({ c: BLOB })]),
  });
  parse(json);
  expect(json.a).toEqual({ $link: LINK });
});

test("recordFromJson() reads links and bytes, and recordToJson() gives them back without padding", () => {
  const { bytes } = parse(record({ link: { $link: LINK }, a: { $bytes: "AQ==" }, b: { $bytes: "AQ" } }));
  expect(recordToJson(bytes)).toEqual(
    record({ link: { $link: LINK }, a: { $bytes: "AQ" }, b: { $bytes: "AQ" } }),
  );
});

test("recordFromJson() finds blobs and where they are", () => {
  const { blobs, value } = parse(record({ a: { list: [1, { image: BLOB }] }, b: BLOB }));
  expect(blobs.map(({ path, mimeType, size }) => [path, mimeType, size])).toEqual([
    ["a.list.1.image", "image/png", 3],
    ["b", "image/png", 3],
  ]);
  expect(blobs.map(({ cid }) => cidToString(cid))).toEqual([LINK, LINK]);
  expect(blobsInRecord(value)).toEqual(blobs);
});

test.each([
  [{ ...BLOB, ref: LINK }, "ref is not a link"],
  [{ ...BLOB, ref: { $link: "x" } }, "not a CID"],
  [{ ...BLOB, mimeType: "" }, "without mimeType"],
  [{ ...BLOB, size: -1 }, "whose size is -1"],
  [{ ...BLOB, size: 1.5 }, "not an integer"],
  [{ ...BLOB, extra: 1 }, "with other keys"],
  [{ cid: LINK, mimeType: "image/png" }, "legacy form"],
])("recordFromJson() refuses a blob: %#", (blob, why) => {
  const message = refused(record({ a: [blob] }));
  expect(message).toContain(why);
  expect(message).toContain('at "a.0');
});

test("blobsInRecord() finds legacy blobs too", () => {
  const value = decodeCbor(
    encodeCbor({ a: { cid: LINK, mimeType: "image/png" }, b: { cid: "no", mimeType: "x" } }),
  );
  expect(blobsInRecord(value).map(({ path, size }) => [path, size])).toEqual([["a", -1]]);
});

test.each([
  [1.5, "1.5 is not an integer"],
  [2 ** 53, "beyond 53 bits"],
  [-(2 ** 53), "beyond 53 bits"],
  [Number.POSITIVE_INFINITY, "not an integer"],
  [1e300, "beyond 53 bits"],
  ["\ud800", "lone surrogate"],
  [{ "\udfff": 1 }, "lone surrogate"],
  [{ "": 1 }, "an empty key"],
  [{ [`${"k".repeat(8193)}`]: 1 }, "more than 8192 bytes"],
  [{ $type: "" }, '$type is "", not a name'],
  [{ $type: 1 }, "not a name"],
  [{ $bytes: "a" }, "not base64"],
  [{ $bytes: "_-8" }, "not base64"],
  [{ $bytes: "AQ==", x: 1 }, "beside other keys"],
  [{ $link: 1 }, "not a CID"],
  [{ $link: LINK, x: 1 }, "beside other keys"],
  [undefined, "undefined is not JSON"],
])("recordFromJson() refuses a value: %#", (value, why) => {
  const message = refused(record({ deep: [value] }));
  expect(message).toContain(why);
  expect(message).toContain('at "deep.0');
});

test("recordFromJson() takes 1.0 and -0 as integers, and keys of 8192 bytes", () => {
  expect(recordToJson(parse(JSON.parse('{"a":1.0,"b":-0,"c":1e3}')).bytes)).toEqual(
    record({ a: 1, b: 0, c: 1000 }),
  );
  expect(refused({ ["k".repeat(8192)]: 1 })).toBe("accepted");
});

test("recordFromJson() bounds nesting, elements and size", () => {
  const nested = (levels: number): unknown => (levels === 0 ? 1 : [nested(levels - 1)]);
  expect(refused({ a: nested(31) })).toBe("accepted");
  expect(refused({ a: nested(32) })).toContain("nested deeper than 32");
  let abyss: unknown = 1;
  for (let i = 0; i < 100_000; i++) abyss = [abyss];
  expect(refused({ a: abyss })).toContain("nested deeper");
  expect(refused({ a: new Array(131_072).fill(1) })).toBe("accepted");
  expect(refused({ a: new Array(131_073).fill(1) })).toContain("131072 at most");
  expect(refused({ a: "x".repeat(999_960) })).toBe("accepted");
  expect(refused({ a: "x".repeat(1_000_000) })).toContain("1000000 at most");
});

test("__proto__ and constructor are data, and pollute nothing", () => {
  const json = JSON.parse(
    `{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},"x":{"__proto__":2}}`,
  );
  const { bytes, value } = parse(json);
  expect(JSON.parse(JSON.stringify(recordToJson(bytes)))).toEqual({ $type: COLLECTION, ...json });
  expect(Object.keys(value as object).sort()).toEqual(["$type", "__proto__", "constructor", "x"]);
  expect(({} as { polluted?: unknown }).polluted).toBeUndefined();
  expect((value as { polluted?: unknown }).polluted).toBeUndefined();
  expect(JSON.stringify(recordToJson(bytes))).toContain('"__proto__":{"polluted":1}');
});

test("$type within __proto__ does not count as the record's", () => {
  const { value } = parse(JSON.parse('{"__proto__":{"$type":"com.example.other"},"a":1}'));
  expect(Object.hasOwn(value as object, "$type")).toBe(true);
});

function randomJson(random: Random, depth: number): unknown {
  const texts = [
    "",
    "a",
    "\ud800",
    "😀",
    "did:plc:x",
    LINK,
    "blob",
    "AQ",
    "image/png",
    "\u0000",
    "x".repeat(300),
  ];
  const keys = [
    "a",
    "b",
    "$type",
    "$link",
    "$bytes",
    "ref",
    "mimeType",
    "size",
    "cid",
    "__proto__",
    "toJSON",
    "é",
    "1",
  ];
  switch (random.below(depth > 4 ? 4 : 8)) {
    case 0:
      return random.pick([null, true, false]);
    case 1:
      return random.pick([0, -0, 1, -1, 1.5, 2 ** 53, Number.POSITIVE_INFINITY, 65_536]);
    case 2:
    case 3:
      return random.pick(texts);
    case 4:
      return Array.from({ length: random.below(5) }, () => randomJson(random, depth + 1));
    case 5:
      return random.pick([{ $link: LINK }, { $bytes: "AQI" }, BLOB, { cid: LINK, mimeType: "image/png" }]);
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(5) }, () => [random.pick(keys), randomJson(random, depth + 1)]),
      );
  }
}

test("recordFromJson() of random JSON refuses cleanly or gives bytes that mean the same", () => {
  const random = new Random(13);
  let accepted = 0;
  for (let i = 0; i < 20_000; i++) {
    const json = { ...(randomJson(random, 0) as object), $type: COLLECTION };
    if (refused(json) !== "accepted") continue;
    accepted++;
    const { bytes, value, blobs } = parse(json);
    // JSON has no -0 once it was an integer
    expect(recordToJson(bytes)).toEqual(JSON.parse(JSON.stringify(json)));
    expect(decodeCbor(bytes)).toEqual(decodeCbor(encodeCbor(value)));
    expect(blobsInRecord(value)).toEqual(blobs);
  }
  expect(accepted).toBeGreaterThan(1000);
});
