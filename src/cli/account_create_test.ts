import { expect, test } from "bun:test";
import { formatPassword, passwordOf } from "./account_create.ts";
import type { Arguments, Io } from "./command.ts";

const context = (options: Arguments["options"], input = "") => ({
  given: { options, rest: [] },
  io: { readInput: async () => input } as unknown as Io,
});

test("formatPassword() gives 20 characters of 32, in groups of five", () => {
  expect(formatPassword(Uint8Array.from({ length: 20 }, (_, at) => at + 12))).toBe("efghi-jkmnp-qrstu-vwxyz");
  const all = formatPassword(Uint8Array.from({ length: 20 }, (_, at) => at)).replaceAll("-", "");
  expect(new Set(all).size).toBe(20);
});

test("passwordOf() makes one that is new each time, where none is given", async () => {
  const [a, b] = [await passwordOf(context({})), await passwordOf(context({}))];
  expect(a.isMade).toBe(true);
  expect(a.password).toMatch(/^([2-9a-kmnp-z]{5}-){3}[2-9a-kmnp-z]{5}$/);
  expect(a.password).not.toBe(b.password);
});

test("passwordOf() takes the one that is given, or a line of standard input", async () => {
  expect(await passwordOf(context({ password: "x y" }))).toEqual({ password: "x y", isMade: false });
  expect(await passwordOf(context({ password: "-" }, "from a pipe\nmore"))).toEqual({
    password: "from a pipe",
    isMade: false,
  });
  await expect(passwordOf(context({ password: "-" }, "\n"))).rejects.toThrow("no password");
});
