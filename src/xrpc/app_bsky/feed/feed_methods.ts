/** app.bsky.feed: timeline, an author's feed and likes, with what the caller has written last; and feeds of generators. */
import {
  AppBskyFeedGetActorLikes,
  AppBskyFeedGetAuthorFeed,
  AppBskyFeedGetFeed,
  AppBskyFeedGetTimeline,
} from "@atcute/bluesky";
import { isKithError, KithError } from "../../../errors.ts";
import { type Call, callerDid, type Method, method } from "../../method.ts";
import { needsRpc, requireRpc } from "../../oauth_rules.ts";
import type { ServiceRef } from "../../proxy/proxy_targets.ts";
import type { ServiceProxy } from "../../proxy/service_proxy.ts";
import { UpstreamError } from "../../proxy/upstream_error.ts";
import type { Json, LocalRecord } from "../local_records.ts";
import { isJson } from "../local_views.ts";
import { type Local, type ReadAfterWrite, wantedService } from "../read_after_write.ts";

const FEED_GENERATOR_ID = "bsky_fg";

export interface FeedMethodsOptions {
  readonly readAfterWrite: Pick<ReadAfterWrite, "answer">;
  readonly proxy: Pick<ServiceProxy, "passOn" | "answer" | "ask" | "targets">;
}

/** getTimeline, getAuthorFeed, getActorLikes and getFeed. */
export function feedMethods(options: FeedMethodsOptions): Method[] {
  return [getTimeline(options), getAuthorFeed(options), getActorLikes(options), getFeed(options)];
}

function getTimeline({ readAfterWrite, proxy }: FeedMethodsOptions): Method {
  const schema = AppBskyFeedGetTimeline.mainSchema;
  return method(schema, {
    auth: "access",
    oauth: needsRpc(schema.nsid, proxy.targets),
    handler: (call) =>
      readAfterWrite.answer(call, {
        schema,
        merge: (answer, local) =>
          withPosts(answer, { local, posts: isFirstPage(call.params) ? local.records.posts : [] }),
      }),
  });
}

function getAuthorFeed({ readAfterWrite, proxy }: FeedMethodsOptions): Method {
  const schema = AppBskyFeedGetAuthorFeed.mainSchema;
  return method(schema, {
    auth: "access",
    oauth: needsRpc(schema.nsid, proxy.targets),
    handler: (call) =>
      readAfterWrite.answer(call, {
        schema,
        merge: (answer, local) => {
          const { params } = call;
          const isOwn = params.actor === local.views.did || params.actor === local.views.handle;
          const posts = isOwn && isFirstPage(params) ? local.records.posts : [];
          const shown = posts.filter((post) => isShown(post, { filter: params.filter, local }));
          return withPosts(withAuthor(answer, local), { local, posts: shown });
        },
      }),
  });
}

function getActorLikes({ readAfterWrite, proxy }: FeedMethodsOptions): Method {
  const schema = AppBskyFeedGetActorLikes.mainSchema;
  return method(schema, {
    auth: "access",
    oauth: needsRpc(schema.nsid, proxy.targets),
    handler: (call) => readAfterWrite.answer(call, { schema, merge: withAuthor }),
  });
}

/** getFeed: the token is for the generator that the AppView asks, not for the AppView. */
function getFeed({ proxy }: FeedMethodsOptions): Method {
  const { mainSchema } = AppBskyFeedGetFeed;
  const { nsid } = mainSchema;
  return method(mainSchema, {
    auth: "access",
    oauth: needsRpc(nsid, proxy.targets),
    handler: async (call) => {
      const { request, params } = call;
      const to = wantedService(proxy, { request, nsid });
      const aud = { did: await generatorDid(params.feed, { proxy, to }), serviceId: FEED_GENERATOR_ID };
      const lxm = "app.bsky.feed.getFeedSkeleton";
      requireRpc(call.principal, { nsid, lxm, to: aud });
      return proxy.answer(
        request,
        await proxy.passOn(request, { did: callerDid(call as Call), nsid, to, aud, lxm }),
      );
    },
  });
}

/** The DID of the service that makes a feed, by its record. KithError unknown_feed. */
async function generatorDid(
  feed: string,
  { proxy, to }: { proxy: Pick<ServiceProxy, "ask">; to: ServiceRef },
): Promise<string> {
  const [repo = "", collection = "", rkey = ""] = feed.slice("at://".length).split("/");
  const unknown = (cause?: unknown) => new KithError("unknown_feed", "could not resolve feed did", { cause });
  if (collection !== "app.bsky.feed.generator" || rkey === "") throw unknown();
  const params = new URLSearchParams({ repo, collection, rkey });
  try {
    const { json } = await proxy.ask({ did: undefined, nsid: "com.atproto.repo.getRecord", to, params });
    const did = isJson(json.value) ? json.value.did : undefined;
    if (typeof did !== "string") throw unknown();
    return did;
  } catch (error) {
    const isRefusal = error instanceof UpstreamError && (error.status === 400 || error.status === 404);
    throw isRefusal && isKithError(error) ? unknown(error) : error;
  }
}

function isFirstPage({ cursor }: { readonly cursor?: string | undefined }): boolean {
  return cursor === undefined || cursor === "";
}

/** What a feed of this filter has of one's own posts. */
function isShown({ value }: LocalRecord, { filter, local }: { filter: string; local: Local }): boolean {
  const embed = isJson(value.embed) ? value.embed.$type : undefined;
  switch (filter) {
    case "posts_no_replies":
      return value.reply === undefined;
    case "posts_and_author_threads":
      return value.reply === undefined || rootOf(value)?.startsWith(`at://${local.views.did}/`) === true;
    case "posts_with_media":
      return embed === "app.bsky.embed.images" || embed === "app.bsky.embed.recordWithMedia";
    case "posts_with_video":
      return embed === "app.bsky.embed.video";
    default:
      return true;
  }
}

function rootOf({ reply }: Json): string | undefined {
  const root = isJson(reply) && isJson(reply.root) ? reply.root.uri : undefined;
  return typeof root === "string" ? root : undefined;
}

/** The feed with the caller's own name and picture as they are now. */
function withAuthor(answer: Json, { records, views }: Local): Json {
  const { profile } = records;
  if (!profile) return answer;
  const feed = itemsOf(answer).map((item) => {
    if (item.post.author.did !== views.did) return item;
    const author = views.profile(item.post.author, profile.value, { isDetailed: false });
    return { ...item, post: { ...item.post, author } };
  });
  return { ...answer, feed };
}

/** The feed with posts at the places that their times give them. */
async function withPosts(
  answer: Json,
  { local, posts }: { local: Local; posts: readonly LocalRecord[] },
): Promise<Json> {
  const feed = [...itemsOf(answer)];
  const known = new Set(feed.map(({ post }) => post.uri));
  const last = feed.at(-1);
  const oldest = last ? timeOf(last) : "";
  for (const record of posts) {
    if (known.has(record.uri) || record.indexedAt <= oldest) continue;
    const item = { post: (await local.views.post(record)) as unknown as FeedItem["post"] };
    const place = feed.findIndex((other) => !isPinned(other) && timeOf(other) < record.indexedAt);
    feed.splice(place < 0 ? feed.length : place, 0, item);
  }
  return { ...answer, feed };
}

interface FeedItem {
  readonly post: {
    readonly uri: string;
    readonly indexedAt: string;
    readonly author: { readonly did: string };
  };
  readonly reason?: { readonly $type?: string; readonly indexedAt?: string };
}

function itemsOf({ feed }: Json): readonly FeedItem[] {
  return feed as readonly FeedItem[];
}

/** Where an item stands in its feed: a repost by the time that it was reposted. */
function timeOf({ post, reason }: FeedItem): string {
  return reason?.indexedAt ?? post.indexedAt;
}

function isPinned({ reason }: FeedItem): boolean {
  return reason?.$type === "app.bsky.feed.defs#reasonPin";
}
