/** com.atproto.sync: whole repos, commits, blocks and proofs, as relays and migrations read them. */
import {
  ComAtprotoSyncGetBlocks,
  ComAtprotoSyncGetLatestCommit,
  ComAtprotoSyncGetRecord,
  ComAtprotoSyncGetRepo,
} from "@atcute/atproto";
import {
  type Block,
  type Cid,
  cidKey,
  cidToString,
  encodeCar,
  type Head,
  parseCid,
  recordProof,
} from "../../../atproto/mod.ts";
import type { Principal } from "../../../auth/mod.ts";
import { KithError } from "../../../errors.ts";
import { perNetwork } from "../../limits/charges.ts";
import { MINUTE_MS } from "../../limits/rate_limits.ts";
import { type Method, method } from "../../method.ts";
import { type Accounts, isPrivileged, type RepoReads, type RepoView, servedAccount } from "../repo_access.ts";

const CAR_TYPE = "application/vnd.ipld.car";
/** Blocks of one getBlocks. */
const BLOCKS_MAX = 500;
/** Bytes of blocks of one getBlocks. */
const BLOCKS_BYTES_MAX = 32 * 1024 * 1024;

export interface SyncRepoOptions {
  readonly accounts: Accounts;
  readonly repos: RepoReads & {
    exportRepo(did: string, options: { since?: string }): Promise<ReadableStream<Uint8Array>>;
  };
}

export function syncRepoMethods(options: SyncRepoOptions): Method[] {
  return [getRepo(options), getLatestCommit(options), getRecord(options), getBlocks(options)];
}

function getRepo(options: SyncRepoOptions): Method {
  return method(ComAtprotoSyncGetRepo.mainSchema, {
    auth: "optional",
    oauth: "any",
    // Relays and archives fetch many repos at a time, and are to be able to do all else meanwhile.
    limit: perNetwork({ points: 6_000, windowMs: 5 * MINUTE_MS }),
    limitedApart: true,
    handler: ({ params, principal, request }) => repoResponse(options, { ...params, principal, request }),
  });
}

/** The repo as a CAR: all of it, or what is newer than `since`. */
export async function repoResponse(
  { accounts, repos }: SyncRepoOptions,
  call: { did: string; since?: string; principal: Principal | null; request: Request },
): Promise<Response> {
  const { did } = await servedAccount(accounts, { identifier: call.did, principal: call.principal });
  // An export pins the repo's file: a HEAD opens none.
  if (call.request.method === "HEAD") return carResponse(null);
  return carResponse(await repos.exportRepo(did, { since: call.since }));
}

function getLatestCommit({ accounts, repos }: SyncRepoOptions): Method {
  return method(ComAtprotoSyncGetLatestCommit.mainSchema, {
    auth: "optional",
    oauth: "any",
    handler: async ({ params, principal }) => {
      const { did } = await servedAccount(accounts, { identifier: params.did, principal });
      const { commit, rev } = await repos.readDurable(did, (repo) => headOf(repo, did));
      return { cid: cidToString(commit), rev };
    },
  });
}

/** The record with the nodes that prove it, or the nodes that prove that there is none. */
function getRecord({ accounts, repos }: SyncRepoOptions): Method {
  return method(ComAtprotoSyncGetRecord.mainSchema, {
    auth: "optional",
    oauth: "any",
    handler: async ({ params, principal }) => {
      const { did } = await servedAccount(accounts, { identifier: params.did, principal });
      const path = `${params.collection}/${params.rkey}`;
      return repos.readDurable(did, (repo) => {
        const head = headOf(repo, did);
        // A proof either way would be of what must not be shown, or not true.
        if (!isPrivileged(principal, did) && repo.takedowns.record(params.collection, params.rkey)) {
          throw new KithError("record_not_found", `Could not find the record "at://${did}/${path}"`);
        }
        return carResponse(encodeCar([head.commit], recordProof(head, { path, blocks: repo }).blocks));
      });
    },
  });
}

function getBlocks({ accounts, repos }: SyncRepoOptions): Method {
  return method(ComAtprotoSyncGetBlocks.mainSchema, {
    auth: "optional",
    oauth: "any",
    handler: async ({ params, principal }) => {
      const { did } = await servedAccount(accounts, { identifier: params.did, principal });
      const cids = distinctCids(params.cids);
      const seesAll = isPrivileged(principal, did);
      const isShown = (repo: RepoView) => (cid: Cid) => seesAll || !repo.takedowns.hidesBlock(cid);
      return repos.readDurable(did, (repo) =>
        carResponse(encodeCar([], readBlocks(repo, { cids, isShown: isShown(repo) }))),
      );
    },
  });
}

function readBlocks(
  repo: RepoView,
  { cids, isShown }: { cids: readonly Cid[]; isShown: (cid: Cid) => boolean },
): Block[] {
  const blocks: Block[] = [];
  const missing: string[] = [];
  let bytes = 0;
  for (const cid of cids) {
    const found = isShown(cid) ? repo.get(cid) : undefined;
    if (!found) {
      missing.push(cidToString(cid));
      continue;
    }
    bytes += found.byteLength;
    if (bytes > BLOCKS_BYTES_MAX) {
      throw new KithError(
        "invalid_request",
        `Could not get the blocks: over ${BLOCKS_BYTES_MAX} bytes, ask for fewer`,
      );
    }
    blocks.push({ cid, bytes: found });
  }
  if (missing.length === 0) return blocks;
  throw new KithError("block_not_found", `Could not find the blocks: ${missing.join(", ")}`);
}

function distinctCids(texts: readonly string[]): Cid[] {
  if (texts.length > BLOCKS_MAX) {
    throw new KithError("invalid_request", `Could not get ${texts.length} blocks: ${BLOCKS_MAX} at most`);
  }
  const cids = texts.map((text) => readCid(text));
  return [...new Map(cids.map((cid) => [cidKey(cid), cid])).values()];
}

/** A CID of the kinds that repos hold; the lexicon's `cid` format is wider. KithError invalid_request. */
export function readCid(text: string): Cid {
  try {
    return parseCid(text);
  } catch (cause) {
    throw new KithError("invalid_request", `Could not read the CID "${text.slice(0, 128)}"`, { cause });
  }
}

/** A repo whose first commit is still being made does not exist to others. */
function headOf(repo: RepoView, did: string): Head {
  const { head } = repo.state();
  if (head) return head;
  throw new KithError("repo_not_found", `Could not find the repo of "${did}"`);
}

function carResponse(body: Uint8Array | ReadableStream<Uint8Array> | null): Response {
  return new Response(body as BodyInit | null, { headers: { "Content-Type": CAR_TYPE } });
}
