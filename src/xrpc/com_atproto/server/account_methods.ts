/** com.atproto.server.createAccount. */
import { ComAtprotoServerCreateAccount } from "@atcute/atproto";
import type { AccountCreator, Sessions } from "../../../accounts/mod.ts";
import { type Method, method } from "../../method.ts";

export interface AccountMethodsOptions {
  readonly creator: Pick<AccountCreator, "create">;
  readonly sessions: Pick<Sessions, "open">;
  readonly authenticator: {
    /** True where the header holds the admin's password, false where it holds no Basic credentials. */
    isAdmin(request: Request): boolean;
  };
}

/** createAccount: the account, then its first session. */
export function accountMethods({ creator, sessions, authenticator }: AccountMethodsOptions): Method[] {
  return [
    method(ComAtprotoServerCreateAccount.mainSchema, {
      auth: "none",
      handler: async ({ input, request }) => {
        const account = await creator.create(input, { admin: authenticator.isAdmin(request) });
        const { accessJwt, refreshJwt, handle, did, didDoc } = await sessions.open(account);
        return { accessJwt, refreshJwt, handle, did, didDoc };
      },
    }),
  ];
}
