import { isKithError, KithError } from "../errors.ts";
import { isIPv6 } from "../ip.ts";

/** Wrong passwords in a row after which an account is locked for the network that they came from, and for how long. */
export const LOGIN_FAILURES_MAX = 5;
export const LOGIN_LOCK_MS = 15 * 60_000;
/** From all networks together it takes so many times more: a stranger must not lock a member out with five requests. */
export const EVERYWHERE_FACTOR = 10;
/** Counters that are kept; beyond them the least recently used goes. */
export const LOCK_COUNTERS_MAX = 20_000;
/** Attempts on one account that may wait until those before them have ended. */
export const WAITING_ATTEMPTS_MAX = 64;

export interface LoginLockOptions {
  readonly failuresMax?: number;
  readonly lockMs?: number;
  /** How many times more it takes from all networks together. */
  readonly everywhereFactor?: number;
  /** What is tried, for the words of a refusal: "passwords". */
  readonly what?: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

interface Counter {
  readonly max: number;
  failures: number;
  lastFailureAt: number;
  underWay: number;
  waiting: number;
  changed: PromiseWithResolvers<void>;
}

/**
 * Counts wrong passwords, by account and network and by account alone, and refuses to look at any password once there
 * were too many. It is asked about names that nobody has as about those of accounts, so that its answers tell nothing.
 * The counters are in memory: a start forgets them.
 */
export class LoginLock {
  readonly #failuresMax: number;
  readonly #lockMs: number;
  readonly #everywhereFactor: number;
  readonly #what: string;
  readonly #now: () => number;
  /** In the order of use, the least recent first. */
  readonly #counters = new Map<string, Counter>();

  constructor(options: LoginLockOptions = {}) {
    this.#failuresMax = options.failuresMax ?? LOGIN_FAILURES_MAX;
    this.#lockMs = options.lockMs ?? LOGIN_LOCK_MS;
    this.#everywhereFactor = options.everywhereFactor ?? EVERYWHERE_FACTOR;
    this.#what = options.what ?? "passwords";
    this.#now = options.now ?? Date.now;
  }

  /**
   * Runs `check`, which throws auth_required for a wrong password. Attempts that could together pass the bound wait for
   * each other. Throws what `check` throws, KithError rate_limited while it is locked, and busy where too many wait.
   */
  async attempt<T>(who: { account: string; ip: string }, check: () => Promise<T>): Promise<T> {
    const here = this.#counter(`${who.account} ${networkOf(who.ip)}`, this.#failuresMax);
    const counters = [here, this.#counter(who.account, this.#failuresMax * this.#everywhereFactor)];
    await this.#enter(counters);
    try {
      const result = await check();
      here.failures = 0;
      return result;
    } catch (error) {
      if (isKithError(error, "auth_required")) for (const counter of counters) this.#fail(counter);
      throw error;
    } finally {
      for (const counter of counters) {
        counter.underWay -= 1;
        counter.changed.resolve();
        counter.changed = Promise.withResolvers();
      }
    }
  }

  /** Lifts every lock of an account: it has a new password. */
  forget(account: string): void {
    for (const [key, counter] of this.#counters) {
      if (key === account || key.startsWith(`${account} `)) counter.failures = 0;
    }
  }

  async #enter(counters: readonly Counter[]): Promise<void> {
    for (;;) {
      for (const counter of counters) this.#refuseIfLocked(counter);
      const full = counters.find(({ failures, underWay, max }) => failures + underWay >= max);
      if (full === undefined) break;
      if (full.waiting >= WAITING_ATTEMPTS_MAX) {
        throw new KithError("busy", `Could not check the ${this.#what}: too many sign-ins at this moment`);
      }
      full.waiting += 1;
      await full.changed.promise;
      full.waiting -= 1;
    }
    for (const counter of counters) counter.underWay += 1;
  }

  #refuseIfLocked(counter: Counter): void {
    const leftMs = counter.lastFailureAt + this.#lockMs - this.#now();
    if (leftMs <= 0) counter.failures = 0;
    if (counter.failures < counter.max) return;
    const retryAfterS = Math.ceil(leftMs / 1000);
    const minutes = Math.ceil(leftMs / 60_000);
    throw new KithError(
      "rate_limited",
      `Rate Limit Exceeded: too many wrong ${this.#what}; try again in ${minutes} minutes`,
      { retryAfterS },
    );
  }

  #fail(counter: Counter): void {
    counter.failures += 1;
    counter.lastFailureAt = this.#now();
  }

  #counter(key: string, max: number): Counter {
    const known = this.#counters.get(key);
    const counter = known ?? {
      max,
      failures: 0,
      lastFailureAt: 0,
      underWay: 0,
      waiting: 0,
      changed: Promise.withResolvers<void>(),
    };
    this.#counters.delete(key);
    this.#counters.set(key, counter);
    if (known === undefined) this.#dropOldest();
    return counter;
  }

  /** Those in use are few: as many as passwords are looked at. */
  #dropOldest(): void {
    for (const [key, { underWay, waiting }] of this.#counters) {
      if (this.#counters.size <= LOCK_COUNTERS_MAX) return;
      if (underWay === 0 && waiting === 0) this.#counters.delete(key);
    }
  }
}

/** The first four groups of an address that has them all, none with zeros before it: most have. */
const PLAIN_HEAD = /^(?:(?:0|[1-9a-f][0-9a-f]{0,3}):){3}(?:0|[1-9a-f][0-9a-f]{0,3})(?=:)/;

/** Whoever has one address of IPv6 has a whole /64 of them. */
export function networkOf(ip: string): string {
  if (!ip.includes(":") || !isIPv6(ip)) return ip;
  const plain = PLAIN_HEAD.exec(ip)?.[0];
  if (plain !== undefined) return `${plain}::/64`;
  const [head = "", tail] = ip.split("%")[0]?.toLowerCase().split("::") ?? [];
  const front = head.split(":").filter((group) => group !== "");
  const back = (tail ?? "").split(":").filter((group) => group !== "");
  const zeros = Array.from({ length: Math.max(0, 8 - front.length - back.length) }, () => "0");
  const groups = tail === undefined ? front : [...front, ...zeros, ...back];
  return `${groups
    .slice(0, 4)
    .map((group) => group.replace(/^0+(?=.)/, ""))
    .join(":")}::/64`;
}
