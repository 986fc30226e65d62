/** What an account has written, seen in an AppView's answers before the AppView knows it. */
import { afterAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { AppView, type AppViewCall } from "../app_view.ts";
import { type Account, type Answer, createRecord, post, xrpc } from "../client.ts";
import { useStage } from "../stage.ts";

const PROFILE = "app.bsky.actor.getProfile";
const PROFILES = "app.bsky.actor.getProfiles";
const TIMELINE = "app.bsky.feed.getTimeline";
const AUTHOR_FEED = "app.bsky.feed.getAuthorFeed";
const LIKES = "app.bsky.feed.getActorLikes";
const THREAD = "app.bsky.feed.getPostThread";
const FEED = "app.bsky.feed.getFeed";
const IMAGE = "bafkreibme22gw2h7y2h7tg2fhqotaqjucnbc24deqo72b6mkl2egezxhvy";

type View = Record<string, never> & { uri: string; [key: string]: unknown };

describe("read after write", () => {
  const appView = AppView.start();
  const holder = useStage({
    env: { ...appView.env, PDS_BSKY_APP_VIEW_CDN_URL_PATTERN: "https://cdn.test/%s/%s/%s@jpeg" },
    onReady: (stage) => appView.trust(stage.plc),
  });
  afterAll(() => appView[Symbol.asyncDispose]());

  /** The rev that the AppView is at, as its answers say. */
  let knownRev = "";
  const answers = (nsid: string, body: (call: AppViewCall) => unknown, init: ResponseInit = {}) =>
    appView.on(nsid, (call) => {
      const headers = {
        "atproto-repo-rev": knownRev,
        "atproto-content-labelers": "did:plc:l",
        ...init.headers,
      };
      return Response.json(body(call), { ...init, headers });
    });
  const get = (nsid: string, params: Record<string, string> = {}, account: Account = holder.stage.alice) =>
    xrpc(holder.stage.url, nsid, { params, token: account.accessJwt });
  const write = async (text: string, extra = {}, account: Account = holder.stage.alice) =>
    createRecord(holder.stage.url, account, { record: post(text, extra) });
  const putProfile = (account: Account, record: object) =>
    xrpc(holder.stage.url, "com.atproto.repo.putRecord", {
      token: account.accessJwt,
      body: { repo: account.did, collection: "app.bsky.actor.profile", rkey: "self", record },
    });
  const author = (account: Account) => ({ did: account.did, handle: account.handle });
  /** A post of somebody else, as the AppView shows it. */
  const shown = (name: string, indexedAt: string, extra: object = {}) => ({
    uri: `at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.post/${name}`,
    cid: IMAGE,
    author: { did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", handle: "other.test" },
    record: post(name),
    indexedAt,
    ...extra,
  });
  const texts = (answer: Answer) =>
    (answer.json.feed as { post: { record: { text: string } } }[]).map((item) => item.post.record.text);
  const soon = () => new Date(Date.now() + 3_600_000).toISOString();
  const OLD = "2020-01-01T00:00:00.000Z";

  test("getTimeline: new posts stand where their time puts them, once, and on the first page", async () => {
    const { alice } = holder.stage;
    knownRev = (await write("indexed")).commit.rev;
    const feed = [{ post: shown("later", soon()) }, { post: shown("earlier", OLD) }];
    answers(TIMELINE, () => ({ feed, cursor: "more" }));
    const untouched = await get(TIMELINE);
    expect(texts(untouched)).toEqual(["later", "earlier"]);
    expect(untouched.headers.get("atproto-upstream-lag")).toBeNull();

    const first = await write("first");
    await write("second");
    const answer = await get(TIMELINE, { limit: "10" });
    expect(texts(answer)).toEqual(["later", "second", "first", "earlier"]);
    expect(answer.json.cursor).toBe("more");
    expect(Number(answer.headers.get("atproto-upstream-lag"))).toBeGreaterThanOrEqual(0);
    expect(answer.headers.get("atproto-repo-rev")).toBe(knownRev);
    expect(answer.headers.get("atproto-content-labelers")).toBe("did:plc:l");
    expect(answer.headers.get("cache-control")).toBe("private");
    const view = (answer.json.feed as { post: object }[])[2]?.post;
    expect(view).toMatchObject({
      uri: first.uri,
      cid: first.cid,
      author: author(alice),
      likeCount: 0,
      replyCount: 0,
    });
    expect(appView.last.claims).toMatchObject({ iss: alice.did, aud: appView.did, lxm: TIMELINE });

    expect(texts(await get(TIMELINE, { cursor: "more" }))).toEqual(["later", "earlier"]);
    answers(TIMELINE, () => ({
      feed: [{ post: shown("x", OLD, { uri: first.uri, author: author(alice) }) }],
    }));
    expect(texts(await get(TIMELINE))).toEqual(["second", "x"]);
  });

  test("getTimeline: an answer that is not to be read passes as it is", async () => {
    const { stage } = holder;
    const feed = [{ post: shown("a", OLD) }];
    const packed = gzipSync(JSON.stringify({ feed }));
    appView.on(
      TIMELINE,
      () =>
        new Response(packed, {
          headers: {
            "content-type": "application/json",
            "content-encoding": "gzip",
            "atproto-repo-rev": knownRev,
          },
        }),
    );
    expect(texts(await get(TIMELINE))).toEqual(["second", "first", "a"]);
    for (const rev of ["nonsense", ""]) {
      appView.on(TIMELINE, () => Response.json({ feed }, { headers: { "atproto-repo-rev": rev } }));
      expect(texts(await get(TIMELINE))).toEqual(["a"]);
    }
    answers(TIMELINE, () => ({ unheard: "of" }));
    expect((await get(TIMELINE)).json).toEqual({ unheard: "of" });
    // A rev from before everything here tells nothing: the repo may have moved in since.
    appView.on(TIMELINE, () => Response.json({ feed }, { headers: { "atproto-repo-rev": "2222222222222" } }));
    expect(texts(await get(TIMELINE))).toEqual(["a"]);
    answers(TIMELINE, () => ({ error: "BadCursor", message: "m" }), { status: 400 });
    expect([(await get(TIMELINE)).error, (await xrpc(stage.url, TIMELINE)).error]).toEqual([
      "BadCursor",
      "AuthMissing",
    ]);
  });

  test("a quote, images and a link are shown as an AppView would", async () => {
    const { alice } = holder.stage;
    const image = { $type: "blob", ref: { $link: IMAGE }, mimeType: "image/png", size: 3 };
    const uploaded = await xrpc(holder.stage.url, "com.atproto.repo.uploadBlob", {
      token: alice.accessJwt,
      body: new Uint8Array([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
      headers: { "content-type": "image/png" },
    });
    const blob = uploaded.json.blob as typeof image;
    const quoted = shown("quoted", OLD, { embed: { $type: "app.bsky.embed.images#view", images: [] } });
    const quote = { $type: "app.bsky.embed.record", record: { uri: quoted.uri, cid: quoted.cid } };
    const images = { $type: "app.bsky.embed.images", images: [{ image: blob, alt: "an image" }] };
    const link = {
      $type: "app.bsky.embed.external",
      external: { uri: "https://example.com", title: "t", description: "d", thumb: blob },
    };
    knownRev = (await write("known")).commit.rev;
    await write("link", { embed: link });
    await write("both", { embed: { $type: "app.bsky.embed.recordWithMedia", record: quote, media: images } });
    await write("gone", {
      embed: { ...quote, record: { ...quote.record, uri: quoted.uri.replace("quoted", "gone") } },
    });
    appView.on("app.bsky.feed.getPosts", ({ params }) =>
      Response.json({ posts: params.get("uris") === quoted.uri ? [quoted] : [] }),
    );
    answers(TIMELINE, () => ({ feed: [] }));
    const { feed } = (await get(TIMELINE)).json as { feed: { post: { embed: unknown } }[] };
    const url = (preset: string) => `https://cdn.test/${preset}/${alice.did}/${blob.ref.$link}@jpeg`;
    expect(feed.map(({ post }) => post.embed)).toEqual([
      {
        $type: "app.bsky.embed.record#view",
        record: {
          $type: "app.bsky.embed.record#viewNotFound",
          uri: quoted.uri.replace("quoted", "gone"),
          notFound: true,
        },
      },
      {
        $type: "app.bsky.embed.recordWithMedia#view",
        record: {
          $type: "app.bsky.embed.record#view",
          record: {
            $type: "app.bsky.embed.record#viewRecord",
            uri: quoted.uri,
            cid: quoted.cid,
            author: quoted.author,
            value: quoted.record,
            embeds: [{ $type: "app.bsky.embed.images#view", images: [] }],
            indexedAt: OLD,
          },
        },
        media: {
          $type: "app.bsky.embed.images#view",
          images: [{ thumb: url("feed_thumbnail"), fullsize: url("feed_fullsize"), alt: "an image" }],
        },
      },
      {
        $type: "app.bsky.embed.external#view",
        external: {
          uri: "https://example.com",
          title: "t",
          description: "d",
          thumb: url("feed_thumbnail"),
        },
      },
    ]);
    expect(appView.callsOf("app.bsky.feed.getPosts")[0]?.claims).toMatchObject({
      iss: alice.did,
      aud: appView.did,
    });
    appView.on("app.bsky.feed.getPosts", () => new Response("down", { status: 503 }));
    expect(texts(await get(TIMELINE))).toEqual([]);
  });

  test("getProfile, getProfiles, getAuthorFeed, getActorLikes: one's own profile is as one has just put it", async () => {
    const { stage } = holder;
    const { alice } = stage;
    knownRev = (await write("before the profile")).commit.rev;
    const record = {
      $type: "app.bsky.actor.profile",
      displayName: "New",
      description: "about",
      website: "https://a.test",
    };
    expect((await putProfile(alice, record)).status).toBe(200);
    const views = {
      own: { ...author(alice), displayName: "Old", postsCount: 7 },
      other: { did: "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", handle: "other.test", displayName: "Old" },
    };
    const fresh = { ...views.own, displayName: "New", description: "about", website: "https://a.test" };
    answers(PROFILE, ({ params }) => (params.get("actor") === alice.did ? views.own : views.other));
    expect((await get(PROFILE, { actor: alice.did })).json).toEqual(fresh);
    expect((await get(PROFILE, { actor: "other.test" })).json).toEqual(views.other);
    answers(PROFILES, () => ({ profiles: [views.other, views.own] }));
    const { profiles } = (
      await xrpc(stage.url, `${PROFILES}?actors=other.test&actors=${alice.did}`, { token: alice.accessJwt })
    ).json;
    expect(profiles).toEqual([views.other, fresh]);

    await write("after the profile");
    const own = { post: shown("own", OLD, { author: views.own }) };
    const other = { post: shown("other", OLD) };
    answers(LIKES, () => ({ feed: [own, other] }));
    const names = (answer: Answer) =>
      (answer.json.feed as { post: { author: { displayName?: string } } }[]).map(
        (item) => item.post.author.displayName,
      );
    const likes = await get(LIKES, { actor: alice.did });
    expect([texts(likes), names(likes)]).toEqual([
      ["own", "other"],
      ["New", undefined],
    ]);

    const pinned = { ...own, reason: { $type: "app.bsky.feed.defs#reasonPin" } };
    answers(AUTHOR_FEED, () => ({ feed: [pinned, own] }));
    const feed = await get(AUTHOR_FEED, { actor: alice.handle });
    expect([texts(feed), names(feed)]).toEqual([
      ["own", "after the profile", "own"],
      ["New", "New", "New"],
    ]);
    expect(texts(await get(AUTHOR_FEED, { actor: "other.test" }))).toEqual(["own", "own"]);
    expect(texts(await get(AUTHOR_FEED, { actor: alice.did, filter: "posts_with_media" }))).toEqual([
      "own",
      "own",
    ]);
  });

  test("getAuthorFeed: the very next post after the first is seen in an empty feed", async () => {
    const carol = await holder.stage.account("carol");
    knownRev = (await write("one", {}, carol)).commit.rev;
    await write("two", {}, carol);
    answers(AUTHOR_FEED, () => ({ feed: [] }));
    expect(texts(await get(AUTHOR_FEED, { actor: carol.did }, carol))).toEqual(["two"]);
  });

  test("getPostThread: one's own replies stand below what they answer", async () => {
    const { alice } = holder.stage;
    const root = { ...shown("root", OLD), record: post("root") };
    const ref = (view: { uri: string; cid: string }) => ({ uri: view.uri, cid: view.cid });
    knownRev = (await write("before the reply")).commit.rev;
    const reply = await write("reply", { reply: { root: ref(root), parent: ref(root) } });
    const deeper = await write("deeper", { reply: { root: ref(root), parent: ref(reply) } });
    await write("elsewhere", { reply: { root: ref(shown("x", OLD)), parent: ref(shown("x", OLD)) } });
    const thread = { $type: "app.bsky.feed.defs#threadViewPost", post: root };
    answers(THREAD, () => ({ thread }));
    const answer = await get(THREAD, { uri: root.uri });
    const top = answer.json.thread as { replies: { post: View; replies: { post: View }[] }[] };
    expect(top.replies.map(({ post }) => post.uri)).toEqual([reply.uri]);
    expect(top.replies[0]?.replies.map(({ post }) => post.uri)).toEqual([deeper.uri]);

    // The reply itself is not found there yet: its thread is made here, with the parents asked of the AppView.
    appView.on(THREAD, ({ params }) =>
      params.get("uri") === root.uri
        ? Response.json({ thread })
        : Response.json(
            { error: "NotFound", message: "Post not found" },
            { status: 400, headers: { "atproto-repo-rev": knownRev } },
          ),
    );
    for (const authority of [alice.did, alice.handle]) {
      const own = await get(THREAD, { uri: reply.uri.replace(alice.did, authority) });
      expect(own.status).toBe(200);
      const made = own.json.thread as { post: View; parent: object; replies: { post: View }[] };
      expect(made.post.uri).toBe(reply.uri);
      expect(made.parent).toEqual(thread);
      expect(made.replies.map(({ post }) => post.uri)).toEqual([deeper.uri]);
    }
    const others = [`at://${alice.did}/app.bsky.feed.post/nothing`, "at://other.test/app.bsky.feed.post/x"];
    for (const uri of others) expect((await get(THREAD, { uri })).error).toBe("NotFound");
  });

  test("getFeed: the token is made out to the feed's generator", async () => {
    const { alice } = holder.stage;
    const feed = "at://did:plc:aaaaaaaaaaaaaaaaaaaaaaaa/app.bsky.feed.generator/cats";
    appView.on("com.atproto.repo.getRecord", ({ params }) =>
      params.get("rkey") === "cats"
        ? Response.json({ uri: feed, cid: IMAGE, value: { did: "did:web:feeds.test" } })
        : Response.json({ error: "RecordNotFound", message: "m" }, { status: 400 }),
    );
    appView.on(FEED, () => Response.json({ feed: [] }));
    const answer = await get(FEED, { feed, limit: "3" });
    expect([answer.status, answer.json]).toEqual([200, { feed: [] }]);
    const call = appView.last;
    expect(call.claims).toMatchObject({
      iss: alice.did,
      aud: "did:web:feeds.test",
      lxm: "app.bsky.feed.getFeedSkeleton",
    });
    expect([call.nsid, call.params.get("limit")]).toEqual([FEED, "3"]);
    expect(appView.callsOf("com.atproto.repo.getRecord")[0]?.claims).toBeUndefined();
    for (const uri of [feed.replace("cats", "dogs"), feed.replace("generator", "post")]) {
      const refused = await get(FEED, { feed: uri });
      expect([refused.status, refused.error]).toEqual([400, "UnknownFeed"]);
    }
  });

  test("registerPush and unregisterPush: to the service that the input names", async () => {
    const { stage } = holder;
    const sender = AppView.start();
    sender.trust(stage.plc);
    const input = (serviceDid: string) => ({ serviceDid, token: "t", platform: "ios", appId: "a" });
    for (const name of ["registerPush", "unregisterPush"]) {
      const nsid = `app.bsky.notification.${name}`;
      const send = (serviceDid: string) =>
        xrpc(stage.url, nsid, { token: stage.alice.accessJwt, body: input(serviceDid) });
      for (const service of [sender, appView]) {
        service.on(nsid, () => new Response(null));
        const answer = await send(service.did);
        expect([answer.status, answer.bytes.length]).toEqual([200, 0]);
        expect(service.last.claims).toMatchObject({ iss: stage.alice.did, aud: service.did, lxm: nsid });
        expect(JSON.parse(new TextDecoder().decode(service.last.body))).toEqual(input(service.did));
      }
      expect((await send("did:plc:aaaaaaaaaaaaaaaaaaaaaaaa")).error).toBe("InvalidRequest");
      sender.on(nsid, () => Response.json({ error: "TooMany", message: "m" }, { status: 400 }));
      expect((await send(sender.did)).error).toBe("TooMany");
    }
    await sender[Symbol.asyncDispose]();
  });
});
