/** Files that are not where they belong: repos under another's name, files of nobody. */
import { basename, join } from "node:path";
import { isKithError } from "../errors.ts";
import { type AccountRead, type RepoIdentity, safeDidName } from "../storage/mod.ts";
import type { LogFacts } from "./check_log.ts";
import type { FindingsList } from "./findings_list.ts";
import type { VerifySources } from "./sources.ts";

const PAGE_ACCOUNTS = 1_000;

interface Displaced {
  readonly path: string;
  readonly owner: RepoIdentity & { readonly did: string; readonly generation: number };
}

/** Of accounts that have files, or may have: where those are, and under which names their blobs. */
export class ExpectedFiles {
  readonly repos = new Set<string>();
  readonly blobFolders = new Set<string>();

  constructor({ accounts, repos }: Pick<VerifySources, "accounts" | "repos">) {
    for (let after = ""; ; ) {
      const page = accounts.page({ after, limit: PAGE_ACCOUNTS });
      for (const account of page) this.#add(account, { accounts, repos });
      after = page.at(-1)?.did ?? after;
      if (page.length < PAGE_ACCOUNTS) return;
    }
  }

  #add(account: AccountRead, { accounts, repos }: Pick<VerifySources, "accounts" | "repos">): void {
    const { did, generation, state } = account;
    if (state !== "deleted") this.repos.add(repos.path(did, generation));
    // Of a deleted one the server may still be about to remove them.
    if (state !== "deleted" || accounts.willSweep(did)) this.blobFolders.add(safeDidName(did));
  }
}

export interface CheckFilesOptions {
  readonly sources: VerifySources;
  readonly findings: FindingsList;
  /** Absent where it cannot be read. */
  readonly log: Pick<LogFacts, "lastKey" | "accounts"> | undefined;
  turn(): Promise<void>;
}

/** After the accounts. */
export async function checkFiles(options: CheckFilesOptions): Promise<void> {
  const { sources, findings, turn } = options;
  const { repos, blobs, folder, accounts } = sources;
  const expected = new ExpectedFiles(sources);
  const displaced: Displaced[] = [];
  const lost = new Set<string>();
  // Of what is in an account's place, the account's own check has told.
  const wrong = new Set([...findings.filesOf("repo_of_another")].map((file) => join(folder, file)));
  for await (const path of repos.files()) {
    await turn();
    // A copy that an update of the schema has kept.
    const [base] = path.split(".before-");
    const isExpected = expected.repos.has(base ?? path);
    if (isExpected && !wrong.has(path)) continue;
    const owner = base === path ? ownerOf(path, sources) : undefined;
    const isAtHome = owner !== undefined && repos.path(owner.did, owner.generation) === path;
    if (owner && !isAtHome && isWanted(owner, sources)) displaced.push({ path, owner });
    else if (owner && isLost(owner, options)) {
      tellLost(path, { owner, options });
      lost.add(owner.did);
    } else if (!isExpected) tellUnowned(path, { owner, sources, findings });
  }
  const vacant = new Set(displaced.map(({ path }) => path));
  for (const { path, owner } of displaced) {
    const home = repos.path(owner.did, owner.generation);
    if (repos.exists(owner.did, owner.generation) && !vacant.has(home)) {
      if (!expected.repos.has(path)) tellUnowned(path, { owner, sources, findings });
      continue;
    }
    const handle = accounts.account(owner.did)?.handle;
    findings.add({
      ...{ code: "repo_misplaced", did: owner.did, file: path.slice(folder.length + 1) },
      ...(handle ? { handle } : {}),
      detail: `it is the file of "${owner.did}", which belongs at "${home.slice(folder.length + 1)}"`,
      items: [path, home],
    });
    findings.forget(owner.did, ["repo_missing", "repo_of_another"]);
  }
  tellLostByLog(lost, options);
  for (const did of lost) expected.blobFolders.add(safeDidName(did));
  for await (const path of blobs?.unowned?.((name) => expected.blobFolders.has(name)) ?? []) {
    const detail = `"${basename(path)}" is of no account that is here`;
    findings.add({ code: "blob_folder_unowned", file: path, detail, items: [path] });
  }
}

function tellUnowned(
  path: string,
  {
    owner,
    sources,
    findings,
  }: Pick<CheckFilesOptions, "sources" | "findings"> & { owner: Displaced["owner"] | undefined },
): void {
  const detail =
    owner === undefined
      ? "it is no repo of an account"
      : `it is of "${owner.did}", generation ${owner.generation}, and ${whyUnwanted(owner, sources)}`;
  findings.add({ code: "repo_unowned", file: path.slice(sources.folder.length + 1), detail, items: [path] });
}

/** True where the network was told of an account that has not even the row which a deletion leaves. */
function isLost({ did }: Displaced["owner"], { sources, log }: CheckFilesOptions): boolean {
  return sources.accounts.account(did) === undefined && log !== undefined && log.lastKey(did) !== "";
}

function tellLost(
  path: string,
  { owner, options }: { options: CheckFilesOptions } & Pick<Displaced, "owner">,
): void {
  const { sources, findings, log } = options;
  const file = path.slice(sources.folder.length + 1);
  const handle = log?.accounts.get(owner.did)?.handle;
  const detail = "the event log has its account, and accounts.sqlite has not; its file is here";
  findings.add({ code: "account_lost", did: owner.did, ...(handle ? { handle } : {}), file, detail });
}

/** Accounts that were here by the newest that the network was told of them, and have neither a row nor a file; adds them. */
function tellLostByLog(lost: Set<string>, { sources, findings, log }: CheckFilesOptions): void {
  for (const [did, { standing, handle }] of log?.accounts ?? []) {
    if (standing === undefined || standing.status === "deleted") continue;
    if (lost.has(did) || sources.accounts.account(did) !== undefined) continue;
    lost.add(did);
    const since = new Date(standing.at).toISOString();
    const detail = `by the event log it is "${standing.status}" since ${since}; accounts.sqlite has not got it, and its file is not here either`;
    findings.add({ code: "account_lost", did, ...(handle ? { handle } : {}), detail });
  }
}

function whyUnwanted(owner: Displaced["owner"], { accounts }: VerifySources): string {
  const account = accounts.account(owner.did);
  if (!account) return "there is no such account";
  if (account.state === "deleted") return "the account is deleted";
  return account.generation === owner.generation
    ? "the account has its file"
    : `the account is of generation ${account.generation}`;
}

/** True where an account has lost, or may have lost, this very file. */
function isWanted(owner: Displaced["owner"], { accounts }: VerifySources): boolean {
  const account = accounts.account(owner.did);
  return account !== undefined && account.state !== "deleted" && account.generation === owner.generation;
}

function ownerOf(path: string, { repos }: VerifySources): Displaced["owner"] | undefined {
  if (!path.endsWith(".sqlite")) return undefined;
  try {
    const reads = repos.open(path);
    try {
      const { did, generation } = reads.identity();
      return did === null || generation === null ? undefined : { did, generation };
    } finally {
      reads.close();
    }
  } catch (error) {
    if (!isKithError(error)) throw error;
    return undefined;
  }
}
