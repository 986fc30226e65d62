/** Writes over HTTP. */
import { type Bench, type RowSet, sampleOf, USERS } from "../bench.ts";
import { applyWritesBody, type BenchAccount, COLLECTION, postOf, WRITES_PER_COMMIT } from "../calls.ts";
import { COUNT_MARK, type RequestSpec } from "../load/mod.ts";
import type { PeerName } from "../peers.ts";
import type { RowInfo } from "../rows.ts";

const TEN_TIMES = { kind: "times", atLeast: 10 } as const;

/** Creates a post, a different one each time it is sent. */
export function createRecordSpec({ did, token }: BenchAccount): RequestSpec {
  const json = JSON.stringify({ repo: did, collection: COLLECTION, record: postOf(COUNT_MARK) });
  return { method: "POST", path: "/xrpc/com.atproto.repo.createRecord", token, json };
}

function applyWritesSpec({ did, token }: BenchAccount): RequestSpec {
  const json = JSON.stringify(applyWritesBody(did, (at) => `${at} ${COUNT_MARK}`));
  return { method: "POST", path: "/xrpc/com.atproto.repo.applyWrites", token, json };
}

/** createRecord by one connection into each account; p50 with one account, a rate with several. */
function creates(row: RowInfo, accounts: (bench: Bench, peer: PeerName) => Promise<BenchAccount[]>): RowSet {
  return {
    rows: [row],
    measure: async (bench, name) => {
      const peer = await bench.peer(name);
      const lanes = (await accounts(bench, name)).map((account) => [createRecordSpec(account)]);
      const { port } = peer;
      const usage = await bench.using(peer, () =>
        bench.load.ask({ kind: "load", port, lanes, seconds: bench.seconds }),
      );
      const { requests, seconds, p50Ms } = usage.result;
      return { [row.id]: sampleOf(row.unit === "ms" ? p50Ms : requests / seconds, requests, usage) };
    },
  };
}

const CREATE_ONE: RowInfo = {
  id: "createRecord-1",
  title: "createRecord, one connection, p50",
  unit: "ms",
  better: "lower",
  goal: TEN_TIMES,
  limit: "limit-1",
};

const CREATE_USERS: RowInfo = {
  id: "createRecord-16",
  title: `createRecord, ${USERS} users at once`,
  unit: "1/s",
  better: "higher",
  goal: TEN_TIMES,
  limit: "limit-16",
};

const CREATE_LARGE: RowInfo = {
  id: "createRecord-10k",
  title: "createRecord, 10,000 records in the repo, p50",
  unit: "ms",
  better: "lower",
  goal: TEN_TIMES,
  limit: "limit-10k",
};

const APPLY: RowInfo = {
  id: "applyWrites",
  title: `applyWrites of ${WRITES_PER_COMMIT} creates`,
  unit: "records/s",
  better: "higher",
  goal: { kind: "times", atLeast: 20 },
  limit: "limit-apply",
};

const applyWrites: RowSet = {
  rows: [APPLY],
  measure: async (bench, name) => {
    const peer = await bench.peer(name);
    const account = (await bench.users(name))[1]!;
    const lanes = [[applyWritesSpec(account)]];
    const { port } = peer;
    const usage = await bench.using(peer, () =>
      bench.load.ask({ kind: "load", port, lanes, seconds: bench.seconds }),
    );
    const { requests, seconds } = usage.result;
    const records = requests * WRITES_PER_COMMIT;
    return { [APPLY.id]: sampleOf(records / seconds, records, usage) };
  },
};

export const WRITES: readonly RowSet[] = [
  creates(CREATE_ONE, async (bench, peer) => (await bench.users(peer)).slice(0, 1)),
  creates(CREATE_USERS, (bench, peer) => bench.users(peer)),
  creates(CREATE_LARGE, async (bench, peer) => [await bench.large(peer, "grown")]),
  applyWrites,
];
