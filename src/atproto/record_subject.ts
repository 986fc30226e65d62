/** Record types of which an account has at most one per subject; and where their subject is. */
const SUBJECT_KINDS: Readonly<Record<string, "uri" | "did">> = {
  "app.bsky.feed.like": "uri",
  "app.bsky.feed.repost": "uri",
  "app.bsky.graph.block": "did",
  "app.bsky.graph.follow": "did",
};

const SUBJECT_PATHS: Readonly<Record<"uri" | "did", readonly Uint8Array[]>> = {
  uri: [Buffer.from("subject"), Buffer.from("uri")],
  did: [Buffer.from("subject")],
};

function kindOf(collection: string): "uri" | "did" | undefined {
  return Object.hasOwn(SUBJECT_KINDS, collection) ? SUBJECT_KINDS[collection] : undefined;
}

/** What a like, repost, follow or block points at; undefined for other records and for malformed ones. */
export function subjectOf(collection: string, value: unknown): string | undefined {
  const kind = kindOf(collection);
  if (kind === undefined) return undefined;
  const { subject } = value as { subject?: { uri?: unknown } | string | null };
  const target = kind === "did" ? subject : typeof subject === "object" ? subject?.uri : undefined;
  return typeof target === "string" ? target : undefined;
}

/** The keys, as bytes, below which a record of this collection has its subject; undefined where it has none. */
export function subjectPath(collection: string): readonly Uint8Array[] | undefined {
  const kind = kindOf(collection);
  return kind && SUBJECT_PATHS[kind];
}
