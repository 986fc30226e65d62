/** com.atproto.admin.updateAccountHandle and updateAccountSigningKey. */
import { ComAtprotoAdminUpdateAccountHandle, ComAtprotoAdminUpdateAccountSigningKey } from "@atcute/atproto";
import type { IdentityChanges } from "../../../accounts/mod.ts";
import { isKithError, KithError } from "../../../errors.ts";
import type { Method } from "../../method.ts";
import type { Log } from "../../request_log.ts";
import { adminAct } from "../admin_act.ts";
import { withAnyHandle } from "../any_handle.ts";

const SCHEMA = withAnyHandle(ComAtprotoAdminUpdateAccountHandle.mainSchema);

/** The longest handle that there is has 253. */
const HANDLE_CHARS_LOGGED = 260;

export interface AdminIdentityOptions {
  readonly changes: Pick<IdentityChanges, "updateHandle" | "updateSigningKey">;
  readonly log: Log;
}

export function adminIdentityMethods({ changes, log }: AdminIdentityOptions): Method[] {
  return [
    adminAct(SCHEMA, {
      ...{ auth: "admin", log },
      subject: ({ did, handle }) => ({ subject: did, handle: handle.slice(0, HANDLE_CHARS_LOGGED) }),
      handler: ({ input }) => ofAccount(changes.updateHandle(input.did, input.handle, "admin")),
    }),
    adminAct(ComAtprotoAdminUpdateAccountSigningKey.mainSchema, {
      ...{ auth: "admin", log },
      subject: ({ did, signingKey }) => ({ subject: did, signingKey }),
      handler: ({ input }) => ofAccount(changes.updateSigningKey(input.did, input.signingKey)),
    }),
  ];
}

/** That an account is not here is the request's fault, not the caller's. */
async function ofAccount(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!isKithError(error, "account_not_found")) throw error;
    throw new KithError("invalid_request", error.message, { cause: error });
  }
}
