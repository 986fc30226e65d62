/** App passwords: hashes of passwords that apps sign in with, each under a name of its account's own. Times are Unix milliseconds. */
import { KithError } from "../errors.ts";
import type { Hub } from "./hub.ts";

export interface AppPasswordRow {
  readonly did: string;
  readonly name: string;
  readonly passwordHash: string;
  /** Whether it may do what is kept from the others: direct messages. */
  readonly privileged: boolean;
  readonly createdAt: number;
}

interface Row {
  did: string;
  name: string;
  password_hash: string;
  privileged: number;
  created_at: number;
}

export class AppPasswordStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /** Throws KithError invalid_request where the account has one of this name, or `accountMax` of them. */
  async create(row: AppPasswordRow & { readonly accountMax: number }): Promise<void> {
    const { did, name, passwordHash, privileged, createdAt, accountMax } = row;
    await this.#hub.write((run) => {
      const names = this.list(did).map((known) => known.name);
      if (names.includes(name)) {
        throw new KithError(
          "invalid_request",
          `Could not create the app password "${name}": there is one of this name`,
        );
      }
      if (names.length >= accountMax) {
        throw new KithError(
          "invalid_request",
          `Could not create the app password "${name}": there are ${accountMax} already`,
        );
      }
      run(
        "INSERT INTO app_password (did, name, password_hash, privileged, created_at) VALUES (?, ?, ?, ?, ?)",
        did,
        name,
        passwordHash,
        privileged ? 1 : 0,
        createdAt,
      );
    });
  }

  /** Oldest first. */
  list(did: string): AppPasswordRow[] {
    return this.#hub
      .read<Row>("SELECT * FROM app_password WHERE did = ? ORDER BY created_at, name", did)
      .map(fromRow);
  }

  /** The app password of the account that has this hash. */
  find(did: string, passwordHash: string): AppPasswordRow | undefined {
    const row = this.#hub.readOne<Row>(
      "SELECT * FROM app_password WHERE did = ? AND password_hash = ?",
      did,
      passwordHash,
    );
    return row && fromRow(row);
  }

  /** Removes it and the sessions that it opened. Nothing where there is none. */
  async remove(did: string, name: string): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM app_password WHERE did = ? AND name = ?", did, name);
      run("DELETE FROM session WHERE did = ? AND app_password_name = ?", did, name);
    });
  }
}

function fromRow(row: Row): AppPasswordRow {
  return {
    did: row.did,
    name: row.name,
    passwordHash: row.password_hash,
    privileged: row.privileged !== 0,
    createdAt: row.created_at,
  };
}
