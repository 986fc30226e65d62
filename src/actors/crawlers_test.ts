import { expect, test } from "bun:test";
import { createActor, fromPromise, SimulatedClock } from "xstate";
import { QUIET } from "./_fake_log.ts";
import { Crawlers, crawlersMachine, NOTIFY_DELAY_MS, NOTIFY_EVERY_MS } from "./crawlers.ts";

function run(): {
  clock: SimulatedClock;
  event: () => void;
  told: () => number;
  settle: () => Promise<void>;
  value: () => unknown;
} {
  const clock = new SimulatedClock();
  let told = 0;
  const notify = fromPromise<void>(async () => {
    told++;
  });
  const actor = createActor(crawlersMachine.provide({ actors: { notify } }), { clock }).start();
  return {
    clock,
    event: () => actor.send({ type: "event" }),
    told: () => told,
    settle: () => new Promise((resolve) => setImmediate(resolve)),
    value: () => actor.getSnapshot().value,
  };
}

test("crawlersMachine makes one announcement of a burst, and none without an event", async () => {
  const { clock, event, told, settle } = run();
  clock.increment(NOTIFY_EVERY_MS);
  expect(told()).toBe(0);
  event();
  event();
  clock.increment(NOTIFY_DELAY_MS);
  await settle();
  expect(told()).toBe(1);
});

test("crawlersMachine announces again only after its interval, and only if more came", async () => {
  const { clock, event, told, settle, value } = run();
  event();
  clock.increment(NOTIFY_DELAY_MS);
  await settle();
  event();
  clock.increment(NOTIFY_EVERY_MS - 1);
  expect(told()).toBe(1);
  clock.increment(1);
  clock.increment(NOTIFY_DELAY_MS);
  await settle();
  expect(told()).toBe(2);
  clock.increment(NOTIFY_EVERY_MS);
  expect(value()).toBe("quiet");
  expect(told()).toBe(2);
});

test("Crawlers.answers() tells how each relay has answered last", async () => {
  const told = Promise.withResolvers<void>();
  const crawlers = new Crawlers({
    relays: ["https://one.example", "https://two.example"],
    hostname: "pds.example.com",
    requestCrawl: async (relay) => {
      if (relay.includes("one")) throw new Error("Not you");
      told.resolve();
    },
    logger: QUIET,
    now: () => 7,
  });
  const asked = (problem: string | undefined) => ({ askedAt: 7, problem });
  const unasked = { askedAt: undefined, problem: undefined };
  expect(crawlers.answers()).toEqual([
    { relay: "https://one.example", ...unasked },
    { relay: "https://two.example", ...unasked },
  ]);
  crawlers.notify();
  await told.promise;
  await new Promise((resolve) => setImmediate(resolve));
  expect(crawlers.answers()).toEqual([
    { relay: "https://one.example", ...asked("Not you") },
    { relay: "https://two.example", ...asked(undefined) },
  ]);
  crawlers.stop();
});
