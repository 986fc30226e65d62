/** Who did what to a community or to an attempt at one. No secrets in it; it outlives what it is about. */
import type { Hub, Run } from "./hub.ts";

export interface CommunityAuditEntry {
  /** A DID. */
  readonly community?: string | null;
  /** The attempt's id. */
  readonly attempt?: string | null;
  /** A DID, "admin" or "server". */
  readonly actor: string;
  /** Such as "attempt.planned" or "member.grant". */
  readonly action: string;
  readonly detail?: Readonly<Record<string, unknown>>;
  /** Unix milliseconds. */
  readonly at: number;
}

export interface CommunityAuditRow extends Required<CommunityAuditEntry> {
  readonly id: number;
}

export interface AuditPage {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

interface Row extends Omit<CommunityAuditRow, "detail"> {
  detail: string;
}

export class CommunityAudit {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  async add(...entries: readonly CommunityAuditEntry[]): Promise<void> {
    await this.#hub.write((run) => writeAudit(run, entries));
  }

  /** Newest first. */
  of(community: string, page: AuditPage): { entries: CommunityAuditRow[]; cursor?: string } {
    return this.#page("community", community, page);
  }

  /** Newest first. */
  ofAttempt(attempt: string, page: AuditPage): { entries: CommunityAuditRow[]; cursor?: string } {
    return this.#page("attempt", attempt, page);
  }

  #page(
    column: "community" | "attempt",
    key: string,
    { limit, cursor }: AuditPage,
  ): { entries: CommunityAuditRow[]; cursor?: string } {
    const before = cursor === undefined ? Number.MAX_SAFE_INTEGER : Number(cursor);
    const rows = this.#hub.read<Row>(
      `SELECT * FROM community_audit WHERE ${column} = ? AND id < ? ORDER BY id DESC LIMIT ?`,
      key,
      Number.isSafeInteger(before) ? before : 0,
      limit + 1,
    );
    const entries = rows.slice(0, limit).map((row) => ({ ...row, detail: JSON.parse(row.detail) }));
    const last = entries.at(-1);
    return rows.length > limit && last ? { entries, cursor: String(last.id) } : { entries };
  }

  /** Forgets what is older; how many entries that were. */
  async prune(before: number): Promise<number> {
    return this.#hub.write((run) => run("DELETE FROM community_audit WHERE at < ?", before).changes);
  }
}

/** For stores that write an entry in the transaction of what it tells of. */
export function writeAudit(run: Run, entries: readonly CommunityAuditEntry[]): void {
  for (const { community, attempt, actor, action, detail, at } of entries) {
    run(
      "INSERT INTO community_audit (community, attempt, actor, action, detail, at) VALUES (?, ?, ?, ?, ?, ?)",
      community ?? null,
      attempt ?? null,
      actor,
      action,
      JSON.stringify(detail ?? {}),
      at,
    );
  }
}
