/** Which accounts a transaction of the accounts store was about: for who keeps a copy of what lasts. */
import { ACCOUNT_TABLES } from "./_account_tables.ts";

/** The table that a statement writes. */
const TARGET =
  /^\s*(?:INSERT(?:\s+OR\s+\w+)?\s+INTO|REPLACE\s+INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM)\s+(\w+)\b/i;
/** What comes and goes by itself, or is known otherwise: nobody misses it. */
const PASSING = new Set([
  "meta",
  "open_repo",
  "session",
  "email_token",
  "mail_queue",
  "blob_look",
  "blob_walk",
  "oauth_request",
  "oauth_grant",
  "oauth_used",
  "oauth_consent",
  "device",
  "device_account",
]);
const OF_ACCOUNTS: ReadonlySet<string> = new Set(ACCOUNT_TABLES);

/** The DID of the account whose rows have changed; undefined for what else lasts. */
export type HubChange = { readonly did: string | undefined };

export class HubChanges {
  readonly #listeners = new Set<(change: HubChange) => void>();
  readonly #kinds = new Map<string, "passing" | "account" | "other">();

  listen(listener: (change: HubChange) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** To be called with each statement of a transaction. Told of one that is rolled back, a listener looks for nothing new. */
  note(sql: string, params: readonly unknown[]): void {
    if (this.#listeners.size === 0) return;
    const kind = this.#kindOf(sql);
    if (kind === "passing") return;
    const isDid = (value: unknown): value is string => typeof value === "string" && value.startsWith("did:");
    const did = kind === "account" ? params.find(isDid) : undefined;
    for (const listener of this.#listeners) listener({ did });
  }

  #kindOf(sql: string): "passing" | "account" | "other" {
    const known = this.#kinds.get(sql);
    if (known) return known;
    const table = TARGET.exec(sql)?.[1]?.toLowerCase() ?? "";
    const kind = PASSING.has(table) ? "passing" : OF_ACCOUNTS.has(table) ? "account" : "other";
    this.#kinds.set(sql, kind);
    return kind;
  }
}
