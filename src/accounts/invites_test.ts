import { expect, test } from "bun:test";
import { formatInviteCode, INVITE_CODES_MAX, INVITE_USES_MAX, Invites } from "./invites.ts";

function makeInvites() {
  const rows: { code: string; uses: number; forAccount: string; createdBy: string; now: number }[] = [];
  const codes = { createCode: async (row: (typeof rows)[number]) => void rows.push(row) };
  return { rows, invites: new Invites({ codes, hostname: "pds.example.com", now: () => 1234 }) };
}

test("formatInviteCode joins the host name and ten base32 characters with dashes", () => {
  expect(formatInviteCode("pds.example.com", new Uint8Array(10))).toBe("pds-example-com-aaaaa-aaaaa");
  expect(formatInviteCode("localhost", new Uint8Array(10).fill(255))).toBe("localhost-77777-77777");
});

test("Invites.create stores different codes of the right form", async () => {
  const { rows, invites } = makeInvites();
  const codes = await invites.create({ count: 3, uses: 2, forAccount: "admin", createdBy: "admin" });
  expect(new Set(codes).size).toBe(3);
  for (const code of codes) expect(code).toMatch(/^pds-example-com-[a-z2-7]{5}-[a-z2-7]{5}$/);
  expect(rows).toEqual(
    codes.map((code) => ({ code, uses: 2, forAccount: "admin", createdBy: "admin", now: 1234 })),
  );
});

test.each([
  [0, 1],
  [-1, 1],
  [1.5, 1],
  [Number.NaN, 1],
  [INVITE_USES_MAX + 1, 1],
  [1, 0],
  [1, INVITE_CODES_MAX + 1],
])("Invites.create refuses %d uses of %d codes", async (uses, count) => {
  const { rows, invites } = makeInvites();
  const made = invites.create({ count, uses, forAccount: "admin", createdBy: "admin" });
  await expect(made).rejects.toMatchObject({ code: "invalid_request" });
  expect(rows).toEqual([]);
});
