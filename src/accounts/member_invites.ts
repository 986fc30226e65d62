import { randomBytes } from "node:crypto";
import { KithError } from "../errors.ts";
import type { Account, EarnedCodes, InviteCode, InviteDetails } from "../storage/mod.ts";
import type { Awaitable } from "./account.ts";
import { formatInviteCode } from "./invites.ts";

/** Codes of their own that a member may have open. */
export const OPEN_CODES_MAX = 5;

/** What `MemberInvites` needs of the invite store. */
export interface MemberInviteRows {
  codesOf(did: string): Awaitable<readonly InviteDetails[]>;
  /** In one transaction. */
  createEarned(did: string, plan: (made: readonly InviteCode[]) => EarnedCodes): Promise<unknown>;
}

export interface MemberInvitesOptions {
  readonly codes: MemberInviteRows;
  readonly accounts: { account(did: string): Awaitable<Account | undefined> };
  /** The public host name, which the codes begin with. */
  readonly hostname: string;
  /** How long a member waits for each code of their own, and since when that counts; absent: there are none. */
  readonly earning?: { readonly intervalMs: number; readonly epochMs: number } | undefined;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** The invite codes of members: given by the admin, or earned by being here. */
export class MemberInvites {
  readonly #options: MemberInvitesOptions;

  constructor(options: MemberInvitesOptions) {
    this.#options = options;
  }

  /**
   * The codes of an account, without disabled ones; with `createAvailable` those that it has earned are made first (for one
   * whose invites are disabled they are made disabled). Throws KithError subject_not_found where it is not active.
   */
  async ofAccount(
    did: string,
    { includeUsed, createAvailable }: { includeUsed: boolean; createAvailable: boolean },
  ): Promise<InviteDetails[]> {
    const { accounts, codes, earning, hostname, now = Date.now } = this.#options;
    const account = await accounts.account(did);
    if (account?.state !== "active") throw new KithError("subject_not_found", "Account not found");
    if (createAvailable && earning) {
      const facts = { ...earning, createdAt: account.createdAt, now: now() };
      if (earnedCodes({ ...facts, made: own(await codes.codesOf(did), did) }) > 0) {
        await codes.createEarned(did, (made) => ({
          codes: Array.from({ length: earnedCodes({ ...facts, made }) }, () =>
            formatInviteCode(hostname, randomBytes(10)),
          ),
          disabled: account.invitesDisabled,
          now: facts.now,
        }));
      }
    }
    const all = await codes.codesOf(did);
    return all.filter((code) => !code.disabled && (includeUsed || code.used < code.uses));
  }
}

function own(codes: readonly InviteDetails[], did: string): InviteDetails[] {
  return codes.filter(({ createdBy }) => createdBy === did);
}

/**
 * How many codes a member has earned and not made: one for each interval of the account's life after the epoch, less those
 * made in that time, and no more than leave five open. `made` are the member's own, not those that the admin has given.
 */
export function earnedCodes(facts: {
  readonly createdAt: number;
  readonly now: number;
  readonly intervalMs: number;
  readonly epochMs: number;
  readonly made: readonly Pick<InviteCode, "uses" | "used" | "disabled" | "createdAt">[];
}): number {
  const { createdAt, now, intervalMs, epochMs, made } = facts;
  const intervalsUntil = (at: number) => Math.floor(Math.max(0, at - createdAt) / intervalMs);
  const earned = intervalsUntil(now) - intervalsUntil(epochMs);
  const open = made.filter((code) => !code.disabled && code.used < code.uses).length;
  const sinceEpoch = made.filter((code) => code.createdAt > epochMs).length;
  return Math.max(0, Math.min(OPEN_CODES_MAX - open, earned - sinceEpoch));
}
