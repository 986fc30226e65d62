/** com.atproto.identity.requestPlcOperationSignature and signPlcOperation: an owner's own PLC operations, by a mailed code. */
import {
  ComAtprotoIdentityRequestPlcOperationSignature,
  ComAtprotoIdentitySignPlcOperation,
} from "@atcute/atproto";
import type { PlcSigning } from "../../../accounts/mod.ts";
import { perAccountMailed } from "../../limits/charges.ts";
import { callerDid, type Method, method } from "../../method.ts";
import { needsIdentity } from "../../oauth_rules.ts";
import { wishedLanguage } from "../../wished_language.ts";

/** Both serve a taken-down account, too: its owner may carry the identity away. */
export function signMethods({ signing }: { signing: Pick<PlcSigning, "requestCode" | "sign"> }): Method[] {
  return [
    method(ComAtprotoIdentityRequestPlcOperationSignature.mainSchema, {
      auth: "fullOrTakendown",
      oauth: needsIdentity("*"),
      limit: perAccountMailed(),
      handler: (call) => signing.requestCode(callerDid(call), wishedLanguage(call.request)),
    }),
    method(ComAtprotoIdentitySignPlcOperation.mainSchema, {
      auth: "fullOrTakendown",
      oauth: needsIdentity("*"),
      handler: async (call) => ({ operation: await signing.sign(callerDid(call), call.input) }),
    }),
  ];
}
