import { expect, test } from "bun:test";
import { isReferenceHash, referenceAppPasswordHash, verifyReferenceHash } from "./reference_passwords.ts";

const HASH = `${"0f".repeat(16)}:${"a1".repeat(64)}`;

test("isReferenceHash() knows salt and hash, and none of kith's own", () => {
  expect(isReferenceHash(HASH)).toBe(true);
  for (const other of ["", "$argon2id$v=19$m=64,t=1,p=1$c2FsdA$aGFzaA", "3vJ0aGlz==", `${HASH}:`, "a:b"]) {
    expect([other, isReferenceHash(other)]).toEqual([other, false]);
  }
});

test("verifyReferenceHash() takes the password that was hashed and no other", async () => {
  const { scryptSync } = await import("node:crypto");
  const salt = "00112233445566778899aabbccddeeff";
  // The salt is its text, not what the text stands for.
  const hash = `${salt}:${scryptSync("pä55word", salt, 64).toString("hex")}`;
  expect(await verifyReferenceHash("pä55word", hash)).toBe(true);
  for (const wrong of ["pa55word", "pä55word ", ""])
    expect(await verifyReferenceHash(wrong, hash)).toBe(false);
  expect(await verifyReferenceHash("pä55word")).toBe(false);
});

test("referenceAppPasswordHash() follows from the DID", async () => {
  const one = await referenceAppPasswordHash("did:plc:alice", "aaaa-bbbb-cccc-dddd");
  expect(isReferenceHash(one)).toBe(true);
  expect(await referenceAppPasswordHash("did:plc:alice", "aaaa-bbbb-cccc-dddd")).toBe(one);
  expect(await referenceAppPasswordHash("did:plc:bob", "aaaa-bbbb-cccc-dddd")).not.toBe(one);
});
