/** What a repair would do about what a verification has found. */
import { type Finding, isMendable, kindOf } from "./findings.ts";
import type { VerifyReport } from "./sources.ts";

export interface RepairStep {
  readonly finding: Finding;
  /** What is done, in words. */
  readonly what: string;
}

/** In the order in which it is done: files into their places, databases, accounts. */
export function repairPlan(report: Pick<VerifyReport, "findings">): RepairStep[] {
  const { findings } = report;
  const areBlobsGone = findings.some(({ code }) => code === "blobs_gone");
  const steps = findings
    .filter((finding) => isMendable(finding) && !(areBlobsGone && finding.code === "blob_missing"))
    .map((finding) => ({ finding, what: kindOf(finding).mends ?? "" }));
  return steps.sort((a, b) => orderOf(a.finding) - orderOf(b.finding));
}

function orderOf({ code }: Finding): number {
  if (code === "repo_misplaced" || code === "repo_unowned" || code === "blob_folder_unowned") return 0;
  return isOfServer(code) ? 1 : 2;
}

const OF_SERVER: ReadonlySet<Finding["code"]> = new Set([
  "accounts_index_damaged",
  "log_index_damaged",
  "high_water_low",
  "published_high",
  "pruned_high",
  "last_key_low",
]);

/** True of what is of a database of the server, also where it is about one account. */
export function isOfServer(code: Finding["code"]): boolean {
  return OF_SERVER.has(code);
}
