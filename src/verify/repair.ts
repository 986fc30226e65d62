/**
 * Mends what a verification has found, as far as it follows from what is sound: rows from the signed tree, the accounts from the accounts'
 * files, marks of the log from its events. A copy of each database is kept before its first change, and what is moved away is kept
 * beside it. Every step may be repeated: a repair that was interrupted is begun again.
 */

import { rename } from "node:fs/promises";
import { dirname } from "node:path";
import { isKithError } from "../errors.ts";
import { type LogChange, syncPath } from "../storage/mod.ts";
import type { Finding, FindingCode } from "./findings.ts";
import { AccountRepair } from "./repair_account.ts";
import { isOfServer, type RepairStep } from "./repair_plan.ts";
import { openAccounts, type RepairOptions } from "./repair_stores.ts";

export interface RepairReport {
  readonly mended: number;
  /** What could not be done, and why. */
  readonly failed: readonly { readonly finding: Finding; readonly why: string }[];
}

/** Throws what is no failure of one file: a defect, a disk that is full. */
export async function repair(steps: readonly RepairStep[], options: RepairOptions): Promise<RepairReport> {
  const failed: { finding: Finding; why: string }[] = [];
  const findings = steps.map(({ finding }) => finding);
  let done = 0;
  const trying = async (group: readonly Finding[], run: () => Promise<void>): Promise<void> => {
    try {
      if (group.length > 0) await run();
    } catch (error) {
      if (!isKithError(error) || error.code === "storage_full") throw error;
      for (const finding of group) failed.push({ finding, why: error.message });
    }
    done += group.length;
    options.onStep?.(done, findings.length);
  };
  const only = (...codes: FindingCode[]) => findings.filter(({ code }) => codes.includes(code));

  const misplaced = only("repo_misplaced");
  await trying(misplaced, () => putInPlace(misplaced, options));
  for (const finding of only("repo_unowned", "blob_folder_unowned")) {
    await trying([finding], () => options.kept.moveAside(finding.items?.[0] ?? ""));
  }
  for (const finding of only("accounts_index_damaged")) {
    await trying([finding], () => reindex(options.stores.paths.accounts, options));
  }
  for (const finding of only("log_index_damaged")) {
    await trying([finding], () => reindex(options.stores.paths.events, options));
  }
  const ofLog = findings.filter(({ code }) => isOfServer(code) && !code.endsWith("_index_damaged"));
  const damaged = only("event_damaged");
  const changes = [...ofLog, ...damaged].flatMap(logChanges);
  await trying(ofLog, () => changeLog(changes, options));
  if (ofLog.length === 0 && damaged.length > 0) await changeLog(changes, options);
  for (const [did, ofAccount] of byAccount(findings)) {
    await trying(ofAccount, () => new AccountRepair(did, ofAccount, options).run());
  }
  return { mended: findings.length - failed.length, failed };
}

async function reindex(path: string, { stores, kept }: RepairOptions): Promise<void> {
  await kept.keep(path);
  await stores.reindex(path);
}

async function changeLog(changes: readonly LogChange[], { stores, kept }: RepairOptions): Promise<void> {
  await kept.keep(stores.paths.events);
  await stores.repairLog(changes);
}

function logChanges({ code, did = "", items = [] }: Finding): LogChange[] {
  const seq = Number(items[0]);
  switch (code) {
    case "last_key_low":
      return [{ kind: "lastKey", did, key: items[0] ?? "" }];
    case "high_water_low":
      return [{ kind: "highWater", seq }];
    case "published_high":
      return [{ kind: "publishedUpTo", seq }];
    case "pruned_high":
      return [{ kind: "prunedUpTo", seq }];
    case "event_damaged":
      return items.map((item) => ({ kind: "dropEvent", seq: Number(item) }));
    default:
      return [];
  }
}

/** What is done in an account's own file, by DID. */
function byAccount(findings: readonly Finding[]): Map<string, Finding[]> {
  const all = new Map<string, Finding[]>();
  for (const finding of findings) {
    const { code, did } = finding;
    if (did === undefined || isOfServer(code) || code === "repo_misplaced") continue;
    const found = all.get(did) ?? [];
    found.push(finding);
    all.set(did, found);
  }
  return all;
}

/** Renames files that stand in each other's places: all away first. */
async function putInPlace(findings: readonly Finding[], { stores, kept }: RepairOptions): Promise<void> {
  const moves = findings.map(({ did = "", items = [] }) => ({
    did,
    from: items[0] ?? "",
    to: items[1] ?? "",
  }));
  for (const { from } of moves) await kept.keep(from);
  // Each is one file then, which is in one place or in the other: a log by itself would be taken for one of nobody.
  for (const { from } of moves) await stores.fold(from);
  // With the ending of its kind: where this is cut short, the next verification finds it.
  const meanwhile = (to: string) => to.replace(/\.sqlite$/, ".moving.sqlite");
  for (const { from, to } of moves) await moveDatabase(from, meanwhile(to));
  for (const { to } of moves) await moveDatabase(meanwhile(to), to);
  const { accounts } = await openAccounts({ stores, kept });
  for (const { did } of moves) await accounts.markOpen(did);
}

async function moveDatabase(from: string, to: string): Promise<void> {
  await rename(from, to);
  await syncPath(dirname(to));
  await syncPath(dirname(from));
}
