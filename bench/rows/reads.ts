/** Reads over HTTP, by many connections at once. */
import { type Bench, type RowSet, sampleOf } from "../bench.ts";
import { COLLECTION, sampleRkeys } from "../calls.ts";
import type { RequestSpec } from "../load/mod.ts";
import type { PeerName } from "../peers.ts";
import type { RowInfo } from "../rows.ts";

export const CONNECTIONS = 32;
/** Requests that a connection has before it begins anew. */
const REQUESTS_EACH = 100;
const RKEY_PAGES = 100;

export function get(nsid: string, query: string, token?: string): RequestSpec {
  return { method: "GET", path: `/xrpc/${nsid}${query === "" ? "" : `?${query}`}`, token };
}

/** Deals requests out to the connections. */
export function deal(make: (at: number) => RequestSpec, connections = CONNECTIONS): RequestSpec[][] {
  return Array.from({ length: connections }, (_, lane) =>
    Array.from({ length: REQUESTS_EACH }, (_, at) => make(lane * REQUESTS_EACH + at)),
  );
}

function read(
  row: Pick<RowInfo, "id" | "title"> & { times: number },
  lanesOf: (bench: Bench, name: PeerName) => Promise<RequestSpec[][]>,
): RowSet {
  const { id, times } = row;
  return {
    rows: [
      {
        id,
        title: `${row.title}, ${CONNECTIONS} connections`,
        unit: "1/s",
        better: "higher",
        goal: { kind: "times", atLeast: times },
      },
    ],
    measure: async (bench, name) => {
      const peer = await bench.peer(name);
      const lanes = await bench.once(`lanes ${id} ${name}`, () => lanesOf(bench, name));
      const { port } = peer;
      const usage = await bench.using(peer, () =>
        bench.load.ask({ kind: "load", port, lanes, seconds: bench.seconds }),
      );
      const { requests, seconds } = usage.result;
      return { [id]: sampleOf(requests / seconds, requests, usage) };
    },
  };
}

/** Records all over the large repo. */
function records(bench: Bench, name: PeerName): Promise<{ did: string; rkeys: string[] }> {
  return bench.once(`rkeys ${name}`, async () => {
    const { did } = await bench.large(name, "library");
    return { did, rkeys: await sampleRkeys((await bench.peer(name)).url, did, RKEY_PAGES) };
  });
}

/** The same jumps through the repo for both servers. */
function at<T>(list: readonly T[], step: number): T {
  return list[(step * 7_919) % list.length]!;
}

export const READS: readonly RowSet[] = [
  read({ id: "getRecord", title: "getRecord", times: 15 }, async (bench, name) => {
    const { did, rkeys } = await records(bench, name);
    return deal((step) =>
      get("com.atproto.repo.getRecord", `repo=${did}&collection=${COLLECTION}&rkey=${at(rkeys, step)}`),
    );
  }),
  read({ id: "listRecords", title: "listRecords of 100", times: 10 }, async (bench, name) => {
    const { did, rkeys } = await records(bench, name);
    return deal((step) =>
      get(
        "com.atproto.repo.listRecords",
        `repo=${did}&collection=${COLLECTION}&limit=100&cursor=${at(rkeys.slice(0, -100), step)}`,
      ),
    );
  }),
  read({ id: "sync.getRecord", title: "sync.getRecord (proof)", times: 10 }, async (bench, name) => {
    const { did, rkeys } = await records(bench, name);
    return deal((step) =>
      get("com.atproto.sync.getRecord", `did=${did}&collection=${COLLECTION}&rkey=${at(rkeys, step)}`),
    );
  }),
  read({ id: "getLatestCommit", title: "getLatestCommit", times: 15 }, async (bench, name) => {
    const users = await bench.users(name);
    return deal((step) => get("com.atproto.sync.getLatestCommit", `did=${at(users, step).did}`));
  }),
  read({ id: "getSession", title: "getSession", times: 8 }, async (bench, name) => {
    const users = await bench.users(name);
    return deal((step) => get("com.atproto.server.getSession", "", at(users, step).token));
  }),
];
