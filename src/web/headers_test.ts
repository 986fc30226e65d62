import { expect, test } from "bun:test";
import { pageHeaders } from "./headers.ts";

const NONCE = "AAAAAAAAAAAAAAAAAAAAAA";

function policyOf(redirectUri?: string): string {
  return pageHeaders({ nonce: NONCE, redirectUri, isHttps: true })["Content-Security-Policy"] ?? "";
}

test("pageHeaders allows what has the nonce and nothing else", () => {
  expect(policyOf()).toBe(
    `default-src 'none'; script-src 'nonce-${NONCE}'; style-src 'nonce-${NONCE}'; img-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`,
  );
});

const TARGETS: readonly [string, string][] = [
  ["https://app.example/callback?x=1", "'self' https://app.example"],
  ["http://127.0.0.1:8080/cb", "'self' http://127.0.0.1:8080"],
  ["http://[::1]/cb", "'self' http://[::1]"],
  ["com.example.app:/cb", "'self' com.example.app:"],
  ["not a URL; script-src *", "'self'"],
];
for (const [uri, sources] of TARGETS) {
  test(`pageHeaders lets a form end at ${uri}`, () => {
    expect(policyOf(uri)).toContain(`form-action ${sources};`);
  });
}

test("pageHeaders: nothing is kept, framed, sniffed or told", () => {
  expect(pageHeaders({ nonce: NONCE, isHttps: false })).toMatchObject({
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
  });
});

test("pageHeaders promises https only where there is https", () => {
  expect(pageHeaders({ nonce: NONCE, isHttps: true })["Strict-Transport-Security"]).toBe("max-age=63072000");
  expect(pageHeaders({ nonce: NONCE, isHttps: false })["Strict-Transport-Security"]).toBeUndefined();
});

test("pageHeaders refuses a nonce that is short or would end the policy", () => {
  for (const nonce of ["short", "", `${NONCE}'; script-src *`])
    expect(() => pageHeaders({ nonce, isHttps: true })).toThrow(TypeError);
});
