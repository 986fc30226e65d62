import { expect, test } from "bun:test";
import { BELIEVED_AFTER_MS, believedClock, HELD_MS_MAX, risingClock } from "./steady_clocks.ts";

const DAY_MS = 86_400_000;
const START = 20_000 * DAY_MS;

function clocks() {
  const at = { shift: 0, elapsed: 0 };
  const believed = believedClock({ now: () => START + at.elapsed + at.shift, elapsed: () => at.elapsed });
  /** So much later, with the clock so far off: what is believed, as an offset from the true time. */
  const after = (ms: number, shift: number): number => {
    at.elapsed += ms;
    at.shift = shift;
    return believed() - START - at.elapsed;
  };
  return { after };
}

test("believedClock() is the clock, where it goes at its pace or is set by little", () => {
  const { after } = clocks();
  expect(after(0, 0)).toBe(0);
  expect(after(1_000, 0)).toBe(0);
  expect(after(1_000, 5_000)).toBe(5_000);
  expect(after(30 * DAY_MS, 5_000)).toBe(5_000);
});

test("believedClock() follows a jump back at once, and the way from there", () => {
  const { after } = clocks();
  expect(after(1_000, -DAY_MS)).toBe(-DAY_MS);
  expect(after(1_000, -DAY_MS)).toBe(-DAY_MS);
});

test("believedClock() takes a jump ahead for true once it has lasted", () => {
  const { after } = clocks();
  for (let ms = 0; ms < BELIEVED_AFTER_MS; ms += 60_000) expect(after(60_000, 365 * DAY_MS)).toBe(0);
  expect(after(60_000, 365 * DAY_MS)).toBe(365 * DAY_MS);
  expect(after(1_000, 365 * DAY_MS)).toBe(365 * DAY_MS);
});

test("believedClock() knows nothing of a jump ahead that was taken back, however often", () => {
  const { after } = clocks();
  for (let times = 0; times < 5; times += 1) {
    expect(after(1_000, DAY_MS)).toBe(0);
    expect(after(BELIEVED_AFTER_MS - 1, DAY_MS)).toBe(0);
    expect(after(1_000, 0)).toBe(0);
  }
});

test("risingClock() stands still where the clock goes back, also since it was asked the last time", () => {
  const at = { time: START };
  const rising = risingClock({ now: () => at.time, last: START + 500 });
  const times = [0, 400, 600, 600 - DAY_MS, 700, 700 - HELD_MS_MAX].map((offset) => {
    at.time = START + offset;
    return rising() - START;
  });
  expect(times).toEqual([500, 500, 600, 600, 700, 700]);
});

test("risingClock() goes back by more: it was wrong before", () => {
  const at = { time: START + 365 * DAY_MS };
  const rising = risingClock({ now: () => at.time, last: START });
  expect(rising()).toBe(START + 365 * DAY_MS);
  at.time = START;
  expect(rising()).toBe(START);
});
