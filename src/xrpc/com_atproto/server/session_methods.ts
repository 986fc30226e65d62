/** com.atproto.server.*Session: signing in, renewing, looking and leaving. */
import {
  ComAtprotoServerCreateSession,
  ComAtprotoServerDeleteSession,
  ComAtprotoServerGetSession,
  ComAtprotoServerRefreshSession,
} from "@atcute/atproto";
import { type MemberLanguages, networkOf, type SessionInfo, type Sessions } from "../../../accounts/mod.ts";
import type { Principal } from "../../../auth/mod.ts";
import { DAY_MS, MINUTE_MS } from "../../limits/rate_limits.ts";
import { callerDid, type Method, method, setPrivate } from "../../method.ts";
import { wishedLanguage } from "../../wished_language.ts";

/** Bound of a sign-in's body in bytes: a name, a password and a code, with room for escapes. */
const SIGN_IN_BYTES_MAX = 16 * 1024;
/** Sign-ins with one name from one network. */
const SIGN_INS = [
  { points: 30, windowMs: 5 * MINUTE_MS },
  { points: 300, windowMs: DAY_MS },
];

export interface SessionMethodsOptions {
  readonly sessions: Pick<Sessions, "signIn" | "refresh" | "end" | "describe">;
  readonly languages: Pick<MemberLanguages, "guess">;
  readonly authenticator: {
    /** The claims of the refresh token in the header, also of an expired one. */
    expiredOrNotRefresh(request: Request): Promise<{ did: string; tokenId: string }>;
  };
}

/** createSession, getSession, refreshSession, deleteSession. */
export function sessionMethods({ sessions, authenticator, languages }: SessionMethodsOptions): Method[] {
  return [
    method(ComAtprotoServerCreateSession.mainSchema, {
      // A header that comes along is ignored: goat sends an old token while it signs in.
      auth: "none",
      bodyBytesMax: SIGN_IN_BYTES_MAX,
      limit: ({ input, ip }) => ({
        budgets: SIGN_INS,
        key: `${networkOf(ip)} ${input.identifier.trim().toLowerCase()}`,
      }),
      handler: async ({ input, ip, request }) => {
        const { identifier, password, authFactorToken: code } = input;
        const allowTakendown = input.allowTakendown === true;
        const { language } = wishedLanguage(request);
        const session = await sessions.signIn({ identifier, password, code, ip, allowTakendown, language });
        await languages.guess(session.did, language);
        return session;
      },
    }),
    method(ComAtprotoServerGetSession.mainSchema, {
      auth: "access",
      oauth: "any",
      handler: async (call) => {
        const session = await sessions.describe(callerDid(call));
        return mayReadEmail(call.principal) ? session : withoutEmail(session);
      },
    }),
    method(ComAtprotoServerRefreshSession.mainSchema, {
      auth: "refresh",
      handler: ({ principal }) => {
        if (principal?.kind !== "refresh") throw new TypeError("refreshSession without a refresh token");
        return sessions.refresh(principal);
      },
    }),
    method(ComAtprotoServerDeleteSession.mainSchema, {
      // Its token may have expired, which "refresh" does not allow.
      auth: "none",
      handler: async ({ request, headers }) => {
        setPrivate(headers);
        return sessions.end(await authenticator.expiredOrNotRefresh(request));
      },
    }),
  ];
}

function mayReadEmail(principal: Principal | null): boolean {
  if (principal?.kind !== "oauth") return true;
  return principal.permissions.allowsAccount({ attr: "email", action: "read" });
}

function withoutEmail({ email, emailConfirmed, emailAuthFactor, ...rest }: SessionInfo): object {
  return rest;
}
