/**
 * What an account signs in with beside its password: a TOTP secret (sealed), backup codes (as hashes), codes by mail, and
 * passkeys. Times are Unix milliseconds.
 */
import { KithError } from "../errors.ts";
import type { KeptReads } from "./_kept_reads.ts";
import type { Hub, Run } from "./hub.ts";
import type { Keyring, SealedPlace } from "./keyring.ts";

/** What an account has, without its secrets. */
export interface SecondFactorState {
  /** Since when it has a TOTP secret; null without one. */
  readonly totpSince: number | null;
  /** Whether codes go to its address: true only while the address is the one that this was switched on for, and confirmed. */
  readonly email: boolean;
  readonly passkeys: number;
  /** Whether the password alone does not suffice because of the passkeys; false where there is none. */
  readonly passkeyRequired: boolean;
  readonly backupCodes: number;
}

export interface PasskeyRow {
  /** The credential id, base64url. */
  readonly id: string;
  readonly did: string;
  /** COSE. */
  readonly publicKey: Uint8Array<ArrayBuffer>;
  readonly counter: number;
  readonly transports: readonly string[];
  readonly name: string;
  readonly createdAt: number;
  readonly lastUsedAt: number | null;
}

interface StateRow {
  totp_since: number | null;
  email: number | null;
  passkeys: number;
  passkey_required: number | null;
  backup_codes: number;
}

interface Row {
  id: string;
  did: string;
  public_key: Uint8Array<ArrayBuffer>;
  counter: number;
  transports: string;
  name: string;
  created_at: number;
  last_used_at: number | null;
}

/** One question for every sign-in. The factor by mail ends with the address that it was switched on for. */
const STATE = `SELECT f.totp_since, f.passkey_required,
  (SELECT count(*) FROM account a
     WHERE a.did = ?1 AND a.email = f.email AND a.email_confirmed_at IS NOT NULL) email,
  (SELECT count(*) FROM passkey WHERE did = ?1) passkeys,
  (SELECT count(*) FROM backup_code WHERE did = ?1) backup_codes
  FROM (SELECT ?1 did) wanted LEFT JOIN second_factor f ON f.did = wanted.did`;

/** States that are kept in memory: every look at a session asks for one. */
const STATES_KEPT_MAX = 4_096;

export class SecondFactorStore {
  readonly #hub: Hub;
  readonly #keyring: Keyring;
  readonly #states: KeptReads<SecondFactorState>;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#keyring = keyring;
    this.#states = hub.keep({
      tables: ["account", "second_factor", "passkey", "backup_code"],
      keysMax: STATES_KEPT_MAX,
    });
  }

  state(did: string): SecondFactorState {
    return this.#states.get(did, () => this.#readState(did)) as SecondFactorState;
  }

  #readState(did: string): SecondFactorState {
    const row = this.#hub.readOne<StateRow>(STATE, did);
    const passkeys = row?.passkeys ?? 0;
    return {
      totpSince: row?.totp_since ?? null,
      email: (row?.email ?? 0) > 0,
      passkeys,
      passkeyRequired: passkeys > 0 && row?.passkey_required === 1,
      backupCodes: row?.backup_codes ?? 0,
    };
  }

  /** The TOTP secret and the last step that a code was taken for; undefined without one. KithError storage_damaged. */
  totp(did: string): { secret: Uint8Array; step: number } | undefined {
    const row = this.#hub.readOne<{ totp_secret: Uint8Array | null; totp_step: number }>(
      "SELECT totp_secret, totp_step FROM second_factor WHERE did = ?",
      did,
    );
    if (!row?.totp_secret) return undefined;
    return { secret: this.#keyring.unseal(row.totp_secret, placeOf(did)), step: row.totp_step };
  }

  /** Sets the TOTP secret, in the place of one before; `step` is that of the code that proved it. */
  async setTotp(totp: { did: string; secret: Uint8Array; step: number; now: number }): Promise<void> {
    const { did, secret, step, now } = totp;
    const sealed = this.#keyring.seal(secret, placeOf(did));
    await this.#hub.write((run) => {
      run(
        `INSERT INTO second_factor (did, totp_secret, totp_step, totp_since) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (did) DO UPDATE SET totp_secret = ?2, totp_step = ?3, totp_since = ?4`,
        did,
        sealed,
        step,
        now,
      );
    });
  }

  /** Takes the code of a step: false where one of this step, or of a later one, was taken before. */
  async useTotpStep(did: string, step: number): Promise<boolean> {
    return this.#hub.write((run) => {
      const used = run(
        "UPDATE second_factor SET totp_step = ?2 WHERE did = ?1 AND totp_secret IS NOT NULL AND totp_step < ?2",
        did,
        step,
      );
      return used.changes > 0;
    });
  }

  async removeTotp(did: string): Promise<void> {
    await this.#hub.write((run) => {
      run("UPDATE second_factor SET totp_secret = NULL, totp_since = NULL WHERE did = ?", did);
      this.#tidy(run, did);
    });
  }

  /** Takes the place of all codes from before. */
  async setBackupCodes(did: string, hashes: readonly string[]): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM backup_code WHERE did = ?", did);
      for (const hash of hashes) run("INSERT INTO backup_code (did, code_hash) VALUES (?, ?)", did, hash);
    });
  }

  /** Uses a code up: false where there is none of this hash. */
  async useBackupCode(did: string, hash: string): Promise<boolean> {
    return this.#hub.write(
      (run) => run("DELETE FROM backup_code WHERE did = ? AND code_hash = ?", did, hash).changes > 0,
    );
  }

  /** Codes by mail for this address, or, with null, no more of them. */
  async setEmail(did: string, email: string | null): Promise<void> {
    await this.#hub.write((run) => {
      run(
        `INSERT INTO second_factor (did, email) VALUES (?1, ?2) ON CONFLICT (did) DO UPDATE SET email = ?2`,
        did,
        email,
      );
      this.#tidy(run, did);
    });
  }

  /** Oldest first. */
  passkeys(did: string): PasskeyRow[] {
    return this.#hub
      .read<Row>("SELECT * FROM passkey WHERE did = ? ORDER BY created_at, id", did)
      .map(fromRow);
  }

  passkey(id: string): PasskeyRow | undefined {
    const row = this.#hub.readOne<Row>("SELECT * FROM passkey WHERE id = ?", id);
    return row && fromRow(row);
  }

  /** Throws KithError invalid_request where the credential is there already, or the account has `accountMax` of them. */
  async addPasskey(passkey: Omit<PasskeyRow, "lastUsedAt"> & { readonly accountMax: number }): Promise<void> {
    const { id, did, publicKey, counter, transports, name, createdAt, accountMax } = passkey;
    await this.#hub.write((run) => {
      if (this.passkey(id)) {
        throw new KithError("invalid_request", "Could not add the passkey: it is there already");
      }
      if (this.passkeys(did).length >= accountMax) {
        throw new KithError(
          "invalid_request",
          `Could not add the passkey: the account has ${accountMax} already`,
        );
      }
      run(
        `INSERT INTO passkey (id, did, public_key, counter, transports, name, created_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        id,
        did,
        publicKey,
        counter,
        JSON.stringify(transports),
        name,
        createdAt,
      );
    });
  }

  /** Notes a use. False where the passkey is gone, or its counter has come as far meanwhile: then somebody has a copy. */
  async usePasskey(use: { id: string; counter: number; now: number }): Promise<boolean> {
    return this.#hub.write((run) => {
      const used = run(
        `UPDATE passkey SET counter = ?2, last_used_at = ?3
         WHERE id = ?1 AND (counter < ?2 OR (counter = 0 AND ?2 = 0))`,
        use.id,
        use.counter,
        use.now,
      );
      return used.changes > 0;
    });
  }

  /** False where the account has no such passkey. */
  async renamePasskey({ did, id, name }: { did: string; id: string; name: string }): Promise<boolean> {
    return this.#hub.write(
      (run) => run("UPDATE passkey SET name = ? WHERE id = ? AND did = ?", name, id, did).changes > 0,
    );
  }

  /** False where the account has no such passkey. */
  async removePasskey({ did, id }: { did: string; id: string }): Promise<boolean> {
    return this.#hub.write((run) => {
      const removed = run("DELETE FROM passkey WHERE id = ? AND did = ?", id, did).changes > 0;
      this.#tidy(run, did);
      return removed;
    });
  }

  async requirePasskey(did: string, required: boolean): Promise<void> {
    await this.#hub.write((run) => {
      run(
        `INSERT INTO second_factor (did, passkey_required) VALUES (?1, ?2)
         ON CONFLICT (did) DO UPDATE SET passkey_required = ?2`,
        did,
        required ? 1 : 0,
      );
      this.#tidy(run, did);
    });
  }

  /** Takes every factor of an account away. */
  async removeAll(did: string): Promise<void> {
    await this.#hub.write((run) => forgetSecondFactors(run, did));
  }

  /** Seals every secret anew under the newest key of the keyring. */
  async resealSecrets(): Promise<number> {
    return this.#hub.write((run) => {
      const rows = this.#hub.read<{ did: string; totp_secret: Uint8Array }>(
        "SELECT did, totp_secret FROM second_factor WHERE totp_secret IS NOT NULL",
      );
      for (const { did, totp_secret } of rows) {
        run(
          "UPDATE second_factor SET totp_secret = ? WHERE did = ?",
          this.#keyring.reseal(totp_secret, placeOf(did)),
          did,
        );
      }
      return rows.length;
    });
  }

  /** Without a factor there is nothing that backup codes stand in for; without a passkey none can be required. */
  #tidy(run: Run, did: string): void {
    const { totpSince, email, passkeys, passkeyRequired } = this.state(did);
    if (passkeys === 0) run("UPDATE second_factor SET passkey_required = 0 WHERE did = ?", did);
    if (totpSince === null && !email && !passkeyRequired) run("DELETE FROM backup_code WHERE did = ?", did);
  }
}

/** Within a transaction: takes every factor of an account away. */
export function forgetSecondFactors(run: Run, did: string): void {
  for (const table of ["second_factor", "backup_code", "passkey"]) {
    run(`DELETE FROM ${table} WHERE did = ?`, did);
  }
}

function placeOf(did: string): SealedPlace {
  return { purpose: "second factors", table: "second_factor", column: "totp_secret", row: did };
}

function fromRow(row: Row): PasskeyRow {
  return {
    id: row.id,
    did: row.did,
    publicKey: row.public_key,
    counter: row.counter,
    transports: JSON.parse(row.transports) as string[],
    name: row.name,
    createdAt: row.created_at,
    lastUsedAt: row.last_used_at,
  };
}
