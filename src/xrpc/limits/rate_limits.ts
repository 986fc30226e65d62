/** What a caller may do in a time: which counters a call draws on, and the answer where one is used up. */
import { randomInt } from "node:crypto";
import { networkOf } from "../../accounts/mod.ts";
import { KithError } from "../../errors.ts";
import { isLocalAddress } from "../client_ip.ts";
import type { Caller, LimitBypass } from "./limit_bypass.ts";
import { Windows } from "./windows.ts";

/** A key longer than this is cut: what it holds beyond is the caller's own choice. */
const KEY_CHARS_MAX = 256;
const SEED_MAX = 2 ** 32;

/** So many points in so long. Each of these objects has counters of its own; methods that share one share its counters. */
export interface Budget {
  readonly points: number;
  readonly windowMs: number;
}

/** What one call takes from whose budgets. */
export interface Charge {
  readonly budgets: readonly Budget[];
  readonly key: string;
  /** 1 where absent; a call that costs 0 is not counted. */
  readonly cost?: number;
}

/** What is left of the budget that is nearest to its end. */
export interface Left {
  readonly budget: Budget;
  readonly remaining: number;
  /** Until the window ends. */
  readonly ms: number;
}

export const MINUTE_MS = 60_000;
export const HOUR_MS = 60 * MINUTE_MS;
export const DAY_MS = 24 * HOUR_MS;

/** Requests of one network, of all methods together. */
const REQUESTS: readonly Budget[] = [{ points: 3_000, windowMs: 5 * MINUTE_MS }];

interface WarningLog {
  warn(message: string, fields: Readonly<Record<string, unknown>>): void;
}

export interface RateLimitsOptions {
  readonly bypass: Pick<LimitBypass, "covers">;
  readonly log: WarningLog;
  /** Milliseconds that never go back. */
  readonly clock?: () => number;
}

/** The counters, in memory: a start forgets them. */
export class RateLimits {
  readonly #bypass: Pick<LimitBypass, "covers">;
  readonly #log: WarningLog;
  readonly #clock: () => number;
  readonly #windows = new Map<Budget, Windows>();
  readonly #seed = randomInt(SEED_MAX);
  #hasWarned = false;

  constructor({ bypass, log, clock = () => performance.now() }: RateLimitsOptions) {
    this.#bypass = bypass;
    this.#log = log;
    this.#clock = clock;
  }

  /** Counts one request of the caller's network. Throws RateLimited; undefined where the caller is not limited. */
  countRequest(caller: Caller): Left | undefined {
    return this.charge({ budgets: REQUESTS, key: networkOf(caller.ip) }, caller);
  }

  /**
   * Takes what a call costs from all of its budgets, or, where one has not so much left, from none and throws
   * RateLimited. Answers the one that has the least left; undefined where the caller is not limited.
   */
  charge({ budgets, key, cost = 1 }: Charge, caller: Caller): Left | undefined {
    if (cost <= 0 || this.#bypass.covers(caller)) return undefined;
    const nowMs = this.#clock();
    const name = key.length > KEY_CHARS_MAX ? key.slice(0, KEY_CHARS_MAX) : key;
    for (const budget of budgets) {
      const { used, endsMs } = this.#windowsOf(budget).at(name, nowMs);
      if (used + cost <= budget.points) continue;
      this.#warnOfLocal(caller);
      throw new RateLimited({ budget, remaining: budget.points - used, ms: endsMs - nowMs });
    }
    let left: Left | undefined;
    for (const budget of budgets) {
      const window = this.#windowsOf(budget).at(name, nowMs);
      window.used += cost;
      const remaining = budget.points - window.used;
      if (left === undefined || remaining < left.remaining)
        left = { budget, remaining, ms: window.endsMs - nowMs };
    }
    return left;
  }

  #windowsOf(budget: Budget): Windows {
    const known = this.#windows.get(budget);
    if (known !== undefined) return known;
    const windows = new Windows({ windowMs: budget.windowMs, seed: this.#seed });
    this.#windows.set(budget, windows);
    return windows;
  }

  /** Nearly always a proxy that does not say whom it speaks for, so that everybody is one. */
  #warnOfLocal({ ip }: Caller): void {
    if (this.#hasWarned || !isLocalAddress(ip)) return;
    this.#hasWarned = true;
    this.#log.warn("A private address has used up a rate limit: does the proxy set X-Forwarded-For?", { ip });
  }
}

/** 429, with what would have had to be left. */
export class RateLimited extends KithError {
  readonly left: Left;

  constructor(left: Left) {
    const retryAfterS = Math.ceil(left.ms / 1_000);
    super("rate_limited", `Rate Limit Exceeded: try again in ${retryAfterS} seconds`, { retryAfterS });
    this.left = left;
  }
}

/** The one with less left, of the budgets that a request has drawn on. */
export function tighter(one: Left | undefined, other: Left | undefined): Left | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return other.remaining < one.remaining ? other : one;
}

/** https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-ratelimit-headers-05, but Reset as the time in Unix seconds, as clients of the AT Protocol read it. */
export function setLimitHeaders(headers: Headers, { budget, remaining, ms }: Left): void {
  headers.set("RateLimit-Limit", String(budget.points));
  headers.set("RateLimit-Remaining", String(remaining));
  headers.set("RateLimit-Reset", String(Math.ceil((Date.now() + ms) / 1_000)));
  headers.set("RateLimit-Policy", `${budget.points};w=${budget.windowMs / 1_000}`);
}
