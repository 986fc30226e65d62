import { expect, test } from "bun:test";
import { earnedCodes, OPEN_CODES_MAX } from "./mod.ts";

const code = (createdAt: number, more: object = {}) => ({
  uses: 1,
  used: 0,
  disabled: false,
  createdAt,
  ...more,
});
const used = (createdAt: number) => code(createdAt, { used: 1 });
const off = (createdAt: number) => code(createdAt, { disabled: true });

/** Of an account made at `createdAt`, at 1,000, with an interval of 100. */
test.each<
  [title: string, createdAt: number, epochMs: number, made: ReturnType<typeof code>[], expected: number]
>([
  ["a new account", 1_000, 0, [], 0],
  ["before the first interval has gone", 901, 0, [], 0],
  ["one interval", 900, 0, [], 1],
  ["three", 650, 0, [], 3],
  ["no more than leave five open", 0, 0, [], OPEN_CODES_MAX],
  ["less those that are open", 0, 0, [code(100), code(200)], 3],
  ["used ones make room", 0, 0, [used(100), used(200), code(300)], 4],
  ["disabled ones make room too", 0, 0, [off(100), off(200)], 5],
  ["not more than were earned", 700, 0, [used(800), used(900)], 1],
  ["none where all were made", 700, 0, [used(800), used(900), used(950)], 0],
  ["never less than none", 900, 0, [used(910), used(920)], 0],
  ["since the epoch only", 0, 800, [], 2],
  ["those made before the epoch do not count", 0, 800, [used(100), used(200)], 2],
  ["but are open where they are", 0, 500, Array(4).fill(code(100)), 1],
  ["an epoch to come", 0, 2_000, [], 0],
  ["an account from after the epoch", 900, 500, [], 1],
])("earnedCodes(): %s", (_title, createdAt, epochMs, made, expected) => {
  expect(earnedCodes({ createdAt, now: 1_000, intervalMs: 100, epochMs, made })).toBe(expected);
});
