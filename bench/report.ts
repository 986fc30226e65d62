/** Results as text for a terminal, pure. */
import { CLIENT_CORES_MAX } from "./judge.ts";
import type { Goal, RowResult, Series } from "./rows.ts";
import { digits, type Range } from "./stats.ts";

export const REMARKS: readonly string[] = [
  "Ratios are medians over the rounds, each of them kith against the reference in the same round.",
  `"by CPU": the load generator took more than ${CLIENT_CORES_MAX} cores and may be the bound, so the servers' CPU time for one operation is compared.`,
  "The reference does not fsync what it answers, neither commits nor blobs; kith answers when it is on disk.",
  "The reference pads createSession to 350 ms on purpose; nothing is claimed from that, and it is not measured.",
];

/** One line a row, in columns, then what must be known to read them. */
export function renderTable(results: readonly RowResult[]): string {
  const head = [
    "row",
    "reference min/median/max",
    "kith min/median/max",
    "unit",
    "ratio min/median/max",
    "CPU ms/op ref -> kith",
    "client cores",
    "goal",
    "",
  ];
  const lines = results.filter(({ growth }) => !growth).map(lineOf);
  const parts = [alignColumns([head, ...lines])];
  const growth = renderGrowth(results);
  if (growth !== "") parts.push(growth);
  const remarks = results.flatMap(({ id, remark }) => (remark === undefined ? [] : [`${id}: ${remark}.`]));
  parts.push([...REMARKS, ...remarks].join("\n"));
  return `${parts.join("\n\n")}\n`;
}

function lineOf(result: RowResult): string[] {
  const { title, unit, series, ratio, cpuRatio, basis, goal, shareOfLimit } = result;
  const { reference, kith } = series;
  const times = basis === "cpu" ? cpuRatio : ratio;
  const share = shareOfLimit === undefined ? "" : ` ${Math.round(shareOfLimit * 100)}% of the limit`;
  return [
    title,
    rangeText(reference?.value),
    rangeText(kith?.value),
    unit,
    times ? `${rangeText(times)}x${basis === "cpu" ? " by CPU" : ""}` : "",
    cpuText(reference, kith),
    [reference, kith].map((one) => one?.clientCores?.median.toFixed(2) ?? "-").join(" / "),
    goalText(goal),
    `${verdictText(result)}${share}`,
  ];
}

export function rangeText(range: Range | undefined): string {
  return range ? `${digits(range.min)} / ${digits(range.median)} / ${digits(range.max)}` : "-";
}

function cpuText(reference: Series | undefined, kith: Series | undefined): string {
  const [theirs, ours] = [reference, kith].map((one) => one?.cpuMs && digits(one.cpuMs.median));
  return theirs === undefined && ours === undefined ? "" : `${theirs ?? "-"} -> ${ours ?? "-"}`;
}

function goalText(goal: Goal | undefined): string {
  if (!goal) return "";
  if (goal.kind === "times") return `${goal.atLeast}x`;
  return `${goal.kind === "at-most" ? "<=" : ">="} ${goal.value}`;
}

function verdictText({ met }: RowResult): string {
  return met === undefined ? "" : met ? "met" : "SHORT";
}

/** One line a family: its figures by size, and how much more CPU the last size costs than the one before it. */
function renderGrowth(results: readonly RowResult[]): string {
  const families = new Map<string, RowResult[]>();
  for (const result of results) {
    if (!result.growth) continue;
    const { family } = result.growth;
    families.set(family, [...(families.get(family) ?? []), result]);
  }
  const lines = [...families].map(([family, rows]) => growthLine(family, rows));
  return lines.length === 0 ? "" : alignColumns([["growth of", "by size", "CPU of the last step"], ...lines]);
}

function growthLine(family: string, rows: readonly RowResult[]): string[] {
  const sorted = [...rows].sort((a, b) => (a.growth?.size ?? 0) - (b.growth?.size ?? 0));
  const figures = sorted.map(({ growth, series, unit }) => {
    const cpu = series.kith?.cpuMs;
    const cost = cpu ? ` (${digits(cpu.median)} ms CPU)` : "";
    return `${growth?.size.toLocaleString("en-US")}: ${digits(series.kith?.value.median ?? 0)} ${unit}${cost}`;
  });
  const [before, last] = sorted.slice(-2).map(({ series }) => series.kith?.cpuMs?.median);
  const step = before && last ? `${(last / before).toFixed(2)}x${logarithmText(sorted)}` : "";
  return [`${family}, by ${sorted[0]?.growth?.of}`, figures.join("  "), step];
}

/** What growth with the logarithm would be, of the last step. */
function logarithmText(sorted: readonly RowResult[]): string {
  const [before = 0, last = 0] = sorted.slice(-2).map(({ growth }) => growth?.size);
  return before > 1 ? ` (log: ${(Math.log(last) / Math.log(before)).toFixed(2)}x)` : "";
}

/** Columns as wide as their widest cell, two spaces apart. Pure. */
export function alignColumns(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  }
  return rows
    .map((row) =>
      row
        .map((cell, at) => cell.padEnd(widths[at] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}
