/** kith on a disk whose fsync takes 5 ms, simulated where the disk is awaited: below the unchanged executable. */
import { join } from "node:path";
import { type Bench, type RowSet, sampleOf, USERS } from "../bench.ts";
import { createAccounts } from "../calls.ts";
import type { RowInfo } from "../rows.ts";
import { deal, get } from "./reads.ts";
import { createRecordSpec } from "./writes.ts";

const READERS = 4;

/** What the Docker image and the unit file of the examples set; by default Bun has a thread a core. */
const THREADS = 16;

const READS: RowInfo = {
  id: "slow-disk-reads",
  title: "getSession meanwhile, p99",
  unit: "ms",
  better: "lower",
  goal: { kind: "at-most", value: 5 },
};

function writesRow(id: string, setting: string): RowInfo {
  return {
    id,
    title: `createRecord, ${USERS} users, fsync takes 5 ms more${setting}`,
    unit: "1/s",
    better: "higher",
    goal: { kind: "at-least", value: 1_000 },
    remark: "slow_disk.c, loaded before libc, delays fsync and fdatasync",
  };
}

function compileLibrary(bench: Bench): string {
  const library = join(bench.folder("slow-disk"), "slow_disk.so");
  const source = join(import.meta.dir, "../slow_disk.c");
  const built = Bun.spawnSync(["cc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"]);
  if (built.exitCode !== 0) throw new Error(`Could not compile "${source}": ${built.stderr}`);
  return library;
}

async function slowServer(bench: Bench, env: Record<string, string>) {
  const peer = await bench.launchUntilEnd("kith", { env: { LD_PRELOAD: compileLibrary(bench), ...env } });
  return { peer, users: await createAccounts(peer.url, "user", USERS) };
}

function slowDisk(row: RowInfo, options: { env: Record<string, string>; reads?: RowInfo }): RowSet {
  const { env, reads } = options;
  return {
    rows: reads ? [row, reads] : [row],
    peers: ["kith"],
    measure: async (bench) => {
      const { peer, users } = await bench.once(row.id, () => slowServer(bench, env));
      const { port } = peer;
      const { seconds } = bench;
      const writers = users.map((user) => [createRecordSpec(user)]);
      const readers = deal(
        (at) => get("com.atproto.server.getSession", "", users[at % USERS]?.token),
        READERS,
      );
      const usage = await bench.using(peer, () =>
        Promise.all([
          bench.load.ask({ kind: "load", port, lanes: writers, seconds }),
          reads && bench.subscribers.ask({ kind: "load", port, lanes: readers, seconds }),
        ]),
      );
      const [written, read] = usage.result;
      const sample = sampleOf(written.requests / written.seconds, written.requests, usage);
      return { [row.id]: sample, ...(reads && read && { [reads.id]: { value: read.p99Ms } }) };
    },
  };
}

export const SLOW_DISK: readonly RowSet[] = [
  slowDisk(writesRow("slow-disk-writes", ""), { env: {} }),
  slowDisk(writesRow("slow-disk-threads", `, ${THREADS} disk threads`), {
    env: { UV_THREADPOOL_SIZE: String(THREADS) },
  }),
  slowDisk(writesRow("slow-disk-mixed", ", and others read"), { env: {}, reads: READS }),
];
