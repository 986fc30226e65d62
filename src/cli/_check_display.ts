/** What a look over a folder has found that was put together by a restore, a drill or a takeover: each fault, and what can be done. */
import type { CheckFinding, FolderCheckReport } from "../backup/mod.ts";

/** More are counted. */
const SHOWN_MAX = 20;

/** One line: what was looked at, and the verdict. */
export function checkSummary({
  accounts,
  repos,
  records,
  blobs,
  events,
  ...found
}: FolderCheckReport): string {
  const { problems, harms } = found;
  const what = `${accounts} accounts with ${repos} repos, ${records} records and ${blobs} blobs, and ${events} events`;
  if (problems === 0) return `${what}: all sound`;
  const one = problems === 1 ? "1 problem" : `${problems} problems`;
  return `${what}: ${one}, of which ${harms} do harm`;
}

/** "" where nothing was found. `advice` is for what does harm and cannot be mended. */
export function checkFindings({ findings, problems }: FolderCheckReport, advice: string): string {
  const lines = findings.slice(0, SHOWN_MAX).map(textOf);
  if (problems > SHOWN_MAX) lines.push(`... and ${problems - Math.min(SHOWN_MAX, findings.length)} more.`);
  if (advice !== "" && findings.some(({ isHarm, mends }) => isHarm && mends === undefined))
    lines.push(advice);
  return lines.map((line) => `${line}\n`).join("");
}

function textOf({ code, did, handle, file, detail, means, mends }: CheckFinding): string {
  const who = did === undefined ? undefined : handle === undefined ? did : `${handle} (${did})`;
  const where = [who, file].filter((part) => part !== undefined).join(", ");
  const lines = [`PROBLEM: ${where === "" ? "the server" : where} [${code}]`, `  ${detail}`, `  ${means}`];
  if (mends !== undefined)
    lines.push(`  "kith verify --repair", while no server runs on the folder, can ${mends}.`);
  return lines.join("\n");
}
