/** What methods declare as their `limit`: budgets, and who draws on them. The figures are those of the reference. */
import { networkOf } from "../../accounts/mod.ts";
import { type Call, callerDid } from "../method.ts";
import { type Budget, type Charge, DAY_MS, HOUR_MS, MINUTE_MS } from "./rate_limits.ts";

/** Writes to one repo, of all methods together: a create costs 3 points, an update 2, a delete 1. */
export const REPO_WRITES: readonly Budget[] = [
  { points: 5_000, windowMs: HOUR_MS },
  { points: 35_000, windowMs: DAY_MS },
];
export const WRITE_COSTS = { create: 3, update: 2, delete: 1 } as const;

/** Every call draws on the budgets of its network. */
export function perNetwork(...budgets: readonly Budget[]): (call: Call<unknown, unknown>) => Charge {
  return ({ ip }) => ({ budgets, key: networkOf(ip) });
}

/** Every call draws on the budgets of the account that makes it. */
export function perAccount(...budgets: readonly Budget[]): (call: Call<unknown, unknown>) => Charge {
  return (call) => ({ budgets, key: callerDid(call) });
}

/** Codes that are mailed to an account at its own wish; each method that mails has budgets of its own. */
export function perAccountMailed(): (call: Call<unknown, unknown>) => Charge {
  return perAccount({ points: 5, windowMs: HOUR_MS }, { points: 15, windowMs: DAY_MS });
}

/** Changes of an account's handle. */
export function perAccountRenamed(): (call: Call<unknown, unknown>) => Charge {
  return perAccount({ points: 10, windowMs: 5 * MINUTE_MS }, { points: 50, windowMs: DAY_MS });
}
