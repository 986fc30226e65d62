import { expect, test } from "bun:test";
import { LimitBypass } from "./limit_bypass.ts";

const KEY = "0123456789abcdef";
const addresses = ["192.0.2.1", "198.51.100.0/25", "2001:db8::/32", "2001:db9::5"];

test.each([
  ["192.0.2.1", true],
  ["192.0.2.2", false],
  ["198.51.100.127", true],
  ["198.51.100.128", false],
  ["2001:db8:ffff::1", true],
  ["2001:db9::5", true],
  ["2001:db9::6", false],
  ["127.0.0.1", false],
  ["nonsense", false],
])("LimitBypass.names(%p) is %p", (ip, expected) => {
  expect(new LimitBypass({ key: undefined, addresses }).names(ip)).toBe(expected);
});

test.each([
  [{ "x-ratelimit-bypass": KEY }, true],
  [{ "x-ratelimit-bypass": `${KEY}0` }, false],
  [{ "x-ratelimit-bypass": "" }, false],
  [{}, false],
])("LimitBypass.covers() with the headers %j is %p", (headers, expected) => {
  const request = new Request("http://kith.test/", { headers: headers as Record<string, string> });
  expect(new LimitBypass({ key: KEY, addresses: [] }).covers({ request, ip: "203.0.113.7" })).toBe(expected);
  expect(new LimitBypass({ key: undefined, addresses: [] }).covers({ request, ip: "203.0.113.7" })).toBe(
    false,
  );
});

test("LimitBypass.covers() this server's calls to itself, and takes nobody's word as theirs", () => {
  const bypass = new LimitBypass({ key: undefined, addresses: [] });
  const request = new Request("http://kith.test/");
  expect([bypass.covers({ request, ip: "100::1" }), bypass.names("100::1")]).toEqual([true, false]);
  expect(bypass.covers({ request, ip: "100::2" })).toBe(false);
});
