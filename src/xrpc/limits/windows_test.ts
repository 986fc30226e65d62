import { expect, test } from "bun:test";
import { SHARED_COUNTERS, Windows } from "./windows.ts";

const WINDOW_MS = 10_000;

test("Windows.at() keeps one window a key until its end", () => {
  const windows = new Windows({ windowMs: WINDOW_MS });
  const first = windows.at("a", 0);
  first.used = 7;
  expect(windows.at("a", WINDOW_MS - 1)).toBe(first);
  expect(windows.at("b", 5_000)).toEqual({ used: 0, endsMs: 15_000 });
  expect(windows.at("a", WINDOW_MS)).toEqual({ used: 0, endsMs: 2 * WINDOW_MS });
});

test("Windows.at() forgets the windows that have ended, and no others", () => {
  const windows = new Windows({ windowMs: WINDOW_MS });
  for (let i = 0; i < 100; i++) windows.at(`key${i}`, i * 100);
  windows.at("key0", WINDOW_MS).used = 3;
  windows.at("new", WINDOW_MS + 5_000);
  expect(windows.size).toBe(100 - 51 + 2);
  expect(windows.at("key0", WINDOW_MS + 5_000).used).toBe(3);
});

test("Windows.at() drops no window for a flood of other keys, and holds no more than its bound", () => {
  const keysMax = 1_000;
  const windows = new Windows({ windowMs: WINDOW_MS, keysMax, seed: 42 });
  windows.at("mine", 0).used = 9;
  const flood = new Set(Array.from({ length: 50_000 }, (_, i) => windows.at(`stranger${i}`, 1 + i / 10)));
  expect(windows.size).toBe(keysMax);
  expect(windows.at("mine", 9_999).used).toBe(9);
  // Beyond the bound many share a counter, and each finds the same one again.
  expect(flood.size).toBeLessThanOrEqual(keysMax - 1 + SHARED_COUNTERS);
  expect(flood.size).toBeGreaterThan(keysMax + SHARED_COUNTERS / 2);
  const late = windows.at("late", 9_000);
  late.used = 4;
  expect(windows.at("late", 9_001)).toBe(late);
});

test("Windows.at() gives new keys counters of their own again once there is room", () => {
  const windows = new Windows({ windowMs: WINDOW_MS, keysMax: 2 });
  windows.at("a", 0);
  windows.at("b", 0);
  windows.at("c", 0).used = 5;
  expect(windows.size).toBe(2);
  expect(windows.at("c", WINDOW_MS)).toEqual({ used: 0, endsMs: 2 * WINDOW_MS });
  expect(windows.size).toBe(1);
});

test("Windows.at() chooses shared counters by its seed", () => {
  const groups = (seed: number): string => {
    const windows = new Windows({ windowMs: WINDOW_MS, keysMax: 0, seed });
    const seen: unknown[] = [];
    return Array.from({ length: 3_000 }, (_, i) => {
      const window = windows.at(`key${i}`, 0);
      if (!seen.includes(window)) seen.push(window);
      return seen.indexOf(window);
    }).join();
  };
  expect(groups(1)).toBe(groups(1));
  expect(groups(1)).not.toBe(groups(2));
});
