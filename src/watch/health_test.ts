import { expect, test } from "bun:test";
import { CHECKS, type CheckName, type HealthFacts, judge, worstOf } from "./health.ts";

const NOW = Date.UTC(2026, 2, 14, 12);
const HOUR_MS = 3_600_000;
const GIB = 1024 ** 3;
const ago = (hours: number) => new Date(NOW - hours * HOUR_MS).toISOString();
const backup = (hours: number, problems = 0) => ({
  ...{ at: ago(hours), snapshot: "s", destination: "/b", seconds: 3, bytes: 1, writtenBytes: 1, problems },
});
const failure = { at: ago(1), message: "No room" };

const PLAN = { isSet: true, intervalMs: 24 * HOUR_MS, shipMs: 5_000, drillMs: 24 * HOUR_MS };
const STATUS = {
  destination: "/b",
  running: false,
  shipping: true,
  shippingProblem: undefined,
  isUpToDate: true,
  lastBackup: backup(2),
  lastProven: { at: ago(1), snapshot: "s" },
  lastDrill: { at: ago(1), seconds: 9 },
};
/** All is well. */
const FACTS: HealthFacts = {
  now: NOW,
  startedAt: NOW - 3 * HOUR_MS,
  isDev: false,
  room: { freeBytes: 50 * GIB, sizeBytes: 100 * GIB },
  refusedSince: undefined,
  backup: STATUS,
  plan: PLAN,
  lagMs: 0,
  hasMail: true,
  mailsFailing: 0,
  relays: [{ relay: "https://relay.example", askedAt: NOW, problem: undefined }],
};
const disk = (freeGib: number, sizeGib = 100): Partial<HealthFacts> => ({
  room: { freeBytes: freeGib * GIB, sizeBytes: sizeGib * GIB },
});
const status = (change: object): Partial<HealthFacts> => ({ backup: { ...STATUS, ...change } });
const unset = { plan: { ...PLAN, isSet: false } };

const ROWS: [change: Partial<HealthFacts>, name: CheckName, verdict: string][] = [
  [{}, "disk", "ok roomEnough"],
  [{ room: undefined }, "disk", "ok roomUnknown"],
  [disk(4), "disk", "warn roomLow"],
  [disk(1.5, 10), "disk", "warn roomLow"],
  [disk(0.9, 1), "disk", "ok roomEnough"],
  [disk(0.4), "disk", "fail roomOut"],
  [{}, "events", "ok eventsTaken"],
  [{ refusedSince: NOW - 5 }, "events", "fail eventsRefused"],
  [{}, "backup", "ok backupFresh"],
  [unset, "backup", "warn backupNotSet"],
  [{ ...unset, isDev: true }, "backup", "ok backupNotSet"],
  [status({ lastBackup: undefined }), "backup", "warn backupNever"],
  [status({ lastBackup: undefined, running: true }), "backup", "ok backupFirst"],
  [status({ lastBackup: undefined, lastFailure: failure }), "backup", "fail backupFailed"],
  [status({ lastFailure: failure }), "backup", "warn backupFailed"],
  [status({ lastFailure: failure, running: true }), "backup", "ok backupFresh"],
  [status({ lastBackup: backup(80), lastFailure: failure }), "backup", "fail backupFailed"],
  [status({ lastBackup: backup(36.4) }), "backup", "ok backupFresh"],
  [status({ lastBackup: backup(37) }), "backup", "warn backupLate"],
  [status({ lastBackup: backup(73) }), "backup", "fail backupLate"],
  [status({ lastBackup: backup(73), running: true }), "backup", "warn backupLate"],
  [status({ lastBackup: backup(-48) }), "backup", "ok backupFresh"],
  [status({ lastBackup: backup(2, 3) }), "backup", "warn backupIncomplete"],
  [
    { ...status({ lastBackup: backup(999) }), plan: { ...PLAN, intervalMs: 0 } },
    "backup",
    "ok backupUnscheduled",
  ],
  [{}, "shipping", "ok shippingUpToDate"],
  [status({ shipping: false }), "shipping", "ok shippingOff"],
  [{ lagMs: 61_000 }, "shipping", "warn shippingBehind"],
  [{ lagMs: 61_000, plan: { ...PLAN, shipMs: 60_000 } }, "shipping", "ok shippingUpToDate"],
  [{ lagMs: HOUR_MS + 1 }, "shipping", "fail shippingBehind"],
  // What a server before this one has left, or a restore, waits since the start.
  [{ lagMs: 9 * HOUR_MS, startedAt: NOW - 59_000 }, "shipping", "ok shippingUpToDate"],
  [{ lagMs: 9 * HOUR_MS, startedAt: NOW - 61_000 }, "shipping", "warn shippingBehind"],
  [{ ...status({ shippingProblem: "Gone" }), lagMs: 0 }, "shipping", "warn shippingFails"],
  [{ ...status({ shippingProblem: "Gone" }), lagMs: 2 * HOUR_MS }, "shipping", "fail shippingFails"],
  [{}, "drill", "ok drillProven"],
  [unset, "drill", "ok drillOff"],
  [status({ lastDrill: { at: ago(1), seconds: 1, problem: "Lost" } }), "drill", "fail drillFailed"],
  [status({ lastProven: { at: ago(37), snapshot: "s" } }), "drill", "warn drillLate"],
  [status({ lastProven: { at: ago(73), snapshot: "s" } }), "drill", "fail drillLate"],
  [status({ lastProven: undefined, lastDrill: undefined }), "drill", "ok drillNotYet"],
  [
    status({ lastProven: undefined, lastDrill: undefined, lastBackup: backup(40) }),
    "drill",
    "warn drillLate",
  ],
  [
    { ...status({ lastProven: undefined, lastDrill: undefined }), plan: { ...PLAN, drillMs: 0 } },
    "drill",
    "ok drillOff",
  ],
  [
    { ...status({ lastProven: undefined, lastDrill: undefined }), startedAt: NOW - 99 * HOUR_MS },
    ...(["drill", "warn drillLate"] as const),
  ],
  [{}, "mail", "ok mailSet"],
  [{ hasMail: false }, "mail", "warn mailNotSet"],
  [{ hasMail: false, isDev: true }, "mail", "ok mailNotSet"],
  [{ mailsFailing: 2 }, "mail", "warn mailWaits"],
  [{}, "relays", "ok relaysTold"],
  [{ relays: [] }, "relays", "warn relaysNone"],
  [{ relays: [], isDev: true }, "relays", "ok relaysNone"],
  [{ relays: [{ relay: "r", askedAt: undefined, problem: undefined }] }, "relays", "ok relaysNotYet"],
  [{ relays: [...FACTS.relays, { relay: "r", askedAt: NOW, problem: "No" }] }, "relays", "warn relaysRefuse"],
];

test.each(ROWS)("judge(%j) finds of %s: %s", (change, name, verdict) => {
  const all = judge({ ...FACTS, ...change });
  expect(all.map((one) => one.name)).toEqual([...CHECKS]);
  const found = all.find((one) => one.name === name);
  expect(`${found?.state} ${found?.reason}`).toBe(verdict);
});

test("worstOf() is the worst", () => {
  const worst = (...states: ("ok" | "warn" | "fail")[]) => worstOf(states.map((state) => ({ state })));
  expect([worst(), worst("ok"), worst("ok", "warn"), worst("warn", "fail", "ok")]).toEqual([
    ...["ok", "ok", "warn", "fail"],
  ] as never);
});
