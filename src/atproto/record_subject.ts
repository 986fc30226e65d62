/** Record types of which an account has at most one per subject; and where their subject is. */
const SUBJECT_KINDS: Readonly<Record<string, "uri" | "did">> = {
  "app.bsky.feed.like": "uri",
  "app.bsky.feed.repost": "uri",
  "app.bsky.graph.block": "did",
  "app.bsky.graph.follow": "did",
};

/** What a like, repost, follow or block points at; undefined for other records and for malformed ones. */
export function subjectOf(collection: string, value: unknown): string | undefined {
  const kind = Object.hasOwn(SUBJECT_KINDS, collection) ? SUBJECT_KINDS[collection] : undefined;
  if (kind === undefined) return undefined;
  const { subject } = value as { subject?: { uri?: unknown } | string | null };
  const target = kind === "did" ? subject : typeof subject === "object" ? subject?.uri : undefined;
  return typeof target === "string" ? target : undefined;
}
