/** Views of an account's own records, as an AppView would make them, until it does. */
import type { Json, LocalRecord } from "./local_records.ts";

export type ImagePreset = "avatar" | "banner" | "feed_thumbnail" | "feed_fullsize";

export interface LocalViewsOptions {
  readonly did: string;
  readonly handle: string;
  /** The account's profile record as it is now. */
  readonly profile: Json | undefined;
  /** Where a blob of the account is seen. */
  imageUrl(preset: ImagePreset, cid: string): string;
  /** What the service answers to a call in the account's name. */
  ask(nsid: string, params: URLSearchParams): Promise<Json>;
}

export class LocalViews {
  readonly #options: LocalViewsOptions;

  constructor(options: LocalViewsOptions) {
    this.#options = options;
  }

  get did(): string {
    return this.#options.did;
  }

  get handle(): string {
    return this.#options.handle;
  }

  /** A profile view with what the record says now. */
  profile<View extends object>(view: View, record: Json, { isDetailed }: { isDetailed: boolean }): View {
    const basic = {
      ...view,
      displayName: record.displayName,
      avatar: this.#image("avatar", record.avatar),
      pronouns: record.pronouns,
    };
    if (!isDetailed) return basic;
    const { description, website, pinnedPost } = record;
    return { ...basic, description, website, pinnedPost, banner: this.#image("banner", record.banner) };
  }

  /** A post that nobody else has seen: no likes, no replies. */
  async post({ uri, cid, indexedAt, value }: LocalRecord): Promise<Json> {
    return {
      uri,
      cid,
      author: this.#author(),
      record: value,
      embed: isJson(value.embed) ? await this.#embed(value.embed) : undefined,
      replyCount: 0,
      repostCount: 0,
      likeCount: 0,
      quoteCount: 0,
      indexedAt,
    };
  }

  #author(): Json {
    const { did, handle, profile } = this.#options;
    return this.profile({ did, handle }, profile ?? {}, { isDetailed: false });
  }

  async #embed(embed: Json): Promise<Json | undefined> {
    switch (embed.$type) {
      case "app.bsky.embed.record":
        return this.#recordEmbed(embed);
      case "app.bsky.embed.recordWithMedia": {
        const media = isJson(embed.media) ? this.#mediaEmbed(embed.media) : undefined;
        if (!media || !isJson(embed.record)) return undefined;
        const record = await this.#recordEmbed(embed.record);
        return { $type: "app.bsky.embed.recordWithMedia#view", record, media };
      }
      default:
        return this.#mediaEmbed(embed);
    }
  }

  #mediaEmbed(embed: Json): Json | undefined {
    if (embed.$type === "app.bsky.embed.images" && Array.isArray(embed.images)) {
      const images = embed.images.filter(isJson).map(({ image, alt, aspectRatio }) => ({
        thumb: this.#image("feed_thumbnail", image),
        fullsize: this.#image("feed_fullsize", image),
        alt,
        aspectRatio,
      }));
      return { $type: "app.bsky.embed.images#view", images };
    }
    if (embed.$type === "app.bsky.embed.external" && isJson(embed.external)) {
      const { uri, title, description, thumb } = embed.external;
      const external = { uri, title, description, thumb: this.#image("feed_thumbnail", thumb) };
      return { $type: "app.bsky.embed.external#view", external };
    }
    return undefined;
  }

  async #recordEmbed(embed: Json): Promise<Json> {
    const { uri } = isJson(embed.record) ? embed.record : {};
    const view = typeof uri === "string" ? await this.#quoted(uri) : undefined;
    const record = view ?? { $type: "app.bsky.embed.record#viewNotFound", uri, notFound: true };
    return { $type: "app.bsky.embed.record#view", record };
  }

  /** What the service has of a quoted post, feed or list. */
  async #quoted(uri: string): Promise<Json | undefined> {
    const { ask } = this.#options;
    switch (/^at:\/\/[^/]+\/([^/]+)\//.exec(uri)?.[1]) {
      case "app.bsky.feed.post": {
        const { posts } = await ask("app.bsky.feed.getPosts", new URLSearchParams({ uris: uri }));
        const post: unknown = Array.isArray(posts) ? posts[0] : undefined;
        return isJson(post) ? quotedPost(post) : undefined;
      }
      case "app.bsky.feed.generator": {
        const { view } = await ask("app.bsky.feed.getFeedGenerator", new URLSearchParams({ feed: uri }));
        return isJson(view) ? { ...view, $type: "app.bsky.feed.defs#generatorView" } : undefined;
      }
      case "app.bsky.graph.list": {
        const { list } = await ask("app.bsky.graph.getList", new URLSearchParams({ list: uri, limit: "1" }));
        return isJson(list) ? { ...list, $type: "app.bsky.graph.defs#listView" } : undefined;
      }
      default:
        return undefined;
    }
  }

  #image(preset: ImagePreset, blob: unknown): string | undefined {
    const cid = cidOfBlob(blob);
    return cid === undefined ? undefined : this.#options.imageUrl(preset, cid);
  }
}

export function isJson(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function quotedPost({ uri, cid, author, record, labels, embed, indexedAt }: Json): Json {
  const embeds = embed === undefined ? undefined : [embed];
  return {
    $type: "app.bsky.embed.record#viewRecord",
    uri,
    cid,
    author,
    value: record,
    labels,
    embeds,
    indexedAt,
  };
}

/** The CID of a blob, in today's form or the old one. */
function cidOfBlob(blob: unknown): string | undefined {
  if (!isJson(blob)) return undefined;
  const cid = isJson(blob.ref) ? blob.ref.$link : blob.cid;
  return typeof cid === "string" ? cid : undefined;
}
