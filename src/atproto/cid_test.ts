import { expect, test } from "bun:test";
import { sha256 as nobleSha256 } from "@noble/hashes/sha2.js";
import { Random } from "../../tests/random.ts";
import {
  cidEquals,
  cidFromBytes,
  cidKey,
  cidOfCbor,
  cidOfRaw,
  cidToString,
  parseCid,
  sha256,
} from "./cid.ts";

test("sha256() agrees with an independent implementation at every length around a block", () => {
  const random = new Random(1);
  for (let length = 0; length < 200; length++) {
    const bytes = random.bytes(length);
    expect(Buffer.from(sha256(bytes)).toString("hex")).toBe(Buffer.from(nobleSha256(bytes)).toString("hex"));
  }
});

test("CIDs keep their value through text, bytes and keys, and differ by codec", () => {
  const bytes = new TextEncoder().encode("hello");
  for (const cid of [cidOfCbor(bytes), cidOfRaw(bytes)]) {
    expect(cidEquals(parseCid(cidToString(cid)), cid)).toBe(true);
    expect(cidEquals(cidFromBytes(cid.bytes), cid)).toBe(true);
    expect(cidKey(cid)).toHaveLength(36);
  }
  expect(cidKey(cidOfCbor(bytes))).not.toBe(cidKey(cidOfRaw(bytes)));
  expect(cidToString(cidOfRaw(bytes))).toBe("bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq");
});

test.each(["", "b", "bafkrei", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnjTq5", `b${"a".repeat(58)}`])(
  "parseCid() refuses %j",
  (text) => {
    expect(() => parseCid(text)).toThrow();
  },
);
