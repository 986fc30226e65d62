import { expect, test } from "bun:test";
import { encode as encodeByReference } from "@atproto/lex-cbor";
import { workedMs } from "../../tests/cpu_time.ts";
import { Random } from "../../tests/random.ts";
import { isKithError } from "../errors.ts";
import { encodeCbor, toBytes, toCidLink } from "./cbor.ts";
import { cidOfCbor, cidOfRaw, cidToString } from "./cid.ts";
import { recordToJson } from "./data_model.ts";
import { type JsonWriter, jsonPart, writeJson } from "./json_writer.ts";

const LINK = cidOfRaw(new Uint8Array([1]));

const written = (write: (json: JsonWriter) => void): string => new TextDecoder().decode(writeJson(write));
const recordText = (bytes: Uint8Array): string => written((json) => json.record(bytes));

/** The JSON of the bytes, or undefined where they are refused. */
function ifRead<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isKithError(error, "invalid_request")) return undefined;
    throw error;
  }
}

/** Both ways refuse the bytes, or mean the same; true where they do not refuse. */
function agree(bytes: Uint8Array): boolean {
  const value = ifRead(() => recordToJson(bytes));
  const text = ifRead(() => recordText(bytes));
  const label = Buffer.from(bytes).toString("hex");
  expect(text === undefined, label).toBe(value === undefined);
  if (text === undefined) return false;
  // keys that are numbers come first in an object, in order; in the bytes they do not
  if (/"\d+":/.test(text)) expect(JSON.parse(text), label).toEqual(JSON.parse(JSON.stringify(value)));
  else expect(text, label).toBe(JSON.stringify(value));
  return true;
}

const TEXTS = [
  "",
  "a",
  "text",
  "é",
  "😀\ufeff",
  "\ufeffbom",
  "x".repeat(30),
  "ü".repeat(200),
  "\ufffd",
  "$link",
  'quote " and \\ backslash / slash',
  "\u0000\u0001\b\t\n\u000b\f\r\u001f\u007f\u0080\u2028\u2029",
  "</script>",
];
const KEYS = [
  "a",
  "b",
  "aa",
  "Ä",
  "😀",
  "\uffee",
  "__proto__",
  "constructor",
  "toJSON",
  "10",
  "9",
  'k"\n',
  "$link",
  "",
];
const NUMBERS = [0, -1, 9, 10, 23, 24, -24, -25, 255, 256, 65_535, 65_536, 2 ** 32, 2 ** 53 - 1, 1 - 2 ** 53];

function randomValue(random: Random, depth: number): unknown {
  switch (random.below(depth > 4 ? 6 : 8)) {
    case 0:
      return null;
    case 1:
      return random.below(2) === 0;
    case 2:
      return random.pick(NUMBERS);
    case 3:
      return random.pick(TEXTS);
    case 4:
      return toBytes(random.bytes(random.below(40)));
    case 5:
      return toCidLink(random.pick([LINK, cidOfCbor(random.bytes(4))]));
    case 6:
      return Array.from({ length: random.below(6) }, () => randomValue(random, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: random.below(8) }, () => [random.pick(KEYS), randomValue(random, depth + 1)]),
      );
  }
}

/** DRISL, or undefined for a map that looks like a link. */
function encoded(value: unknown): Uint8Array | undefined {
  try {
    return encodeCbor(value);
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

test("JsonWriter.record() writes what JSON.stringify makes of recordToJson()", () => {
  const random = new Random(31);
  let agreed = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = encoded(randomValue(random, 0));
    if (bytes && agree(bytes)) agreed++;
  }
  expect(agreed).toBeGreaterThan(15_000);
});

test("JsonWriter.record() refuses what recordToJson() refuses, of random and of broken bytes", () => {
  const random = new Random(37);
  for (let i = 0; i < 20_000; i++) agree(random.bytes(random.below(24)));
  let survived = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = encoded(randomValue(random, 0));
    if (!bytes) continue;
    for (let flips = 1 + random.below(3); flips > 0; flips--)
      bytes[random.below(bytes.length)] = random.below(256);
    if (agree(bytes)) survived++;
    agree(bytes.subarray(0, random.below(bytes.length + 1)));
  }
  expect(survived).toBeGreaterThan(100);
});

test("JsonWriter.record() gives back the JSON that the reference has encoded", () => {
  const value = {
    $type: "com.example.note",
    text: 'grüße "😀"\n',
    list: [1, -1, [], {}, true, false, null],
    __proto: { deep: { "": "" } },
  };
  expect(JSON.parse(recordText(encodeByReference(value)))).toEqual(value);
});

test.each([
  [{ link: toCidLink(LINK) }, `{"link":{"$link":"${cidToString(LINK)}"}}`],
  [
    { a: toBytes(new Uint8Array()), b: toBytes(new Uint8Array([1])) },
    '{"a":{"$bytes":""},"b":{"$bytes":"AQ"}}',
  ],
  [{ n: [2 ** 53 - 1, 1 - 2 ** 53] }, '{"n":[9007199254740991,-9007199254740991]}'],
  [Object.fromEntries([["__proto__", { polluted: 1 }]]), '{"__proto__":{"polluted":1}}'],
  ["\u0000\u001f\u007f", '"\\u0000\\u001f\u007f"'],
])("JsonWriter.record() writes %#", (value, text) => {
  expect(recordText(encodeCbor(value))).toBe(text);
});

test.each([
  ["a lone surrogate", "63eda080"],
  ["an overlong form", "62c080"],
  ["half a character", "61c3"],
  ["half a character before a quote", "82617a61c3"],
  ["a float", "fb3ff0000000000000"],
  ["a repeated key", "a2616100616100"],
  ["keys out of order", "a2616200616100"],
  ["a look-alike of a link", "a16524 6c696e6b 6161".replaceAll(" ", "")],
  ["a value and more", "0000"],
  ["nothing", ""],
])("JsonWriter.record() refuses %s", (_what, hex) => {
  const bytes = Uint8Array.from(Buffer.from(hex, "hex"));
  expect(() => recordText(bytes)).toThrow("Could not");
  expect(agree(bytes)).toBe(false);
});

test("JsonWriter.record() is bounded in depth, memory and time", () => {
  const ms = workedMs(() => {
    expect(() => recordText(new Uint8Array(1_000_000).fill(0x81))).toThrow("nested deeper");
    expect(() => recordText(Buffer.from("9affffffff", "hex"))).toThrow("ends early");
    expect(() => recordText(Buffer.from("7affffffff", "hex"))).toThrow("ends early");
    expect(recordText(encodeCbor("\u0000".repeat(1_000_000)))).toHaveLength(6_000_002);
    expect(recordText(encodeCbor(new Array(100_000).fill([])))).toHaveLength(300_001);
  });
  expect(ms).toBeLessThan(2000);
});

test("writeJson() puts parts together, its results share no memory, and it is whole again after a refusal", () => {
  const page = (rkey: string) =>
    writeJson((json) => {
      json.raw(jsonPart('{"rkey":"'));
      json.inString(rkey);
      json.raw(jsonPart('","cid":'));
      json.cid(LINK.bytes);
      json.raw(jsonPart(',"value":'));
      json.record(encodeCbor({ a: "ü" }));
      json.raw(jsonPart("}"));
    });
  const first = page("a");
  expect(() => writeJson((json) => json.record(encodeCbor({ a: 1 }).subarray(1)))).toThrow();
  const second = page('"ü\ud800');
  const parsed = (bytes: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(bytes));
  const rest = { cid: cidToString(LINK), value: { a: "ü" } };
  expect(parsed(first)).toEqual({ rkey: "a", ...rest });
  expect(parsed(second)).toEqual({ rkey: '"ü\ud800', ...rest });
});
