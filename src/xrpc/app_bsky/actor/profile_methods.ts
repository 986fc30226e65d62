/** app.bsky.actor.getProfile and getProfiles: the service's, with the caller's own profile as it is now. */
import { AppBskyActorGetProfile, AppBskyActorGetProfiles } from "@atcute/bluesky";
import { type Method, method } from "../../method.ts";
import { needsRpc } from "../../oauth_rules.ts";
import type { ServiceProxy } from "../../proxy/service_proxy.ts";
import type { Json } from "../local_records.ts";
import { isJson } from "../local_views.ts";
import type { Local, Overlay, ReadAfterWrite } from "../read_after_write.ts";

export interface OverlayMethodsOptions {
  readonly readAfterWrite: Pick<ReadAfterWrite, "answer">;
  readonly proxy: Pick<ServiceProxy, "targets">;
}

const PROFILE: Overlay = { schema: AppBskyActorGetProfile.mainSchema, merge: updated };

const PROFILES: Overlay = {
  schema: AppBskyActorGetProfiles.mainSchema,
  merge: (answer, local) => ({
    ...answer,
    profiles: (answer.profiles as Json[]).map((profile) => updated(profile, local)),
  }),
};

/** getProfile and getProfiles. */
export function profileMethods({ readAfterWrite, proxy }: OverlayMethodsOptions): Method[] {
  return [
    method(AppBskyActorGetProfile.mainSchema, {
      auth: "access",
      oauth: needsRpc(PROFILE.schema.nsid, proxy.targets),
      handler: (call) => readAfterWrite.answer(call, PROFILE),
    }),
    method(AppBskyActorGetProfiles.mainSchema, {
      auth: "access",
      oauth: needsRpc(PROFILES.schema.nsid, proxy.targets),
      handler: (call) => readAfterWrite.answer(call, PROFILES),
    }),
  ];
}

function updated(profile: Json, { records, views }: Local): Json {
  if (!records.profile || !isJson(profile) || profile.did !== views.did) return profile;
  return views.profile(profile, records.profile.value, { isDetailed: true });
}
