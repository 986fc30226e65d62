/** com.atproto.identity.updateHandle. */
import { ComAtprotoIdentityUpdateHandle } from "@atcute/atproto";
import type { HandleClaim, IdentityChanges, MemberNotices } from "../../../accounts/mod.ts";
import { perAccountRenamed } from "../../limits/charges.ts";
import { callerDid, type Method, method } from "../../method.ts";
import { needsIdentity } from "../../oauth_rules.ts";
import { withAnyHandle } from "../any_handle.ts";

const SCHEMA = withAnyHandle(ComAtprotoIdentityUpdateHandle.mainSchema);

export interface UpdateHandleOptions {
  readonly changes: Pick<IdentityChanges, "updateHandle">;
  readonly notices: Pick<MemberNotices, "tell">;
  /** What members may claim: as at sign-up, reserved names are kept from strangers only. */
  readonly claim: HandleClaim;
}

export function updateHandleMethod({ changes, notices, claim }: UpdateHandleOptions): Method {
  return method(SCHEMA, {
    auth: "access",
    oauth: needsIdentity("handle"),
    limit: perAccountRenamed(),
    handler: async (call) => {
      const [did, { handle }] = [callerDid(call), call.input];
      await changes.updateHandle(did, handle, claim);
      await notices.tell(did, { kind: "handle_changed", name: handle });
    },
  });
}
