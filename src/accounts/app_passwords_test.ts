import { expect, test } from "bun:test";
import { FakeAppPasswords } from "./_fixture.ts";
import {
  APP_PASSWORD_NAME_CHARS_MAX,
  APP_PASSWORDS_MAX,
  AppPasswords,
  formatAppPassword,
  hashAppPassword,
} from "./app_passwords.ts";

const DID = "did:plc:alice";

test("formatAppPassword makes four groups of four characters of base32", () => {
  const bytes = Uint8Array.from({ length: 16 }, (_, at) => at * 17);
  expect(formatAppPassword(bytes)).toMatch(/^[a-z2-7]{4}(-[a-z2-7]{4}){3}$/);
  expect(formatAppPassword(new Uint8Array(16))).toBe("aaaa-aaaa-aaaa-aaaa");
});

test("hashAppPassword differs by account, and is nothing for other text", () => {
  const password = "aaaa-bbbb-cccc-dddd";
  expect(hashAppPassword(DID, password)).toMatch(/^[A-Za-z0-9+/]{43}=$/);
  expect(hashAppPassword("did:plc:bob", password)).not.toBe(hashAppPassword(DID, password));
  for (const text of ["", "aaaa-bbbb-cccc", "AAAA-bbbb-cccc-dddd", "aaaa-bbbb-cccc-ddd1", ` ${password}`]) {
    expect(hashAppPassword(DID, text)).toBeUndefined();
  }
});

test("AppPasswords.create stores a hash alone, under a name of its own", async () => {
  const rows = new FakeAppPasswords();
  const appPasswords = new AppPasswords({ rows, now: () => 5 });
  const made = await appPasswords.create(DID, { name: "phone", privileged: true });
  expect(made).toMatchObject({ name: "phone", privileged: true, createdAt: 5 });
  expect(JSON.stringify(rows.rows)).not.toContain(made.password);
  expect(rows.rows).toMatchObject([
    { passwordHash: hashAppPassword(DID, made.password), accountMax: APP_PASSWORDS_MAX },
  ]);
  expect(await appPasswords.list(DID)).toMatchObject([{ name: "phone" }]);
  const again = appPasswords.create(DID, { name: "phone", privileged: false });
  await expect(again).rejects.toMatchObject({ code: "invalid_request" });
  await appPasswords.revoke(DID, "phone");
  await appPasswords.revoke(DID, "phone");
  expect(await appPasswords.list(DID)).toEqual([]);
});

test.each(["", " ", "x".repeat(APP_PASSWORD_NAME_CHARS_MAX + 1)])(
  "AppPasswords.create refuses the name %.5p",
  async (name) => {
    const made = new AppPasswords({ rows: new FakeAppPasswords() }).create(DID, { name, privileged: false });
    await expect(made).rejects.toMatchObject({ code: "invalid_request" });
  },
);
