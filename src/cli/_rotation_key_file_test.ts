import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBase58Btc } from "@atcute/multibase";
import { P256Keypair, Secp256k1Keypair } from "@atproto/crypto";
import { signerFromPrivateKey } from "../atproto/mod.ts";
import {
  makeRotationKey,
  noteCommunity,
  parsePrivateMultibase,
  privateKeyToMultibase,
  readRotationKey,
} from "./_rotation_key_file.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-key-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const made = { type: "p256", handle: "club.test", idempotencyKey: undefined } as const;

test.each(["p256", "k256"] as const)(
  "makeRotationKey() keeps a %s key as other tools read it",
  async (type) => {
    const path = join(folder, "a/b/club.key");
    const { didKey, idempotencyKey } = makeRotationKey(path, { ...made, type });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    const [first = ""] = readFileSync(path, "utf8").split("\n");
    // What goat calls the multibase syntax: "z", base58, the multicodec of the curve, 32 bytes.
    const bytes = fromBase58Btc(first.slice(1));
    expect([first[0], ...bytes.subarray(0, 2)]).toEqual(["z", type === "p256" ? 0x86 : 0x81, 0x26]);
    const theirs = await (type === "p256" ? P256Keypair : Secp256k1Keypair).import(bytes.subarray(2));
    expect(theirs.did()).toBe(didKey);
    const found = { didKey, handle: "club.test", idempotencyKey, community: undefined, isOpen: false };
    expect(readRotationKey(path)).toEqual(found);
    noteCommunity(path, "did:plc:vwzwgnygau7ed7b7wt5ux7y2");
    expect(readRotationKey(path)).toEqual({ ...found, community: "did:plc:vwzwgnygau7ed7b7wt5ux7y2" });
  },
);

test("makeRotationKey() never writes over a file", () => {
  const path = join(folder, "club.key");
  makeRotationKey(path, made);
  const before = readFileSync(path, "utf8");
  expect(() => makeRotationKey(path, made)).toThrow("Could not write the key file");
  expect(readFileSync(path, "utf8")).toBe(before);
});

test("readRotationKey() takes a bare key, and says where others may read it", () => {
  const path = join(folder, "own.key");
  const privateKey = new Uint8Array(32).fill(7);
  writeFileSync(path, `${privateKeyToMultibase("k256", privateKey)}\n`);
  chmodSync(path, 0o644);
  const { didKey } = signerFromPrivateKey("k256", privateKey);
  expect(readRotationKey(path)).toMatchObject({
    didKey,
    handle: undefined,
    idempotencyKey: undefined,
    isOpen: true,
  });
  expect(readRotationKey(join(folder, "none"))).toBeUndefined();
});

test.each([
  ["nothing", ""],
  ["words", "my key"],
  ["a public key", "zDnaeTiq1PdzvZXUaMdezchcMJQpBdH2VN4pgrrEhMCCbmwSb"],
  ["no base58", "z0OIl"],
  ["a key that is 0", privateKeyToMultibase("p256", new Uint8Array(32))],
  ["a short key", privateKeyToMultibase("p256", new Uint8Array(31).fill(7))],
  ["a long line", `z${"1".repeat(10_000)}`],
])("readRotationKey() refuses %s, and does not repeat it", (_, text) => {
  const path = join(folder, "bad.key");
  writeFileSync(path, text);
  let message = "";
  try {
    readRotationKey(path);
  } catch (error) {
    message = String(error);
  }
  expect(message).toContain("is no private key as goat prints it");
  if (text !== "") expect(message).not.toContain(text.slice(0, 40));
});

test("parsePrivateMultibase() is the reverse of privateKeyToMultibase()", () => {
  for (const type of ["k256", "p256"] as const) {
    const privateKey = new Uint8Array(32).fill(9);
    expect(parsePrivateMultibase(privateKeyToMultibase(type, privateKey))).toEqual({ type, privateKey });
  }
});
