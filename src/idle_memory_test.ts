import { expect, test } from "bun:test";
import { IdleMemory } from "./idle_memory.ts";

test("IdleMemory collects once after a burst of requests, when nothing has been asked for a while", () => {
  const requests = { answered: 0, underWay: 0 };
  let [nowMs, collections] = [0, 0];
  const memory = new IdleMemory({ requests, now: () => nowMs, collect: () => void collections++ });
  const after = (ms: number): number => {
    nowMs += ms;
    memory.look();
    return collections;
  };
  try {
    requests.answered = 99;
    after(250);
    expect(after(10_000)).toBe(0);
    requests.answered = 100;
    requests.underWay = 1;
    after(250);
    expect(after(10_000)).toBe(0);
    requests.underWay = 0;
    expect(after(250)).toBe(0);
    expect(after(1_500)).toBe(1);
    expect(after(60_000)).toBe(1);
    requests.answered = 199;
    after(250);
    expect(after(60_000)).toBe(1);
    requests.answered = 200;
    after(250);
    expect(after(1_500)).toBe(2);
  } finally {
    memory.stop();
  }
});
