/** What is measured, and what comes of it: the words that rows, runner, report and plot share. */
import type { PeerName } from "./peers.ts";
import type { Better, Range } from "./stats.ts";

/** What a row must show. */
export type Goal =
  /** So many times as good as the reference in the same run. */
  | { readonly kind: "times"; readonly atLeast: number }
  /** In the row's own unit, whatever the reference does. */
  | { readonly kind: "at-most"; readonly value: number }
  | { readonly kind: "at-least"; readonly value: number };

export interface RowInfo {
  readonly id: string;
  readonly title: string;
  readonly unit: string;
  readonly better: Better;
  readonly goal?: Goal;
  /** Which row of the in-process limit it is a share of. */
  readonly limit?: string;
  /** Rows of one family differ in size alone: what grows, and how large it is. */
  readonly growth?: { readonly family: string; readonly of: string; readonly size: number };
  /** What a reader must know to judge it. */
  readonly remark?: string;
}

/** One measurement of one server. */
export interface Sample {
  readonly value: number;
  /** The server's user and system time for one operation. */
  readonly cpuMs?: number;
  /** How many cores the load generator and the server kept busy. */
  readonly clientCores?: number;
  readonly serverCores?: number;
}

/** By row id. */
export type Samples = Readonly<Record<string, Sample>>;

export interface Series {
  readonly rounds: readonly Sample[];
  readonly value: Range;
  readonly cpuMs?: Range;
  readonly clientCores?: Range;
  readonly serverCores?: Range;
}

export interface RowResult extends RowInfo {
  readonly series: Readonly<Partial<Record<PeerName, Series>>>;
  /** How many times better kith is: of the figures, and of the servers' CPU for one operation. */
  readonly ratio?: Range;
  readonly cpuRatio?: Range;
  /** Which of the two counts; "cpu" where the client had more than half a core. */
  readonly basis: "value" | "cpu";
  /** kith's figure as a share of the in-process limit's. */
  readonly shareOfLimit?: number;
  /** Absent where the row has no goal, or lacks what it is judged by. */
  readonly met?: boolean;
}

/** The goal of a row that is compared with the reference. */
export function goalTimes({ goal }: Pick<RowInfo, "goal">): number | undefined {
  return goal?.kind === "times" ? goal.atLeast : undefined;
}
