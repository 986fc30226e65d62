import { afterAll, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import type { Logger } from "../logger.ts";
import { HealthWatch } from "./health_watch.ts";
import type { RelayAnswer, WatchSources } from "./sources.ts";

const START = Date.UTC(2026, 2, 14);

function make() {
  const clock = { now: START };
  const relay: { -readonly [K in keyof RelayAnswer]: RelayAnswer[K] } = {
    ...{ relay: "https://relay.example", askedAt: START, problem: undefined },
  };
  let refusedSince: number | undefined;
  const lines: string[] = [];
  const note = (level: string) => (message: string, fields?: Readonly<Record<string, unknown>>) =>
    void lines.push(`${level} ${message}: ${fields?.check} ${fields?.reason}`);
  const logger = { info: note("info"), warn: note("warn"), error: note("error") } as unknown as Logger;
  const sources = {
    now: () => clock.now,
    isDev: true,
    dataFolder: tmpdir(),
    sequencer: {
      publishedSeq: 9,
      get refusedSince() {
        return refusedSince;
      },
    },
    eventLog: { atAfter: () => undefined },
    backups: { shippedUpTo: undefined, status: () => ({ running: false, shipping: false }) },
    plan: { isSet: false, intervalMs: 0, shipMs: 0, drillMs: 0 },
    hasMail: true,
    mails: { count: () => 0, failing: () => 0 },
    relays: { answers: () => [relay] },
  } as unknown as WatchSources;
  const watch = new HealthWatch(sources, { logger });
  afterAll(() => watch.stop());
  const look = async (name: string) => (await watch.look()).find((check) => check.name === name);
  const refuse = (since: number | undefined) => {
    refusedSince = since;
  };
  return { clock, relay, lines, look, refuse };
}

test("HealthWatch remembers since when a check is as it is", async () => {
  const { clock, look, refuse } = make();
  clock.now += 1_000;
  expect(await look("events")).toMatchObject({ state: "ok", since: START });
  clock.now += 1_000;
  refuse(clock.now - 10);
  expect(await look("events")).toMatchObject({ state: "fail", since: clock.now - 10 });
  clock.now += 1_000;
  expect((await look("events"))?.since).toBe(clock.now - 1_010);
  refuse(undefined);
  expect(await look("events")).toMatchObject({ state: "ok", since: clock.now });
  clock.now += 1_000;
  expect((await look("events"))?.since).toBe(clock.now - 1_000);
});

test("HealthWatch logs what changes, once", async () => {
  const { relay, lines, look, refuse } = make();
  const told = async () => {
    await look("events");
    return lines.splice(0).filter((line) => !line.includes(" disk "));
  };
  expect(await told()).toEqual([]);
  relay.problem = "No";
  expect(await told()).toEqual(["warn A health check warns: relays relaysRefuse"]);
  relay.problem = "Still no";
  refuse(START);
  expect(await told()).toEqual(["error A health check fails: events eventsRefused"]);
  relay.problem = undefined;
  refuse(undefined);
  expect(await told()).toEqual([
    "info A health check is well again: events eventsTaken",
    "info A health check is well again: relays relaysTold",
  ]);
});

test("HealthWatch looks once for all who ask at the same time", async () => {
  const { look } = make();
  const [one, other] = await Promise.all([look("events"), look("events")]);
  expect(one).toBe(other as NonNullable<typeof other>);
});
