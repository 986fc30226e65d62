/** What this folder needs to know about an account, and how its state is told to the outside. */

export type AccountState =
  | "creating"
  | "active"
  | "deactivated"
  | "takendown"
  | "suspended"
  | "deleting"
  | "deleted";

/** An account, as far as sign-in and the answers about it go. */
export interface Account {
  readonly did: string;
  readonly handle: string;
  readonly email: string | null;
  /** Milliseconds since 1970. */
  readonly emailConfirmedAt: number | null;
  readonly passwordHash: string;
  readonly state: AccountState;
}

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
