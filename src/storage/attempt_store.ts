/**
 * Attempts at a community, one row each, from the plan to the community or to the archive. Whoever works on one holds its
 * lease; each lease has a fence, and nothing is kept for an older one. What is kept is durable when the promise resolves.
 */
import type { KeyType } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import {
  ATTEMPT_COLUMNS,
  type Attempt,
  type AttemptError,
  type AttemptKind,
  type AttemptSecret,
  type AttemptSecrets,
  type AttemptState,
  attemptColumns,
  COLUMN_OF,
  fromStored,
  SECRET_COLUMNS,
  type SealedAttemptColumn,
  type SecretsRow,
  type Stored,
} from "./_attempt_rows.ts";
import type { SealedColumns } from "./_sealed_columns.ts";
import { type CommunityAuditEntry, writeAudit } from "./community_audit.ts";
import { communityColumns, insertCommunity, type NewCommunity } from "./community_store.ts";
import type { Hub, Run } from "./hub.ts";
import type { Keyring } from "./keyring.ts";

export type {
  ArchivedAttempt,
  Attempt,
  AttemptError,
  AttemptKind,
  AttemptSecret,
  AttemptSecrets,
  AttemptState,
} from "./_attempt_rows.ts";

/** What one caller, and all of them together, may have. */
export interface AttemptQuotas {
  /** Attempts of a caller that are neither over nor failed. */
  readonly inFlightMax: number;
  readonly perCallerPerDayMax: number;
  /** Of the whole server. */
  readonly perDayMax: number;
  /** Communities that a caller has made. */
  readonly communitiesMax: number;
}

export interface NewAttempt {
  readonly id: string;
  readonly caller: string;
  readonly idempotencyKey: string;
  readonly requestDigest: string;
  readonly kind: AttemptKind;
  readonly handle: string | null;
  readonly pdsEndpoint: string | null;
  readonly rotationKey: string;
  /** JSON; sealed. */
  readonly request: unknown;
  readonly now: number;
  readonly quotas: AttemptQuotas;
  readonly audit?: readonly CommunityAuditEntry[];
}

/** A step's outcome; what is absent stays as it is. */
export interface AttemptChange {
  readonly state: AttemptState;
  readonly did?: string;
  readonly genesis?: Uint8Array;
  readonly update?: Uint8Array;
  readonly pdsDid?: string;
  readonly tombstoneCid?: string;
  readonly signingKey?: Uint8Array;
  readonly signingKeyType?: KeyType;
  readonly subordinateKey?: Uint8Array;
  readonly accountPassword?: string;
  readonly appPassword?: string;
  readonly erase?: readonly AttemptSecret[];
  /** Why it goes on otherwise than was asked for; null where absent. */
  readonly lastError?: AttemptError | null;
  readonly audit?: readonly CommunityAuditEntry[];
  readonly now: number;
  /** How long the lease goes on from now. */
  readonly leaseMs: number;
}

const DAY_MS = 24 * 3_600_000;
/** Attempts that `stuck` returns at a time, oldest first. */
const STUCK_MAX = 1_000;
/** Of one caller, that `openOf` returns. */
const OPEN_MAX = 20;

export class AttemptStore {
  readonly #hub: Hub;
  readonly #keyring: Keyring;
  readonly #sealed: SealedColumns<SealedAttemptColumn>;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#keyring = keyring;
    this.#sealed = attemptColumns(keyring, "attempt");
  }

  /**
   * Plans an attempt, or returns the one that has this caller and key already, whatever its request was. Throws KithError
   * community_quota.
   */
  async begin(attempt: NewAttempt): Promise<Attempt> {
    const { id, caller, idempotencyKey, now, audit = [] } = attempt;
    const request = this.#sealed.seal(JSON.stringify(attempt.request), "request", id);
    return this.#hub.write((run) => {
      const known = this.byKey(caller, idempotencyKey);
      if (known) return known;
      this.#checkQuotas(attempt);
      run(
        `INSERT INTO attempt (id, caller, idempotency_key, request_digest, kind, state, handle, pds_endpoint,
           rotation_key, request, created_at, updated_at) VALUES (?, ?, ?, ?, ?, 'planned', ?, ?, ?, ?, ?, ?)`,
        ...[id, caller, idempotencyKey, attempt.requestDigest, attempt.kind, attempt.handle],
        ...[attempt.pdsEndpoint, attempt.rotationKey, request, now, now],
      );
      writeAudit(run, audit);
      return this.#row(id);
    });
  }

  /** An attempt that was given up before anything of it was permanent does not count. */
  #checkQuotas({ caller, now, quotas }: NewAttempt): void {
    const refuse = (why: string) => {
      throw new KithError("community_quota", `Could not begin another community: ${why}`);
    };
    const open = this.#hub.read<{ handle: string | null; key: string; state: string }>(
      `SELECT handle, idempotency_key AS key, state FROM attempt
       WHERE caller = ? AND state NOT IN ('graduated', 'failed') ORDER BY created_at LIMIT 100`,
      caller,
    );
    if (open[0] && open.length >= quotas.inFlightMax) {
      const { handle, key, state } = open[0];
      const name = handle === null ? "an identity" : `"${handle}"`;
      refuse(
        `your attempt at ${name} is not over ("${state}"); go on with it by its idempotency key "${key}"`,
      );
    }
    const made = this.#count("SELECT count(*) n FROM community WHERE created_by = ?", caller);
    if (made >= quotas.communitiesMax)
      refuse(`you have made ${made}, and ${quotas.communitiesMax} are allowed`);
    const since = now - DAY_MS;
    const own = this.#begunSince(since, caller);
    if (own >= quotas.perCallerPerDayMax) {
      refuse(`you have begun ${own} within a day, and ${quotas.perCallerPerDayMax} are allowed`);
    }
    if (this.#begunSince(since, null) >= quotas.perDayMax) {
      refuse(`${quotas.perDayMax} were begun on this server within a day, which is the most`);
    }
  }

  #begunSince(since: number, caller: string | null): number {
    return this.#count(
      `SELECT (SELECT count(*) FROM attempt
           WHERE created_at > ?1 AND state <> 'failed' AND (?2 IS NULL OR caller = ?2))
         + (SELECT count(*) FROM attempt_archive
           WHERE created_at > ?1 AND did IS NOT NULL AND (?2 IS NULL OR caller = ?2)) n`,
      since,
      caller,
    );
  }

  #count(sql: string, ...params: (string | number | null)[]): number {
    return this.#hub.readOne<{ n: number }>(sql, ...params)?.n ?? 0;
  }

  find(id: string): Attempt | undefined {
    return this.#one("id = ?", id);
  }

  byKey(caller: string, idempotencyKey: string): Attempt | undefined {
    return this.#one("caller = ? AND idempotency_key = ?", caller, idempotencyKey);
  }

  #one(where: string, ...params: string[]): Attempt | undefined {
    const sql = `SELECT ${ATTEMPT_COLUMNS} FROM attempt WHERE ${where}`;
    const row = this.#hub.readOne<Stored<Attempt>>(sql, ...params);
    return row && fromStored<Attempt>(row);
  }

  /** Throws KithError lease_lost where the attempt is gone: it was archived. */
  #row(id: string): Attempt {
    const attempt = this.find(id);
    if (!attempt) throw new KithError("lease_lost", `The attempt "${id}" is over`);
    return attempt;
  }

  /** Unsealed. Throws KithError lease_lost where the attempt is gone, storage_damaged. */
  secrets(id: string): AttemptSecrets {
    const row = this.#secretsRow(id);
    const request = this.#sealed.text(row.request, "request", id);
    return {
      request: request === null ? undefined : JSON.parse(request),
      signingKey: this.#sealed.bytes(row.signing_key, "signing_key", id),
      signingKeyType: row.signing_key_type,
      subordinateKey: this.#sealed.bytes(row.subordinate_key, "subordinate_key", id),
      accountPassword: this.#sealed.text(row.account_password, "account_password", id),
      appPassword: this.#sealed.text(row.app_password, "app_password", id),
    };
  }

  #secretsRow(id: string): SecretsRow {
    const row = this.#hub.readOne<SecretsRow>(`SELECT ${SECRET_COLUMNS} FROM attempt WHERE id = ?`, id);
    if (!row) throw new KithError("lease_lost", `The attempt "${id}" is over`);
    return row;
  }

  /** Takes the lease; its fence, or undefined where another holds it or the attempt is gone. */
  async lease(id: string, { now, leaseMs }: { now: number; leaseMs: number }): Promise<number | undefined> {
    return this.#hub.write((run) => {
      const { changes } = run(
        `UPDATE attempt SET fence = fence + 1, lease_until = ?2
         WHERE id = ?1 AND (lease_until IS NULL OR lease_until <= ?3)`,
        id,
        now + leaseMs,
        now,
      );
      return changes > 0 ? this.find(id)?.fence : undefined;
    });
  }

  /** Gives the lease back, and what is still to be kept under it comes too late; nothing where another has it by now. */
  async release(id: string, fence: number): Promise<void> {
    await this.#hub.write((run) => {
      run("UPDATE attempt SET fence = fence + 1, lease_until = NULL WHERE id = ? AND fence = ?", id, fence);
    });
  }

  /** Ends the leases of a process that is no more. For start-up. */
  async releaseAll(): Promise<void> {
    await this.#hub.write((run) => {
      run("UPDATE attempt SET fence = fence + 1, lease_until = NULL WHERE lease_until IS NOT NULL");
    });
  }

  /** Keeps what a step has come to, and lengthens the lease. Throws KithError lease_lost where another has it by now. */
  async keep(id: string, fence: number, change: AttemptChange): Promise<Attempt> {
    const sealed = this.#sealedChange(id, change);
    return this.#hub.write((run) => {
      const columns: [string, string | number | null | Uint8Array][] = [
        ["state", change.state],
        ["lease_until", change.now + change.leaseMs],
        ["last_error", change.lastError ? JSON.stringify(change.lastError) : null],
        ["updated_at", change.now],
        ...sealed,
        ...present([
          ["did", change.did],
          ["genesis_op", change.genesis],
          ["update_op", change.update],
          ["pds_did", change.pdsDid],
          ["tombstone_cid", change.tombstoneCid],
          ["signing_key_type", change.signingKeyType],
        ]),
      ];
      const { changes } = run(
        `UPDATE attempt SET ${columns.map(([column]) => `${column} = ?`).join(", ")} WHERE id = ? AND fence = ?`,
        ...columns.map(([, value]) => value),
        id,
        fence,
      );
      if (changes === 0) throw leaseLost(id);
      writeAudit(run, change.audit ?? []);
      return this.#row(id);
    });
  }

  #sealedChange(id: string, change: AttemptChange): [string, Uint8Array | null][] {
    const secrets = (["signingKey", "subordinateKey", "accountPassword", "appPassword"] as const).flatMap(
      (name): [string, Uint8Array][] => {
        const value = change[name];
        const column = COLUMN_OF[name];
        return value === undefined ? [] : [[column, this.#sealed.seal(value, column, id)]];
      },
    );
    const erased = (change.erase ?? []).map((name): [string, null] => [COLUMN_OF[name], null]);
    return [...secrets, ...erased];
  }

  /** Keeps why a step has failed. Throws KithError lease_lost. */
  async noteError(
    id: string,
    fence: number,
    { now, ...error }: Omit<AttemptError, "at"> & { now: number },
  ): Promise<void> {
    const text = JSON.stringify({ ...error, at: now } satisfies AttemptError);
    await this.#hub.write((run) => {
      const { changes } = run(
        "UPDATE attempt SET last_error = ?, updated_at = ? WHERE id = ? AND fence = ?",
        ...[text, now, id, fence],
      );
      if (changes === 0) throw leaseLost(id);
    });
  }

  /**
   * Makes the attempt a community, in one transaction: the community, its owner, the app password and our rotation key, which
   * leave the attempt. What went wrong on the way to it stays noted. Repeatable. Throws KithError lease_lost, already_exists.
   */
  async graduate(
    id: string,
    fence: number,
    options: { community: NewCommunity; audit?: readonly CommunityAuditEntry[]; now: number },
  ): Promise<Attempt> {
    const { community, audit = [], now } = options;
    return this.#hub.write((run) => {
      const attempt = this.#row(id);
      if (attempt.state === "graduated") return attempt;
      if (attempt.fence !== fence) throw leaseLost(id);
      this.#insertCommunity(run, { id, community, now });
      run(
        `UPDATE attempt SET state = 'graduated', request = NULL, signing_key = NULL, signing_key_type = NULL,
           subordinate_key = NULL, app_password = NULL, updated_at = ? WHERE id = ?`,
        now,
        id,
      );
      writeAudit(run, audit);
      return this.#row(id);
    });
  }

  #insertCommunity(
    run: Run,
    { id, community, now }: { id: string; community: NewCommunity; now: number },
  ): void {
    const { did } = community;
    if (this.#hub.readOne("SELECT 1 FROM community WHERE did = ?", did)) {
      throw new KithError("already_exists", `Could not add the community "${did}": it is there already`);
    }
    const row = this.#secretsRow(id);
    const appPassword = this.#sealed.text(row.app_password, "app_password", id);
    const subordinateKey = this.#sealed.bytes(row.subordinate_key, "subordinate_key", id);
    const target = communityColumns(this.#keyring);
    insertCommunity(run, community, {
      appPassword: appPassword === null ? null : target.seal(appPassword, "app_password", did),
      subordinateKey: subordinateKey && target.seal(subordinateKey, "subordinate_key", did),
      now,
    });
  }

  /** The password of the account that a graduated attempt has made: read and erased in one transaction, so handed out once. */
  async takePassword(id: string): Promise<string | null> {
    return this.#hub.write((run) => {
      const row = this.#hub.readOne<Pick<SecretsRow, "account_password">>(
        "SELECT account_password FROM attempt WHERE id = ? AND state = 'graduated'",
        id,
      );
      const password = this.#sealed.text(row?.account_password ?? null, "account_password", id);
      if (password !== null) run("UPDATE attempt SET account_password = NULL WHERE id = ?", id);
      return password;
    });
  }

  /** Erases the passwords that nobody has fetched of what graduated before then; how many that were. */
  async forgetPasswords(before: number): Promise<number> {
    return this.#hub.write(
      (run) =>
        run(
          `UPDATE attempt SET account_password = NULL
           WHERE state = 'graduated' AND account_password IS NOT NULL AND updated_at < ?`,
          before,
        ).changes,
    );
  }

  /** A caller's that are not over, or have a password that was not told yet; oldest first. */
  openOf(caller: string): Attempt[] {
    return this.#hub
      .read<Stored<Attempt>>(
        `SELECT ${ATTEMPT_COLUMNS} FROM attempt
         WHERE caller = ? AND (state NOT IN ('graduated', 'failed') OR account_password IS NOT NULL)
         ORDER BY created_at, id LIMIT ?`,
        caller,
        OPEN_MAX,
      )
      .map((row) => fromStored<Attempt>(row));
  }

  /** Attempts that nobody works on and that nothing happened to for so long, oldest first; with an id that one alone. */
  stuck({ now, idleMs, id }: { now: number; idleMs: number; id?: string | undefined }): Attempt[] {
    return this.#hub
      .read<Stored<Attempt>>(
        `SELECT ${ATTEMPT_COLUMNS} FROM attempt
         WHERE state <> 'graduated' AND updated_at <= ?1 AND (lease_until IS NULL OR lease_until <= ?2)
           AND (?3 IS NULL OR id = ?3) ORDER BY created_at, id LIMIT ?4`,
        now - idleMs,
        now,
        id ?? null,
        STUCK_MAX,
      )
      .map((row) => fromStored<Attempt>(row));
  }

  /** Seals every secret anew under the newest key of the keyring. */
  async resealSecrets(): Promise<number> {
    const columns = Object.values(COLUMN_OF);
    return this.#hub.write((run) => {
      const rows = this.#hub.read<SecretsRow & { id: string }>(`SELECT id, ${SECRET_COLUMNS} FROM attempt`);
      for (const row of rows) {
        run(
          `UPDATE attempt SET ${columns.map((column) => `${column} = ?`).join(", ")} WHERE id = ?`,
          ...columns.map((column) => this.#sealed.reseal(row[column], column, row.id)),
          row.id,
        );
      }
      return rows.length;
    });
  }
}

function present(
  columns: readonly (readonly [string, string | Uint8Array | undefined])[],
): [string, string | Uint8Array][] {
  return columns.filter((entry): entry is [string, string | Uint8Array] => entry[1] !== undefined);
}

export function leaseLost(id: string): KithError {
  return new KithError("lease_lost", `Could not go on with the attempt "${id}": another call works on it`);
}
