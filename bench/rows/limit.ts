/** The limit: what the steps of a write cost by themselves, in a process without HTTP. */
import type { Bench, RowSet } from "../bench.ts";
import { LIBRARY_RECORDS, USERS } from "../bench.ts";
import { WRITES_PER_COMMIT } from "../calls.ts";
import { runChild } from "../child.ts";
import type { LimitAnswer, LimitInput } from "../limit_process.ts";
import type { RowInfo, Sample, Samples } from "../rows.ts";

type Shape = Pick<LimitInput, "keyType" | "writers" | "records" | "creates">;

/** Where a commit's time goes is told of this one. */
const PARTS_OF = "limit-10k";
const PARTS = ["encode", "tree", "sign", "event", "transaction", "disk"];

interface LimitRow extends Shape {
  readonly id: string;
  readonly title: string;
}

const ROWS: readonly LimitRow[] = [
  { id: "limit-1", title: "one writer, p50", keyType: "k256", writers: 1, records: 0, creates: 1 },
  {
    id: "limit-1-p256",
    title: "one writer, P-256, p50",
    keyType: "p256",
    writers: 1,
    records: 0,
    creates: 1,
  },
  { id: "limit-16", title: `${USERS} writers`, keyType: "k256", writers: USERS, records: 0, creates: 1 },
  {
    id: "limit-16-p256",
    title: `${USERS} writers, P-256`,
    keyType: "p256",
    writers: USERS,
    records: 0,
    creates: 1,
  },
  {
    id: PARTS_OF,
    title: "one writer, 10,000 records in the repo, p50",
    keyType: "k256",
    writers: 1,
    records: LIBRARY_RECORDS,
    creates: 1,
  },
  {
    id: "limit-apply",
    title: `one writer, ${WRITES_PER_COMMIT} creates a commit`,
    keyType: "k256",
    writers: 1,
    records: 0,
    creates: WRITES_PER_COMMIT,
  },
];

function unitOf({ writers, creates }: Shape): "ms" | "1/s" | "records/s" {
  if (creates > 1) return "records/s";
  return writers > 1 ? "1/s" : "ms";
}

function infoOf(row: LimitRow): RowInfo {
  const unit = unitOf(row);
  return { id: row.id, title: `limit: ${row.title}`, unit, better: unit === "ms" ? "lower" : "higher" };
}

function partInfo(part: string): RowInfo {
  return { id: `limit-part-${part}`, title: `limit: of that, ${part}`, unit: "ms", better: "lower" };
}

async function measureRow(bench: Bench, row: LimitRow): Promise<Samples> {
  const { id, keyType, writers, records, creates } = row;
  const input: LimitInput = {
    folder: bench.folder("limit"),
    seconds: bench.seconds,
    keyType,
    writers,
    records,
    creates,
  };
  const answer = await runChild<LimitAnswer>("limit_process.ts", input);
  const rate = (answer.commits * creates) / answer.seconds;
  const value = unitOf(row) === "ms" ? answer.p50Ms : rate;
  const sample: Sample = {
    value,
    cpuMs: answer.cpuMs / creates,
    serverCores: (answer.cpuMs * answer.commits) / answer.seconds / 1000,
  };
  if (id !== PARTS_OF) return { [id]: sample };
  const parts = PARTS.map((part) => [`limit-part-${part}`, { value: answer.parts[part] ?? 0 }]);
  return { [id]: sample, ...Object.fromEntries(parts) };
}

/** Measured before the rows that are shares of it. */
export const LIMITS: readonly RowSet[] = ROWS.map((row) => ({
  rows: row.id === PARTS_OF ? [infoOf(row), ...PARTS.map(partInfo)] : [infoOf(row)],
  peers: ["kith"],
  roundsMax: 3,
  warms: false,
  measure: (bench) => measureRow(bench, row),
}));
