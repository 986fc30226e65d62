import { expect, test } from "bun:test";
import { ADMIN_IDLE_MS, ADMIN_SESSION_MS, ADMIN_SESSIONS_MAX, AdminSessions } from "./admin_sessions.ts";

function make(isSecure = true) {
  const clock = { now: Date.UTC(2026, 2, 14) };
  const sessions = new AdminSessions({ isSecure, now: () => clock.now });
  const begin = () => sessions.begin().split(";")[0] ?? "";
  return { clock, sessions, begin };
}

test.each([
  [true, /^__Host-kith-admin=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict; Secure$/],
  [false, /^kith-admin=[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/],
])("AdminSessions.begin() makes a cookie of its own (https: %p)", (isSecure, form) => {
  expect(make(isSecure).sessions.begin()).toMatch(form);
});

test("AdminSessions.isOpen() knows its own cookie, among others, and no other", () => {
  const { sessions, begin } = make();
  const cookie = begin();
  const name = cookie.split("=")[0];
  expect(sessions.isOpen(cookie)).toBe(true);
  expect(sessions.isOpen(`a=b; ${cookie}; c=d`)).toBe(true);
  expect(sessions.isOpen(`${name}=; ${cookie}`)).toBe(true);
  const others = [
    null,
    "",
    `${name}=`,
    `${cookie}x`,
    `x${cookie}`,
    `${name}=${"A".repeat(43)}`,
    cookie.slice(7),
  ];
  for (const other of others) expect(sessions.isOpen(other)).toBe(false);
});

test.each([
  ["without use", ADMIN_IDLE_MS, 1],
  ["in any case", ADMIN_IDLE_MS - 1, Math.ceil(ADMIN_SESSION_MS / (ADMIN_IDLE_MS - 1))],
])("AdminSessions end %s", (_title, stepMs, steps) => {
  const { clock, sessions, begin } = make();
  const cookie = begin();
  for (let step = 1; step < steps; step++) {
    clock.now += stepMs;
    expect(sessions.isOpen(cookie)).toBe(true);
  }
  clock.now += stepMs;
  expect(sessions.isOpen(cookie)).toBe(false);
});

test("AdminSessions end early where the clock is set back, rather than late", () => {
  const { clock, sessions, begin } = make();
  const cookie = begin();
  clock.now -= 24 * 3_600_000;
  expect(sessions.isOpen(cookie)).toBe(false);
});

test("AdminSessions.end() ends this one, and takes its cookie away", () => {
  const { sessions, begin } = make();
  const [one, other] = [begin(), begin()];
  expect(sessions.end(one)).toContain("__Host-kith-admin=; Path=/; Max-Age=0");
  expect([sessions.isOpen(one), sessions.isOpen(other)]).toEqual([false, true]);
});

test("AdminSessions are bounded: the one that was used least recently goes", () => {
  const { sessions, begin } = make();
  const all = Array.from({ length: ADMIN_SESSIONS_MAX }, begin);
  expect(sessions.isOpen(all[0] ?? "")).toBe(true);
  begin();
  expect(all.map((cookie) => sessions.isOpen(cookie)).indexOf(false)).toBe(1);
});
