/** com.atproto.sync: which repos there are, and how they are. */
import {
  ComAtprotoSyncGetRepoStatus,
  ComAtprotoSyncListRepos,
  ComAtprotoSyncListReposByCollection,
} from "@atcute/atproto";
import { cidToString } from "../../../atproto/mod.ts";
import { isKithError, KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";
import type { Log } from "../../request_log.ts";
import { type Accounts, type AccountView, findAccount, type RepoReads } from "../repo_access.ts";

/** Repos opened at one time for a page of listRepos. */
const OPENED_AT_ONCE_MAX = 8;
/** Accounts whose repos are looked into for one page of listReposByCollection, however few of them have the collection. */
const LOOKED_INTO_MAX = 500;

export interface RepoStatusOptions {
  readonly accounts: Accounts & {
    /** Ordered by creation; `cursor` is absent at the end. */
    listAccounts(page: { cursor?: string; limit: number }): AccountsPage | Promise<AccountsPage>;
  };
  readonly repos: RepoReads;
  readonly log: Log;
}

export interface AccountsPage {
  readonly accounts: readonly AccountView[];
  readonly cursor?: string;
}

export function repoStatusMethods(options: RepoStatusOptions): Method[] {
  return [getRepoStatus(options), listRepos(options), listReposByCollection(options)];
}

function getRepoStatus({ accounts, repos }: RepoStatusOptions): Method {
  return method(ComAtprotoSyncGetRepoStatus.mainSchema, {
    auth: "none",
    handler: async ({ params }) => {
      const account = await findAccount(accounts, params.did);
      if (!account) throw new KithError("repo_not_found", `Could not find the repo of "${params.did}"`);
      const { did } = account;
      if (account.state !== "active") return { did, ...statusOf(account) };
      const head = await repos.readDurable(did, (repo) => repo.state().head);
      return { did, ...statusOf(account), rev: head?.rev };
    },
  });
}

/** What the network is told of an account. https://atproto.com/specs/account#hosting-status */
function statusOf({ state }: AccountView): { active: boolean; status?: string } {
  if (state === "active") return { active: true };
  return { active: false, status: state === "deleting" ? "deleted" : state };
}

function listRepos(options: RepoStatusOptions): Method {
  return method(ComAtprotoSyncListRepos.mainSchema, {
    auth: "none",
    handler: async ({ params }) => {
      const page = await options.accounts.listAccounts({ cursor: params.cursor, limit: params.limit });
      const listed = page.accounts.filter(({ state }) => !HIDDEN_STATES.has(state));
      const repos: RepoEntry[] = [];
      for (let at = 0; at < listed.length; at += OPENED_AT_ONCE_MAX) {
        const some = listed.slice(at, at + OPENED_AT_ONCE_MAX);
        const entries = await Promise.all(some.map((account) => entryOf(account, options)));
        repos.push(...entries.filter((entry) => entry !== undefined));
      }
      return { cursor: page.cursor, repos };
    },
  });
}

/** Half-made accounts do not exist to others, and deleted ones no more. */
const HIDDEN_STATES: ReadonlySet<AccountView["state"]> = new Set(["creating", "deleting", "deleted"]);

interface RepoEntry {
  readonly did: string;
  readonly head: string;
  readonly rev: string;
  readonly active: boolean;
  readonly status?: string;
}

/** Undefined for a repo that cannot be read: one damaged file must not hide all others from the relays. */
async function entryOf(
  account: AccountView,
  { repos, log }: RepoStatusOptions,
): Promise<RepoEntry | undefined> {
  const { did } = account;
  try {
    const head = await repos.readDurable(did, (repo) => repo.state().head);
    if (!head) return undefined;
    return { did, head: cidToString(head.commit), rev: head.rev, ...statusOf(account) };
  } catch (error) {
    if (isKithError(error, "busy") || isKithError(error, "shutting_down")) throw error;
    if (!isKithError(error, "repo_not_found")) log.error("Could not list a repo", { did, error });
    return undefined;
  }
}

/** There is no index over all repos: each account is asked, a bounded number a page. A page may be short, or empty. */
function listReposByCollection(options: RepoStatusOptions): Method {
  return method(ComAtprotoSyncListReposByCollection.mainSchema, {
    auth: "none",
    handler: async ({ params: { collection, cursor, limit } }) => {
      const page = await options.accounts.listAccounts({ cursor, limit: Math.min(limit, LOOKED_INTO_MAX) });
      const active = page.accounts.filter(({ state }) => state === "active");
      const repos: { did: string }[] = [];
      for (let at = 0; at < active.length; at += OPENED_AT_ONCE_MAX) {
        const some = active.slice(at, at + OPENED_AT_ONCE_MAX);
        const found = await Promise.all(
          some.map((account) => hasCollection(account, { collection, options })),
        );
        repos.push(...some.filter((_, i) => found[i]).map(({ did }) => ({ did })));
      }
      return { cursor: page.cursor, repos };
    },
  });
}

/** False for a repo that cannot be read, too: one damaged file must not hide all others. */
async function hasCollection(
  { did }: AccountView,
  { collection, options }: { collection: string; options: RepoStatusOptions },
): Promise<boolean> {
  try {
    return await options.repos.readDurable(
      did,
      (repo) => repo.listRecords({ collection, limit: 1 }).length > 0,
    );
  } catch (error) {
    if (isKithError(error, "busy") || isKithError(error, "shutting_down")) throw error;
    if (!isKithError(error, "repo_not_found"))
      options.log.error("Could not look into a repo", { did, error });
    return false;
  }
}
