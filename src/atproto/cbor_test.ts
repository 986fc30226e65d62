import { describe, expect, test } from "bun:test";
import { decode as decodeByAtcute, encode as encodeByAtcute } from "@atcute/cbor";
import { workedMs } from "../../tests/cpu_time.ts";
import { Random } from "../../tests/random.ts";
import { hasVectors, vectorJson, vectorNames } from "../../tests/vectors.ts";
import { isKithError } from "../errors.ts";
import { type CidLink, decodeCbor, decodeFirstCbor, encodeCbor, toBytes, toCidLink } from "./cbor.ts";
import { cidOfRaw } from "./cid.ts";

const hex = (text: string): Uint8Array => Uint8Array.from(Buffer.from(text, "hex"));
const toHex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

interface DaslCase {
  readonly type: "roundtrip" | "invalid_in" | "invalid_out";
  readonly data: string;
  readonly name: string;
  readonly tags: readonly string[];
}

/** Valid somewhere, not in an atproto repo: integers beyond 53 bits, number keys, CIDs of BLAKE3. */
const REFUSED_IN_ATPROTO = new Set([
  "1bffffffffffffffff",
  "3bffffffffffffffff",
  "1b0020000000000001",
  "3b0020000000000000",
  "a20a00f9490000",
  "d82a58250001551e208e4c7c1b99dbfd50e7a95185fead5ee1448fa904a2fdd778eaf5f2dbfd629a99",
]);

const DASL = "dasl-testing/fixtures/cbor";
describe.skipIf(!hasVectors(DASL))("dasl-testing", () => {
  const files = hasVectors(DASL) ? vectorNames(DASL) : [];
  test.each(files)("%s", (file) => {
    for (const { type, data, name, tags } of vectorJson<DaslCase[]>(`${DASL}/${file}`)) {
      const bytes = hex(data);
      const forDrisl = tags.some((tag) => ["basic", "dag-cbor", "dasl-cid"].includes(tag));
      const isFloat = /^f[9ab]/.test(data);
      const label = `${type} ${name} ${data}`;
      if (type === "roundtrip" && forDrisl && !isFloat && !REFUSED_IN_ATPROTO.has(data)) {
        expect(toHex(encodeCbor(decodeCbor(bytes))), label).toBe(data);
      } else if (type === "roundtrip" && !isFloat && !REFUSED_IN_ATPROTO.has(data)) {
        expect(!roundTrips(bytes) || toHex(encodeCbor(decodeCbor(bytes))) === data, label).toBe(true);
      } else if (type !== "invalid_in" || forDrisl || isFloat || REFUSED_IN_ATPROTO.has(data)) {
        expect(() => decodeCbor(bytes), label).toThrow();
      }
    }
  });
});

interface LexCborCase {
  readonly name: string;
  readonly json: unknown;
  readonly cbor_hex: string;
}

test.skipIf(!hasVectors("lex-cbor"))("lex-cbor vectors decode and encode to the same bytes", () => {
  const { vectors } = vectorJson<{ vectors: LexCborCase[] }>("lex-cbor/lex-cbor-vectors.json");
  for (const { json, cbor_hex } of vectors) {
    const value = decodeCbor(hex(cbor_hex));
    expect(JSON.parse(JSON.stringify(value))).toEqual(json);
    expect(toHex(encodeCbor(value))).toBe(cbor_hex);
  }
});

/** True where the bytes are one value that encodes to the same bytes; false where they are refused; throws otherwise. */
function roundTrips(bytes: Uint8Array): boolean {
  let value: unknown;
  try {
    value = decodeCbor(bytes);
  } catch (error) {
    if (!isKithError(error, "invalid_request")) throw error;
    return false;
  }
  expect(toHex(encodeCbor(value))).toBe(toHex(bytes));
  return true;
}

const cid = cidOfRaw(new Uint8Array([1]));

function randomValue(random: Random, depth: number): unknown {
  const texts = [
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
  ];
  switch (random.below(depth > 4 ? 6 : 8)) {
    case 0:
      return null;
    case 1:
      return random.below(2) === 0;
    case 2:
      return random.pick([0, -1, 23, 24, 255, 256, 65_535, 65_536, 2 ** 32, 2 ** 53 - 1, 1 - 2 ** 53]);
    case 3:
      return random.pick(texts);
    case 4:
      return toBytes(random.bytes(random.below(40)));
    case 5:
      return toCidLink(cid);
    case 6:
      return Array.from({ length: random.below(6) }, () => randomValue(random, depth + 1));
    default: {
      const keys = ["a", "b", "aa", "Ä", "😀", "\uffee", "__proto__", "constructor", "toJSON", "10", "9"];
      const entries = Array.from({ length: random.below(8) }, () => [
        random.pick(keys),
        randomValue(random, depth + 1),
      ]);
      return Object.fromEntries(entries);
    }
  }
}

test("encodeCbor() and decodeCbor() agree with each other and with @atcute/cbor on random values", () => {
  const random = new Random(7);
  for (let i = 0; i < 3000; i++) {
    const bytes = encodeCbor(randomValue(random, 0));
    expect(roundTrips(bytes)).toBe(true);
    if (!Buffer.from(bytes).includes("constructor")) {
      expect(toHex(encodeByAtcute(decodeByAtcute(bytes)))).toBe(toHex(bytes));
    }
  }
});

test("decodeCbor() of random bytes and of broken blocks decodes to the same bytes or refuses", () => {
  const random = new Random(42);
  for (let i = 0; i < 20_000; i++) roundTrips(random.bytes(1 + random.below(24)));
  let survived = 0;
  for (let i = 0; i < 20_000; i++) {
    const bytes = encodeCbor(randomValue(random, 0));
    for (let flips = 1 + random.below(3); flips > 0; flips--)
      bytes[random.below(bytes.length)] = random.below(256);
    if (roundTrips(bytes)) survived++;
    roundTrips(bytes.subarray(0, random.below(bytes.length + 1)));
  }
  expect(survived).toBeGreaterThan(100);
});

test("decodeCbor() is bounded in depth, memory and time", () => {
  const ms = workedMs(() => {
    expect(() => decodeCbor(new Uint8Array(1_000_000).fill(0x81))).toThrow("nested deeper");
    expect(() =>
      decodeCbor(Uint8Array.from({ length: 1_000_000 }, (_, i) => (i % 2 ? 0x61 : 0xa1))),
    ).toThrow();
    expect(() => decodeCbor(Buffer.from("9affffffff", "hex"))).toThrow("ends early");
    expect(() => decodeCbor(Buffer.from("bbffffffffffffffff", "hex"))).toThrow();
    expect(() => decodeCbor(Buffer.from("5affffffff00", "hex"))).toThrow("ends early");
    // array heads that each claim all that is left
    const claims = Buffer.alloc(1_000_000);
    for (let at = 0; at + 5 <= claims.length; at += 5) {
      claims[at] = 0x9a;
      claims.writeUInt32BE(claims.length - at - 5, at + 1);
    }
    expect(() => decodeCbor(claims)).toThrow();
  });
  expect(ms).toBeLessThan(2000);
});

test("encodeCbor() sorts a wide map in time", () => {
  const wide = Object.fromEntries(
    Array.from({ length: 100_000 }, (_, i) => [`k${String(99_999 - i).padStart(5, "0")}`, i]),
  );
  let bytes: Uint8Array = new Uint8Array();
  const ms = workedMs(() => {
    bytes = encodeCbor(wide);
  });
  expect(ms).toBeLessThan(2000);
  expect(roundTrips(bytes)).toBe(true);
});

test("encodeCbor() refuses what DRISL or atproto has no form for", () => {
  let deep: unknown = 1;
  for (let i = 0; i < 300; i++) deep = [deep];
  for (const value of [1.5, Number.NaN, 2 ** 53, undefined, 1n, Symbol("a"), new Date(0), new Map(), deep]) {
    expect(() => encodeCbor(value)).toThrow();
  }
  expect(() => encodeCbor("\ud800")).toThrow("lone surrogate");
  expect(() => encodeCbor({ [`${"x".repeat(40)}\udc00`]: 1 })).toThrow("lone surrogate");
  expect(() => encodeCbor([undefined])).toThrow();
  expect(() => encodeCbor({ $link: "bafy" })).toThrow("use a CidLink");
});

test("encodeCbor() leaves out undefined properties and writes -0 as 0", () => {
  expect(toHex(encodeCbor({ a: undefined, b: -0 }))).toBe("a1616200");
});

test("encodeCbor() is whole again after a refusal, and its results do not share memory", () => {
  const first = encodeCbor(["a"]);
  expect(() => encodeCbor(["b", 1.5])).toThrow();
  encodeCbor(["c"]);
  expect(toHex(first)).toBe("816161");
});

test("decodeCbor() refuses a map that JSON would take for a link or for bytes", () => {
  expect(() => decodeCbor(hex(`a1652${"46c696e6b"}6161`))).toThrow("looks like a $link");
  expect(roundTrips(encodeCbor({ $link: 1 }))).toBe(true);
});

test("decodeCbor() keeps __proto__ as data", () => {
  const map = Object.fromEntries([["__proto__", { polluted: true }]]);
  const value = decodeCbor(encodeCbor(map)) as Record<string, unknown>;
  expect(Object.keys(value)).toEqual(["__proto__"]);
  expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  expect(value.polluted).toBeUndefined();
});

test("decodeFirstCbor() gives the end of the first value", () => {
  expect(decodeFirstCbor(hex("816161f6"))).toEqual([["a"], 3]);
  const [link] = decodeCbor(encodeCbor([toCidLink(cid)])) as CidLink[];
  expect(link?.$link).toBe(toCidLink(cid).$link);
});
