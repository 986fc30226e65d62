/** One account: its row against its file, its keys against what the network says, its events against the log. */
import { basename } from "node:path";
import {
  decodeFrame,
  type Head,
  isOwnOrigin,
  pdsEndpointOf,
  sealFrame,
  signingKeyOf,
  tidToMicros,
} from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { type AccountRead, type RepoMeta, type RepoReads, safeDidName } from "../storage/mod.ts";
import { type BlobTotals, checkBlobs } from "./check_blobs.ts";
import type { LogFacts } from "./check_log.ts";
import { checkRepo, type Whose } from "./check_repo.ts";
import type { TreeTotals } from "./compare_tree.ts";
import type { DocumentAnswer } from "./documents.ts";
import type { Finding, FindingCode } from "./findings.ts";
import type { FindingsList } from "./findings_list.ts";
import { type LostRange, type LostWrites, lostInWords } from "./lost_writes.ts";
import type { VerifyOptions } from "./sources.ts";

/** Where the log's window begins is known by clocks, which differ by so much at the most. */
const WINDOW_SLACK_MS = 3_600_000;

export interface CheckAccountOptions extends Pick<VerifyOptions, "sources" | "publicUrl" | "now"> {
  readonly findings: FindingsList;
  /** Undefined where the log cannot be read. */
  readonly log: LogFacts | undefined;
  readonly readsBlobs: boolean;
  /** False: that the key cannot be opened was told of all accounts already. */
  readonly tellsKey: boolean;
  readonly totals: TreeTotals & BlobTotals & { repos: number };
  turn(): Promise<void>;
}

/** The DID document's answer is awaited only where it is needed. */
export async function checkAccount(
  account: AccountRead,
  document: Promise<DocumentAnswer>,
  options: CheckAccountOptions,
): Promise<void> {
  await new AccountCheck(account, options).run(document);
}

/** What waits in an account's file for the log. */
interface PendingFacts {
  /** Of the newest #commit or #sync. */
  readonly rev: string | undefined;
  /** A #sync is among it that the log has not. */
  readonly isToldOf: boolean;
}

class AccountCheck {
  readonly #account: AccountRead;
  readonly #options: CheckAccountOptions;
  readonly #whose: Whose;
  /** The next start looks at its file, and repeats elsewhere what it says. */
  readonly #isOpen: boolean;
  readonly #isChanging: boolean;

  constructor(account: AccountRead, options: CheckAccountOptions) {
    const { repos, accounts, folder } = options.sources;
    const { did, handle, generation } = account;
    this.#account = account;
    this.#options = options;
    const file = repos.path(did, generation).slice(folder.length + 1);
    this.#whose = { did, ...(handle === null ? {} : { handle }), file };
    this.#isOpen = accounts.isOpen(account);
    this.#isChanging = accounts.isChanging(did);
  }

  async run(document: Promise<DocumentAnswer>): Promise<void> {
    const { sources, findings } = this.#options;
    const { did, generation, state } = this.#account;
    if (state === "deleted") return;
    if (state === "creating" || state === "deleting") {
      findings.add({ ...this.#whose, code: "account_unfinished", detail: `the account is "${state}"` });
      return;
    }
    const isThere = sources.repos.exists(did, generation);
    const deletedAt = this.#deletedAt();
    if (deletedAt !== undefined) {
      const detail = `the event log has its deletion, of ${new Date(deletedAt).toISOString()}`;
      this.#tell(isThere || (await this.#hasOtherFile()) ? "account_back" : "account_deleted", detail);
      return;
    }
    if (!isThere) {
      this.#tell("repo_missing", "there is no such file");
      return;
    }
    const refused = sources.repos.missingRight(sources.repos.path(did, generation));
    if (refused !== undefined) {
      this.#tell("repo_unreadable", refused);
      return;
    }
    let reads: RepoReads | undefined;
    try {
      reads = await this.#open();
      if (reads) await this.#checkFile(reads, document);
    } catch (error) {
      if (!isKithError(error, "storage_damaged") && !(error instanceof RangeError)) throw error;
      this.#tell("repo_damaged", error.message);
    } finally {
      reads?.close();
    }
  }

  /** A file of it in another generation: somebody may be moving in anew, whose blobs a deletion would take. */
  async #hasOtherFile(): Promise<boolean> {
    const start = `${safeDidName(this.#account.did)}.`;
    for await (const path of this.#options.sources.repos.files())
      if (basename(path).startsWith(start)) return true;
    return false;
  }

  /** When it was deleted by the log, where it has not been made anew since: then accounts.sqlite is older than that. */
  #deletedAt(): number | undefined {
    const { log } = this.#options;
    const { did, createdAt } = this.#account;
    const standing = log?.accounts.get(did)?.standing;
    if (standing?.status !== "deleted" || createdAt >= standing.at) return undefined;
    return log?.lastKey(did) === standing.key ? standing.at : undefined;
  }

  /** undefined where no row of the file is to be trusted. */
  async #open(): Promise<RepoReads | undefined> {
    const { sources, findings } = this.#options;
    const { did, generation } = this.#account;
    const reads = sources.repos.open(sources.repos.path(did, generation));
    let isRead = false;
    try {
      const { lines, isOfIndexes } = reads.file.complaints();
      if (lines.length > 0) {
        const code = isOfIndexes ? "repo_index_damaged" : "repo_damaged";
        findings.add({
          ...this.#whose,
          code,
          detail: `SQLite says: ${lines.join("; ")}`,
          count: lines.length,
        });
        return undefined;
      }
      if (reads.isNewer) {
        findings.add({
          ...this.#whose,
          code: "repo_newer",
          detail: `its schema is version ${reads.file.schemaVersion}`,
        });
        return undefined;
      }
      const owner = reads.identity();
      if (owner.did !== did || owner.generation !== generation) {
        // A file that a birth was cut off at has no owner, and no commit either.
        const detail =
          owner.did === null ? "it is empty" : `it is of "${owner.did}", generation ${owner.generation}`;
        this.#tell("repo_of_another", detail);
        return undefined;
      }
      isRead = true;
    } finally {
      if (!isRead) reads.close();
    }
    return await sources.repos.upToDate(reads, { did, generation });
  }

  async #checkFile(reads: RepoReads, document: Promise<DocumentAnswer>): Promise<void> {
    const { findings, totals, sources } = this.#options;
    const meta = reads.meta();
    if (!meta) {
      this.#tell("repo_damaged", "its meta row is missing");
      return;
    }
    totals.repos += 1;
    this.#checkRow(meta);
    const own = this.#ownKey(meta);
    const answer = await document;
    const turn = this.#options.turn;
    const keys = [own, meta.signing_key].filter((key): key is string => typeof key === "string");
    const documentKey = "document" in answer ? signingKeyOf(answer.document) : undefined;
    const { head, signedBy, isWhole } = await checkRepo(reads, {
      ...{ whose: this.#whose, findings, keys, documentKey, totals, turn },
    });
    this.#checkDocument(answer, { own, signedBy });
    const { blobBytes } = reads.counts();
    if (blobBytes !== meta.blob_bytes) {
      const detail = `${meta.blob_bytes} bytes are noted, and the blobs have ${blobBytes}`;
      this.#tell("blob_bytes_differ", detail);
    }
    const pending = this.#checkPending(reads, meta);
    const lost = head && isWhole ? this.#checkLog(meta, { head, pending }) : undefined;
    if (!sources.blobs) return;
    await checkBlobs(reads, {
      ...{ whose: this.#whose, findings, blobs: sources.blobs, totals, turn },
      lost: lost?.blobs ?? new Set(),
      readsBlobs: this.#options.readsBlobs,
    });
  }

  /** What a start repeats in the accounts where the account is among those that were open. */
  #checkRow(meta: RepoMeta): void {
    const { findings, sources } = this.#options;
    const { state, takedownRef, deactivatedAt, handle } = this.#account;
    if (this.#isOpen) return;
    const said = `${state}${deactivatedAt !== null ? ", deactivated by its owner" : ""}${takedownRef === null ? "" : `, "${takedownRef}"`}`;
    const isOwnersWish = meta.owner_status === "deactivated";
    const is = `${meta.status}${isOwnersWish ? ", deactivated by its owner" : ""}${meta.takedown_ref === null ? "" : `, "${meta.takedown_ref}"`}`;
    if (said !== is) {
      const detail = `accounts.sqlite says ${said}; the account's file says ${is}`;
      this.#tell("status_differs", detail);
    }
    const named = meta.handle?.toLowerCase();
    if (named === undefined || named === handle || this.#isChanging) return;
    const other = sources.accounts.byHandle(named);
    const detail = `accounts.sqlite says "${handle}"; the account's file says "${named}"`;
    if (other)
      findings.add({ ...this.#whose, code: "handle_taken", detail: `${detail}, which "${other.did}" has` });
    else this.#tell("handle_differs", detail);
  }

  /** The did:key of the sealed key. */
  #ownKey(meta: RepoMeta): string | undefined {
    const { sources, tellsKey } = this.#options;
    try {
      const { didKey } = sources.accounts.signer(this.#account);
      const isLate = this.#isOpen || this.#isChanging;
      if (meta.signing_key !== null && meta.signing_key !== didKey && !isLate) {
        const detail = `the key that is here is "${didKey}"; the account's file says "${meta.signing_key}"`;
        this.#tell("key_differs", detail);
      }
      return didKey;
    } catch (error) {
      if (!isKithError(error, "storage_damaged") && !(error instanceof RangeError)) throw error;
      if (tellsKey) this.#tell("key_unsealed", error.message);
      return undefined;
    }
  }

  #checkDocument(
    answer: DocumentAnswer,
    { own, signedBy }: { own: string | undefined; signedBy: string | undefined },
  ): void {
    const { publicUrl } = this.#options;
    if ("gone" in answer) this.#tell("document_gone", answer.gone);
    if (!("document" in answer)) return;
    const { document } = answer;
    const endpoint = pdsEndpointOf(document, { allowHttp: true });
    const named = signingKeyOf(document);
    const key = own ?? signedBy;
    if (publicUrl !== undefined && endpoint !== publicUrl) {
      const isOwn = isOwnOrigin(endpoint, publicUrl);
      this.#tell(
        isOwn ? "document_other_port" : "document_elsewhere",
        `its DID document names ${endpoint ?? "no server"}, not "${publicUrl}"`,
      );
      if (!isOwn) return;
    }
    if (key === undefined || this.#isChanging) return;
    if (named !== key) {
      const what = named === undefined ? "no key" : `"${named}"`;
      this.#tell(
        "document_key_differs",
        `its DID document names ${what}, and this server signs with "${key}"`,
      );
    } else if (signedBy !== undefined && signedBy !== named) {
      this.#tell(
        "signature_wrong",
        `its newest commit is signed by "${signedBy}", and its DID document names "${named}"`,
      );
    }
  }

  #tell(code: FindingCode, detail: string, more: Partial<Pick<Finding, "count" | "file">> = {}): void {
    this.#options.findings.add({ ...this.#whose, code, detail, ...more });
  }

  /** The events that wait for the log. */
  #checkPending(reads: RepoReads, meta: RepoMeta): PendingFacts {
    const { log } = this.#options;
    const logged = log?.lastKey(this.#account.did) ?? "";
    let [last, isToldOf]: [string, boolean] = ["", false];
    let rev: string | undefined;
    for (const { key, kind, before, after } of reads.pending()) {
      try {
        const { t, payload } = decodeFrame(sealFrame({ before, after }, 1));
        if (t !== `#${kind}`) throw new Error(`it is ${t} instead of #${kind}`);
        if ((kind === "commit" ? payload.repo : payload.did) !== this.#account.did)
          throw new Error("it is another's");
        if (key <= last) throw new Error(`its key is not above "${last}"`);
        if (meta.last_tid === null || key > meta.last_tid)
          throw new Error(`its key is above "${meta.last_tid}"`);
        if (kind === "commit" || kind === "sync") rev = String(payload.rev);
        if (kind === "sync" && key > logged) isToldOf = true;
      } catch (error) {
        const detail = `the pending event "${key}": ${(error as Error).message}`;
        this.#tell("pending_damaged", detail);
      }
      last = key;
    }
    if (log && last > logged && !this.#isOpen) {
      const detail = `events up to "${last}" wait, and the log has them up to "${logged}"`;
      this.#tell("pending_forgotten", detail);
    }
    return { rev, isToldOf };
  }

  /** What of the log its file has lost, which is told. */
  #checkLog(
    meta: RepoMeta,
    { head, pending }: { head: Head; pending: PendingFacts },
  ): LostWrites | undefined {
    const { log } = this.#options;
    const { did } = this.#account;
    if (!log) return undefined;
    const logged = log.accounts.get(did);
    const lastKey = log.lastKey(did);
    const ranges: LostRange[] = [...(logged?.branches ?? [])];
    const ahead = this.#aheadOf(meta, { log, head, lastKey });
    const upTo = this.#isOpen ? log.marks.publishedUpTo : log.marks.lastSeq;
    if (ahead !== undefined) ranges.push({ after: head.rev, before: upTo + 1 });
    const lost = ranges.length > 0 ? log.lost(did, ranges) : undefined;
    if (logged && logged.branches.length > 0) {
      const detail = `its commits in the log go on from before others: ${lostInWords(lost)}`;
      const isTold = logged.isToldSince || pending.isToldOf || meta.status !== "active";
      this.#tell(isTold ? "log_branch_told" : "log_branched", detail);
    }
    if (ahead !== undefined) this.#tell("log_ahead", `${ahead}: ${lostInWords(lost)}`);
    else if (logged?.rev === undefined || logged.rev <= head.rev)
      this.#checkTold(meta, { head, pending, log });
    return lost;
  }

  /** How the log is ahead of the file; undefined where it is not. */
  #aheadOf(
    meta: RepoMeta,
    { log, head, lastKey }: { log: LogFacts; head: Head; lastKey: string },
  ): string | undefined {
    const logged = log.accounts.get(this.#account.did);
    // What a crash has left in the log alone was never told: the next start drops it.
    const toldRev = this.#isOpen ? logged?.publishedRev : logged?.rev;
    if (toldRev !== undefined && toldRev > head.rev)
      return `the log has the rev "${toldRev}", and its file "${head.rev}"`;
    const isAhead = logged?.rev !== undefined && logged.rev > head.rev;
    if (isAhead || this.#isOpen || lastKey <= (meta.last_tid ?? "")) return undefined;
    return `the log has events up to the key "${lastKey}", and its file gave "${meta.last_tid}" last`;
  }

  #checkTold(
    meta: RepoMeta,
    { head, pending, log }: { head: Head; pending: PendingFacts; log: LogFacts },
  ): void {
    const { did } = this.#account;
    const logged = log.accounts.get(did);
    const lastKey = log.lastKey(did);
    if (meta.status !== "active" || log.damaged.has(did)) return;
    if (logged?.rev === head.rev || pending.rev === head.rev) return;
    if (logged?.rev === undefined && !this.#mustBeLogged(head, lastKey)) return;
    const detail = `its newest commit is "${head.rev}", and the log has ${logged?.rev === undefined ? "none" : `"${logged.rev}"`}`;
    this.#tell("events_missing", detail);
  }

  /** Whether the log must have an event of the head, of which it has none: retention may have removed it. */
  #mustBeLogged(head: Head, lastKey: string): boolean {
    const { marks } = this.#options.log as LogFacts;
    if (lastKey < head.rev) return true;
    if (marks.prunedUpTo === 0) return true;
    const toldMs = tidToMicros(head.rev) / 1_000;
    return marks.rows > 0 && toldMs > marks.firstAt + WINDOW_SLACK_MS && toldMs < this.#options.now();
  }
}
