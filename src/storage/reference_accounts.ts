/** account.sqlite of a reference PDS: who is there, with what they sign in, and the invite codes. Times are Unix milliseconds. */
import type { ReferenceDatabase } from "./reference_database.ts";

export interface ReferenceAccount {
  readonly did: string;
  /** Null where it has none. */
  readonly handle: string | null;
  /** Null where there is no account of the DID, or without one. */
  readonly email: string | null;
  readonly emailConfirmedAt: number | null;
  /** `salt:hash`, of scrypt; null where there is no account of the DID. */
  readonly passwordHash: string | null;
  readonly createdAt: number | null;
  readonly takedownRef: string | null;
  readonly deactivatedAt: number | null;
  readonly deleteAfter: number | null;
  readonly invitesDisabled: boolean;
}

export interface ReferenceAppPassword {
  readonly did: string;
  readonly name: string;
  readonly passwordHash: string;
  readonly privileged: boolean;
  readonly createdAt: number | null;
}

/** A refresh token: it may have been replaced by another. */
export interface ReferenceSession {
  readonly id: string;
  readonly did: string;
  readonly expiresAt: number | null;
  readonly nextId: string | null;
  readonly appPasswordName: string | null;
}

export interface ReferenceInvite {
  readonly code: string;
  readonly uses: number;
  readonly disabled: boolean;
  readonly forAccount: string;
  readonly createdBy: string;
  readonly createdAt: number | null;
  readonly usedBy: readonly { readonly did: string; readonly at: number | null }[];
}

type Row = Record<string, string | number | null>;

export class ReferenceAccounts {
  readonly #db: ReferenceDatabase;

  constructor(db: ReferenceDatabase) {
    this.#db = db;
  }

  /** In the order in which they were made. */
  accounts(): ReferenceAccount[] {
    const rows = this.#db.all<Row>(
      `SELECT a.did, a.handle, a.createdAt, a.takedownRef, a.deactivatedAt, a.deleteAfter,
         c.email, c.emailConfirmedAt, c.passwordScrypt, c.invitesDisabled
       FROM actor a LEFT JOIN account c ON c.did = a.did ORDER BY a.createdAt, a.did`,
    );
    return rows.map((row) => ({
      did: String(row.did),
      handle: textOf(row.handle),
      email: textOf(row.email),
      emailConfirmedAt: timeOf(row.emailConfirmedAt),
      passwordHash: textOf(row.passwordScrypt),
      createdAt: timeOf(row.createdAt),
      takedownRef: textOf(row.takedownRef),
      deactivatedAt: timeOf(row.deactivatedAt),
      deleteAfter: timeOf(row.deleteAfter),
      invitesDisabled: row.invitesDisabled === 1,
    }));
  }

  /** Rows of passwords whose DID is nobody's. */
  strays(): string[] {
    const sql = "SELECT did FROM account WHERE did NOT IN (SELECT did FROM actor) ORDER BY did";
    return this.#db.all<{ did: string }>(sql).map(({ did }) => did);
  }

  appPasswords(did: string): ReferenceAppPassword[] {
    return this.#db
      .all<Row>("SELECT * FROM app_password WHERE did = ? ORDER BY createdAt, name", did)
      .map((row) => ({
        did,
        name: String(row.name),
        passwordHash: String(row.passwordScrypt),
        privileged: row.privileged === 1,
        createdAt: timeOf(row.createdAt),
      }));
  }

  sessions(did: string): ReferenceSession[] {
    return this.#db.all<Row>("SELECT * FROM refresh_token WHERE did = ? ORDER BY id", did).map((row) => ({
      id: String(row.id),
      did,
      expiresAt: timeOf(row.expiresAt),
      nextId: textOf(row.nextId),
      appPasswordName: textOf(row.appPasswordName),
    }));
  }

  invites(): ReferenceInvite[] {
    const uses = Map.groupBy(
      this.#db.all<Row>("SELECT code, usedBy, usedAt FROM invite_code_use ORDER BY usedAt"),
      (row) => String(row.code),
    );
    return this.#db.all<Row>("SELECT * FROM invite_code ORDER BY createdAt, code").map((row) => ({
      code: String(row.code),
      uses: Number(row.availableUses),
      disabled: row.disabled === 1,
      forAccount: String(row.forAccount),
      createdBy: String(row.createdBy),
      createdAt: timeOf(row.createdAt),
      usedBy: (uses.get(String(row.code)) ?? []).map((use) => ({
        did: String(use.usedBy),
        at: timeOf(use.usedAt),
      })),
    }));
  }

  /** What apps have been let in to by OAuth, and is not taken over. */
  oauthGrants(): number {
    if (!this.#db.has("token")) return 0;
    return this.#db.get<{ n: number }>("SELECT count(*) AS n FROM token")?.n ?? 0;
  }
}

function textOf(value: string | number | null | undefined): string | null {
  return value === null || value === undefined ? null : String(value);
}

/** Of the ISO 8601 text that the reference writes; null for anything else. */
export function timeOf(value: string | number | null | undefined): number | null {
  const ms = typeof value === "string" ? Date.parse(value) : Number.NaN;
  return Number.isFinite(ms) ? ms : null;
}
