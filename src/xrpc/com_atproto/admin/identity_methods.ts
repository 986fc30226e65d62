/** com.atproto.admin.updateAccountHandle and updateAccountSigningKey. */
import { ComAtprotoAdminUpdateAccountHandle, ComAtprotoAdminUpdateAccountSigningKey } from "@atcute/atproto";
import * as v from "@atcute/lexicons/validations";
import type { IdentityChanges } from "../../../accounts/mod.ts";
import { isKithError, KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";

const { mainSchema } = ComAtprotoAdminUpdateAccountHandle;

/** As of com.atproto.identity.updateHandle: what is wrong with a handle is told as InvalidHandle. */
const SCHEMA = {
  ...mainSchema,
  input: { ...mainSchema.input, schema: v.object({ ...mainSchema.input.schema.shape, handle: v.string() }) },
};

export interface AdminIdentityOptions {
  readonly changes: Pick<IdentityChanges, "updateHandle" | "updateSigningKey">;
}

export function adminIdentityMethods({ changes }: AdminIdentityOptions): Method[] {
  return [
    method(SCHEMA, {
      auth: "admin",
      handler: ({ input }) => ofAccount(changes.updateHandle(input.did, input.handle, "admin")),
    }),
    method(ComAtprotoAdminUpdateAccountSigningKey.mainSchema, {
      auth: "admin",
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
