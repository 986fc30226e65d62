/** com.atproto.server: the e-mail address, the password, and the end of an account, by mailed codes. */
import {
  ComAtprotoServerConfirmEmail,
  ComAtprotoServerDeleteAccount,
  ComAtprotoServerRequestAccountDelete,
  ComAtprotoServerRequestEmailConfirmation,
  ComAtprotoServerRequestEmailUpdate,
  ComAtprotoServerRequestPasswordReset,
  ComAtprotoServerResetPassword,
  ComAtprotoServerUpdateEmail,
} from "@atcute/atproto";
import type { Credentials } from "../../../accounts/mod.ts";
import { perAccountMailed, perNetwork } from "../../limits/charges.ts";
import { DAY_MS, HOUR_MS, MINUTE_MS } from "../../limits/rate_limits.ts";
import { callerDid, type Method, method } from "../../method.ts";
import { needsAccount } from "../../oauth_rules.ts";
import { wishedLanguage } from "../../wished_language.ts";
import { asInvalidRequest } from "../password_error.ts";

/** Bound of the bodies in bytes: a password, an address and a code, with room for escapes. */
const BODY_BYTES_MAX = 16 * 1024;

export interface CredentialMethodsOptions {
  readonly credentials: Pick<
    Credentials,
    | "requestEmailConfirmation"
    | "confirmEmail"
    | "requestEmailUpdate"
    | "updateEmail"
    | "requestPasswordReset"
    | "resetPassword"
    | "requestAccountDelete"
    | "deleteAccount"
  >;
}

export function credentialMethods({ credentials }: CredentialMethodsOptions): Method[] {
  const bodyBytesMax = BODY_BYTES_MAX;
  return [
    method(ComAtprotoServerRequestEmailConfirmation.mainSchema, {
      auth: "access",
      oauth: needsAccount("email", "manage"),
      limit: perAccountMailed(),
      handler: (call) => credentials.requestEmailConfirmation(callerDid(call), wishedLanguage(call.request)),
    }),
    method(ComAtprotoServerConfirmEmail.mainSchema, {
      auth: "access",
      oauth: needsAccount("email", "manage"),
      bodyBytesMax,
      handler: (call) => credentials.confirmEmail(callerDid(call), call.input),
    }),
    method(ComAtprotoServerRequestEmailUpdate.mainSchema, {
      auth: "full",
      oauth: "refused",
      limit: perAccountMailed(),
      handler: (call) => credentials.requestEmailUpdate(callerDid(call), wishedLanguage(call.request)),
    }),
    method(ComAtprotoServerUpdateEmail.mainSchema, {
      auth: "full",
      oauth: "refused",
      bodyBytesMax,
      handler: (call) => {
        const { email, token, emailAuthFactor } = call.input;
        return credentials.updateEmail(callerDid(call), { email, token, emailAuthFactor });
      },
    }),
    method(ComAtprotoServerRequestPasswordReset.mainSchema, {
      auth: "none",
      limit: perNetwork({ points: 15, windowMs: HOUR_MS }, { points: 50, windowMs: DAY_MS }),
      bodyBytesMax,
      handler: ({ input, request }) => credentials.requestPasswordReset(input.email, wishedLanguage(request)),
    }),
    method(ComAtprotoServerResetPassword.mainSchema, {
      auth: "none",
      limit: perNetwork({ points: 50, windowMs: 5 * MINUTE_MS }),
      bodyBytesMax,
      handler: ({ input }) => credentials.resetPassword(input).catch(asInvalidRequest),
    }),
    method(ComAtprotoServerRequestAccountDelete.mainSchema, {
      auth: "full",
      oauth: "refused",
      limit: perAccountMailed(),
      handler: (call) => credentials.requestAccountDelete(callerDid(call), wishedLanguage(call.request)),
    }),
    method(ComAtprotoServerDeleteAccount.mainSchema, {
      auth: "none",
      limit: perNetwork({ points: 50, windowMs: 5 * MINUTE_MS }),
      bodyBytesMax,
      handler: ({ input, ip }) => credentials.deleteAccount({ ...input, ip }),
    }),
  ];
}
