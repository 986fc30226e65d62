/** Every row, in the order of the table. */
import type { RowSet } from "../bench.ts";
import { BLOBS } from "./blobs.ts";
import { FLOORS } from "./floor.ts";
import { GROWTH } from "./growth.ts";
import { LIFE } from "./life.ts";
import { LIMITS } from "./limit.ts";
import { READS } from "./reads.ts";
import { REPOS } from "./repos.ts";
import { SLOW_DISK } from "./slow_disk.ts";
import { STREAMS } from "./streams.ts";
import { WRITES } from "./writes.ts";

export const ALL_ROWS: readonly RowSet[] = [
  ...WRITES,
  ...READS,
  ...REPOS,
  ...STREAMS,
  ...BLOBS,
  ...LIFE,
  ...LIMITS,
  ...FLOORS,
  ...SLOW_DISK,
  ...GROWTH,
];

/** A few that take seconds. */
export const SMOKE_ROWS: readonly string[] = [
  "createRecord-1",
  "createRecord-16",
  "getLatestCommit",
  "fan-out",
  "firehose-busy",
  "start",
  "limit-1",
  "growth-accounts-k256-10-createRecord",
  "growth-accounts-k256-10-getRecord",
  "growth-memory-k256-10",
];
