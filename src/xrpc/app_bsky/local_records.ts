/** What an account has written that a service may not have indexed yet. */
import { type Cid, cidToString, recordToJson, tidToMicros } from "../../atproto/mod.ts";

/** Newer records that are looked at, whatever they are; and posts that are shown of them. */
const RECORDS_LOOKED_AT_MAX = 100;
const POSTS_MAX = 10;
const POST = "app.bsky.feed.post";
const PROFILE = "app.bsky.actor.profile";

export type Json = Readonly<Record<string, unknown>>;

export interface LocalRecord {
  readonly uri: string;
  readonly cid: string;
  /** When it was committed, as a datetime. */
  readonly indexedAt: string;
  readonly value: Json;
}

export interface LocalRecords {
  /** The profile, where it is new. */
  readonly profile: LocalRecord | undefined;
  /** New posts, oldest first. */
  readonly posts: readonly LocalRecord[];
}

interface RepoRecord {
  readonly collection: string;
  readonly rkey: string;
  readonly cid: Cid;
  readonly rev: string;
  readonly bytes: Uint8Array;
}

/** One open repo, as these reads see it. */
export interface LocalRepo {
  recordsSince(rev: string, page: { limit: number }): readonly RepoRecord[];
  /** Undefined also for one that is taken down. */
  shownRecord(collection: string, rkey: string): { readonly bytes: Uint8Array } | undefined;
}

/** The profile and the posts of commits after `rev`. */
export function localRecordsSince(repo: LocalRepo, { did, rev }: { did: string; rev: string }): LocalRecords {
  const records = repo.recordsSince(rev, { limit: RECORDS_LOOKED_AT_MAX });
  const profile = records.find(({ collection, rkey }) => collection === PROFILE && rkey === "self");
  const posts = records.filter(({ collection }) => collection === POST).slice(0, POSTS_MAX);
  return {
    profile: profile && localRecord(did, profile),
    posts: posts.reverse().map((post) => localRecord(did, post)),
  };
}

/** The profile as it is now, unless it is taken down. */
export function localProfile(repo: LocalRepo): Json | undefined {
  const found = repo.shownRecord(PROFILE, "self");
  return found && (recordToJson(found.bytes) as Json);
}

/** How far the service is behind what it does not know, in milliseconds; undefined where it knows everything. */
export function lagOf({ profile, posts }: LocalRecords, now: number): number | undefined {
  const times = [...(profile ? [profile] : []), ...posts].map(({ indexedAt }) => Date.parse(indexedAt));
  return times.length === 0 ? undefined : Math.max(0, now - Math.min(...times));
}

function localRecord(did: string, { collection, rkey, cid, rev, bytes }: RepoRecord): LocalRecord {
  return {
    uri: `at://${did}/${collection}/${rkey}`,
    cid: cidToString(cid),
    indexedAt: new Date(tidToMicros(rev) / 1000).toISOString(),
    value: recordToJson(bytes) as Json,
  };
}
