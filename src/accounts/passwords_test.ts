import { expect, test } from "bun:test";
import { NEW_PASSWORD_CHARS_MAX, PASSWORD_CHARS_MAX, Passwords } from "./passwords.ts";

const CHEAP = { memoryKib: 64, passes: 1 };

test("Passwords.verify accepts the password that was hashed and no other", async () => {
  const passwords = new Passwords({ cost: CHEAP });
  const hash = await passwords.hash("correct horse");
  expect(hash).toStartWith("$argon2id$v=19$m=64,t=1,p=1$");
  expect(hash).not.toContain("correct");
  expect(await passwords.verify("correct horse", hash)).toBe(true);
  expect(await passwords.verify("correct horsf", hash)).toBe(false);
  expect(await passwords.verify("Correct horse", hash)).toBe(false);
});

test("Passwords.hash salts: equal passwords have different hashes", async () => {
  const passwords = new Passwords({ cost: CHEAP });
  expect(await passwords.hash("same")).not.toBe(await passwords.hash("same"));
});

test("Passwords.verify is false without a hash, and for lengths that are never hashed", async () => {
  const passwords = new Passwords({ cost: CHEAP });
  const hash = await passwords.hash("p");
  expect(await passwords.verify("p", undefined)).toBe(false);
  expect(await passwords.verify("p", "")).toBe(false);
  expect(await passwords.verify("", hash)).toBe(false);
  expect(await passwords.verify("p".repeat(PASSWORD_CHARS_MAX + 1), hash)).toBe(false);
});

test("Passwords.hash refuses an empty and an oversize password without quoting it", async () => {
  const passwords = new Passwords({ cost: CHEAP });
  const long = "s3cret".repeat(NEW_PASSWORD_CHARS_MAX);
  await expect(passwords.hash("")).rejects.toMatchObject({ code: "invalid_password" });
  const refusal = await passwords.hash(long).catch((error: Error) => error);
  expect(refusal).toMatchObject({ code: "invalid_password" });
  expect(String(refusal)).not.toContain("s3cret");
  expect(await passwords.hash("x".repeat(NEW_PASSWORD_CHARS_MAX))).toStartWith("$argon2id$");
});

test("Passwords runs no more hashes at once than told, and refuses past its queue", async () => {
  const passwords = new Passwords({ cost: CHEAP, runningMax: 1, waitingMax: 2 });
  const tried = await Promise.allSettled([1, 2, 3, 4, 5].map((n) => passwords.hash(`password ${n}`)));
  expect(tried.map((one) => one.status)).toEqual([
    "fulfilled",
    "fulfilled",
    "fulfilled",
    "rejected",
    "rejected",
  ]);
  expect(tried[4]).toMatchObject({ reason: { code: "busy" } });
  // The places are free again.
  expect(await passwords.hash("later")).toStartWith("$argon2id$");
});
