/** `kith account list` and `kith account info`. */
import { DevKithAdminFindAccount } from "../lexicons/mod.ts";
import type { AdminClient } from "./admin_client.ts";
import { type AdminContext, adminCommand } from "./admin_command.ts";
import { EXIT_OK } from "./command.ts";
import { facts, type Row, Table } from "./table.ts";

/** Accounts of one page, and of one look-up of their details. */
const PAGE_ACCOUNTS = 500;
const INFO_ACCOUNTS = 100;

export interface FoundAccount {
  readonly did: string;
  readonly handle?: string | undefined;
  readonly active: boolean;
  readonly status?: string | undefined;
}

/** An account of the server, by the DID, handle or e-mail address that was typed. Throws AdminError AccountNotFound. */
export function findAccount(client: AdminClient, account: string): Promise<FoundAccount> {
  return client.call(DevKithAdminFindAccount.mainSchema, { params: { account } });
}

/** How people are told which account it is. */
export function nameOf({ did, handle }: FoundAccount): string {
  return handle === undefined ? did : `${handle} (${did})`;
}

export const listCommand = adminCommand({
  name: "account list",
  summary: "list all accounts",
  operands: [],
  run: async ({ io, client, isJson }) => {
    const { ComAtprotoSyncListRepos } = await import("@atcute/atproto");
    const table = new Table(["DID", "HANDLE", "STATUS", "E-MAIL", "CREATED"], io.out);
    let cursor: string | undefined;
    do {
      const params = { limit: PAGE_ACCOUNTS, cursor };
      const page = await client.call(ComAtprotoSyncListRepos.mainSchema, { params });
      const views = await infosOf(
        client,
        page.repos.map(({ did }) => did),
      );
      const accounts = page.repos.map((repo) => ({ ...repo, ...views.get(repo.did) }));
      if (isJson) io.out(accounts.map((account) => `${JSON.stringify(account)}\n`).join(""));
      else table.add(accounts.map(rowOf));
      cursor = page.cursor;
    } while (cursor !== undefined);
    return EXIT_OK;
  },
});

interface AccountView {
  readonly handle?: string;
  readonly email?: string | undefined;
  readonly indexedAt?: string;
}

async function infosOf(client: AdminClient, dids: readonly string[]): Promise<Map<string, AccountView>> {
  const { ComAtprotoAdminGetAccountInfos } = await import("@atcute/atproto");
  const views = new Map<string, AccountView>();
  for (let at = 0; at < dids.length; at += INFO_ACCOUNTS) {
    const params = { dids: dids.slice(at, at + INFO_ACCOUNTS) };
    const { infos } = await client.call(ComAtprotoAdminGetAccountInfos.mainSchema, { params });
    for (const info of infos) views.set(info.did, info);
  }
  return views;
}

function rowOf(account: { did: string; active?: boolean; status?: string } & AccountView): Row {
  const { did, handle = "-", email = "-", indexedAt } = account;
  return [did, handle, statusOf(account), email, indexedAt?.slice(0, 10) ?? "-"];
}

function statusOf({ active, status }: { active?: boolean; status?: string | undefined }): string {
  return active === false ? (status ?? "inactive") : "active";
}

export const infoCommand = adminCommand({
  name: "account info",
  summary: "show what the server knows of an account (a DID, handle or e-mail address)",
  operands: ["ACCOUNT"],
  run: async ({ given, io, client, isJson }: AdminContext) => {
    const { ComAtprotoAdminGetAccountInfo } = await import("@atcute/atproto");
    const account = await findAccount(client, given.rest[0] ?? "");
    const info = await client.call(ComAtprotoAdminGetAccountInfo.mainSchema, {
      params: { did: account.did },
    });
    if (isJson) {
      io.out(`${JSON.stringify({ ...info, active: account.active, status: account.status })}\n`);
      return EXIT_OK;
    }
    const ownCodes = info.invites
      ?.map(({ code, uses, available }) => `${code} (${uses.length}/${available})`)
      .join(", ");
    io.out(
      facts([
        ["DID", info.did],
        ["handle", info.handle],
        ["status", statusOf(account)],
        ["e-mail", info.email],
        ["confirmed", info.emailConfirmedAt ?? "no"],
        ["created", info.indexedAt],
        ["deactivated", info.deactivatedAt],
        ["invited by", info.invitedBy?.createdBy],
        ["invite code", info.invitedBy?.code],
        ["invites", info.invitesDisabled ? "disabled" : undefined],
        ["own codes", ownCodes || undefined],
      ]),
    );
    return EXIT_OK;
  },
});
