/** com.atproto.identity.updateHandle. */
import { ComAtprotoIdentityUpdateHandle } from "@atcute/atproto";
import type { HandleClaim, IdentityChanges } from "../../../accounts/mod.ts";
import { perAccountRenamed } from "../../limits/charges.ts";
import { callerDid, type Method, method } from "../../method.ts";
import { needsIdentity } from "../../oauth_rules.ts";
import { withAnyHandle } from "../any_handle.ts";

const SCHEMA = withAnyHandle(ComAtprotoIdentityUpdateHandle.mainSchema);

export interface UpdateHandleOptions {
  readonly changes: Pick<IdentityChanges, "updateHandle">;
  /** What members may claim: as at sign-up, reserved names are kept from strangers only. */
  readonly claim: HandleClaim;
}

export function updateHandleMethod({ changes, claim }: UpdateHandleOptions): Method {
  return method(SCHEMA, {
    auth: "access",
    oauth: needsIdentity("handle"),
    limit: perAccountRenamed(),
    handler: (call) => changes.updateHandle(callerDid(call), call.input.handle, claim),
  });
}
