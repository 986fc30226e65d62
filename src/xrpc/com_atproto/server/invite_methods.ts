/** com.atproto.server.createInviteCode(s), by the admin. */
import { ComAtprotoServerCreateInviteCode, ComAtprotoServerCreateInviteCodes } from "@atcute/atproto";
import { INVITE_CODES_MAX, type Invites } from "../../../accounts/mod.ts";
import { KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";

/** Whose codes they are where no account is named. */
const ADMIN = "admin";

/** createInviteCode and createInviteCodes. */
export function inviteMethods({ invites }: { readonly invites: Pick<Invites, "create"> }): Method[] {
  return [
    method(ComAtprotoServerCreateInviteCode.mainSchema, {
      auth: "admin",
      handler: async ({ input: { useCount, forAccount = ADMIN } }) => {
        const [code] = await invites.create({ count: 1, uses: useCount, forAccount, createdBy: ADMIN });
        return { code };
      },
    }),
    method(ComAtprotoServerCreateInviteCodes.mainSchema, {
      auth: "admin",
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
