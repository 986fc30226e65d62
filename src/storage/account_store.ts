/** Accounts: who is here, under which names, in which state, with which sealed signing key. */
import type { KeyType, Signer } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import type { KeptReads } from "./_kept_reads.ts";
import { accountSigner, accountKeyPlace as keyPlace } from "./_signing_keys.ts";
import type { Hub, Run } from "./hub.ts";
import { INVITE_USABLE } from "./invite_store.ts";
import type { Keyring } from "./keyring.ts";
import { endOAuth } from "./oauth_store.ts";
import type { PendingEvent, Standing } from "./repo_changes.ts";
import { forgetSecondFactors } from "./second_factor_store.ts";
import { isUniqueViolation } from "./sqlite.ts";

export type AccountState =
  | "creating"
  | "active"
  | "deactivated"
  | "takendown"
  | "suspended"
  | "deleting"
  | "deleted";

export interface Account {
  readonly did: string;
  /** Lower case; of a deleted account the handle that it had is gone, and this is "handle.invalid". */
  readonly handle: string;
  readonly email: string | null;
  /** Times are Unix milliseconds. */
  readonly emailConfirmedAt: number | null;
  readonly passwordHash: string;
  readonly state: AccountState;
  /** Part of the name of the account's file; never used twice. */
  readonly generation: number;
  readonly createdAt: number;
  readonly deactivatedAt: number | null;
  readonly invitesDisabled: boolean;
  /** What a moderator has noted of that. */
  readonly inviteNote: string | null;
  readonly takedownRef: string | null;
  /** Of an account that is being created: its DID was there before. */
  readonly movesIn: boolean;
  /** Access tokens from before this time do not count any more; null where all do. */
  readonly sessionsFrom: number | null;
  /** The PLC rotation key of its own that its owner named at sign-up, as did:key. */
  readonly recoveryKey: string | null;
}

export interface NewAccountRow {
  readonly did: string;
  readonly handle: string;
  readonly email: string | null;
  readonly passwordHash: string;
  readonly signingKey: { readonly type: KeyType; readonly privateKey: Uint8Array };
  /** The signed operation, as DRISL; null where the DID is there already. */
  readonly genesisOperation: Uint8Array | null;
  readonly inviteCode?: string;
  readonly recoveryKey?: string;
  readonly now: number;
}

interface Row {
  did: string;
  handle: string | null;
  email: string | null;
  email_confirmed_at: number | null;
  password_hash: string;
  state: AccountState;
  generation: number;
  created_at: number;
  deactivated_at: number | null;
  invites_disabled: number;
  invite_note: string | null;
  takedown_ref: string | null;
  moves_in: number;
  sessions_from: number | null;
  recovery_key: string | null;
}

const COLUMNS =
  "did, handle, email, email_confirmed_at, password_hash, state, generation, created_at, deactivated_at, invites_disabled, invite_note, takedown_ref, sessions_from, recovery_key, state = 'creating' AND genesis_operation IS NULL AS moves_in";
const HANDLE_GONE = "handle.invalid";
/** Accounts that are kept in memory, by DID and by handle: nearly every request asks for one. */
export const ACCOUNTS_KEPT_MAX = 4_096;

export class AccountStore {
  readonly #hub: Hub;
  readonly #keyring: Keyring;
  readonly #byDid: KeptReads<Account>;
  readonly #byHandle: KeptReads<Account>;
  readonly #counts: KeptReads<Partial<Record<AccountState, number>>>;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#keyring = keyring;
    this.#byDid = hub.keep({ tables: ["account"], keysMax: ACCOUNTS_KEPT_MAX });
    this.#byHandle = hub.keep({ tables: ["account"], keysMax: ACCOUNTS_KEPT_MAX });
    this.#counts = hub.keep({ tables: ["account"], keysMax: 1 });
  }

  account(did: string): Account | undefined {
    return this.#byDid.get(did, () => this.#one("did = ?", did));
  }

  /** Handles are compared in lower case. */
  accountByHandle(handle: string): Account | undefined {
    const lower = handle.toLowerCase();
    return this.#byHandle.get(lower, () => this.#one("handle = ?", lower));
  }

  /** E-mail addresses are compared in lower case. */
  accountByEmail(email: string): Account | undefined {
    return this.#one("email = ?", email.toLowerCase());
  }

  /** By DID, e-mail address or handle. */
  byIdentifier(identifier: string): Account | undefined {
    if (identifier.startsWith("did:")) return this.account(identifier);
    return identifier.includes("@") ? this.accountByEmail(identifier) : this.accountByHandle(identifier);
  }

  /**
   * In the order of creation, after the cursor; those being created or deleted are left out. With `email` those whose address
   * contains it, in any case.
   */
  listAccounts({ cursor, limit, email }: { cursor?: string; limit: number; email?: string }): {
    accounts: Account[];
    cursor?: string;
  } {
    const { createdAt, did } = parseCursor(cursor);
    const rows = this.#hub.read<Row>(
      `SELECT ${COLUMNS} FROM account
       WHERE (created_at, did) > (?1, ?2) AND state NOT IN ('creating', 'deleting', 'deleted')
         AND (?3 = '' OR instr(email, ?3) > 0)
       ORDER BY created_at, did LIMIT ?4`,
      createdAt,
      did,
      email?.toLowerCase() ?? "",
      limit,
    );
    const last = rows.at(-1);
    const more = last && rows.length === limit ? { cursor: `${last.created_at}::${last.did}` } : {};
    return { accounts: rows.map(fromRow), ...more };
  }

  /** How many accounts there are, those being created or deleted left out. */
  count(): number {
    const states = "('creating', 'deleting', 'deleted')";
    return (
      this.#hub.readOne<{ n: number }>(`SELECT count(*) n FROM account WHERE state NOT IN ${states}`)?.n ?? 0
    );
  }

  /** How many accounts there are of each state; kept until an account changes. Nobody counts those that are deleted. */
  countByState(): Readonly<Partial<Record<AccountState, number>>> {
    const read = () => {
      const sql = "SELECT state, count(*) n FROM account WHERE state <> 'deleted' GROUP BY state";
      return Object.fromEntries(
        this.#hub.read<{ state: string; n: number }>(sql).map(({ state, n }) => [state, n]),
      );
    };
    return this.#counts.get("", read) ?? {};
  }

  /**
   * The first step of an account's birth, in one transaction: a `creating` row with its reserved names, the sealed key and
   * the signed genesis operation, the use of the invite code, and the open row of its repo.
   * A DID that was deleted here may move in again. Throws KithError handle_not_available, already_exists (the DID),
   * invalid_request (the e-mail address is taken), invalid_invite_code.
   */
  async beginAccount(account: NewAccountRow): Promise<Account> {
    const { did, signingKey, inviteCode, now } = account;
    const handle = account.handle.toLowerCase();
    const email = account.email?.toLowerCase() ?? null;
    const sealed = this.#keyring.seal(signingKey.privateKey, keyPlace(did));
    await this.#hub.write((run) => {
      if (this.#hub.readOne("SELECT 1 FROM identity_change WHERE handle = ? AND did <> ?", handle, did)) {
        throw handleTaken(handle);
      }
      if (inviteCode !== undefined) this.#useInvite(run, { code: inviteCode, did, now });
      if (account.genesisOperation === null) {
        run("DELETE FROM account WHERE did = ? AND state = 'deleted'", did);
      }
      run("UPDATE meta SET last_generation = last_generation + 1");
      const generation = this.#hub.readOne<{ g: number }>("SELECT last_generation g FROM meta")?.g ?? 0;
      insertAccount(run, { ...account, handle, email, generation, sealed });
      run("INSERT INTO open_repo (did, generation) VALUES (?, ?)", did, generation);
    });
    const created = this.account(did);
    if (!created) throw new KithError("internal", `The account "${did}" vanished while it was created`);
    return created;
  }

  /** Takes a `creating` row back: its names and its invite use are free again. Nothing where there is none. */
  async abandonAccount(did: string): Promise<void> {
    await this.#hub.write((run) => {
      if (this.account(did)?.state !== "creating") return;
      const code = this.#hub.readOne<{ invite_code: string | null }>(
        "SELECT invite_code FROM account WHERE did = ?",
        did,
      )?.invite_code;
      if (code) {
        run("DELETE FROM invite_use WHERE code = ? AND used_by = ?", code, did);
        run("UPDATE invite_code SET used = used - 1 WHERE code = ?", code);
      }
      run("DELETE FROM open_repo WHERE did = ?", did);
      run("DELETE FROM account WHERE did = ?", did);
    });
  }

  /** The last step of a birth. Nothing where the account is not `creating` any more. */
  async finishCreation(did: string, state: "active" | "deactivated"): Promise<void> {
    await this.#hub.write((run) => {
      run(
        `UPDATE account SET state = ?1, genesis_operation = NULL,
           deactivated_at = CASE WHEN ?1 = 'deactivated' THEN created_at END
         WHERE did = ?2 AND state = 'creating'`,
        state,
        did,
      );
    });
  }

  /** Repeats here what the account's own file says; a takedown ends all sessions. A deletion that has been decided stands. */
  async projectState(
    did: string,
    { status, ownerStatus, takedownRef }: Standing,
    { now }: { now: number },
  ): Promise<void> {
    const isDown = status === "takendown" || status === "suspended";
    await this.#hub.write((run) => {
      const before = this.account(did)?.state;
      run(
        `UPDATE account SET state = ?1, takedown_ref = ?2,
           deactivated_at = CASE WHEN ?3 = 'deactivated' THEN coalesce(deactivated_at, ?4) END,
           delete_after = CASE WHEN ?3 = 'deactivated' THEN delete_after END
         WHERE did = ?5 AND state NOT IN ('creating', 'deleting', 'deleted')`,
        status,
        takedownRef,
        ownerStatus,
        now,
        did,
      );
      if (!isDown || before === status) return;
      run("UPDATE account SET sessions_from = ? WHERE did = ?", now, did);
      run("DELETE FROM session WHERE did = ?", did);
      endOAuth(run, did);
    });
  }

  /** When an account that its owner has deactivated is to be deleted; null for never. Nothing where it is not any more. */
  async setDeleteAfter(did: string, at: number | null): Promise<void> {
    await this.#hub.write((run) => {
      run(
        "UPDATE account SET delete_after = ? WHERE did = ? AND (state = 'deactivated' OR deactivated_at IS NOT NULL)",
        at,
        did,
      );
    });
  }

  /** When an account is to be deleted; undefined where that is not planned. */
  deleteAfter(did: string): number | undefined {
    const row = this.#hub.readOne<{ at: number | null }>(
      "SELECT delete_after AS at FROM account WHERE did = ?",
      did,
    );
    return row?.at ?? undefined;
  }

  /** Deactivated accounts in the order in which they are to be deleted, `limit` at most. */
  endingAccounts(limit: number): { did: string; deleteAfter: number }[] {
    return this.#hub.read(
      `SELECT did, delete_after AS deleteAfter FROM account
       WHERE delete_after IS NOT NULL AND state = 'deactivated' ORDER BY delete_after LIMIT ?`,
      limit,
    );
  }

  /** Whether an account gets invite codes, and why it does not. */
  async setInvitesDisabled(did: string, change: { disabled: boolean; note: string | null }): Promise<void> {
    await this.#hub.write((run) => {
      run(
        "UPDATE account SET invites_disabled = ?, invite_note = ? WHERE did = ?",
        change.disabled ? 1 : 0,
        change.note,
        did,
      );
    });
  }

  /** Decides a death: from now on it will be finished. The tombstone is kept until its event is in the log. */
  async beginDeletion(did: string, tombstone: PendingEvent): Promise<void> {
    await this.#hub.write((run) => {
      run(
        `UPDATE account SET state = 'deleting', tombstone_key = ?, tombstone_before = ?, tombstone_after = ?
         WHERE did = ? AND state <> 'deleted'`,
        tombstone.key,
        tombstone.before,
        tombstone.after,
        did,
      );
      run("DELETE FROM session WHERE did = ?", did);
      run("DELETE FROM device_account WHERE did = ?", did);
      endOAuth(run, did);
    });
  }

  /** After the files are gone. Handle and address are free again; the DID is remembered, its key is not. */
  async finishDeletion(did: string): Promise<void> {
    await this.#hub.write((run) => {
      run(
        `UPDATE account SET state = 'deleted', handle = NULL, email = NULL, email_confirmed_at = NULL, password_hash = '',
           signing_key = NULL, tombstone_key = NULL, tombstone_before = NULL, tombstone_after = NULL,
           delete_after = NULL
         WHERE did = ?`,
        did,
      );
      run("DELETE FROM open_repo WHERE did = ?", did);
      run("DELETE FROM session WHERE did = ?", did);
      run("DELETE FROM app_password WHERE did = ?", did);
      run("DELETE FROM email_token WHERE did = ?", did);
      endOAuth(run, did);
      run("DELETE FROM identity_change WHERE did = ?", did);
      forgetSecondFactors(run, did);
      run("DELETE FROM device_account WHERE did = ?", did);
      run("DELETE FROM account_language WHERE did = ?", did);
    });
  }

  creating(): Account[] {
    return this.#hub.read<Row>(`SELECT ${COLUMNS} FROM account WHERE state = 'creating'`).map(fromRow);
  }

  deleting(): (Account & { tombstone: PendingEvent })[] {
    type Tomb = Row & { tombstone_key: string; tombstone_before: Uint8Array; tombstone_after: Uint8Array };
    const columns = `${COLUMNS}, tombstone_key, tombstone_before, tombstone_after`;
    const rows = this.#hub.read<Tomb>(`SELECT ${columns} FROM account WHERE state = 'deleting'`);
    return rows.map((row) => ({
      ...fromRow(row),
      tombstone: {
        key: row.tombstone_key,
        kind: "account",
        before: row.tombstone_before,
        after: row.tombstone_after,
      },
    }));
  }

  /** The account's signing key, unsealed. Throws KithError account_not_found, storage_damaged. */
  signer(did: string): Signer {
    return accountSigner(this.#hub, this.#keyring, did);
  }

  /** Seals every signing key anew under the newest key of the keyring. */
  async resealKeys(): Promise<number> {
    return this.#hub.write((run) => {
      const rows = this.#hub.read<{ did: string; signing_key: Uint8Array }>(
        "SELECT did, signing_key FROM account WHERE signing_key IS NOT NULL",
      );
      for (const { did, signing_key } of rows) {
        run(
          "UPDATE account SET signing_key = ? WHERE did = ?",
          this.#keyring.reseal(signing_key, keyPlace(did)),
          did,
        );
      }
      return rows.length;
    });
  }

  /** Repos whose files a crash may have left with more than the rest of the folder knows. */
  openRepos(): { did: string; generation: number }[] {
    return this.#hub.read("SELECT did, generation FROM open_repo");
  }

  /** Before the first write after an open. */
  async markOpen(did: string): Promise<void> {
    await this.#hub.write((run) => {
      run(
        "INSERT OR REPLACE INTO open_repo (did, generation) SELECT did, generation FROM account WHERE did = ?",
        did,
      );
    });
  }

  /** After the file has been closed, nothing of it pending. */
  async unmarkOpen(did: string): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM open_repo WHERE did = ?", did);
    });
  }

  /** No seq up to this one may be given again. */
  highWater(): number {
    return this.#hub.readOne<{ high_water: number }>("SELECT high_water FROM meta")?.high_water ?? 0;
  }

  async raiseHighWater(seq: number): Promise<void> {
    await this.#hub.write((run) => {
      run("UPDATE meta SET high_water = max(high_water, ?)", seq);
    });
  }

  #one(where: string, value: string): Account | undefined {
    const row = this.#hub.readOne<Row>(`SELECT ${COLUMNS} FROM account WHERE ${where}`, value);
    return row && fromRow(row);
  }

  #useInvite(run: Run, { code, did, now }: { code: string; did: string; now: number }): void {
    const used = run(`UPDATE invite_code SET used = used + 1 WHERE code = ? AND ${INVITE_USABLE}`, code);
    if (used.changes === 0) throw new KithError("invalid_invite_code", "Provided invite code not available");
    run("INSERT OR REPLACE INTO invite_use (code, used_by, used_at) VALUES (?, ?, ?)", code, did, now);
  }
}

function insertAccount(run: Run, row: NewAccountRow & { generation: number; sealed: Uint8Array }): void {
  try {
    run(
      `INSERT INTO account (did, handle, email, password_hash, state, generation, key_type, signing_key,
         genesis_operation, invite_code, recovery_key, created_at)
       VALUES (?, ?, ?, ?, 'creating', ?, ?, ?, ?, ?, ?, ?)`,
      row.did,
      row.handle,
      row.email,
      row.passwordHash,
      row.generation,
      row.signingKey.type,
      row.sealed,
      row.genesisOperation,
      row.inviteCode ?? null,
      row.recoveryKey ?? null,
      row.now,
    );
  } catch (error) {
    if (isUniqueViolation(error, "account.handle")) {
      throw handleTaken(row.handle);
    }
    if (isUniqueViolation(error, "account.did")) {
      throw new KithError("already_exists", `Could not create the account "${row.did}": it exists already`);
    }
    if (isUniqueViolation(error, "account.email")) {
      throw new KithError("invalid_request", `Email already taken: ${row.email}`);
    }
    throw error;
  }
}

function handleTaken(handle: string): KithError {
  return new KithError("handle_not_available", `Handle already taken: ${handle}`);
}

function fromRow(row: Row): Account {
  return {
    did: row.did,
    handle: row.handle ?? HANDLE_GONE,
    email: row.email,
    emailConfirmedAt: row.email_confirmed_at,
    passwordHash: row.password_hash,
    state: row.state,
    generation: row.generation,
    createdAt: row.created_at,
    deactivatedAt: row.deactivated_at,
    invitesDisabled: row.invites_disabled !== 0,
    inviteNote: row.invite_note,
    takedownRef: row.takedown_ref,
    movesIn: row.moves_in !== 0,
    sessionsFrom: row.sessions_from,
    recoveryKey: row.recovery_key,
  };
}

/** `<created_at>::<did>`. Throws KithError invalid_request on anything else. */
function parseCursor(cursor: string | undefined): { createdAt: number; did: string } {
  if (cursor === undefined) return { createdAt: -1, did: "" };
  const match = /^(\d{1,15})::(did:[\x21-\x7e]{1,2048})$/.exec(cursor);
  if (!match)
    throw new KithError(
      "invalid_request",
      `Could not list accounts: the cursor "${cursor.slice(0, 100)}" is malformed`,
    );
  return { createdAt: Number(match[1]), did: match[2] ?? "" };
}
