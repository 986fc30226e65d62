/** app.bsky.notification.registerPush and unregisterPush: to the service that sends the notifications. */
import { AppBskyNotificationRegisterPush, AppBskyNotificationUnregisterPush } from "@atcute/bluesky";
import type { Permissions } from "../../../atproto/mod.ts";
import { isKithError, KithError } from "../../../errors.ts";
import { type Call, callerDid, type Method, method } from "../../method.ts";
import { missingRpc } from "../../oauth_rules.ts";
import type { ServiceProxy } from "../../proxy/service_proxy.ts";

/** The service id of a sender of notifications. */
const NOTIFICATIONS_ID = "bsky_notif";

export interface PushMethodsOptions {
  readonly proxy: Pick<ServiceProxy, "ask" | "targets">;
}

/** registerPush and unregisterPush. The input says which service it is, whatever service the call names. */
export function pushMethods({ proxy }: PushMethodsOptions): Method[] {
  return [
    method(AppBskyNotificationRegisterPush.mainSchema, {
      auth: "access",
      oauth: needsSender(AppBskyNotificationRegisterPush.mainSchema.nsid),
      handler: (call) => send(call, { nsid: AppBskyNotificationRegisterPush.mainSchema.nsid, proxy }),
    }),
    method(AppBskyNotificationUnregisterPush.mainSchema, {
      auth: "access",
      oauth: needsSender(AppBskyNotificationUnregisterPush.mainSchema.nsid),
      handler: (call) => send(call, { nsid: AppBskyNotificationUnregisterPush.mainSchema.nsid, proxy }),
    }),
  ];
}

/** Apps ask for it by the name of the sender, also where the AppView sends. */
function needsSender(lxm: string) {
  return (permissions: Permissions, { input }: Call<unknown, { readonly serviceDid: string }>) =>
    missingRpc(permissions, { lxm, aud: `${input.serviceDid}#${NOTIFICATIONS_ID}` });
}

async function send(
  call: Call<unknown, { readonly serviceDid: string }>,
  { nsid, proxy }: { nsid: string } & PushMethodsOptions,
): Promise<undefined> {
  const { serviceDid } = call.input;
  const { appView } = proxy.targets;
  // The AppView sends its own.
  const to = serviceDid === appView?.did ? appView : { did: serviceDid, serviceId: NOTIFICATIONS_ID };
  try {
    await proxy.ask({ did: callerDid(call), nsid, to, json: call.input, request: call.request });
  } catch (cause) {
    if (!isKithError(cause, "invalid_request")) throw cause;
    const message = `invalid notification service details in did document: ${serviceDid}`;
    throw new KithError("invalid_request", message, { cause });
  }
  return undefined;
}
