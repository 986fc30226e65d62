import { expect, test } from "bun:test";
import { checkEmail, isEmailAddress } from "./email_address.ts";

const GOOD = [
  "alice@example.com",
  "a@b.co",
  "first.last+tag@sub.example.org",
  "o'brien@example.ie",
  "user@xn--bcher-kva.example",
  "jürgen@bücher.example",
  `${"l".repeat(64)}@example.com`,
];
const BAD = [
  "",
  "alice",
  "@example.com",
  "alice@",
  "alice@localhost",
  "alice@example..com",
  "alice@.example.com",
  "alice@example.com.",
  "alice@-example.com",
  ".alice@example.com",
  "alice.@example.com",
  "al..ice@example.com",
  "alice@exam ple.com",
  "alice @example.com",
  "alice@example.com\r\nBcc: eve@example.com",
  "alice@example.com\n",
  "alice\0@example.com",
  '"alice bob"@example.com',
  "alice@[127.0.0.1]",
  "<alice@example.com>",
  "alice@example.com,eve@example.com",
  `${"l".repeat(65)}@example.com`,
  `alice@${"d".repeat(64)}.com`,
  `alice@${"d.".repeat(130)}com`,
];

test.each(GOOD)("isEmailAddress accepts %j", (text) => expect(isEmailAddress(text)).toBe(true));
test.each(BAD)("isEmailAddress refuses %j", (text) => expect(isEmailAddress(text)).toBe(false));

test("checkEmail answers the lower-case spelling, and asks for an address that is missing", () => {
  expect(checkEmail("Alice@Example.COM")).toBe("alice@example.com");
  expect(() => checkEmail(undefined)).toThrow("Email is required");
  expect(() => checkEmail("")).toThrow("Email is required");
  expect(() => checkEmail("nobody")).toThrow('Not an e-mail address: "nobody"');
});
