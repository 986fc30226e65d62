/**
 * Accounts and invite codes as another server had them, written whole. For a data folder that nobody serves yet: what a birth does step
 * by step is here one row, and its repo stays among the open ones, so that the first start takes in the events that wait in its file.
 */
import type { KeyType } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { accountKeyPlace } from "./_signing_keys.ts";
import type { Hub, Run } from "./hub.ts";
import type { Keyring } from "./keyring.ts";
import type { Standing } from "./repo_changes.ts";

/** Times are Unix milliseconds. */
export interface AdoptedAccount extends Standing {
  readonly did: string;
  readonly handle: string | null;
  readonly email: string | null;
  readonly emailConfirmedAt: number | null;
  readonly passwordHash: string;
  readonly signingKey: { readonly type: KeyType; readonly privateKey: Uint8Array };
  readonly createdAt: number;
  readonly deactivatedAt: number | null;
  readonly deleteAfter: number | null;
  readonly invitesDisabled: boolean;
  readonly appPasswords: readonly {
    readonly name: string;
    readonly passwordHash: string;
    readonly privileged: boolean;
    readonly createdAt: number;
  }[];
  readonly sessions: readonly {
    readonly id: string;
    readonly familyId: string;
    readonly expiresAt: number;
    readonly appPasswordName: string | null;
    /** What has replaced it, and until when it is still taken. */
    readonly next: { readonly id: string; readonly graceUntil: number } | null;
  }[];
}

export interface AdoptedInvite {
  readonly code: string;
  readonly uses: number;
  readonly disabled: boolean;
  readonly forAccount: string;
  readonly createdBy: string;
  readonly createdAt: number;
  readonly usedBy: readonly { readonly did: string; readonly at: number }[];
}

export interface AdoptedCounts {
  readonly accounts: number;
  readonly appPasswords: number;
  readonly sessions: number;
  readonly invites: number;
  readonly inviteUses: number;
}

export class AdoptionStore {
  readonly #hub: Hub;
  readonly #keyring: Keyring;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#keyring = keyring;
  }

  /** Adds an account with all that is its own, in one transaction. Returns its generation: part of the name of its file. */
  async adoptAccount(account: AdoptedAccount): Promise<number> {
    const { did, signingKey } = account;
    const sealed = this.#keyring.seal(signingKey.privateKey, accountKeyPlace(did));
    return await this.#hub.write((run) => {
      run("UPDATE meta SET last_generation = last_generation + 1");
      const generation = this.#hub.readOne<{ g: number }>("SELECT last_generation g FROM meta")?.g ?? 0;
      insertAccount(run, { ...account, generation, sealed });
      for (const { name, passwordHash, privileged, createdAt } of account.appPasswords) {
        run(
          "INSERT INTO app_password (did, name, password_hash, privileged, created_at) VALUES (?, ?, ?, ?, ?)",
          ...[did, name, passwordHash, privileged ? 1 : 0, createdAt],
        );
      }
      for (const { id, familyId, expiresAt, appPasswordName, next } of account.sessions) {
        run(
          `INSERT INTO session (id, did, family_id, expires_at, app_password_name, next_id, grace_until)
           VALUES (?, ?, ?, ?, ?, ?, ?)`,
          ...[id, did, familyId, expiresAt, appPasswordName, next?.id ?? null, next?.graceUntil ?? null],
        );
      }
      run("INSERT INTO open_repo (did, generation) VALUES (?, ?)", did, generation);
      return generation;
    });
  }

  /** Takes an account back that could not be adopted to its end. Its file is the caller's. */
  async forget(did: string): Promise<void> {
    await this.#hub.write((run) => {
      for (const table of ["account", "app_password", "session", "open_repo", "blob_look"]) {
        run(`DELETE FROM ${table} WHERE did = ?`, did);
      }
    });
  }

  /** Adds invite codes with their uses, in one transaction. */
  async adoptInvites(invites: readonly AdoptedInvite[]): Promise<void> {
    await this.#hub.write((run) => {
      for (const { code, uses, disabled, forAccount, createdBy, createdAt, usedBy } of invites) {
        run(
          `INSERT INTO invite_code (code, uses, used, disabled, for_account, created_by, created_at)
           VALUES (?, ?, ?, ?, ?, ?, ?)`,
          ...[code, uses, usedBy.length, disabled ? 1 : 0, forAccount, createdBy, createdAt],
        );
        for (const { did, at } of usedBy) {
          run("INSERT INTO invite_use (code, used_by, used_at) VALUES (?, ?, ?)", code, did, at);
        }
      }
    });
  }

  counts(): AdoptedCounts {
    const counts = this.#hub.readOne<AdoptedCounts>(
      `SELECT (SELECT count(*) FROM account) AS accounts, (SELECT count(*) FROM app_password) AS appPasswords,
         (SELECT count(*) FROM session) AS sessions, (SELECT count(*) FROM invite_code) AS invites,
         (SELECT count(*) FROM invite_use) AS inviteUses`,
    );
    if (!counts) throw new KithError("storage_damaged", "Could not count what is in the accounts store");
    return counts;
  }
}

function insertAccount(run: Run, row: AdoptedAccount & { generation: number; sealed: Uint8Array }): void {
  run(
    `INSERT INTO account (did, handle, email, email_confirmed_at, password_hash, state, generation, key_type, signing_key,
       takedown_ref, deactivated_at, delete_after, invites_disabled, created_at)
     VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[row.did, row.handle?.toLowerCase() ?? null, row.email?.toLowerCase() ?? null, row.emailConfirmedAt],
    ...[row.passwordHash, row.status, row.generation, row.signingKey.type, row.sealed],
    ...[row.takedownRef, row.deactivatedAt, row.deleteAfter, row.invitesDisabled ? 1 : 0],
    row.createdAt,
  );
}
