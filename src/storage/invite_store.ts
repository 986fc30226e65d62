/** Invite codes. Their use is recorded with the account that uses them: AccountStore.beginAccount. */
import { KithError } from "../errors.ts";
import type { Hub } from "./hub.ts";

/** Of one code so many uses are told, the newest; of all codes of a page so many, or those of its first code. */
const USES_SHOWN_MAX = 1_000;
const PAGE_USES_MAX = 10_000;
/** What is told of one account: its newest codes, and the newest uses of each. */
const ACCOUNT_CODES_MAX = 500;
const ACCOUNT_USES_MAX = 100;
/** For statements over invite_code: what a sign-up may use. */
export const INVITE_USABLE = `used < uses AND disabled = 0 AND NOT EXISTS
  (SELECT 1 FROM account a WHERE a.did = for_account AND a.state IN ('takendown', 'suspended'))`;

export interface InviteCode {
  readonly code: string;
  /** How often it may be used, and was. */
  readonly uses: number;
  readonly used: number;
  readonly disabled: boolean;
  /** A DID, or "admin". */
  readonly forAccount: string;
  readonly createdBy: string;
  /** Unix milliseconds. */
  readonly createdAt: number;
}

/** A code with its newest uses. */
export interface InviteDetails extends InviteCode {
  readonly usedBy: readonly { readonly did: string; readonly at: number }[];
}

export interface InvitePage {
  readonly sort: "recent" | "usage";
  readonly limit: number;
  readonly cursor?: string | undefined;
}

/** Codes that an account has earned, of one use each. */
export interface EarnedCodes {
  readonly codes: readonly string[];
  readonly disabled: boolean;
  readonly now: number;
}

interface Row {
  code: string;
  uses: number;
  used: number;
  disabled: number;
  for_account: string;
  created_by: string;
  created_at: number;
}

export class InviteStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  async createCode(row: {
    code: string;
    uses: number;
    forAccount: string;
    createdBy: string;
    now: number;
  }): Promise<void> {
    await this.#hub.write((run) => {
      run(
        "INSERT INTO invite_code (code, uses, for_account, created_by, created_at) VALUES (?, ?, ?, ?, ?)",
        row.code,
        row.uses,
        row.forAccount,
        row.createdBy,
        row.now,
      );
    });
  }

  code(code: string): InviteCode | undefined {
    const row = this.#hub.readOne<Row>("SELECT * FROM invite_code WHERE code = ?", code);
    return row && fromRow(row);
  }

  /** True where the code exists, is enabled, has uses left, and is not of an account that is taken down. */
  inviteIsUsable(code: string): boolean {
    return (
      this.#hub.readOne(`SELECT 1 FROM invite_code WHERE code = ? AND ${INVITE_USABLE}`, code) !== undefined
    );
  }

  /** All codes, newest or most used first. Throws KithError invalid_request on a cursor that is none. */
  page({ sort, limit, cursor }: InvitePage): { codes: InviteDetails[]; cursor?: string } {
    const column = sort === "usage" ? "used" : "created_at";
    const after = parseCursor(cursor);
    const rows = this.#hub
      .read<Row>(
        `SELECT * FROM invite_code WHERE (${column}, code) < (?, ?) ORDER BY ${column} DESC, code DESC LIMIT ?`,
        after.primary,
        after.code,
        limit + 1,
      )
      .map(fromRow);
    let uses = 0;
    const end = rows.findIndex(({ used }) => {
      uses += Math.min(used, USES_SHOWN_MAX);
      return uses > PAGE_USES_MAX;
    });
    const codes = rows.slice(0, Math.min(limit, end === -1 ? rows.length : Math.max(1, end)));
    const last = codes.at(-1);
    const more = last && codes.length < rows.length;
    const primary = sort === "usage" ? last?.used : last?.createdAt;
    return {
      codes: this.#details(codes, USES_SHOWN_MAX),
      ...(more ? { cursor: `${primary}::${last.code}` } : {}),
    };
  }

  /** The newest codes of an account, with their newest uses. */
  codesOf(did: string): InviteDetails[] {
    const rows = this.#hub.read<Row>(
      "SELECT * FROM invite_code WHERE for_account = ? ORDER BY created_at DESC, code LIMIT ?",
      did,
      ACCOUNT_CODES_MAX,
    );
    return this.#details(rows.map(fromRow), ACCOUNT_USES_MAX);
  }

  /** The code that an account was made with; undefined where it needed none. */
  inviterOf(did: string): InviteDetails | undefined {
    const row = this.#hub.readOne<Row>(
      `SELECT c.* FROM invite_use u JOIN invite_code c ON c.code = u.code
       WHERE u.used_by = ? ORDER BY u.used_at DESC LIMIT 1`,
      did,
    );
    return row && this.#details([fromRow(row)], ACCOUNT_USES_MAX)[0];
  }

  /** Of many codes and of all codes of many accounts; what is not there is passed over. */
  async disable({
    codes,
    accounts,
  }: {
    codes: readonly string[];
    accounts: readonly string[];
  }): Promise<void> {
    await this.#hub.write((run) => {
      run(
        `UPDATE invite_code SET disabled = 1 WHERE code IN (SELECT value FROM json_each(?))`,
        JSON.stringify(codes),
      );
      run(
        `UPDATE invite_code SET disabled = 1 WHERE for_account IN (SELECT value FROM json_each(?))`,
        JSON.stringify(accounts),
      );
    });
  }

  /**
   * Adds the codes that an account has earned: `plan` says which, from those that it has made so. In one transaction, so
   * that two calls at a time make none twice.
   */
  async createEarned(did: string, plan: (made: readonly InviteCode[]) => EarnedCodes): Promise<void> {
    await this.#hub.write((run) => {
      const made = this.#hub.read<Row>(
        "SELECT * FROM invite_code WHERE for_account = ? AND created_by = ?",
        did,
        did,
      );
      const { codes, disabled, now } = plan(made.map(fromRow));
      for (const code of codes) {
        run(
          "INSERT INTO invite_code (code, uses, disabled, for_account, created_by, created_at) VALUES (?, 1, ?, ?, ?, ?)",
          code,
          disabled ? 1 : 0,
          did,
          did,
          now,
        );
      }
    });
  }

  #details(codes: readonly InviteCode[], usesMax: number): InviteDetails[] {
    const rows = this.#hub.read<{ code: string; did: string; at: number }>(
      `SELECT code, used_by AS did, used_at AS at FROM (
         SELECT *, row_number() OVER (PARTITION BY code ORDER BY used_at DESC, used_by) AS n FROM invite_use
         WHERE code IN (SELECT value FROM json_each(?))
       ) WHERE n <= ? ORDER BY n`,
      JSON.stringify(codes.map(({ code }) => code)),
      usesMax,
    );
    const byCode = Map.groupBy(rows, ({ code }) => code);
    return codes.map((code) => {
      return { ...code, usedBy: (byCode.get(code.code) ?? []).map(({ did, at }) => ({ did, at })) };
    });
  }
}

/** `<number>::<code>`. */
function parseCursor(cursor: string | undefined): { primary: number; code: string } {
  if (cursor === undefined) return { primary: Number.MAX_SAFE_INTEGER, code: "" };
  const match = /^(\d{1,15})::(.{1,300})$/.exec(cursor);
  if (match) return { primary: Number(match[1]), code: match[2] ?? "" };
  throw new KithError(
    "invalid_request",
    `Could not list invite codes: the cursor "${cursor.slice(0, 100)}" is malformed`,
  );
}

function fromRow(row: Row): InviteCode {
  return {
    code: row.code,
    uses: row.uses,
    used: row.used,
    disabled: row.disabled !== 0,
    forAccount: row.for_account,
    createdBy: row.created_by,
    createdAt: row.created_at,
  };
}
