/** Whether all is well, check by check, as far as it can be told from the facts. Pure. */
import type { DiskRoom } from "./machine_facts.ts";
import type { BackupFacts, BackupPlan, RelayAnswer } from "./sources.ts";

export const CHECKS = ["disk", "events", "backup", "shipping", "drill", "mail", "relays"] as const;
export type CheckName = (typeof CHECKS)[number];
/** warn: look at it within days. fail: now. */
export type CheckState = "ok" | "warn" | "fail";

/** Why a check says what it says; the words for each are where people read them. */
export type CheckReason =
  | "roomEnough"
  | "roomLow"
  | "roomOut"
  | "roomUnknown"
  | "eventsTaken"
  | "eventsRefused"
  | "backupNotSet"
  | "backupUnscheduled"
  | "backupFresh"
  | "backupFirst"
  | "backupNever"
  | "backupLate"
  | "backupFailed"
  | "backupIncomplete"
  | "shippingOff"
  | "shippingUpToDate"
  | "shippingBehind"
  | "shippingFails"
  | "drillOff"
  | "drillNotYet"
  | "drillProven"
  | "drillLate"
  | "drillFailed"
  | "mailSet"
  | "mailNotSet"
  | "mailWaits"
  | "relaysTold"
  | "relaysNone"
  | "relaysNotYet"
  | "relaysRefuse";

/** What the words of a reason are filled with. */
export interface CheckValues {
  readonly freeBytes?: number;
  readonly sizeBytes?: number;
  /** Unix ms. */
  readonly at?: number;
  readonly count?: number;
  readonly ms?: number;
  readonly problem?: string;
  readonly relay?: string;
}

export interface Verdict {
  readonly name: CheckName;
  readonly state: CheckState;
  readonly reason: CheckReason;
  readonly values: CheckValues;
  /** Unix ms, where the facts tell since when it is so. */
  readonly since?: number | undefined;
}

export interface HealthCheck extends Omit<Verdict, "since"> {
  /** Unix ms; at the earliest the start of the server. */
  readonly since: number;
}

export interface HealthFacts {
  /** Unix ms, as all times here. */
  readonly now: number;
  readonly startedAt: number;
  readonly isDev: boolean;
  readonly room: DiskRoom | undefined;
  readonly refusedSince: number | undefined;
  readonly backup: BackupFacts;
  readonly plan: BackupPlan;
  /** Undefined where the log is not shipped. */
  readonly lagMs: number | undefined;
  readonly hasMail: boolean;
  /** Messages that were tried several times and wait. */
  readonly mailsFailing: number;
  readonly relays: readonly RelayAnswer[];
}

const MIB = 1024 * 1024;
const MINUTE_MS = 60_000;
/** Below this a checkpoint, a backup or an upload may find no room. */
export const ROOM_FAIL_BYTES = 512 * MIB;
export const ROOM_WARN_BYTES = 2048 * MIB;
const ROOM_WARN_SHARE = 0.05;
/** So many times its schedule something may be old; and a little more, for the time that it takes. */
const LATE_WARN = 1.5;
const LATE_FAIL = 3;
const LATE_GRACE_MS = 30 * MINUTE_MS;
export const LAG_WARN_MS = MINUTE_MS;
export const LAG_FAIL_MS = 60 * MINUTE_MS;
const LAG_WARN_STEPS = 6;

/** All checks, in the order of `CHECKS`. */
export function judge(facts: HealthFacts): Verdict[] {
  return [
    judgeDisk(facts),
    judgeEvents(facts),
    judgeBackup(facts),
    judgeShipping(facts),
    judgeDrill(facts),
    judgeMail(facts),
    judgeRelays(facts),
  ];
}

/** The worst of them. */
export function worstOf(checks: readonly Pick<Verdict, "state">[]): CheckState {
  if (checks.some(({ state }) => state === "fail")) return "fail";
  return checks.some(({ state }) => state === "warn") ? "warn" : "ok";
}

function judgeDisk({ room }: HealthFacts): Verdict {
  if (!room) return { name: "disk", state: "ok", reason: "roomUnknown", values: {} };
  const { freeBytes, sizeBytes } = room;
  const values = { freeBytes, sizeBytes };
  if (freeBytes < ROOM_FAIL_BYTES) return { name: "disk", state: "fail", reason: "roomOut", values };
  const isLow =
    freeBytes < Math.min(ROOM_WARN_BYTES, sizeBytes / 2) || freeBytes < sizeBytes * ROOM_WARN_SHARE;
  return isLow
    ? { name: "disk", state: "warn", reason: "roomLow", values }
    : { name: "disk", state: "ok", reason: "roomEnough", values };
}

function judgeEvents({ refusedSince }: HealthFacts): Verdict {
  return refusedSince === undefined
    ? { name: "events", state: "ok", reason: "eventsTaken", values: {} }
    : { name: "events", state: "fail", reason: "eventsRefused", values: {}, since: refusedSince };
}

function judgeBackup({ now, isDev, backup, plan }: HealthFacts): Verdict {
  const name = "backup";
  if (!plan.isSet) return { name, state: isDev ? "ok" : "warn", reason: "backupNotSet", values: {} };
  const { lastBackup, lastFailure, running } = backup;
  const at = lastBackup && Date.parse(lastBackup.at);
  const age = ageState(at, { now, everyMs: plan.intervalMs });
  // What is being mended is no alarm.
  const late = running && age === "fail" ? "warn" : age;
  if (lastFailure && !(running && late === "ok")) {
    const state = at === undefined || late === "fail" ? "fail" : "warn";
    const values = { problem: lastFailure.message, ...(at === undefined ? {} : { at }) };
    return { name, state, reason: "backupFailed", values, since: Date.parse(lastFailure.at) };
  }
  if (at === undefined) {
    if (running) return { name, state: "ok", reason: "backupFirst", values: {} };
    return { name, state: "warn", reason: "backupNever", values: {} };
  }
  if (late !== "ok") return { name, state: late, reason: "backupLate", values: { at } };
  const problems = lastBackup?.problems ?? 0;
  if (problems > 0)
    return { name, state: "warn", reason: "backupIncomplete", values: { at, count: problems } };
  const isScheduled = plan.intervalMs > 0;
  return { name, state: "ok", reason: isScheduled ? "backupFresh" : "backupUnscheduled", values: { at } };
}

function judgeShipping({ now, startedAt, backup, plan, lagMs: oldestMs }: HealthFacts): Verdict {
  const name = "shipping";
  if (!backup.shipping || oldestMs === undefined)
    return { name, state: "ok", reason: "shippingOff", values: {} };
  // Before the start nobody was there to ship it: after a restore, say, that is no alarm.
  const lagMs = Math.min(oldestMs, now - startedAt);
  const state =
    lagMs > LAG_FAIL_MS
      ? "fail"
      : lagMs > Math.max(LAG_WARN_MS, LAG_WARN_STEPS * plan.shipMs)
        ? "warn"
        : "ok";
  const problem = backup.shippingProblem;
  if (problem !== undefined) {
    const isFail = state === "fail";
    return { name, state: isFail ? "fail" : "warn", reason: "shippingFails", values: { ms: lagMs, problem } };
  }
  if (state === "ok") return { name, state, reason: "shippingUpToDate", values: { ms: lagMs } };
  return { name, state, reason: "shippingBehind", values: { ms: lagMs } };
}

function judgeDrill({ now, startedAt, backup, plan }: HealthFacts): Verdict {
  const name = "drill";
  const { lastProven, lastDrill, lastBackup } = backup;
  const at = lastProven && Date.parse(lastProven.at);
  const values = at === undefined ? {} : { at };
  if (lastDrill?.problem !== undefined) {
    const { problem } = lastDrill;
    const since = Date.parse(lastDrill.at);
    return { name, state: "fail", reason: "drillFailed", values: { ...values, problem }, since };
  }
  if (!plan.isSet) return { name, state: "ok", reason: "drillOff", values };
  // The first drill comes after the first backup, of which there may have been many since.
  const dueFrom = at ?? (lastBackup && Math.min(Date.parse(lastBackup.at), startedAt));
  const age = ageState(dueFrom, { now, everyMs: plan.drillMs });
  if (age !== "ok") return { name, state: at === undefined ? "warn" : age, reason: "drillLate", values };
  if (at !== undefined) return { name, state: "ok", reason: "drillProven", values };
  return { name, state: "ok", reason: plan.drillMs === 0 ? "drillOff" : "drillNotYet", values };
}

function judgeMail({ isDev, hasMail, mailsFailing }: HealthFacts): Verdict {
  const name = "mail";
  if (!hasMail) return { name, state: isDev ? "ok" : "warn", reason: "mailNotSet", values: {} };
  if (mailsFailing === 0) return { name, state: "ok", reason: "mailSet", values: {} };
  return { name, state: "warn", reason: "mailWaits", values: { count: mailsFailing } };
}

function judgeRelays({ isDev, relays }: HealthFacts): Verdict {
  const name = "relays";
  if (relays.length === 0) return { name, state: isDev ? "ok" : "warn", reason: "relaysNone", values: {} };
  const refusing = relays.find(({ problem }) => problem !== undefined);
  if (refusing) {
    const { relay, problem = "", askedAt } = refusing;
    return { name, state: "warn", reason: "relaysRefuse", values: { relay, problem }, since: askedAt };
  }
  const asked = relays.flatMap(({ askedAt }) => askedAt ?? []);
  if (asked.length === 0)
    return { name, state: "ok", reason: "relaysNotYet", values: { count: relays.length } };
  const values = { count: relays.length, at: Math.max(...asked) };
  return { name, state: "ok", reason: "relaysTold", values };
}

/** How bad the age of something is that comes by a schedule; one from the future is as good as new. */
function ageState(at: number | undefined, { now, everyMs }: { now: number; everyMs: number }): CheckState {
  if (at === undefined || everyMs === 0) return "ok";
  const age = now - at - LATE_GRACE_MS;
  if (age > LATE_FAIL * everyMs) return "fail";
  return age > LATE_WARN * everyMs ? "warn" : "ok";
}
