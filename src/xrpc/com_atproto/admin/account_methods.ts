/** com.atproto.admin: who is here, and what the admin does for members and to accounts. */
import {
  ComAtprotoAdminDeleteAccount,
  ComAtprotoAdminGetAccountInfo,
  ComAtprotoAdminGetAccountInfos,
  ComAtprotoAdminSearchAccounts,
  ComAtprotoAdminSendEmail,
  ComAtprotoAdminUpdateAccountEmail,
  ComAtprotoAdminUpdateAccountPassword,
} from "@atcute/atproto";
import { type Account, type Credentials, isPresent, type ModeratorMail } from "../../../accounts/mod.ts";
import { KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";
import type { Log } from "../../request_log.ts";
import { adminAct } from "../admin_act.ts";
import { type InviteSource, inviteView } from "../invite_view.ts";
import { asInvalidRequest } from "../password_error.ts";

/** An account, as far as its view goes. */
export interface AdminAccount extends Account {
  readonly createdAt: number;
  readonly deactivatedAt: number | null;
  readonly invitesDisabled: boolean;
  readonly inviteNote: string | null;
}

type Awaitable<T> = T | Promise<T>;

export interface AdminAccountOptions {
  readonly accounts: {
    account(did: string): Awaitable<AdminAccount | undefined>;
    byIdentifier(identifier: string): Awaitable<AdminAccount | undefined>;
    /** In the order of creation; `cursor` is absent at the end. `email` is a part of the address. */
    listAccounts(page: { cursor?: string; limit: number; email?: string }): Awaitable<{
      readonly accounts: readonly AdminAccount[];
      readonly cursor?: string;
    }>;
  };
  readonly invites: {
    codesOf(did: string): readonly InviteSource[];
    inviterOf(did: string): InviteSource | undefined;
  };
  readonly credentials: Pick<Credentials, "setPassword" | "setEmail">;
  readonly mail: Pick<ModeratorMail, "send">;
  readonly repos: { deleteRepo(did: string): Promise<unknown> };
  readonly log: Log;
}

export function adminAccountMethods(options: AdminAccountOptions): Method[] {
  return [...viewMethods(options), ...accountActs(options), sendEmail(options)];
}

function viewMethods({ accounts, invites }: AdminAccountOptions): Method[] {
  const view = (account: AdminAccount) => accountView(account, invites);
  return [
    method(ComAtprotoAdminGetAccountInfo.mainSchema, {
      auth: "moderator",
      handler: async ({ params }) => view(await present(accounts, params.did)),
    }),
    method(ComAtprotoAdminGetAccountInfos.mainSchema, {
      auth: "moderator",
      handler: async ({ params }) => {
        const found = await Promise.all([...new Set(params.dids)].map((did) => accounts.account(did)));
        return { infos: found.filter(isPresentAccount).map(view) };
      },
    }),
    method(ComAtprotoAdminSearchAccounts.mainSchema, {
      auth: "moderator",
      handler: async ({ params: { email, cursor, limit } }) => {
        const page = await accounts.listAccounts({ email, cursor: cursor || undefined, limit });
        return { cursor: page.cursor, accounts: page.accounts.map(view) };
      },
    }),
  ];
}

function accountActs({ accounts, credentials, repos, log }: AdminAccountOptions): Method[] {
  const auth = "admin";
  return [
    adminAct(ComAtprotoAdminDeleteAccount.mainSchema, {
      ...{ auth, log },
      subject: ({ did }) => ({ subject: did }),
      handler: async ({ input: { did } }) => {
        await present(accounts, did);
        await repos.deleteRepo(did);
      },
    }),
    adminAct(ComAtprotoAdminUpdateAccountPassword.mainSchema, {
      ...{ auth, log },
      subject: ({ did }) => ({ subject: did }),
      handler: async ({ input: { did, password } }) => {
        await present(accounts, did);
        await credentials.setPassword(did, password).catch(asInvalidRequest);
      },
    }),
    adminAct(ComAtprotoAdminUpdateAccountEmail.mainSchema, {
      ...{ auth, log },
      subject: ({ account }) => ({ subject: account }),
      handler: async ({ input }) => {
        const account = await accounts.byIdentifier(input.account);
        if (!isPresentAccount(account)) {
          throw new KithError("invalid_request", `Account does not exist: ${input.account}`);
        }
        await credentials.setEmail(account.did, input.email);
      },
    }),
  ];
}

function sendEmail({ accounts, mail, log }: AdminAccountOptions): Method {
  return adminAct(ComAtprotoAdminSendEmail.mainSchema, {
    auth: "moderator",
    log,
    subject: ({ recipientDid, senderDid }) => ({ subject: recipientDid, sender: senderDid }),
    handler: async ({ input: { recipientDid, subject, content } }) => {
      const account = await accounts.account(recipientDid);
      if (!isPresentAccount(account)) throw new KithError("invalid_request", "Recipient not found");
      await mail.send(account, { subject, content });
      return { sent: true };
    },
  });
}

async function present(accounts: AdminAccountOptions["accounts"], did: string): Promise<AdminAccount> {
  const account = await accounts.account(did);
  if (!isPresentAccount(account)) throw new KithError("subject_not_found", "Account not found");
  return account;
}

function isPresentAccount(account: AdminAccount | undefined): account is AdminAccount {
  return isPresent(account);
}

/** com.atproto.admin.defs#accountView. */
function accountView(account: AdminAccount, invites: AdminAccountOptions["invites"]): object {
  const { did, handle, email, createdAt, emailConfirmedAt, deactivatedAt, invitesDisabled, inviteNote } =
    account;
  const inviter = invites.inviterOf(did);
  return {
    did,
    handle,
    email: email ?? undefined,
    indexedAt: new Date(createdAt).toISOString(),
    emailConfirmedAt: timeOf(emailConfirmedAt),
    invitedBy: inviter && inviteView(inviter),
    invites: invites.codesOf(did).map(inviteView),
    invitesDisabled,
    inviteNote: inviteNote ?? undefined,
    deactivatedAt: timeOf(deactivatedAt),
  };
}

function timeOf(at: number | null): string | undefined {
  return at === null ? undefined : new Date(at).toISOString();
}
