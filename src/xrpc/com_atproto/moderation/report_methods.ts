/** com.atproto.moderation.createReport: reports are for a moderation service; this server only brings them there. */
import { ComAtprotoModerationCreateReport } from "@atcute/atproto";
import { KithError } from "../../../errors.ts";
import { callerDid, type Method, method } from "../../method.ts";
import { needsRpc } from "../../oauth_rules.ts";
import type { ServiceProxy } from "../../proxy/service_proxy.ts";

const { mainSchema } = ComAtprotoModerationCreateReport;
const { nsid } = mainSchema;

/** createReport, also for an account that is taken down: it may appeal. */
export function reportMethods({
  proxy,
}: {
  readonly proxy: Pick<ServiceProxy, "ask" | "targets">;
}): Method[] {
  return [
    method(mainSchema, {
      auth: "anySession",
      oauth: needsRpc(nsid, proxy.targets),
      handler: async (call) => {
        const { request, input } = call;
        const to = proxy.targets.wanted(request, nsid);
        if (!to) {
          throw new KithError(
            "method_not_implemented",
            "Could not report: this server has no moderation service, and the call names none",
          );
        }
        const { json } = await proxy.ask({ did: callerDid(call), nsid, to, json: input, request });
        return json;
      },
    }),
  ];
}
