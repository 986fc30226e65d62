/** app.bsky.feed.getPostThread: with the caller's own replies, and a thread around a post that the service does not know yet. */
import { AppBskyFeedGetPostThread } from "@atcute/bluesky";
import { type Call, callerDid, type Method, method } from "../../method.ts";
import { needsRpc } from "../../oauth_rules.ts";
import type { ServiceProxy } from "../../proxy/service_proxy.ts";
import { UpstreamError } from "../../proxy/upstream_error.ts";
import type { Json, LocalRecord } from "../local_records.ts";
import { isJson } from "../local_views.ts";
import { type Local, type Overlay, type ReadAfterWrite, wantedService } from "../read_after_write.ts";

const { mainSchema } = AppBskyFeedGetPostThread;
const { nsid } = mainSchema;
const THREAD = "app.bsky.feed.defs#threadViewPost";
/** Levels of replies that are looked through. */
const DEPTH_MAX = 100;

export interface ThreadMethodsOptions {
  readonly readAfterWrite: Pick<ReadAfterWrite, "answer" | "answerWith" | "local">;
  readonly proxy: Pick<ServiceProxy, "targets">;
  readonly accounts: {
    accountByHandle(
      handle: string,
    ): { readonly did: string } | undefined | Promise<{ readonly did: string } | undefined>;
  };
}

const OVERLAY: Overlay = {
  schema: mainSchema,
  merge: async (answer, local) => {
    const { thread } = answer;
    if (!isThread(thread)) return answer;
    return { ...answer, thread: await withReplies(thread, { local, posts: local.records.posts }) };
  },
};

/** getPostThread. */
export function threadMethods({ readAfterWrite, proxy, accounts }: ThreadMethodsOptions): Method[] {
  return [
    method(mainSchema, {
      auth: "access",
      oauth: needsRpc(nsid, proxy.targets),
      handler: async (call) => {
        try {
          return await readAfterWrite.answer(call, OVERLAY);
        } catch (error) {
          if (!(error instanceof UpstreamError) || error.error !== "NotFound") throw error;
          const { headers } = error;
          const to = wantedService(proxy, { request: call.request, nsid });
          const uri = await ownUri(call.params.uri, { call, accounts });
          const local = uri === undefined ? undefined : await readAfterWrite.local(call, { to, headers });
          const thread = local && (await ownThread(call, { uri, local }).catch(() => undefined));
          if (!local || !thread) throw error;
          return readAfterWrite.answerWith(call, { thread }, { local, headers });
        }
      },
    }),
  ];
}

/** The URI with the caller's DID, where the post is the caller's own. */
async function ownUri(
  uri: string,
  { call, accounts }: { call: Call; accounts: ThreadMethodsOptions["accounts"] },
): Promise<string | undefined> {
  const [, authority = "", rest = ""] = /^at:\/\/([^/]+)(\/.*)$/.exec(uri) ?? [];
  const did = authority.startsWith("did:")
    ? authority
    : (await accounts.accountByHandle(authority.toLowerCase()))?.did;
  return did === callerDid(call) ? `at://${did}${rest}` : undefined;
}

/** The thread of a post that only this server has; what it answers to is asked of the service. */
async function ownThread(
  call: Call<{ readonly parentHeight: number }>,
  { uri, local }: { uri: string | undefined; local: Local },
): Promise<Json | undefined> {
  const { posts } = local.records;
  const post = posts.find((record) => record.uri === uri);
  if (!post) return undefined;
  const view = { $type: THREAD, post: await local.views.post(post) };
  const rest = posts.filter((record) => record !== post);
  const thread = await withReplies(view, { local, posts: rest });
  const parent = replyOf(post.value)?.parent;
  if (parent === undefined) return thread;
  const params = new URLSearchParams({
    uri: parent,
    parentHeight: String(call.params.parentHeight),
    depth: "0",
  });
  // Without its parents the post is still better than nothing.
  const above = await local.ask(nsid, params).catch(() => undefined);
  return above === undefined ? thread : { ...thread, parent: above.thread };
}

/** The thread with those of the posts that belong to it, each below its parent, in order of time. */
async function withReplies(
  thread: Json,
  { local, posts }: { local: Local; posts: readonly LocalRecord[] },
): Promise<Json> {
  let whole = thread;
  const root = isJson(thread.post) ? rootsOf(thread.post) : [];
  for (const record of posts) {
    const reply = replyOf(record.value);
    if (!reply || !root.includes(reply.root)) continue;
    const child = { $type: THREAD, post: await local.views.post(record) };
    whole = inserted(whole, { child, uri: record.uri, parent: reply.parent, depth: 0 });
  }
  return whole;
}

interface Insertion {
  readonly child: Json;
  readonly uri: string;
  readonly parent: string;
  readonly depth: number;
}

function inserted(view: Json, insertion: Insertion): Json {
  const { child, uri, parent, depth } = insertion;
  const replies = Array.isArray(view.replies) ? (view.replies as unknown[]) : undefined;
  if (uriOf(view) === parent) {
    if (replies?.some((reply) => uriOf(reply) === uri)) return view;
    return { ...view, replies: [child, ...(replies ?? [])] };
  }
  if (!replies || depth >= DEPTH_MAX) return view;
  const below = { ...insertion, depth: depth + 1 };
  return { ...view, replies: replies.map((reply) => (isThread(reply) ? inserted(reply, below) : reply)) };
}

function isThread(value: unknown): value is Json {
  return isJson(value) && value.$type === THREAD;
}

function uriOf(view: unknown): unknown {
  return isJson(view) && isJson(view.post) ? view.post.uri : undefined;
}

/** The post itself, and the root of the thread that it is in. */
function rootsOf({ uri, record }: Json): unknown[] {
  const reply = isJson(record) ? replyOf(record) : undefined;
  return reply ? [uri, reply.root] : [uri];
}

function replyOf({ reply }: Json): { readonly root: string; readonly parent: string } | undefined {
  if (!isJson(reply) || !isJson(reply.root) || !isJson(reply.parent)) return undefined;
  const [root, parent] = [reply.root.uri, reply.parent.uri];
  return typeof root === "string" && typeof parent === "string" ? { root, parent } : undefined;
}
