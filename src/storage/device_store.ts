/**
 * The browsers that accounts are signed in on. A cookie holds an id and a secret; here are their hashes. A row is there
 * while somebody is signed in. Times are Unix milliseconds.
 */
import type { Hub, Run } from "./hub.ts";

export interface DeviceRow {
  /** The hash of the id in the cookie. */
  readonly id: string;
  readonly secretHash: string;
  /** The secret before that, as the last request showed it. */
  readonly previousHash: string | null;
  /** Whether the present secret has been seen: until then the browser may not have it. */
  readonly confirmed: boolean;
  readonly rotatedAt: number;
  readonly userAgent: string;
  readonly ip: string;
  readonly createdAt: number;
  readonly lastSeenAt: number;
}

/** That an account is signed in on a device. */
export interface DeviceAccountRow {
  readonly deviceId: string;
  readonly did: string;
  /** When it was last signed in to with everything that it asks for. */
  readonly authenticatedAt: number;
  readonly remember: boolean;
}

/** What is told of a device with each change of it. */
export interface DeviceSeen {
  readonly userAgent: string;
  readonly ip: string;
  readonly now: number;
}

export interface DeviceSignIn extends DeviceSeen {
  readonly id: string;
  readonly did: string;
  readonly remember: boolean;
  /** The secret that the device showed; it must still be the present one or the one before, unless the row is not there. */
  readonly secretHash: string;
  /** Its next one. */
  readonly nextHash: string;
  /** The stored hash of the password that signs in: it must still be the one. */
  readonly passwordHash?: string | undefined;
  /** Accounts of one device, and devices of one account, at the most: the oldest sign-in goes. */
  readonly accountsMax: number;
  readonly devicesMax: number;
}

/** Devices that one sign-in clears away. */
const PRUNE_ROWS = 10;

const COLUMNS = `id, secret_hash AS secretHash, previous_hash AS previousHash, confirmed, rotated_at AS rotatedAt,
  user_agent AS userAgent, ip, created_at AS createdAt, last_seen_at AS lastSeenAt`;

type Row = Omit<DeviceRow, "confirmed"> & { confirmed: number };

export class DeviceStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  find(id: string): DeviceRow | undefined {
    const row = this.#hub.readOne<Row>(`SELECT ${COLUMNS} FROM device WHERE id = ?`, id);
    return row && { ...row, confirmed: row.confirmed === 1 };
  }

  /** Who is signed in on a device, the last first. */
  accounts(id: string): DeviceAccountRow[] {
    return this.#hub
      .read<{ did: string; authenticatedAt: number; remember: number }>(
        `SELECT did, authenticated_at AS authenticatedAt, remember FROM device_account
         WHERE device_id = ? ORDER BY authenticated_at DESC, did`,
        id,
      )
      .map((row) => ({ ...row, deviceId: id, remember: row.remember === 1 }));
  }

  /** The devices that an account is signed in on, the last seen first. */
  devicesOf(did: string): (DeviceRow & { authenticatedAt: number; remember: boolean })[] {
    return this.#hub
      .read<Row & { authenticatedAt: number; remember: number }>(
        `SELECT ${COLUMNS}, a.authenticated_at AS authenticatedAt, a.remember AS remember
         FROM device_account a JOIN device ON device.id = a.device_id
         WHERE a.did = ? ORDER BY last_seen_at DESC, id`,
        did,
      )
      .map((row) => ({ ...row, confirmed: row.confirmed === 1, remember: row.remember === 1 }));
  }

  /**
   * Signs an account in on a device, which gets a new secret, and makes its row where there is none. A few devices that were
   * not seen since `pruneBefore` go with it. False, and nothing is done, where the password, or the secret, is not the one any more.
   */
  async signIn(change: DeviceSignIn & { readonly pruneBefore: number }): Promise<boolean> {
    const { id, did, now, nextHash } = change;
    return this.#hub.write((run) => {
      this.#prune(run, change.pruneBefore);
      if (!this.#isCurrent(change)) return false;
      const known = this.find(id);
      if (known && known.secretHash !== change.secretHash && known.previousHash !== change.secretHash) {
        return false;
      }
      run(
        `INSERT INTO device (id, secret_hash, rotated_at, user_agent, ip, created_at, last_seen_at)
         VALUES (?1, ?2, ?3, ?4, ?5, ?3, ?3)
         ON CONFLICT (id) DO UPDATE SET previous_hash = ?6, secret_hash = ?2, confirmed = 0, rotated_at = ?3,
           user_agent = ?4, ip = ?5, last_seen_at = ?3`,
        id,
        nextHash,
        now,
        change.userAgent,
        change.ip,
        change.secretHash,
      );
      run(
        `INSERT INTO device_account (device_id, did, authenticated_at, remember) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT (device_id, did) DO UPDATE SET authenticated_at = ?3, remember = ?4`,
        id,
        did,
        now,
        change.remember ? 1 : 0,
      );
      this.#bound(run, change);
      return true;
    });
  }

  /**
   * Gives the device another secret; that which it showed is the one before from now on. False, and nothing is done, where
   * `presentHash` is not its present one any more.
   */
  async rotate(
    change: DeviceSeen & { id: string; presentHash: string; secretHash: string; nextHash: string },
  ): Promise<boolean> {
    return this.#hub.write((run) => {
      const rotated = run(
        `UPDATE device SET secret_hash = ?4, previous_hash = ?3, confirmed = 0, rotated_at = ?5, user_agent = ?6, ip = ?7, last_seen_at = ?5
         WHERE id = ?1 AND secret_hash = ?2`,
        change.id,
        change.presentHash,
        change.secretHash,
        change.nextHash,
        change.now,
        change.userAgent,
        change.ip,
      );
      return rotated.changes > 0;
    });
  }

  /** Notes that the present secret was seen. */
  async seen({ id, secretHash, now }: { id: string; secretHash: string; now: number }): Promise<void> {
    await this.#hub.write((run) => {
      run(
        "UPDATE device SET confirmed = 1, last_seen_at = ? WHERE id = ? AND secret_hash = ?",
        now,
        id,
        secretHash,
      );
    });
  }

  /** Notes a full sign-in of an account that is signed in already. Nothing where it is not. */
  async authenticated({ id, did, now }: { id: string; did: string; now: number }): Promise<void> {
    await this.#hub.write((run) => {
      run("UPDATE device_account SET authenticated_at = ? WHERE device_id = ? AND did = ?", now, id, did);
    });
  }

  async signOut(id: string, did: string): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM device_account WHERE device_id = ? AND did = ?", id, did);
      run(
        "DELETE FROM device WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM device_account WHERE device_id = ?1)",
        id,
      );
    });
  }

  /** Signs an account out on every device but one, or on all of them. */
  async signOutEverywhere(did: string, options: { except?: string | undefined } = {}): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM device_account WHERE did = ? AND device_id <> ?", did, options.except ?? "");
    });
  }

  /** Ends a device: nobody is signed in on it any more. */
  async end(id: string): Promise<void> {
    await this.#hub.write((run) => removeDevice(run, id));
  }

  #isCurrent({ did, passwordHash }: DeviceSignIn): boolean {
    const row = this.#hub.readOne<{ hash: string }>(
      `SELECT password_hash AS hash FROM account WHERE did = ? AND state NOT IN ('creating', 'deleting', 'deleted')`,
      did,
    );
    return row !== undefined && (passwordHash === undefined || row.hash === passwordHash);
  }

  #bound(run: Run, { id, did, accountsMax, devicesMax }: DeviceSignIn): void {
    for (const [mine, other, value, max] of [
      ["device_id", "did", id, accountsMax],
      ["did", "device_id", did, devicesMax],
    ] as const) {
      run(
        `DELETE FROM device_account WHERE ${mine} = ?1 AND ${other} NOT IN (
           SELECT ${other} FROM device_account WHERE ${mine} = ?1 ORDER BY authenticated_at DESC LIMIT ?2)`,
        value,
        max,
      );
    }
  }

  /** A device on which nobody is signed in any more is not looked at again, and so goes too. */
  #prune(run: Run, before: number): void {
    const old = this.#hub.read<{ id: string }>(
      "SELECT id FROM device WHERE last_seen_at < ? ORDER BY last_seen_at LIMIT ?",
      before,
      PRUNE_ROWS,
    );
    for (const { id } of old) removeDevice(run, id);
  }
}

function removeDevice(run: Run, id: string): void {
  run("DELETE FROM device_account WHERE device_id = ?", id);
  run("DELETE FROM device WHERE id = ?", id);
}
