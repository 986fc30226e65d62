import { expect, test } from "bun:test";
import { scryptSync } from "node:crypto";
import { KithError } from "../errors.ts";
import type { Account } from "./account.ts";
import { hashAppPassword } from "./app_passwords.ts";
import { Passwords } from "./passwords.ts";
import { isReferenceHash, referenceAppPasswordHash } from "./reference_passwords.ts";
import { SecretChecks } from "./secret_checks.ts";

const CHEAP = { memoryKib: 64, passes: 1 };
const DID = "did:plc:alice";
const PASSWORD = "pa55word";
const APP_PASSWORD = "abcd-efgh-ijkl-mnop";
const APP = { name: "phone", privileged: true, createdAt: 1 };
const SALT = "00112233445566778899aabbccddeeff";
const OLD_HASH = `${SALT}:${scryptSync(PASSWORD, SALT, 64).toString("hex")}`;

/** An account with hashes of the reference's, and what becomes of them. */
async function stage(options: { refuse?: boolean; password?: string; passwordHash?: string } = {}) {
  const left = { passwords: true, appPasswords: true };
  const replaced: { did: string; from: string; to: string }[] = [];
  const apps = new Map([[await referenceAppPasswordHash(DID, APP_PASSWORD), APP]]);
  const replace = async (change: { did: string; from: string; to: string }): Promise<boolean> => {
    if (options.refuse) throw new KithError("storage_full", "no room");
    replaced.push(change);
    const app = apps.get(change.from);
    if (app) apps.set(change.to, app);
    return true;
  };
  const checks = new SecretChecks({
    passwords: new Passwords({ cost: CHEAP, referenceHashesLeft: () => left }),
    appPasswords: { find: (did, hash) => (did === DID ? apps.get(hash) : undefined) },
    referenceHashes: { replace, replaceOfApp: replace },
  });
  const account: Account = {
    ...{ did: DID, handle: "alice.test", email: null, emailConfirmedAt: null, state: "active" },
    passwordHash: options.passwordHash ?? OLD_HASH,
  };
  return { checks, account, replaced, left };
}

test("SecretChecks.owner() takes a password by the reference's hash, and hashes it anew once", async () => {
  const { checks, account, replaced } = await stage();
  expect(await checks.owner(account, "wrong")).toBeUndefined();
  expect(replaced).toEqual([]);
  const owner = await checks.owner(account, PASSWORD);
  expect(owner?.passwordHash).toStartWith("$argon2id$");
  expect(replaced).toEqual([{ did: DID, from: OLD_HASH, to: owner?.passwordHash ?? "" }]);
  expect(await checks.owner(owner, PASSWORD)).toBe(owner);
  expect(replaced).toHaveLength(1);
});

test("SecretChecks lets in although the new hash cannot be kept, or be made", async () => {
  const full = await stage({ refuse: true });
  expect(await full.checks.owner(full.account, PASSWORD)).toEqual(full.account);
  const secret = await full.checks.any(full.account, APP_PASSWORD);
  expect([secret?.appPassword, isReferenceHash(secret?.hash ?? "")]).toEqual([APP, true]);
  // Longer than a new password may be.
  const long = "x".repeat(400);
  const passwordHash = `${SALT}:${scryptSync(long, SALT, 64).toString("hex")}`;
  const { checks, account, replaced } = await stage({ passwordHash });
  expect(await checks.owner(account, long)).toEqual(account);
  expect(replaced).toEqual([]);
});

test("SecretChecks.any() finds an app password by the reference's hash, then by its own", async () => {
  const { checks, account, replaced, left } = await stage();
  const first = await checks.any(account, APP_PASSWORD);
  expect(first).toEqual({ hash: hashAppPassword(DID, APP_PASSWORD) ?? "", appPassword: APP });
  expect(replaced).toHaveLength(1);
  left.appPasswords = false;
  expect(await checks.any(account, APP_PASSWORD)).toEqual(first);
  expect(replaced).toHaveLength(1);
  expect(await checks.any(account, "abcd-efgh-ijkl-mnoq")).toBeUndefined();
});

test("SecretChecks.any() is undefined for nobody, whatever was typed", async () => {
  const { checks } = await stage();
  for (const typed of [PASSWORD, APP_PASSWORD, ""])
    expect(await checks.any(undefined, typed)).toBeUndefined();
});

test("Passwords.verify() does the work for a hash of the reference's while any is left", async () => {
  const left = { passwords: true, appPasswords: false };
  const passwords = new Passwords({ cost: CHEAP, referenceHashesLeft: () => left });
  const own = await passwords.hash(PASSWORD);
  expect(await passwords.verify(PASSWORD, own)).toBe(true);
  expect(await passwords.verify("wrong", own)).toBe(false);
  expect(await passwords.verify(PASSWORD, undefined)).toBe(false);
  expect(await passwords.verify(PASSWORD, OLD_HASH)).toBe(true);
  expect(await passwords.verify("wrong", OLD_HASH)).toBe(false);
  expect(await passwords.referenceAppHash(DID, APP_PASSWORD)).toBeUndefined();
});
