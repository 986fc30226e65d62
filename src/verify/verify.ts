/** Verifies a data folder that nobody writes: databases, event log, every account, every file. */
import { isKithError } from "../errors.ts";
import type { AccountRead, StillFile } from "../storage/mod.ts";
import { checkAccount } from "./check_account.ts";
import { checkFiles } from "./check_files.ts";
import { checkLog, type LogFacts } from "./check_log.ts";
import { Documents } from "./documents.ts";
import type { FindingCode } from "./findings.ts";
import { FindingsList } from "./findings_list.ts";
import type { VerifyOptions, VerifyProgress, VerifyReport } from "./sources.ts";

/** Accounts whose DID documents are asked for ahead. */
const PAGE_ACCOUNTS = 32;
/** By so many accounts' keys it is known whether the master key is the right one. */
const KEYS_TRIED = 20;
/** If all of so many blobs are missing, it is the disk that is missing. */
const GONE_BLOBS_MIN = 10;
/** Others have a turn so often. */
const TURN_MS = 20;

/**
 * Throws what aborts it: the signal's reason, an error of a bucket, KithError storage_full where a copy has no room. What is wrong with the
 * folder is in the report.
 */
export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  return await new Verification(options).run();
}

/** The report on a folder whose accounts database cannot even be opened. */
export function unreadable(detail: string): VerifyReport {
  const findings = new FindingsList();
  findings.add({ code: "accounts_damaged", file: "accounts.sqlite", detail });
  const nothing = {
    leftOut: 0,
    notes: 0,
    accounts: 0,
    repos: 0,
    records: 0,
    blobs: 0,
    events: 0,
    bytes: 0,
    ms: 0,
  };
  return { ...nothing, findings: findings.all, problems: findings.problems, harms: findings.harms };
}

class Verification {
  readonly #options: VerifyOptions;
  readonly #findings = new FindingsList();
  readonly #dids: ReadonlySet<string> | undefined;
  readonly #documents: Documents;
  readonly #totals = { repos: 0, records: 0, blobs: 0, missing: 0, bytes: 0 };
  #progress: VerifyProgress = { phase: "databases", done: 0, total: 0, bytes: 0 };
  #accounts = 0;
  #total = 0;
  #turnEndsMs = 0;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#dids = options.dids && new Set(options.dids);
    this.#documents = new Documents(options.document);
  }

  async run(): Promise<VerifyReport> {
    const startedMs = performance.now();
    await this.#checkDatabases();
    const log = await this.#checkLog();
    // Without the accounts nothing is known of whose the rest is.
    if (!this.#has("accounts_damaged")) await this.#checkAccounts(log);
    const { all, leftOut, problems, harms, notes } = this.#findings;
    const { missing: _, ...totals } = this.#totals;
    return {
      ...{ findings: all, leftOut, problems, harms, notes },
      ...totals,
      accounts: this.#accounts,
      events: log?.marks.rows ?? 0,
      ms: Math.round(performance.now() - startedMs),
    };
  }

  async #checkAccounts(log: LogFacts | undefined): Promise<void> {
    const { sources } = this.#options;
    const tellsKey = !this.#isMasterKeyWrong();
    this.#total = this.#dids?.size ?? sources.accounts.count();
    for await (const account of this.#eachAccount()) await this.#checkAccount(account, { log, tellsKey });
    this.#tellDocuments();
    this.#tellBlobs();
    if (this.#dids) return;
    await this.#step("files", 0, 0);
    await checkFiles({ sources, log, findings: this.#findings, turn: () => this.#turn() });
  }

  #has(code: FindingCode): boolean {
    return this.#findings.all.some((finding) => finding.code === code);
  }

  async #checkDatabases(): Promise<void> {
    const { sources, secrets = [] } = this.#options;
    const { accounts, log } = sources;
    await this.#step("databases", 0, 0);
    if (!this.#dids) for (const finding of secrets) this.#findings.add(finding);
    this.#complaints(accounts.file, { damage: "accounts_damaged", index: "accounts_index_damaged" });
    await this.#turn();
    if ("problem" in log)
      this.#findings.add({
        code: log.isMissing ? "log_missing" : "log_damaged",
        file: "events.sqlite",
        detail: log.problem,
      });
    else this.#complaints(log.file, { damage: "log_damaged", index: "log_index_damaged" });
    if (this.#dids || this.#has("accounts_damaged")) return;
    for (const { table, rows } of accounts.danglingRows()) {
      const detail = `${rows} rows of "${table}" refer to others that are not there`;
      this.#findings.add({ code: "accounts_dangling", file: "accounts.sqlite", detail, count: rows });
    }
  }

  #complaints(file: StillFile, { damage, index }: { damage: FindingCode; index: FindingCode }): void {
    const { lines, isOfIndexes } = file.complaints();
    if (lines.length === 0) return;
    this.#findings.add({
      code: isOfIndexes ? index : damage,
      file: file.path.slice(this.#options.sources.folder.length + 1),
      detail: `SQLite says: ${lines.join("; ")}`,
      count: lines.length,
    });
  }

  async #checkLog(): Promise<LogFacts | undefined> {
    const { log } = this.#options.sources;
    if ("problem" in log || this.#has("log_damaged")) return undefined;
    try {
      const facts = await checkLog(log, {
        findings: this.#findings,
        dids: this.#dids,
        now: this.#options.now,
        turn: (done, total) => this.#step("log", done, total),
      });
      if (!this.#dids && !this.#has("accounts_damaged")) this.#checkNeverUsed(facts);
      return facts;
    } catch (error) {
      if (!isKithError(error, "storage_damaged")) throw error;
      const isTold = this.#findings.all.some(
        ({ code }) => code === "log_damaged" || code === "log_index_damaged",
      );
      if (!isTold) this.#findings.add({ code: "log_damaged", file: "events.sqlite", detail: error.message });
      return undefined;
    }
  }

  /** As the start does: a log that never had an event is not the one that had the accounts'. */
  #checkNeverUsed({ marks }: LogFacts): void {
    const { accounts } = this.#options.sources;
    if (marks.highWater > 0 || accounts.highWater() === 0 || !accounts.hasActive()) return;
    this.#findings.add({ code: "log_missing", file: "events.sqlite", detail: "it never had an event" });
  }

  /** Where no key at all can be opened it is one problem, and not one of each account. */
  #isMasterKeyWrong(): boolean {
    const { accounts } = this.#options.sources;
    let [tried, failed, reason] = [0, 0, ""];
    for (const account of accounts.page({ after: "", limit: KEYS_TRIED * 10 })) {
      if (tried >= KEYS_TRIED) break;
      if (!account.signingKey) continue;
      tried += 1;
      try {
        accounts.signer(account);
      } catch (error) {
        failed += 1;
        reason = (error as Error).message;
      }
    }
    if (tried === 0 || failed < tried) return false;
    const detail = `none of the signing keys can be opened with it: ${reason}`;
    this.#findings.add({ code: "master_key_wrong", file: "master.key", detail });
    return true;
  }

  /** With their DID documents asked for a page ahead. */
  async *#eachAccount(): AsyncGenerator<AccountRead, void> {
    const { accounts } = this.#options.sources;
    if (this.#dids) {
      for (const did of this.#dids) {
        const account = accounts.account(did);
        if (account) yield account;
      }
      return;
    }
    for (let after = ""; ; ) {
      const page = accounts.page({ after, limit: PAGE_ACCOUNTS });
      for (const account of page) this.#ask(account);
      yield* page;
      after = page.at(-1)?.did ?? after;
      if (page.length < PAGE_ACCOUNTS) return;
    }
  }

  readonly #asked = new Map<string, ReturnType<Documents["of"]>>();

  #ask({ did, state }: AccountRead): ReturnType<Documents["of"]> {
    const isThere = state !== "creating" && state !== "deleting" && state !== "deleted";
    const answer = isThere ? this.#documents.of(did) : Promise.resolve({ unread: "not asked" });
    this.#asked.set(did, answer);
    return answer;
  }

  async #checkAccount(
    account: AccountRead,
    { log, tellsKey }: { log: LogFacts | undefined; tellsKey: boolean },
  ): Promise<void> {
    const { sources, publicUrl, now, readsBlobs = true } = this.#options;
    const answer = this.#asked.get(account.did) ?? this.#ask(account);
    this.#asked.delete(account.did);
    if (account.state === "deleted") return;
    await this.#step("accounts", this.#accounts, this.#total);
    this.#accounts += 1;
    await checkAccount(account, answer, {
      ...{
        sources,
        publicUrl,
        now,
        readsBlobs,
        log,
        tellsKey,
        findings: this.#findings,
        totals: this.#totals,
      },
      turn: () => this.#turn(),
    });
    await this.#step("accounts", this.#accounts, this.#total);
  }

  #tellDocuments(): void {
    const { unread, reason } = this.#documents;
    if (!this.#options.document || unread === 0) return;
    const detail = `${unread} DID documents could not be read: ${reason}`;
    this.#findings.add({ code: "document_unread", detail, count: unread });
  }

  #tellBlobs(): void {
    const { blobs, missing } = this.#totals;
    const emptyFolder = this.#options.sources.blobs?.emptyFolder;
    const least = emptyFolder === undefined ? GONE_BLOBS_MIN : 1;
    if (missing < least || missing < blobs) return;
    const why = emptyFolder === undefined ? "" : `: "${emptyFolder}" is empty or not there`;
    const detail = `all ${missing} blobs have no file${why}`;
    this.#findings.add({ code: "blobs_gone", detail, count: missing });
  }

  async #step(phase: VerifyProgress["phase"], done: number, total: number): Promise<void> {
    this.#progress = { phase, done, total, bytes: this.#totals.bytes };
    this.#options.onProgress?.(this.#progress);
    await this.#turn();
  }

  /** Lets others have a turn, when it is time. */
  async #turn(): Promise<void> {
    if (performance.now() < this.#turnEndsMs) return;
    this.#options.signal?.throwIfAborted();
    const { bytes } = this.#totals;
    if (bytes !== this.#progress.bytes) {
      this.#progress = { ...this.#progress, bytes };
      this.#options.onProgress?.(this.#progress);
    }
    await new Promise((resolve) => setImmediate(resolve));
    this.#turnEndsMs = performance.now() + TURN_MS;
  }
}
