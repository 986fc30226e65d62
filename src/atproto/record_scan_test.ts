import { expect, test } from "bun:test";
import { Random } from "../../tests/random.ts";
import { isKithError } from "../errors.ts";
import { decodeCbor, encodeCbor, toBytes, toCidLink } from "./cbor.ts";
import { cidOfCbor, cidOfRaw } from "./cid.ts";
import { blobsInRecord } from "./data_model.ts";
import { scanRecord } from "./record_scan.ts";
import { subjectOf } from "./record_subject.ts";

const BLOB = cidOfRaw(Buffer.from("a picture"));
const LINK = toCidLink(cidOfCbor(Buffer.from("a")));
const POST = "app.bsky.feed.post";
const COLLECTIONS = [POST, "app.bsky.feed.like", "app.bsky.graph.follow", "constructor"];

/** What decoding says: the subject, where there are no blobs; null where there are some, or the bytes are no map. */
function decoded(collection: string, bytes: Uint8Array): { subject: string | undefined } | null {
  try {
    const value = decodeCbor(bytes);
    if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
    return blobsInRecord(value).length > 0 ? null : { subject: subjectOf(collection, value) };
  } catch (error) {
    if (!isKithError(error, "invalid_request")) throw error;
    return null;
  }
}

function randomValue(random: Random, depth: number): unknown {
  const plain = [
    "",
    "text",
    "ümläut 🙂",
    "x".repeat(300),
    0,
    23,
    24,
    255,
    70_000,
    -1,
    -300,
    true,
    false,
    null,
    LINK,
    toCidLink(BLOB),
    toBytes(random.bytes(random.below(40))),
  ];
  const kind = depth > 2 ? 0 : random.below(4);
  if (kind === 1) return Array.from({ length: random.below(5) }, () => randomValue(random, depth + 3));
  if (kind > 1) return randomMap(random, depth + 1);
  return random.pick(plain);
}

function randomMap(random: Random, depth: number): Record<string, unknown> {
  const keys = [
    "$type",
    "subject",
    "uri",
    "cid",
    "mimeType",
    "mimeTypo",
    "ref",
    "size",
    "ключ",
    "a",
    "__proto_",
  ];
  const map: Record<string, unknown> = {};
  for (let i = random.below(6); i >= 0; i--) map[random.pick(keys)] = randomValue(random, depth);
  return map;
}

test("scanRecord() says of random records, whole and damaged, nothing that decoding does not say", () => {
  const random = new Random(17);
  let scanned = 0;
  const check = (collection: string, bytes: Uint8Array) => {
    const found = scanRecord(collection, bytes);
    if (!found) return;
    expect(decoded(collection, bytes), Buffer.from(bytes).toString("hex")).toEqual(found);
    scanned++;
  };
  for (let i = 0; i < 4_000; i++) {
    const bytes = encodeCbor(randomMap(random, 0));
    const collection = random.pick(COLLECTIONS);
    for (let damage = random.below(6); damage >= 0; damage--) {
      check(collection, bytes);
      bytes[random.below(bytes.length)] = random.below(256);
    }
    check(collection, bytes.subarray(0, random.below(bytes.length)));
  }
  expect(scanned).toBeGreaterThan(1_000);
});

const image = { $type: "blob", ref: toCidLink(BLOB), mimeType: "image/png", size: 9 };
const subject = { uri: "at://did:plc:a/app.bsky.feed.post/ö", cid: "b" };
const nested = (depth: number): unknown => (depth === 0 ? {} : { a: nested(depth - 1) });

test.each<[string, unknown, { subject: string | undefined } | undefined]>([
  [POST, { $type: POST, text: "ümläut", langs: ["en"], createdAt: "2026" }, { subject: undefined }],
  [POST, { $type: POST, reply: { root: { cid: LINK } }, n: -5, big: 70_000 }, { subject: undefined }],
  ["app.bsky.feed.like", { $type: "app.bsky.feed.like", subject }, { subject: subject.uri }],
  ["app.bsky.feed.like", { subject: "at://did:plc:a" }, { subject: undefined }],
  ["app.bsky.feed.like", { subject: { uri: 1 } }, { subject: undefined }],
  ["app.bsky.graph.follow", { subject: "did:plc:a", a: [1, { subject: "no" }] }, { subject: "did:plc:a" }],
  ["app.bsky.graph.follow", { a: { subject: "no" } }, { subject: undefined }],
  [POST, { image }, undefined],
  [POST, { a: [{ cid: "x", mimeType: "image/png" }] }, undefined],
  [POST, { n: 2 ** 40 }, undefined],
  [POST, nested(300), undefined],
  [POST, ["a list"], undefined],
  [POST, "text", undefined],
  [POST, LINK, undefined],
])("scanRecord(%j, %j)", (collection, value, expected) => {
  expect(scanRecord(collection, encodeCborDeep(value))).toEqual(expected);
});

/** As encodeCbor(), which refuses what is nested too deep. */
function encodeCborDeep(value: unknown): Uint8Array {
  let depth = 0;
  for (let at = value; isNest(at); at = at.a) depth++;
  if (depth < 256) return encodeCbor(value);
  return Buffer.concat([
    ...Array.from({ length: depth }, () => Buffer.from("a16161", "hex")),
    Buffer.from("a0", "hex"),
  ]);
}

function isNest(value: unknown): value is { a: unknown } {
  return typeof value === "object" && value !== null && "a" in value;
}

test.each([
  ["keys out of order", "a2616201616101"],
  ["a repeated key", "a2616101616102"],
  ["a float", "a16161f93c00"],
  ["a length that is not the shortest", "a1616118 05".replaceAll(" ", "")],
  ["bytes after it", "a000"],
  ["bad UTF-8", "a1616161ff"],
  ["a cut integer", "a1616119ff"],
  ["a link of another hash", `a16161d82a58250001551e20${"00".repeat(32)}`],
  ["another tag", "a16161d82b00"],
  ["what looks like a link", "a16161a165246c696e6b6161"],
  ["a list longer than all", "a161619a00ffffff00"],
  ["nothing", ""],
])("scanRecord() leaves %s to decoding", (_, hex) => {
  expect(scanRecord(POST, Uint8Array.from(Buffer.from(hex, "hex")))).toBeUndefined();
});
