/** com.atproto.server: createInviteCode(s), by the admin, and getAccountInviteCodes, by members. */
import {
  ComAtprotoServerCreateInviteCode,
  ComAtprotoServerCreateInviteCodes,
  ComAtprotoServerGetAccountInviteCodes,
} from "@atcute/atproto";
import { INVITE_CODES_MAX, type Invites, type MemberInvites } from "../../../accounts/mod.ts";
import { KithError } from "../../../errors.ts";
import { callerDid, type Method, method } from "../../method.ts";
import type { Log } from "../../request_log.ts";
import { adminAct } from "../admin_act.ts";
import { inviteView } from "../invite_view.ts";

/** Whose codes they are where no account is named. */
const ADMIN = "admin";

/** createInviteCode and createInviteCodes. */
export function inviteMethods(options: {
  readonly invites: Pick<Invites, "create">;
  readonly log: Log;
}): Method[] {
  const { invites, log } = options;
  return [
    adminAct(ComAtprotoServerCreateInviteCode.mainSchema, {
      ...{ auth: "admin", log },
      subject: ({ forAccount = ADMIN }) => ({ subject: forAccount, codes: 1 }),
      handler: async ({ input: { useCount, forAccount = ADMIN } }) => {
        const [code] = await invites.create({ count: 1, uses: useCount, forAccount, createdBy: ADMIN });
        return { code };
      },
    }),
    adminAct(ComAtprotoServerCreateInviteCodes.mainSchema, {
      ...{ auth: "admin", log },
      subject: ({ codeCount, forAccounts = [ADMIN] }) => ({ subjects: forAccounts, codes: codeCount }),
      handler: async ({ input: { codeCount, useCount, forAccounts = [] } }) => {
        const accounts: readonly string[] = forAccounts.length > 0 ? forAccounts : [ADMIN];
        if (accounts.length * codeCount > INVITE_CODES_MAX) {
          const asked = accounts.length * codeCount;
          throw new KithError(
            "invalid_request",
            `Could not make ${asked} invite codes: ${INVITE_CODES_MAX} at most`,
          );
        }
        const made = accounts.map(async (account) => ({
          account,
          codes: await invites.create({
            count: codeCount,
            uses: useCount,
            forAccount: account,
            createdBy: ADMIN,
          }),
        }));
        return { codes: await Promise.all(made) };
      },
    }),
  ];
}

/** getAccountInviteCodes: the member's own, made as they are earned. */
export function memberInviteMethods(options: {
  readonly invites: Pick<MemberInvites, "ofAccount">;
}): Method[] {
  return [
    method(ComAtprotoServerGetAccountInviteCodes.mainSchema, {
      auth: "full",
      oauth: "refused",
      handler: async (call) => {
        const codes = await options.invites.ofAccount(callerDid(call), call.params);
        return { codes: codes.map(inviteView) };
      },
    }),
  ];
}
