/** The same requests of kith, with ever more records in a repo and ever more accounts on disk. */
import { type Bench, type RowSet, sampleOf, USERS } from "../bench.ts";
import { COLLECTION } from "../calls.ts";
import { runChild } from "../child.ts";
import type { LoadResult, RequestSpec } from "../load/mod.ts";
import type { KeyType, Peer } from "../peers.ts";
import { residentMb } from "../proc.ts";
import type { RowInfo, Sample } from "../rows.ts";
import type { SeedAnswer, SeedInput } from "../seed_process.ts";
import { CONNECTIONS, deal, get } from "./reads.ts";
import { createRecordSpec } from "./writes.ts";

const RECORDS = [0, 10_000, 100_000] as const;
const ACCOUNTS = [10, 1_000, 10_000] as const;
/** More takes long to seed. */
const LARGE_RECORDS = 10_000;
const LARGE_ACCOUNTS = 1_000;
const KEY_TYPES: readonly KeyType[] = ["k256", "p256"];

interface Seeded {
  readonly peer: Peer;
  readonly accounts: SeedAnswer["accounts"];
}

/** What is measured of each size: requests, and how their figure is got. */
interface Probe {
  readonly name: string;
  readonly unit: "ms" | "1/s";
  lanes(accounts: SeedAnswer["accounts"]): RequestSpec[][];
}

const WRITE_FIRST: Probe = {
  name: "createRecord, one connection, p50",
  unit: "ms",
  lanes: ([first]) => [[createRecordSpec(first!)]],
};

const OF_THE_FIRST: readonly Probe[] = [
  WRITE_FIRST,
  {
    name: "getRecord",
    unit: "1/s",
    lanes: ([first]) => deal((step) => recordOf(first!, step)),
  },
  {
    name: "sync.getRecord (proof)",
    unit: "1/s",
    lanes: ([first]) => deal((step) => recordOf(first!, step, "com.atproto.sync.getRecord")),
  },
  {
    name: "listRecords of 100",
    unit: "1/s",
    lanes: ([first]) => {
      const { did } = first!;
      return deal(() =>
        get("com.atproto.repo.listRecords", `repo=${did}&collection=${COLLECTION}&limit=100`),
      );
    },
  },
];

const OF_ALL: readonly Probe[] = [
  {
    name: `createRecord, ${USERS} users at once`,
    unit: "1/s",
    lanes: (accounts) => Array.from({ length: USERS }, (_, at) => [createRecordSpec(pick(accounts, at))]),
  },
  {
    name: `getRecord all over them, ${CONNECTIONS} connections`,
    unit: "1/s",
    lanes: (accounts) => deal((step) => recordOf(pick(accounts, step), step)),
  },
];

function pick<T>(list: readonly T[], step: number): T {
  return list[(step * 7_919) % list.length]!;
}

function recordOf(
  { did, rkeys }: SeedAnswer["accounts"][number],
  step: number,
  nsid = "com.atproto.repo.getRecord",
): RequestSpec {
  const owner = nsid.includes(".sync.") ? "did" : "repo";
  return get(nsid, `${owner}=${did}&collection=${COLLECTION}&rkey=${pick(rkeys, step)}`);
}

async function seeded(bench: Bench, shape: Omit<SeedInput, "folder" | "plcUrl">): Promise<Seeded> {
  const folder = bench.folder("growth");
  const input: SeedInput = { ...shape, folder, plcUrl: bench.plc.url };
  const { accounts } = await runChild<SeedAnswer>("seed_process.ts", input);
  return { peer: await bench.launch("kith", { folder }), accounts };
}

async function probe(bench: Bench, { peer, accounts }: Seeded, one: Probe): Promise<Sample> {
  const { port } = peer;
  const lanes = one.lanes(accounts);
  const ask = (seconds: number): Promise<LoadResult> =>
    bench.load.ask({ kind: "load", port, lanes, seconds });
  await ask(bench.seconds / 3);
  const usage = await bench.using(peer, () => ask(bench.seconds));
  const { requests, seconds, p50Ms } = usage.result;
  return sampleOf(one.unit === "ms" ? p50Ms : requests / seconds, requests, usage);
}

interface Step {
  readonly of: "records in the repo" | "accounts on disk";
  readonly size: number;
  readonly keyType: KeyType;
  readonly probes: readonly Probe[];
}

function infoOf({ of, size, keyType }: Step, { name, unit }: Probe): RowInfo {
  const family = `${name} (${keyType})`;
  return {
    id: `growth-${of.split(" ")[0]}-${keyType}-${size}-${name.split(/[ ,]/)[0]}`,
    title: `${family}, ${size} ${of}`,
    unit,
    better: unit === "ms" ? "lower" : "higher",
    growth: { family, of, size },
  };
}

function memoryInfo({ of, size, keyType }: Step): RowInfo {
  const family = `memory (${keyType})`;
  const title = `${family}, ${size} ${of}`;
  return {
    id: `growth-memory-${keyType}-${size}`,
    title,
    unit: "MB",
    better: "lower",
    growth: { family, of, size },
  };
}

function rowsOf(step: Step): RowSet {
  const ofAccounts = step.of === "accounts on disk";
  const rows = step.probes.map((one) => infoOf(step, one));
  return {
    rows: ofAccounts ? [...rows, memoryInfo(step)] : rows,
    peers: ["kith"],
    roundsMax: 1,
    isLarge: step.size > (ofAccounts ? LARGE_ACCOUNTS : LARGE_RECORDS),
    warms: false,
    measure: async (bench) => {
      const { keyType, size } = step;
      const shape = ofAccounts ? { accounts: size, records: 1 } : { accounts: 1, records: Math.max(1, size) };
      const seed = await seeded(bench, { keyType, ...shape });
      await using peer = seed.peer;
      const samples: Record<string, Sample> = {};
      for (const one of step.probes) samples[infoOf(step, one).id] = await probe(bench, seed, one);
      if (ofAccounts) samples[memoryInfo(step).id] = { value: residentMb(peer.pid) };
      await peer.stop();
      return samples;
    },
  };
}

export const GROWTH: readonly RowSet[] = KEY_TYPES.flatMap((keyType) => [
  ...RECORDS.map((size): Step => ({ of: "records in the repo", size, keyType, probes: OF_THE_FIRST })),
  ...ACCOUNTS.map((size): Step => ({ of: "accounts on disk", size, keyType, probes: OF_ALL })),
]).map(rowsOf);
