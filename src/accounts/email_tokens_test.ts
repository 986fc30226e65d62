import { expect, test } from "bun:test";
import { FakeEmailTokens } from "./_fixture.ts";
import { EMAIL_TOKEN_LIFETIME_MS, EmailTokens, formatEmailToken } from "./email_tokens.ts";

const DID = "did:plc:alice";

function make() {
  let now = 1_000_000;
  const rows = new FakeEmailTokens();
  const tokens = new EmailTokens({ rows, now: () => now });
  return { rows, tokens, advance: (ms: number) => (now += ms) };
}

test("formatEmailToken() makes ten characters of base32 in two groups", () => {
  expect(formatEmailToken(new Uint8Array(10))).toBe("AAAAA-AAAAA");
  expect(formatEmailToken(Uint8Array.from({ length: 10 }, (_, at) => 31 - at))).toBe("76543-2ZYXW");
});

test("EmailTokens.create() stores a hash alone, and take() takes the code once, however it is typed", async () => {
  const { rows, tokens } = make();
  const code = await tokens.create(DID, "plc_operation");
  expect(JSON.stringify([...rows.rows])).not.toContain(code);
  await tokens.check(DID, "plc_operation", code);
  expect(await tokens.ownerOf("plc_operation", code)).toBe(DID);
  expect(await tokens.ownerOf("reset_password", code)).toBeUndefined();
  await tokens.take(DID, "plc_operation", ` ${code.toLowerCase().replace("-", "")}\n`);
  await expect(tokens.take(DID, "plc_operation", code)).rejects.toMatchObject({ code: "invalid_token" });
});

test("EmailTokens.create() takes the place of the one before, of the same purpose alone", async () => {
  const { tokens } = make();
  const first = await tokens.create(DID, "delete_account");
  const other = await tokens.create(DID, "confirm_email");
  const second = await tokens.create(DID, "delete_account");
  for (const [purpose, code] of [
    ["delete_account", first],
    ["delete_account", other],
    ["confirm_email", second],
  ] as const) {
    await expect(tokens.check(DID, purpose, code)).rejects.toMatchObject({ code: "invalid_token" });
  }
  await tokens.check(DID, "delete_account", second);
  await tokens.check(DID, "confirm_email", other);
});

test("EmailTokens.take() refuses a code that is too old", async () => {
  const { tokens, advance } = make();
  const code = await tokens.create(DID, "update_email");
  advance(EMAIL_TOKEN_LIFETIME_MS - 1);
  await tokens.check(DID, "update_email", code);
  advance(1);
  await expect(tokens.take(DID, "update_email", code)).rejects.toMatchObject({ code: "expired_token" });
});

test.each(["", "AAAAA", "AAAAA-AAAA1", "AAAAA-AAAAAA", "A".repeat(1_000_000)])(
  "EmailTokens.proofOf(%.12p) is no code",
  (text) => {
    const { tokens } = make();
    expect(() => tokens.proofOf("confirm_email", text)).toThrow(
      expect.objectContaining({ code: "invalid_token" }),
    );
  },
);
