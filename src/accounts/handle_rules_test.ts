import { expect, test } from "bun:test";
import { type HandleClaim, HandleRules } from "./handle_rules.ts";

const RULES = new HandleRules([".example.com", ".eu.example.com", ".test"], {
  hostname: "Social.example.com",
});

const GOOD: [text: string, claim: HandleClaim, handle: string][] = [
  ["alice.test", "open", "alice.test"],
  ["ALICE.Test", "open", "alice.test"],
  ["a-b.test", "open", "a-b.test"],
  ["abc.test", "open", "abc.test"],
  ["123.test", "open", "123.test"],
  [`${"a".repeat(18)}.example.com`, "open", `${"a".repeat(18)}.example.com`],
  ["bob.eu.example.com", "open", "bob.eu.example.com"],
  ["admin.test", "invited", "admin.test"],
  ["admin.test", "admin", "admin.test"],
  ["example.com", "admin", "example.com"],
  ["social.example.com", "admin", "social.example.com"],
  ["a.test", "admin", "a.test"],
  [`${"a".repeat(63)}.test`, "admin", `${"a".repeat(63)}.test`],
];

const BAD: [text: string, claim: HandleClaim, code: string][] = [
  ["", "open", "invalid_handle"],
  ["alice", "open", "invalid_handle"],
  ["al_ice.test", "open", "invalid_handle"],
  ["al ice.test", "open", "invalid_handle"],
  ["-alice.test", "open", "invalid_handle"],
  ["alice-.test", "open", "invalid_handle"],
  [".test", "open", "invalid_handle"],
  ["alice..test", "open", "invalid_handle"],
  ["alice.test.", "open", "invalid_handle"],
  ["../../etc.test", "open", "invalid_handle"],
  ["alic\u00e9.test", "open", "invalid_handle"],
  ["alice\n.test", "open", "invalid_handle"],
  ["ab.test", "open", "invalid_handle"],
  [`${"a".repeat(19)}.test`, "open", "invalid_handle"],
  ["a.alice.test", "open", "invalid_handle"],
  ["a.alice.test", "admin", "invalid_handle"],
  [`${"a".repeat(70)}.test`, "open", "invalid_handle"],
  [`${"a.".repeat(5000)}test`, "open", "invalid_handle"],
  ["alice.bsky.social", "open", "unsupported_domain"],
  ["alice.bsky.social", "admin", "unsupported_domain"],
  ["alicetest.com", "open", "unsupported_domain"],
  ["example.com", "open", "unsupported_domain"],
  ["example.com", "invited", "unsupported_domain"],
  ["notexample.com", "admin", "unsupported_domain"],
  ["social.example.com", "open", "handle_not_available"],
  ["social.example.com", "invited", "handle_not_available"],
  ["admin.test", "open", "handle_not_available"],
  ["WWW.test", "open", "handle_not_available"],
  ["bsky.example.com", "open", "handle_not_available"],
  ["xrpc.eu.example.com", "open", "handle_not_available"],
];

test.each(GOOD)("HandleRules.check gives %j to a claim that is %s", (text, claim, handle) => {
  expect(RULES.check(text, claim)).toBe(handle);
});

test.each(BAD)("HandleRules.check refuses %j to a claim that is %s: %s", (text, claim, code) => {
  expect(() => RULES.check(text, claim)).toThrow(expect.objectContaining({ code }));
});

test("HandleRules.isLocal knows what only this server can speak for", () => {
  expect(RULES.isLocal("alice.test")).toBe(true);
  expect(RULES.isLocal("deep.alice.test")).toBe(true);
  // The DNS can speak for these, too.
  expect(RULES.isLocal("example.com")).toBe(false);
  expect(RULES.isLocal("social.example.com")).toBe(false);
  expect(RULES.isLocal("alice.bsky.social")).toBe(false);
  expect(RULES.isLocal("notexample.com")).toBe(false);
});

test("HandleRules.isOwnName knows the server's own names", () => {
  for (const name of ["example.com", "eu.example.com", "test", "social.example.com"]) {
    expect(RULES.isOwnName(name)).toBe(true);
  }
  expect(RULES.isOwnName("alice.example.com")).toBe(false);
});

test("HandleRules.check() gives what the operator has reserved to the admin alone", () => {
  const reserved = new Set(["brand", "one.eu.example.com"]);
  const rules = new HandleRules([".example.com", ".eu.example.com"], {
    reserved: { has: (...names) => names.some((name) => reserved.has(name)) },
  });
  const verdictOf = (handle: string, claim: HandleClaim): string => {
    try {
      return rules.check(handle, claim);
    } catch (error) {
      return (error as { code: string }).code;
    }
  };
  for (const handle of ["Brand.example.com", "brand.eu.example.com", "one.eu.example.com"]) {
    expect(verdictOf(handle, "open")).toBe("handle_not_available");
    expect(verdictOf(handle, "invited")).toBe("handle_not_available");
    expect(verdictOf(handle, "admin")).toBe(handle.toLowerCase());
  }
  expect(verdictOf("one.example.com", "open")).toBe("one.example.com");
});

test.each([
  ["Alice.test", "alice.test"],
  ["BRAND", "brand"],
  ["a", "a"],
  ["alice.elsewhere.org", undefined],
  ["not a name", undefined],
  ["-x", undefined],
  ["", undefined],
  ["a".repeat(64), undefined],
])("HandleRules.reservable(%p) is %p", (text, expected) => {
  if (expected === undefined) expect(() => RULES.reservable(text)).toThrow("Could not use the handle");
  else expect(RULES.reservable(text)).toBe(expected);
});
