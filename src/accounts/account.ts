/** What this folder needs to know about an account, and how its state is told to the outside. */
import type { Account as StoredAccount } from "../storage/mod.ts";

export type { AccountState } from "../storage/mod.ts";

/** An account, as far as sign-in and the answers about it go. */
export type Account = Pick<
  StoredAccount,
  "did" | "handle" | "email" | "emailConfirmedAt" | "passwordHash" | "state"
>;

/** A look-up may be answered at once or later: the stores decide. */
export type Awaitable<T> = T | Promise<T>;

/** Finds accounts. Names are compared in lower case. */
export interface AccountLookup {
  account(did: string): Awaitable<Account | undefined>;
  accountByHandle(handle: string): Awaitable<Account | undefined>;
  accountByEmail(email: string): Awaitable<Account | undefined>;
}

/** True for an account that exists for its owner: born, and not on its way out. */
export function isPresent(account: Account | undefined): account is Account {
  return account !== undefined && !["creating", "deleting", "deleted"].includes(account.state);
}

/** `active`, and `status` wherever it is false: clients rely on never meeting the one without the other. */
export function statusOf(account: Account): {
  active: boolean;
  status?: "deactivated" | "takendown" | "suspended";
} {
  if (account.state === "active") return { active: true };
  const { state } = account;
  const status = state === "takendown" || state === "suspended" ? state : "deactivated";
  return { active: false, status };
}
