/** One account's file: its newest commit and signature, its tree and what stands beside it. */
import {
  type Commit,
  cidEquals,
  cidFromBytes,
  cidOfCbor,
  type Head,
  isTid,
  parseCommit,
  verifySignature,
} from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import type { RepoMeta, RepoReads } from "../storage/mod.ts";
import { compareTree, type TreeDifference, type TreeTotals } from "./compare_tree.ts";
import { type FindingsList, Gathered } from "./findings_list.ts";

/** Where a finding of the account belongs. */
export interface Whose {
  readonly did: string;
  readonly handle?: string;
  readonly file: string;
}

export interface CheckRepoOptions {
  readonly whose: Whose;
  readonly findings: FindingsList;
  /** Keys that may have signed its commit: those of the file and of the accounts, first the one that should. */
  readonly keys: readonly string[];
  /** The key that the network knows; undefined where that was not asked. */
  readonly documentKey: string | undefined;
  readonly totals: TreeTotals;
  turn(): Promise<void>;
}

export interface CheckedRepo {
  /** The signed commit, where it can be read. */
  readonly head: Head | undefined;
  /** Which of the keys has signed it. */
  readonly signedBy: string | undefined;
  /** False: what the tables say of records cannot be judged. */
  readonly isWhole: boolean;
}

export async function checkRepo(reads: RepoReads, options: CheckRepoOptions): Promise<CheckedRepo> {
  const meta = reads.meta();
  const checked = meta && checkHead(reads, { meta, options });
  if (!checked) return { head: undefined, signedBy: undefined, isWhole: false };
  const isWhole = await checkTree(reads, checked.head, options);
  return { ...checked, isWhole };
}

/** The head by the commit itself, not by what the file says beside it. */
function checkHead(
  reads: RepoReads,
  { meta, options }: { meta: RepoMeta; options: CheckRepoOptions },
): (Pick<CheckedRepo, "signedBy"> & { head: Head }) | undefined {
  const { whose, findings } = options;
  if (!meta.head) {
    findings.add({ ...whose, code: "no_commit", detail: "its file names no commit" });
    return undefined;
  }
  let commit: Commit;
  const cid = cidFromBytes(meta.head);
  try {
    const block = reads.block(cid);
    if (!block) throw new Error("its block is missing");
    if (!cidEquals(cidOfCbor(block.bytes), cid)) throw new Error("its bytes are not what its CID says");
    commit = parseCommit(block.bytes);
    if (commit.did !== whose.did) throw new Error(`it is of "${commit.did}"`);
    if (!isTid(commit.rev)) throw new Error(`its rev "${commit.rev}" is not a TID`);
  } catch (error) {
    findings.add({
      ...whose,
      code: "head_damaged",
      detail: `the newest commit: ${(error as Error).message}`,
    });
    return undefined;
  }
  const head = { commit: cid, rev: commit.rev, data: commit.data };
  checkMeta(meta, { head, options });
  return { head, signedBy: checkSignature(commit, options) };
}

function checkMeta(meta: RepoMeta, { head, options }: { head: Head; options: CheckRepoOptions }): void {
  const { whose, findings } = options;
  const wrong: string[] = [];
  if (meta.rev !== head.rev) wrong.push(`rev "${meta.rev}" instead of "${head.rev}"`);
  if (!meta.data || Buffer.compare(meta.data, head.data.bytes) !== 0) wrong.push("another root of the tree");
  if (meta.last_tid === null || meta.last_tid < head.rev)
    wrong.push(`the newest TID "${meta.last_tid}", below the rev "${head.rev}"`);
  if (wrong.length === 0) return;
  findings.add({ ...whose, code: "head_differs", detail: `the file says ${wrong.join(" and ")}` });
}

function checkSignature({ rev, unsigned, sig }: Commit, options: CheckRepoOptions): string | undefined {
  const { whose, findings, keys, documentKey } = options;
  const all = documentKey === undefined ? keys : [...keys, documentKey];
  if (all.length === 0) return undefined;
  const signedBy = [...new Set(all)].find((key) => {
    try {
      return verifySignature(key, unsigned, sig);
    } catch {
      return false;
    }
  });
  if (signedBy === undefined) {
    const detail = `the commit "${rev}" is signed by none of: ${[...new Set(all)].join(", ")}`;
    findings.add({ ...whose, code: "signature_wrong", detail });
  }
  return signedBy;
}

async function checkTree(reads: RepoReads, head: Head, options: CheckRepoOptions): Promise<boolean> {
  const { whose, findings, totals } = options;
  const found = new TreeFindings();
  try {
    for (const difference of compareTree(reads, head, totals)) {
      if (difference) found.add(difference);
      else await options.turn();
    }
  } catch (error) {
    if (!isKithError(error, "storage_damaged")) throw error;
    findings.add({ ...whose, code: "tree_damaged", detail: error.message });
    return false;
  }
  found.tell(options);
  return true;
}

class TreeFindings {
  readonly #damaged = new Gathered();
  readonly #index = new Gathered();
  readonly #references = new Gathered();
  readonly #blocks = new Gathered();

  add(difference: TreeDifference): void {
    switch (difference.kind) {
      case "damagedRecord":
        this.#damaged.add(`"${difference.path}" (${difference.why})`);
        break;
      case "record":
        this.#index.add(`"${difference.path}" is ${difference.was ? "listed wrongly" : "not listed"}`);
        break;
      case "extraRecord":
        this.#index.add(`"${difference.path}" is listed and not there`);
        break;
      case "hiddenBlock":
        this.#index.add(`the block "${difference.cid}" counts as removed`);
        break;
      case "references":
        this.#references.add(`"${difference.path}"`);
        break;
      case "strayBlock":
        this.#blocks.add(`"${difference.cid}"`);
        break;
    }
  }

  tell({ whose, findings }: Pick<CheckRepoOptions, "whose" | "findings">): void {
    this.#damaged.tell(findings, { ...whose, code: "record_damaged", what: "records cannot be read" });
    this.#index.tell(findings, { ...whose, code: "index_differs", what: "records differ from the index" });
    this.#references.tell(findings, {
      ...whose,
      code: "references_differ",
      what: "records refer to other blobs than is noted",
    });
    this.#blocks.tell(findings, { ...whose, code: "stray_blocks", what: "blocks are not of the tree" });
  }
}
