/** The event log: what it holds, in one pass, and what of it each account's file is held against. */
import { decodeFrame, fromBytes, nextTid, readCar, type toBytes } from "../atproto/mod.ts";
import type { LogRead, LogReadMarks, LogReads } from "../storage/mod.ts";
import { type FindingsList, Gathered } from "./findings_list.ts";
import { type LostRange, type LostWrites, lostWrites } from "./lost_writes.ts";

/** Accounts of which it is looked up what is lost. */
const LOST_LOOKS_MAX = 100;
/** Events between two turns of others. */
const TURN_EVENTS = 200;
/** Keys of another server's events are below this one: they are made from the first microseconds of 1970. */
const OWN_KEYS_FROM = nextTid(null, 1_000_000_000, 0);
/** Marks beyond this from now are nonsense, and nothing is raised to them. */
const MARK_AHEAD_MS = 24 * 3_600_000;

/** How an account stands by an #account event. */
export interface LoggedStanding {
  /** "active", or why it is not. */
  readonly status: string;
  /** Unix milliseconds. */
  readonly at: number;
  readonly key: string;
}

/** What the log has of one account. */
export interface LoggedAccount {
  /** Of the newest event. */
  key: string;
  /** Of the newest #commit or #sync. */
  rev: string | undefined;
  /** Of the newest that counts as published. */
  publishedRev: string | undefined;
  /** What the next commit made here must go on from; undefined where that is not known. */
  chainRev: string | undefined;
  /** What commits were left behind, as a later one went on from before them. */
  readonly branches: LostRange[];
  /** A #sync has told of the repo since the last of those. */
  isToldSince: boolean;
  /** By the newest #account that was made here; undefined where there is none. */
  standing: LoggedStanding | undefined;
  /** By the newest #identity that has one. */
  handle: string | undefined;
}

export interface LogFacts {
  readonly marks: LogReadMarks;
  readonly accounts: ReadonlyMap<string, LoggedAccount>;
  /** Seqs of events of an account that cannot be read, by DID. */
  readonly damaged: ReadonlyMap<string, Gathered>;
  /** Of the newest event that was ever in the log; "" where none was. */
  lastKey(did: string): string;
  /** What the account's commits within the ranges have written; undefined past the bound of such looks, each of which reads the whole log. */
  lost(did: string, ranges: readonly LostRange[]): LostWrites | undefined;
}

export interface CheckLogOptions {
  readonly findings: FindingsList;
  /** Only these; undefined for all. */
  readonly dids: ReadonlySet<string> | undefined;
  readonly now: () => number;
  turn(done: number, total: number): Promise<void>;
}

/** Throws KithError storage_damaged where the log cannot be read. */
export async function checkLog(log: LogReads, options: CheckLogOptions): Promise<LogFacts> {
  const { findings, dids } = options;
  const marks = log.marks();
  const accounts = new Map<string, LoggedAccount>();
  const damaged = new Map<string, Gathered>();
  const disorder = new Gathered();
  let done = 0;
  for (const event of log.events()) {
    if (done++ % TURN_EVENTS === 0) await options.turn(done, marks.rows);
    if (dids && !dids.has(event.did)) continue;
    const account = accounts.get(event.did) ?? newAccount();
    accounts.set(event.did, account);
    if (event.key !== null) {
      if (event.key <= account.key) disorder.add(`seq ${event.seq} of ${event.did}`);
      else account.key = event.key;
    }
    const read = readEvent(event);
    if ("why" in read) {
      gatheredOf(damaged, event.did).add(`seq ${event.seq} (${read.why})`, String(event.seq));
      account.chainRev = undefined;
      continue;
    }
    account.handle = read.handle ?? account.handle;
    if (read.status !== undefined && isOwnKey(event.key))
      account.standing = { status: read.status, at: event.at, key: event.key };
    if (read.rev !== undefined) {
      follow(account, event, { rev: read.rev, since: read.since });
      account.rev = read.rev;
      if (event.seq <= marks.publishedUpTo) account.publishedRev = read.rev;
    } else if (read.status === "deleted") {
      account.chainRev = undefined;
      account.branches.length = 0;
    }
  }
  disorder.tell(findings, {
    code: "event_order",
    what: "events have a key that is not above the one before",
    file: "events.sqlite",
  });
  for (const [did, found] of damaged) {
    found.tell(findings, {
      code: "event_damaged",
      did,
      file: "events.sqlite",
      what: "events cannot be used",
    });
  }
  for (const [did, { key }] of accounts) {
    const last = log.lastKey(did) ?? "";
    if (last >= key) continue;
    const detail = `the newest key is noted as "${last}", and there is an event "${key}"`;
    findings.add({ code: "last_key_low", did, file: "events.sqlite", detail, items: [key] });
  }
  if (!dids) checkMarks(marks, options);
  let looks = 0;
  return {
    ...{ marks, accounts, damaged },
    lastKey: (did) => log.lastKey(did) ?? "",
    lost: (did, ranges) => (looks++ < LOST_LOOKS_MAX ? lostWrites(log, did, ranges) : undefined),
  };
}

function newAccount(): LoggedAccount {
  return {
    ...{ key: "", rev: undefined, publishedRev: undefined },
    ...{ chainRev: undefined, branches: [], isToldSince: false },
    ...{ standing: undefined, handle: undefined },
  };
}

/** False of an event that another server has made, and of one from before keys were kept. */
function isOwnKey(key: string | null): key is string {
  return key !== null && key >= OWN_KEYS_FROM;
}

/**
 * Whether a #commit goes on from the newest before it, and a #sync does not go back. Of another server's events, which have the lowest keys,
 * that is not known; where some between were removed, it is no branch.
 */
function follow(
  account: LoggedAccount,
  { seq, key, kind }: LogRead,
  { rev, since }: { rev: string; since: string | undefined },
): void {
  const isOwn = isOwnKey(key);
  const from = kind === "commit" ? (since ?? "") : rev;
  if (isOwn && account.chainRev !== undefined && from < account.chainRev) {
    account.branches.push({ after: from, before: seq });
    account.isToldSince = false;
  } else if (kind === "sync") account.isToldSince = true;
  account.chainRev = isOwn ? rev : undefined;
}

function gatheredOf(all: Map<string, Gathered>, did: string): Gathered {
  const found = all.get(did) ?? new Gathered();
  all.set(did, found);
  return found;
}

interface ReadEvent {
  /** Of a #commit or #sync. */
  readonly rev?: string;
  /** Of a #commit: the rev that it goes on from. */
  readonly since?: string | undefined;
  /** Of an #account: "active", or why it is not. */
  readonly status?: string;
  /** Of an #identity. */
  readonly handle?: string | undefined;
}

/** What of it matters here; or why subscribers could do nothing with the frame. */
function readEvent({ seq, did, kind, frame }: LogRead): ReadEvent | { why: string } {
  try {
    const { op, t, payload } = decodeFrame(frame);
    if (op !== 1 || t !== `#${kind}`) return { why: `it is ${t ?? "an error"} instead of #${kind}` };
    if (payload.seq !== seq) return { why: `it says seq ${payload.seq}` };
    const whose = kind === "commit" ? payload.repo : payload.did;
    if (whose !== did) return { why: `it is of "${whose}"` };
    const { active, status, handle } = payload;
    if (kind === "account") return { status: active === true ? "active" : String(status ?? "inactive") };
    if (kind === "identity") return { handle: typeof handle === "string" ? handle : undefined };
    if (kind !== "commit" && kind !== "sync") return {};
    readCar(fromBytes(payload.blocks as ReturnType<typeof toBytes>));
    const { rev, since } = payload;
    return { rev: String(rev), since: typeof since === "string" ? since : undefined };
  } catch (error) {
    return { why: (error as Error).message };
  }
}

function checkMarks(marks: LogReadMarks, { findings, now }: CheckLogOptions): void {
  const { highWater, lastSeq, firstSeq, rows, publishedUpTo, prunedUpTo } = marks;
  const file = "events.sqlite";
  const end = (now() + MARK_AHEAD_MS) * 1_000;
  const isNonsense = publishedUpTo > highWater && publishedUpTo > end;
  if (isNonsense) {
    const detail = `events up to seq ${publishedUpTo} count as published, and the newest is ${lastSeq}`;
    findings.add({ code: "published_high", file, detail, items: [String(Math.max(lastSeq, highWater))] });
  }
  const isPrunedWrong = rows > 0 && prunedUpTo >= firstSeq;
  if (isPrunedWrong) {
    const detail = `events up to seq ${prunedUpTo} count as removed, and ${firstSeq} is there`;
    findings.add({ code: "pruned_high", file, detail, items: [String(firstSeq - 1)] });
  }
  const floor = Math.max(lastSeq, isNonsense ? 0 : publishedUpTo, isPrunedWrong ? 0 : prunedUpTo);
  if (highWater >= floor) return;
  const detail = `the highest seq that was given is noted as ${highWater}, and ${floor} was given`;
  findings.add({ code: "high_water_low", file, detail, items: [String(floor)] });
}
