/** com.atproto.admin: all invite codes, and who gets none. */
import {
  ComAtprotoAdminDisableAccountInvites,
  ComAtprotoAdminDisableInviteCodes,
  ComAtprotoAdminEnableAccountInvites,
  ComAtprotoAdminGetInviteCodes,
} from "@atcute/atproto";
import { type Account, isPresent } from "../../../accounts/mod.ts";
import { KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";
import type { Log } from "../../request_log.ts";
import { adminAct } from "../admin_act.ts";
import { type InviteSource, inviteView } from "../invite_view.ts";

/** The longest note on an account, in characters. */
const NOTE_CHARS_MAX = 10_000;
/** Codes and accounts of one call. */
const NAMES_MAX = 2_000;
const ADMIN = "admin";

type Awaitable<T> = T | Promise<T>;

export interface AdminInviteOptions {
  readonly accounts: {
    account(did: string): Awaitable<Account | undefined>;
    setInvitesDisabled(did: string, change: { disabled: boolean; note: string | null }): Promise<unknown>;
  };
  readonly invites: {
    page(options: { sort: "recent" | "usage"; limit: number; cursor?: string }): {
      readonly codes: readonly InviteSource[];
      readonly cursor?: string;
    };
    disable(names: { codes: readonly string[]; accounts: readonly string[] }): Promise<unknown>;
  };
  readonly log: Log;
}

export function adminInviteMethods(options: AdminInviteOptions): Method[] {
  const { accounts, log } = options;
  const setDisabled = async (did: string, change: { disabled: boolean; note: string | undefined }) => {
    const { disabled, note = "" } = change;
    if (!isPresent(await accounts.account(did)))
      throw new KithError("subject_not_found", "Account not found");
    if (note.length > NOTE_CHARS_MAX) {
      throw new KithError("invalid_request", `Could not note that: over ${NOTE_CHARS_MAX} characters`);
    }
    await accounts.setInvitesDisabled(did, { disabled, note: note || null });
  };
  return [
    getInviteCodes(options),
    disableInviteCodes(options),
    adminAct(ComAtprotoAdminDisableAccountInvites.mainSchema, {
      ...{ auth: "moderator", log },
      subject: ({ account }) => ({ subject: account }),
      handler: ({ input: { account, note } }) => setDisabled(account, { disabled: true, note }),
    }),
    adminAct(ComAtprotoAdminEnableAccountInvites.mainSchema, {
      ...{ auth: "moderator", log },
      subject: ({ account }) => ({ subject: account }),
      handler: ({ input: { account, note } }) => setDisabled(account, { disabled: false, note }),
    }),
  ];
}

function getInviteCodes({ invites }: AdminInviteOptions): Method {
  return method(ComAtprotoAdminGetInviteCodes.mainSchema, {
    auth: "moderator",
    handler: ({ params: { sort, limit, cursor } }) => {
      const order = (["recent", "usage"] as const).find((name) => name === sort);
      if (!order) throw new KithError("invalid_request", `unknown sort method: ${sort.slice(0, 64)}`);
      const page = invites.page({ sort: order, limit, cursor: cursor || undefined });
      return { cursor: page.cursor, codes: page.codes.map(inviteView) };
    },
  });
}

function disableInviteCodes({ invites, log }: AdminInviteOptions): Method {
  return adminAct(ComAtprotoAdminDisableInviteCodes.mainSchema, {
    auth: "moderator",
    log,
    subject: ({ codes = [], accounts = [] }) => ({ codes: codes.length, subjects: accounts }),
    handler: async ({ input: { codes = [], accounts = [] } }) => {
      if (accounts.includes(ADMIN)) {
        throw new KithError("invalid_request", "cannot disable admin invite codes");
      }
      if (codes.length + accounts.length > NAMES_MAX) {
        throw new KithError("invalid_request", `Could not disable so many codes: ${NAMES_MAX} at most`);
      }
      await invites.disable({ codes, accounts });
    },
  });
}
