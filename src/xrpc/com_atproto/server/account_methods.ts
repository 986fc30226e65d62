/** com.atproto.server.createAccount. */
import { ComAtprotoServerCreateAccount } from "@atcute/atproto";
import * as v from "@atcute/lexicons/validations";
import type { Account, AccountCreator, Sessions } from "../../../accounts/mod.ts";
import { type Method, method } from "../../method.ts";

const { mainSchema } = ComAtprotoServerCreateAccount;

/** The lexicon's, but any text as a handle: what is wrong with one is then told as InvalidHandle, with the reason. */
const SCHEMA = {
  ...mainSchema,
  input: { ...mainSchema.input, schema: v.object({ ...mainSchema.input.schema.shape, handle: v.string() }) },
};

export interface AccountMethodsOptions {
  readonly creator: Pick<AccountCreator, "create">;
  readonly sessions: Pick<Sessions, "open">;
  readonly authenticator: {
    /** True where the header holds the admin's password, false where it holds no Basic credentials. */
    isAdmin(request: Request): boolean;
  };
  /** Mails a welcome, if it can; nobody waits for it. */
  readonly welcome?: (account: Account) => void;
}

/** createAccount: the account, then its first session. */
export function accountMethods(options: AccountMethodsOptions): Method[] {
  const { creator, sessions, authenticator, welcome } = options;
  return [
    method(SCHEMA, {
      auth: "none",
      handler: async ({ input, request }) => {
        const account = await creator.create(input, { admin: authenticator.isAdmin(request) });
        welcome?.(account);
        const { accessJwt, refreshJwt, handle, did, didDoc } = await sessions.open(account);
        return { accessJwt, refreshJwt, handle, did, didDoc };
      },
    }),
  ];
}
