/** Refresh tokens: one row a token, a family a sign-in. Times are Unix milliseconds. */
import type { Hub } from "./hub.ts";

export interface SessionRow {
  readonly id: string;
  readonly did: string;
  /** Shared by all tokens that came from one sign-in. */
  readonly familyId: string;
  readonly expiresAt: number;
  readonly appPasswordName: string | null;
  /** Whether that app password is a privileged one; false without one. */
  readonly appPasswordPrivileged: boolean;
}

export interface NewSessionRow {
  readonly id: string;
  readonly did: string;
  readonly familyId: string;
  readonly expiresAt: number;
  readonly appPasswordName?: string | null;
  /** The stored hash of the password, or of the app password, that opens the session: it must still be the one. */
  readonly secretHash?: string;
  readonly now: number;
}

interface Row {
  id: string;
  did: string;
  family_id: string;
  expires_at: number;
  app_password_name: string | null;
  privileged: number | null;
  next_id: string | null;
  grace_until: number | null;
}

const COLUMNS = `id, did, family_id, expires_at, app_password_name, next_id, grace_until,
  (SELECT privileged FROM app_password a WHERE a.did = session.did AND a.name = session.app_password_name) privileged`;
/** Rows of ended sessions that one insertion clears away. */
const PRUNE_ROWS = 10;

export class SessionStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /**
   * Adds a token; a few that have ended go with it, so that the table does not grow for ever. False, and nothing is added,
   * where the password that opens the session has been changed or revoked meanwhile, or the account has been taken down.
   */
  async insert(row: NewSessionRow): Promise<boolean> {
    return this.#hub.write((run) => {
      run(
        `DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at < ? ORDER BY expires_at LIMIT ?)`,
        row.now,
        PRUNE_ROWS,
      );
      if (!this.#isCurrent(row)) return false;
      run(
        "INSERT INTO session (id, did, family_id, expires_at, app_password_name) VALUES (?, ?, ?, ?, ?)",
        row.id,
        row.did,
        row.familyId,
        row.expiresAt,
        row.appPasswordName ?? null,
      );
      return true;
    });
  }

  #isCurrent({ did, appPasswordName, secretHash }: NewSessionRow): boolean {
    if (secretHash === undefined) return true;
    const row = appPasswordName
      ? this.#hub.readOne<{ password_hash: string }>(
          "SELECT password_hash FROM app_password WHERE did = ? AND name = ?",
          did,
          appPasswordName,
        )
      : this.#hub.readOne<{ password_hash: string }>("SELECT password_hash FROM account WHERE did = ?", did);
    const isDown = this.#hub.readOne(
      "SELECT 1 FROM account WHERE did = ? AND state IN ('takendown', 'suspended')",
      did,
    );
    return row?.password_hash === secretHash && isDown === undefined;
  }

  find(id: string): SessionRow | undefined {
    const row = this.#row(id);
    return row && fromRow(row);
  }

  /**
   * Replaces a token: the first call stores `nextId`; a repeat until `graceUntil` answers what the first call stored, so that
   * an app that lost the answer goes on. A repeat after that means the token was stolen: the whole family goes.
   * Undefined where the token is unknown, has ended, or went so.
   */
  async rotate(
    id: string,
    next: { nextId: string; expiresAt: number; graceUntil: number; now: number },
  ): Promise<SessionRow | undefined> {
    return this.#hub.write((run) => {
      const row = this.#row(id);
      if (!row || row.expires_at <= next.now) return undefined;
      if (row.next_id !== null) {
        const inGrace = next.now <= (row.grace_until ?? 0);
        if (!inGrace) run("DELETE FROM session WHERE family_id = ?", row.family_id);
        return inGrace ? this.find(row.next_id) : undefined;
      }
      run("UPDATE session SET next_id = ?, grace_until = ? WHERE id = ?", next.nextId, next.graceUntil, id);
      run(
        "INSERT INTO session (id, did, family_id, expires_at, app_password_name) VALUES (?, ?, ?, ?, ?)",
        next.nextId,
        row.did,
        row.family_id,
        next.expiresAt,
        row.app_password_name,
      );
      return this.find(next.nextId);
    });
  }

  async removeFamily(familyId: string): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM session WHERE family_id = ?", familyId);
    });
  }

  async removeAllOf(did: string): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM session WHERE did = ?", did);
    });
  }

  #row(id: string): Row | undefined {
    return this.#hub.readOne<Row>(`SELECT ${COLUMNS} FROM session WHERE id = ?`, id);
  }
}

function fromRow(row: Row): SessionRow {
  return {
    id: row.id,
    did: row.did,
    familyId: row.family_id,
    expiresAt: row.expires_at,
    appPasswordName: row.app_password_name,
    appPasswordPrivileged: row.privileged === 1,
  };
}
