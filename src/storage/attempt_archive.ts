/**
 * Attempts that are over without a community. Where a tombstone was sent, the keys stay sealed for the 72 hours in which the
 * directory lets a stronger key take it back, and are erased then.
 */
import {
  ARCHIVE_COLUMNS,
  ARCHIVED_KEYS,
  type ArchivedAttempt,
  type AttemptSecrets,
  attemptColumns,
  fromStored,
  SECRET_COLUMNS,
  type SealedAttemptColumn,
  type SecretsRow,
  type Stored,
} from "./_attempt_rows.ts";
import type { SealedColumns } from "./_sealed_columns.ts";
import { leaseLost } from "./attempt_store.ts";
import { type CommunityAuditEntry, writeAudit } from "./community_audit.ts";
import type { CommunityPage } from "./community_store.ts";
import type { Hub } from "./hub.ts";
import type { Keyring } from "./keyring.ts";

/** How long a tombstone can be nullified. https://web.plc.directory/spec/v0.1/did-plc */
export const TOMBSTONE_NULLIFIABLE_MS = 72 * 3_600_000;

export class AttemptArchive {
  readonly #hub: Hub;
  readonly #from: SealedColumns<SealedAttemptColumn>;
  readonly #sealed: SealedColumns<SealedAttemptColumn>;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#from = attemptColumns(keyring, "attempt");
    this.#sealed = attemptColumns(keyring, "attempt_archive");
  }

  /**
   * Takes an attempt out of the way: its idempotency key is free again. Its keys come along only where a tombstone was sent.
   * Throws KithError lease_lost.
   */
  async archive(
    id: string,
    fence: number,
    options: {
      note: string;
      /** Of the tombstone that was sent; null where none was. */
      tombstoneCid: string | null;
      audit?: readonly CommunityAuditEntry[];
      now: number;
    },
  ): Promise<void> {
    const { note, tombstoneCid, audit = [], now } = options;
    await this.#hub.write((run) => {
      const row = this.#hub.readOne<SecretsRow>(
        `SELECT ${SECRET_COLUMNS} FROM attempt WHERE id = ? AND fence = ? AND state <> 'graduated'`,
        id,
        fence,
      );
      if (!row) throw leaseLost(id);
      const keys = ARCHIVED_KEYS.map((column) => {
        const key = tombstoneCid === null ? null : this.#from.bytes(row[column], column, id);
        return key && this.#sealed.seal(key, column, id);
      });
      const keepsKeys = keys.some((key) => key !== null);
      run(
        `INSERT INTO attempt_archive (id, caller, idempotency_key, kind, state, handle, pds_endpoint, did, rotation_key,
           last_error, created_at, tombstone_cid, note, signing_key, subordinate_key, signing_key_type, erase_at,
           archived_at)
         SELECT id, caller, idempotency_key, kind, state, handle, pds_endpoint, did, rotation_key,
           last_error, created_at, ?, ?, ?, ?, ?, ?, ? FROM attempt WHERE id = ?`,
        ...[tombstoneCid, note, ...keys, keepsKeys ? row.signing_key_type : null],
        ...[keepsKeys ? now + TOMBSTONE_NULLIFIABLE_MS : null, now, id],
      );
      run("DELETE FROM attempt WHERE id = ?", id);
      writeAudit(run, audit);
    });
  }

  find(id: string): ArchivedAttempt | undefined {
    const row = this.#hub.readOne<Stored<ArchivedAttempt>>(
      `SELECT ${ARCHIVE_COLUMNS} FROM attempt_archive WHERE id = ?`,
      id,
    );
    return row && fromStored<ArchivedAttempt>(row);
  }

  /** Newest first. */
  archived({ limit, cursor }: CommunityPage): { attempts: ArchivedAttempt[]; cursor?: string } {
    const [, at = `${Number.MAX_SAFE_INTEGER}`, id = ""] =
      /^(\d{1,15})::(.{1,100})$/.exec(cursor ?? "") ?? [];
    const rows = this.#hub
      .read<Stored<ArchivedAttempt>>(
        `SELECT ${ARCHIVE_COLUMNS} FROM attempt_archive WHERE (archived_at, id) < (?, ?)
         ORDER BY archived_at DESC, id DESC LIMIT ?`,
        Number(at),
        id,
        limit + 1,
      )
      .map((row) => fromStored<ArchivedAttempt>(row));
    const attempts = rows.slice(0, limit);
    const last = attempts.at(-1);
    return rows.length > limit && last
      ? { attempts, cursor: `${last.archivedAt}::${last.id}` }
      : { attempts };
  }

  /** The keys of an archived attempt, unsealed; null once they are erased. Throws KithError storage_damaged. */
  keys(id: string): Pick<AttemptSecrets, "signingKey" | "signingKeyType" | "subordinateKey"> | undefined {
    const row = this.#hub.readOne<Omit<SecretsRow, "request" | "account_password" | "app_password">>(
      "SELECT signing_key, signing_key_type, subordinate_key FROM attempt_archive WHERE id = ?",
      id,
    );
    if (!row) return undefined;
    return {
      signingKey: this.#sealed.bytes(row.signing_key, "signing_key", id),
      signingKeyType: row.signing_key_type,
      subordinateKey: this.#sealed.bytes(row.subordinate_key, "subordinate_key", id),
    };
  }

  /** Erases the keys whose tombstones can be taken back no more; of how many attempts. */
  async eraseExpiredKeys(now: number): Promise<number> {
    return this.#hub.write(
      (run) =>
        run(
          `UPDATE attempt_archive SET signing_key = NULL, signing_key_type = NULL, subordinate_key = NULL, erase_at = NULL
           WHERE erase_at <= ?`,
          now,
        ).changes,
    );
  }

  /** Forgets what was archived before then and holds no keys; how many attempts that were. */
  async prune(before: number): Promise<number> {
    return this.#hub.write(
      (run) => run("DELETE FROM attempt_archive WHERE archived_at < ? AND erase_at IS NULL", before).changes,
    );
  }

  /** Seals every key anew under the newest key of the keyring. */
  async resealKeys(): Promise<number> {
    return this.#hub.write((run) => {
      const rows = this.#hub.read<SecretsRow & { id: string }>(
        "SELECT id, signing_key, subordinate_key FROM attempt_archive WHERE erase_at IS NOT NULL",
      );
      for (const row of rows) {
        run(
          "UPDATE attempt_archive SET signing_key = ?, subordinate_key = ? WHERE id = ?",
          ...ARCHIVED_KEYS.map((column) => this.#sealed.reseal(row[column], column, row.id)),
          row.id,
        );
      }
      return rows.length;
    });
  }
}
