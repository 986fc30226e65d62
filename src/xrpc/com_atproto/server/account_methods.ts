/** com.atproto.server.createAccount. */
import { ComAtprotoServerCreateAccount } from "@atcute/atproto";
import type { Account, AccountCreator, MemberLanguages, Sessions } from "../../../accounts/mod.ts";
import { perNetwork } from "../../limits/charges.ts";
import { MINUTE_MS } from "../../limits/rate_limits.ts";
import { type Method, method } from "../../method.ts";
import { wishedLanguage } from "../../wished_language.ts";
import { withAnyHandle } from "../any_handle.ts";

const SCHEMA = withAnyHandle(ComAtprotoServerCreateAccount.mainSchema);

export interface AccountMethodsOptions {
  readonly creator: Pick<AccountCreator, "create">;
  readonly sessions: Pick<Sessions, "open">;
  readonly languages?: Pick<MemberLanguages, "guess">;
  /** Mails a welcome, if it can; nobody waits for it. */
  readonly welcome?: (account: Account) => void;
}

/** createAccount: the account, then its first session. A service token brings the DID of an account that moves in. */
export function accountMethods({ creator, sessions, languages, welcome }: AccountMethodsOptions): Method[] {
  return [
    method(SCHEMA, {
      auth: "optionalService",
      limit: perNetwork({ points: 100, windowMs: 5 * MINUTE_MS }),
      handler: async ({ input, principal, request }) => {
        const service = principal?.kind === "service" ? principal : undefined;
        const caller = { admin: principal?.kind === "admin", did: service?.did };
        const account = await creator.create(input, caller).catch((error: unknown) => {
          // What was refused has changed nothing: the same token may be tried again, with another handle, say.
          service?.release();
          throw error;
        });
        await languages?.guess(account.did, wishedLanguage(request).language);
        // Who moves in is not here yet.
        if (account.state === "active") welcome?.(account);
        const { accessJwt, refreshJwt, handle, did, didDoc } = await sessions.open(account);
        return { accessJwt, refreshJwt, handle, did, didDoc };
      },
    }),
  ];
}
