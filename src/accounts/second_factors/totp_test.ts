import { expect, test } from "bun:test";
import { base32, matchTotp, TOTP_STEP_MS, totpCode, totpStep, totpUri } from "./totp.ts";

const SECRET = Buffer.from("12345678901234567890");

// RFC 6238, appendix B; the codes of six digits are the ends of those of eight.
test.each([
  [59, "94287082"],
  [1_111_111_109, "07081804"],
  [1_111_111_111, "14050471"],
  [1_234_567_890, "89005924"],
  [2_000_000_000, "69279037"],
  [20_000_000_000, "65353130"],
])("totpCode() at %d s is %s", (seconds, code) => {
  expect(totpCode(SECRET, totpStep(seconds * 1000), 8)).toBe(code);
  expect(totpCode(SECRET, totpStep(seconds * 1000))).toBe(code.slice(2));
});

const NOW_MS = 1_234_567_890_000;
const STEP = totpStep(NOW_MS);

test.each([
  ["the present step", { at: 0 }, STEP],
  ["the step before: a slow clock", { at: -1 }, STEP - 1],
  ["the step after: a fast clock", { at: 1 }, STEP + 1],
  ["two steps before", { at: -2 }, undefined],
  ["two steps after", { at: 2 }, undefined],
  ["a step that was used", { at: 0, afterStep: STEP }, undefined],
  ["a step before one that was used", { at: -1, afterStep: STEP }, undefined],
  ["the step after one that was used", { at: 1, afterStep: STEP }, STEP + 1],
] as const)("matchTotp(): %s", (_, row, expected) => {
  const code = totpCode(SECRET, STEP + row.at);
  const afterStep = "afterStep" in row ? row.afterStep : 0;
  expect(matchTotp(SECRET, { code, nowMs: NOW_MS, afterStep })).toBe(expected);
});

test.each(["", "12345", "1234567", "abcdef", "\u0661\u0662\u0663\u0664\u0665\u0666"])(
  "matchTotp() takes %p for no code",
  (code) => {
    expect(matchTotp(SECRET, { code, nowMs: NOW_MS, afterStep: 0 })).toBeUndefined();
  },
);

test("a step is 30 seconds", () => {
  expect(totpStep(NOW_MS + TOTP_STEP_MS)).toBe(STEP + 1);
});

test.each([
  ["", ""],
  ["f", "MY"],
  ["fo", "MZXQ"],
  ["foo", "MZXW6"],
  ["foob", "MZXW6YQ"],
  ["fooba", "MZXW6YTB"],
  ["foobar", "MZXW6YTBOI"],
])("base32(%p) is %p", (text, encoded) => expect(base32(Buffer.from(text))).toBe(encoded));

test("totpUri() is what apps scan", () => {
  expect(totpUri(SECRET, { issuer: "my pds", account: "alice.test" })).toBe(
    "otpauth://totp/my%20pds:alice.test?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=my%20pds&algorithm=SHA1&digits=6&period=30",
  );
});
