/** Whole repos: out and in. */
import { LIBRARY_RECORDS, type RowSet, sampleOf } from "../bench.ts";
import { call, moveIn, repoCar } from "../calls.ts";
import type { RowInfo } from "../rows.ts";
import { get } from "./reads.ts";

const EXPORT: RowInfo = {
  id: "getRepo",
  title: "getRepo of 10,000 records",
  unit: "MB/s",
  better: "higher",
  goal: { kind: "times", atLeast: 20 },
};

const IMPORT: RowInfo = {
  id: "importRepo",
  title: "importRepo of 10,000 records",
  unit: "records/s",
  better: "higher",
  goal: { kind: "times", atLeast: 10 },
};

const getRepo: RowSet = {
  rows: [EXPORT],
  measure: async (bench, name) => {
    const peer = await bench.peer(name);
    const { did } = await bench.large(name, "library");
    const lanes = [[get("com.atproto.sync.getRepo", `did=${did}`)]];
    const { port } = peer;
    const usage = await bench.using(peer, () =>
      bench.load.ask({ kind: "load", port, lanes, seconds: bench.seconds }),
    );
    const { requests, seconds, bodyBytes } = usage.result;
    return { [EXPORT.id]: sampleOf(bodyBytes / 1_000_000 / seconds, requests, usage) };
  },
};

/** Names of accounts that have moved in. */
let movers = 0;

const importRepo: RowSet = {
  rows: [IMPORT],
  roundsMax: 5,
  warms: false,
  measure: async (bench, name) => {
    const peer = await bench.peer(name);
    const mover = await moveIn(peer.url, bench.plc.url, `mover${++movers}`);
    const bytes = repoCar({ ...mover, records: LIBRARY_RECORDS });
    const { token } = mover;
    const usage = await bench.using(peer, () =>
      call(peer.url, "com.atproto.repo.importRepo", { token, bytes, type: "application/vnd.ipld.car" }),
    );
    return { [IMPORT.id]: sampleOf((LIBRARY_RECORDS * 1000) / usage.wallMs, LIBRARY_RECORDS, usage) };
  },
};

export const REPOS: readonly RowSet[] = [getRepo, importRepo];
