/** Invite codes. Their use is recorded with the account that uses them: AccountStore.beginAccount. */
import type { Hub } from "./hub.ts";

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

  /** True where the code exists, is enabled and has uses left. */
  inviteIsUsable(code: string): boolean {
    const found = this.code(code);
    return found !== undefined && !found.disabled && found.used < found.uses;
  }

  /** Newest first. */
  list({ limit }: { limit: number }): InviteCode[] {
    return this.#hub
      .read<Row>("SELECT * FROM invite_code ORDER BY created_at DESC, code LIMIT ?", limit)
      .map(fromRow);
  }
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
