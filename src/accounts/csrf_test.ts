import { expect, test } from "bun:test";
import { checkCsrf, csrfToken, isFromOwnPage } from "./csrf.ts";

const KEY = "a secret of the server";
const DEVICE = { id: "a device" };
const TOKEN = csrfToken(DEVICE, { key: KEY, nonce: new Uint8Array(16).fill(7) });

test.each<[string, Partial<{ key: string; token: string | null; id: string }>, boolean]>([
  ["its own token", {}, true],
  ["another nonce", { token: csrfToken(DEVICE, { key: KEY, nonce: new Uint8Array(16) }) }, true],
  ["another device", { id: "b device" }, false],
  ["another server", { key: "another secret" }, false],
  ["no token", { token: null }, false],
  ["an empty one", { token: "" }, false],
  ["a cut one", { token: TOKEN.slice(0, -2) }, false],
  ["a changed one", { token: `A${TOKEN.slice(1)}` }, false],
  ["a long one", { token: TOKEN.repeat(1_000) }, false],
])("checkCsrf(): %s", (_, { key = KEY, token = TOKEN, id = DEVICE.id }, isGood) => {
  expect(checkCsrf({ id }, { key, token })).toBe(isGood);
});

test("csrfToken() is another with each nonce", () => {
  expect(csrfToken(DEVICE, { key: KEY, nonce: new Uint8Array(16) })).not.toBe(TOKEN);
});

test.each<[Record<string, string>, boolean]>([
  [{}, false],
  [{ origin: "https://pds.test" }, true],
  [{ origin: "https://pds.test", "sec-fetch-site": "same-origin" }, true],
  [{ "sec-fetch-site": "same-origin" }, true],
  [{ origin: "null" }, false],
  [{ origin: "https://evil.test" }, false],
  [{ origin: "http://pds.test" }, false],
  [{ origin: "https://alice.pds.test", "sec-fetch-site": "same-site" }, false],
  [{ origin: "https://pds.test", "sec-fetch-site": "cross-site" }, false],
  [{ "sec-fetch-site": "none" }, false],
  [{ origin: "https://evil.test", "sec-fetch-site": "same-origin" }, false],
])("isFromOwnPage(%p) is %p", (headers, isOwn) => {
  expect(isFromOwnPage(new Headers(headers), { publicUrl: "https://pds.test" })).toBe(isOwn);
});
