import { describe, expect, test } from "bun:test";
import { workedMs } from "../../tests/cpu_time.ts";
import { hasVectors, vectorLines } from "../../tests/vectors.ts";
import { isKithError } from "../errors.ts";
import {
  isAtIdentifier,
  isAtUri,
  isCidText,
  isDatetime,
  isDid,
  isHandle,
  isLanguage,
  isNsid,
  isRecordKey,
  isReservedHandle,
  isTid,
  isUri,
  normalizeHandle,
  parseAtUri,
} from "./syntax.ts";

const FOLDER = "atproto-interop-tests/syntax";
const KINDS: readonly [string, (input: unknown) => boolean][] = [
  ["atidentifier", isAtIdentifier],
  ["aturi", isAtUri],
  ["cid", isCidText],
  ["datetime", isDatetime],
  ["did", isDid],
  ["handle", isHandle],
  ["language", isLanguage],
  ["nsid", isNsid],
  ["recordkey", isRecordKey],
  ["tid", isTid],
  ["uri", isUri],
];

describe.skipIf(!hasVectors(FOLDER))("syntax vectors", () => {
  test.each(KINDS)("%s: accepts the valid and refuses the invalid", (kind, accepts) => {
    const valid = vectorLines(`${FOLDER}/${kind}_syntax_valid.txt`);
    const invalid = vectorLines(`${FOLDER}/${kind}_syntax_invalid.txt`);
    expect(valid.filter((line) => !accepts(line))).toEqual([]);
    expect(invalid.filter((line) => accepts(line))).toEqual([]);
  });

  test.each([
    ["datetime", isDatetime],
    ["language", isLanguage],
  ] as const)("%s: refuses what is well formed and yet invalid", (kind, accepts) => {
    const lines = vectorLines(`${FOLDER}/${kind}_parse_invalid.txt`);
    expect(lines.length).toBeGreaterThan(0);
    expect(lines.filter((line) => accepts(line))).toEqual([]);
  });

  test("parseAtUri() agrees with isAtUri()", () => {
    for (const line of vectorLines(`${FOLDER}/aturi_syntax_valid.txt`)) parseAtUri(line);
    for (const line of vectorLines(`${FOLDER}/aturi_syntax_invalid.txt`)) {
      expect(() => parseAtUri(line)).toThrow("not an AT URI");
    }
  });
});

test("nothing but text is an identifier", () => {
  for (const input of [undefined, null, 1, {}, [], ["did:plc:abc"]]) {
    for (const [, accepts] of KINDS) expect(accepts(input)).toBe(false);
  }
});

test("patterns take linear time on hostile text", () => {
  const hostile = [
    `a${"-a1b2c3".repeat(20_000)}!`,
    `de${"-a-aa".repeat(20_000)}!`,
    `http:${"/".repeat(100_000)}`,
    `at://${"a.".repeat(50_000)}`,
    `did:${"a:".repeat(50_000)}`,
  ];
  const ms = workedMs(() => {
    for (const text of hostile) for (const [, accepts] of KINDS) accepts(text);
  });
  expect(ms).toBeLessThan(1000);
});

test("parseAtUri() takes apart authority, collection, record key and fragment", () => {
  expect(parseAtUri("at://did:plc:asdf123/com.atproto.feed.post/3k#/a")).toEqual({
    authority: "did:plc:asdf123",
    collection: "com.atproto.feed.post",
    rkey: "3k",
    fragment: "/a",
  });
  expect(parseAtUri("at://a.test").collection).toBeUndefined();
});

test("normalizeHandle() lowers case and refuses what is no handle", () => {
  expect(normalizeHandle("Alice.Example.COM")).toBe("alice.example.com");
  try {
    normalizeHandle("alice");
    expect.unreachable();
  } catch (error) {
    expect(isKithError(error, "invalid_handle")).toBe(true);
  }
});

test("isReservedHandle() knows the top-level domains that nobody owns", () => {
  expect(isReservedHandle("a.LOCAL")).toBe(true);
  expect(isReservedHandle("handle.invalid")).toBe(true);
  expect(isReservedHandle("a.test")).toBe(true);
  expect(isReservedHandle("a.test", { allowTest: true })).toBe(false);
  expect(isReservedHandle("local.example.com")).toBe(false);
});
