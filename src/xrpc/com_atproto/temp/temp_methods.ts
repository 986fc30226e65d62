/** com.atproto.temp, as far as it is a PDS's: sign-up, reserved handles, revoked credentials. */
import {
  ComAtprotoTempAddReservedHandle,
  ComAtprotoTempCheckHandleAvailability,
  ComAtprotoTempCheckSignupQueue,
  ComAtprotoTempDereferenceScope,
  ComAtprotoTempRequestPhoneVerification,
  ComAtprotoTempRevokeAccountCredentials,
} from "@atcute/atproto";
import type { Credentials, HandleAvailability, HandleRules } from "../../../accounts/mod.ts";
import { KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";
import type { Log } from "../../request_log.ts";
import { adminAct } from "../admin_act.ts";
import { type Accounts, findAccount } from "../repo_access.ts";

/** Piece of a caller's text in a message. */
const QUOTED_CHARS_MAX = 200;

export interface TempMethodsOptions {
  readonly accounts: Accounts;
  readonly availability: Pick<HandleAvailability, "check">;
  readonly handles: Pick<HandleRules, "reservable">;
  readonly reservedHandles: { add(name: string, options: { now: number }): Promise<unknown> };
  readonly credentials: Pick<Credentials, "revokeAll">;
  readonly log: Log;
  /** Unix milliseconds. */
  readonly now: () => number;
}

export function tempMethods(options: TempMethodsOptions): Method[] {
  return [...signUpMethods(options), ...adminMethods(options), ...absentMethods()];
}

/** checkSignupQueue and checkHandleAvailability. */
function signUpMethods({ availability }: TempMethodsOptions): Method[] {
  return [
    // Nobody waits for an account here.
    method(ComAtprotoTempCheckSignupQueue.mainSchema, {
      auth: "access",
      oauth: "refused",
      handler: () => ({ activated: true }),
    }),
    method(ComAtprotoTempCheckHandleAvailability.mainSchema, {
      auth: "none",
      handler: async ({ params: { handle, email, birthDate } }) => {
        const { nsid } = ComAtprotoTempCheckHandleAvailability.mainSchema;
        const suggestions = await availability.check({ handle, email: email || undefined, birthDate });
        const result =
          suggestions === undefined
            ? { $type: `${nsid}#resultAvailable` }
            : { $type: `${nsid}#resultUnavailable`, suggestions };
        return { handle, result };
      },
    }),
  ];
}

/** addReservedHandle and revokeAccountCredentials. */
function adminMethods(options: TempMethodsOptions): Method[] {
  const { accounts, handles, reservedHandles, credentials, log, now } = options;
  return [
    adminAct(ComAtprotoTempAddReservedHandle.mainSchema, {
      ...{ auth: "admin", log },
      subject: ({ handle }) => ({ handle: handle.slice(0, QUOTED_CHARS_MAX) }),
      handler: async ({ input }) => {
        await reservedHandles.add(handles.reservable(input.handle), { now: now() });
        return {};
      },
    }),
    adminAct(ComAtprotoTempRevokeAccountCredentials.mainSchema, {
      ...{ auth: "admin", log },
      subject: ({ account }) => ({ subject: account.slice(0, QUOTED_CHARS_MAX) }),
      handler: async ({ input }) => {
        const account = await findAccount(accounts, input.account);
        if (account === undefined || account.state === "deleting" || account.state === "deleted") {
          const named = input.account.slice(0, QUOTED_CHARS_MAX);
          throw new KithError("invalid_request", `Could not find the account "${named}"`);
        }
        await credentials.revokeAll(account.did);
      },
    }),
  ];
}

/** What is answered here so that it goes to nobody else: a phone number, a scope. */
function absentMethods(): Method[] {
  return [
    method(ComAtprotoTempRequestPhoneVerification.mainSchema, {
      auth: "none",
      handler: () => {
        const why = "this server asks for no phone number";
        throw new KithError("method_not_implemented", `Could not verify the phone number: ${why}`);
      },
    }),
    method(ComAtprotoTempDereferenceScope.mainSchema, {
      auth: "none",
      handler: ({ params }) => {
        const named = params.scope.slice(0, QUOTED_CHARS_MAX);
        const why = "this server gives out no references to scopes";
        throw new KithError("invalid_scope_reference", `Could not dereference the scope "${named}": ${why}`);
      },
    }),
  ];
}
