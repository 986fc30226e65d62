import { expect, test } from "bun:test";
import { LimitBypass } from "./limit_bypass.ts";
import { DAY_MS, HOUR_MS, RateLimited, RateLimits, setLimitHeaders, tighter } from "./rate_limits.ts";

const NOBODY = new LimitBypass({ key: undefined, addresses: [] });
const HOURLY = { points: 10, windowMs: HOUR_MS };
const DAILY = { points: 15, windowMs: DAY_MS };

function caller(ip = "203.0.113.7", headers: Record<string, string> = {}) {
  return { ip, request: new Request("http://kith.test/", { headers }) };
}

function make(bypass = NOBODY) {
  const state = { nowMs: 0, warnings: 0 };
  const log = { warn: () => void state.warnings++ };
  return { state, limits: new RateLimits({ bypass, log, clock: () => state.nowMs }) };
}

function refusal(action: () => unknown): RateLimited {
  try {
    action();
  } catch (error) {
    if (error instanceof RateLimited) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

test("RateLimits.charge() takes from every budget, and tells the one with the least left", () => {
  const { limits, state } = make();
  const charge = { budgets: [HOURLY, DAILY], key: "did:plc:a", cost: 3 };
  expect(limits.charge(charge, caller())).toEqual({ budget: HOURLY, remaining: 7, ms: HOUR_MS });
  state.nowMs = HOUR_MS;
  expect(limits.charge(charge, caller())).toEqual({ budget: HOURLY, remaining: 7, ms: HOUR_MS });
  expect(limits.charge({ ...charge, cost: 5 }, caller())?.remaining).toBe(2);
  state.nowMs = 2 * HOUR_MS;
  expect(limits.charge(charge, caller())).toEqual({ budget: DAILY, remaining: 1, ms: 22 * HOUR_MS });
});

test("RateLimits.charge() refuses what one budget has not left, and then takes nothing", () => {
  const { limits, state } = make();
  const charge = { budgets: [DAILY, HOURLY], key: "did:plc:a" };
  limits.charge({ ...charge, cost: 9 }, caller());
  state.nowMs = 1_500;
  const error = refusal(() => limits.charge({ ...charge, cost: 2 }, caller()));
  expect(error.left).toEqual({ budget: HOURLY, remaining: 1, ms: HOUR_MS - 1_500 });
  expect(error).toMatchObject({ code: "rate_limited", retryAfterS: 3_599 });
  expect(limits.charge(charge, caller())).toEqual({ budget: HOURLY, remaining: 0, ms: HOUR_MS - 1_500 });
  expect(refusal(() => limits.charge(charge, caller())).left.remaining).toBe(0);
  expect(limits.charge({ ...charge, cost: 0 }, caller())).toBeUndefined();
  expect(limits.charge({ ...charge, key: "did:plc:b" }, caller())?.remaining).toBe(9);
});

test("RateLimits.countRequest() counts a /64 as one, and IPv4 addresses apart", () => {
  const { limits } = make();
  expect(limits.countRequest(caller("2001:db8:1:2::1"))?.remaining).toBe(2_999);
  expect(limits.countRequest(caller("2001:db8:1:2:ffff::9"))?.remaining).toBe(2_998);
  expect(limits.countRequest(caller("2001:db8:1:3::1"))?.remaining).toBe(2_999);
  expect(limits.countRequest(caller("203.0.113.1"))?.remaining).toBe(2_999);
  expect(limits.countRequest(caller("203.0.113.2"))?.remaining).toBe(2_999);
});

test("RateLimits bounds the keys that callers choose", () => {
  const { limits } = make();
  const at = (key: string) => limits.charge({ budgets: [HOURLY], key }, caller())?.remaining;
  expect(at(`${"a".repeat(256)}b`)).toBe(9);
  expect(at(`${"a".repeat(256)}c`)).toBe(8);
});

test("RateLimits does not limit who has the key or a named address, and counts nothing of theirs", () => {
  const bypass = new LimitBypass({ key: "the-operator's-key", addresses: ["192.0.2.0/24"] });
  const { limits } = make(bypass);
  for (let i = 0; i < 5_000; i++) {
    expect(limits.countRequest(caller("192.0.2.9"))).toBeUndefined();
  }
  const withKey = caller("203.0.113.7", { "x-ratelimit-bypass": "the-operator's-key" });
  expect(limits.charge({ budgets: [HOURLY], key: "a", cost: 99 }, withKey)).toBeUndefined();
  const wrong = caller("203.0.113.7", { "x-ratelimit-bypass": "the-operator's-kex" });
  expect(limits.charge({ budgets: [HOURLY], key: "a" }, wrong)?.remaining).toBe(9);
});

test("RateLimits warns once where a private address is at its limit", () => {
  const { limits, state } = make();
  const charge = { budgets: [HOURLY], key: "a", cost: 11 };
  refusal(() => limits.charge(charge, caller("203.0.113.7")));
  expect(state.warnings).toBe(0);
  refusal(() => limits.charge(charge, caller("10.0.0.1")));
  refusal(() => limits.charge(charge, caller("127.0.0.1")));
  expect(state.warnings).toBe(1);
});

test("tighter() is the one with less left", () => {
  const one = { budget: HOURLY, remaining: 3, ms: 1 };
  const other = { budget: DAILY, remaining: 2, ms: 1 };
  expect([
    tighter(one, other),
    tighter(other, one),
    tighter(one, undefined),
    tighter(undefined, one),
  ]).toEqual([other, other, one, one]);
});

test("setLimitHeaders() sets what the reference sends", () => {
  const headers = new Headers();
  const before = Math.floor(Date.now() / 1_000);
  setLimitHeaders(headers, { budget: HOURLY, remaining: 4, ms: 60_000 });
  expect(headers.get("ratelimit-limit")).toBe("10");
  expect(headers.get("ratelimit-remaining")).toBe("4");
  expect(headers.get("ratelimit-policy")).toBe("10;w=3600");
  const reset = Number(headers.get("ratelimit-reset"));
  expect(reset).toBeGreaterThanOrEqual(before + 60);
  expect(reset).toBeLessThanOrEqual(Math.ceil(Date.now() / 1_000) + 61);
});
