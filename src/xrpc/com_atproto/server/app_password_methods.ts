/** com.atproto.server.*AppPassword(s). */
import {
  ComAtprotoServerCreateAppPassword,
  ComAtprotoServerListAppPasswords,
  ComAtprotoServerRevokeAppPassword,
} from "@atcute/atproto";
import type { AppPassword, AppPasswords, MemberNotices } from "../../../accounts/mod.ts";
import { callerDid, type Method, method } from "../../method.ts";

export interface AppPasswordMethodsOptions {
  readonly appPasswords: Pick<AppPasswords, "create" | "list" | "revoke">;
  readonly notices: Pick<MemberNotices, "tell">;
}

/** createAppPassword, which takes the account's own password, listAppPasswords and revokeAppPassword, which do not. */
export function appPasswordMethods({ appPasswords, notices }: AppPasswordMethodsOptions): Method[] {
  return [
    method(ComAtprotoServerCreateAppPassword.mainSchema, {
      auth: "full",
      oauth: "refused",
      handler: async (call) => {
        const { name, privileged = false } = call.input;
        const did = callerDid(call);
        const made = await appPasswords.create(did, { name, privileged });
        await notices.tell(did, { kind: "app_password_added", name });
        return { ...shown(made), password: made.password };
      },
    }),
    method(ComAtprotoServerListAppPasswords.mainSchema, {
      auth: "access",
      oauth: "refused",
      handler: async (call) => ({ passwords: (await appPasswords.list(callerDid(call))).map(shown) }),
    }),
    method(ComAtprotoServerRevokeAppPassword.mainSchema, {
      auth: "access",
      oauth: "refused",
      handler: (call) => appPasswords.revoke(callerDid(call), call.input.name),
    }),
  ];
}

function shown({ name, privileged, createdAt }: AppPassword) {
  return { name, privileged, createdAt: new Date(createdAt).toISOString() };
}
