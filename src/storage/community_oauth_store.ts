/**
 * What publishing by OAuth rests on: our own key as a client, consents that are being asked for, and the sessions that came of them.
 * Keys, verifiers and tokens are sealed; of a state only its hash is kept. Times are Unix milliseconds.
 */
import { KithError } from "../errors.ts";
import { type CommunityOAuth, dropOAuthRow, oauthColumns, putOAuthRow } from "./_community_oauth_rows.ts";
import { SealedColumns } from "./_sealed_columns.ts";
import { type CommunityAuditEntry, writeAudit } from "./community_audit.ts";
import { noCommunity } from "./community_store.ts";
import type { Hub } from "./hub.ts";
import type { Keyring } from "./keyring.ts";

export type { CommunityOAuth } from "./_community_oauth_rows.ts";

/** The account's owner has been sent to consent, and is not back yet. */
export interface CommunityConsent {
  readonly stateHash: string;
  /** Who asked for it, and gets what comes of it. */
  readonly caller: string;
  /** The account. */
  readonly did: string;
  readonly purpose: "adopt" | "reauth";
  /** What only we may know of it. */
  readonly secrets: unknown;
  readonly createdAt: number;
  readonly expiresAt: number;
}

interface ConsentRow extends Omit<CommunityConsent, "secrets"> {
  readonly secrets: Uint8Array;
}

const CONSENT_COLUMNS = `state_hash AS stateHash, caller, did, purpose, secrets, created_at AS createdAt,
  expires_at AS expiresAt`;
/** The one row of our key as a client. */
const CLIENT = "client";

export class CommunityOAuthStore {
  readonly #hub: Hub;
  readonly #sessions: SealedColumns<"session">;
  readonly #consents: SealedColumns<"secrets">;
  readonly #keys: SealedColumns<"private_key">;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#sessions = oauthColumns(keyring);
    this.#consents = new SealedColumns(keyring, { table: "community_consent", purpose: "communities" });
    this.#keys = new SealedColumns(keyring, { table: "community_client_key", purpose: "communities" });
  }

  /** Our key as a client, as a text; undefined where none was needed yet. Throws KithError storage_damaged. */
  clientKey(): string | undefined {
    const row = this.#hub.readOne<{ key: Uint8Array }>(
      "SELECT private_key AS key FROM community_client_key WHERE id = ?",
      CLIENT,
    );
    return row && (this.#keys.text(row.key, "private_key", CLIENT) ?? undefined);
  }

  /** Keeps the key where there is none yet; answers the one that is kept then. */
  async keepClientKey(key: string): Promise<string> {
    const sealed = this.#keys.seal(key, "private_key", CLIENT);
    await this.#hub.write((run) => {
      run("INSERT OR IGNORE INTO community_client_key (id, private_key) VALUES (?, ?)", CLIENT, sealed);
    });
    return this.clientKey() ?? key;
  }

  /** A caller's oldest go past `perCallerMax`. Throws KithError busy where there are `max` of all callers. */
  async begin(
    consent: CommunityConsent,
    { perCallerMax, max }: { perCallerMax: number; max: number },
  ): Promise<void> {
    const { stateHash, caller, did, purpose, secrets, createdAt, expiresAt } = consent;
    const sealed = this.#consents.seal(JSON.stringify(secrets), "secrets", stateHash);
    await this.#hub.write((run) => {
      run("DELETE FROM community_consent WHERE expires_at <= ?", createdAt);
      run(
        `DELETE FROM community_consent WHERE state_hash IN (
           SELECT state_hash FROM community_consent WHERE caller = ?
           ORDER BY created_at DESC, state_hash LIMIT -1 OFFSET ?)`,
        caller,
        perCallerMax - 1,
      );
      const open = this.#hub.readOne<{ n: number }>("SELECT count(*) n FROM community_consent")?.n ?? 0;
      if (open >= max)
        throw new KithError("busy", "Could not ask for a consent: too many are being asked for");
      run(
        `INSERT INTO community_consent (state_hash, caller, did, purpose, secrets, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        ...[stateHash, caller, did, purpose, sealed, createdAt, expiresAt],
      );
    });
  }

  /** Undefined where there is none (any more), or it has expired. */
  consent(stateHash: string, now: number): CommunityConsent | undefined {
    const row = this.#hub.readOne<ConsentRow>(
      `SELECT ${CONSENT_COLUMNS} FROM community_consent WHERE state_hash = ? AND expires_at > ?`,
      stateHash,
      now,
    );
    if (!row) return undefined;
    const text = this.#consents.text(row.secrets, "secrets", stateHash) ?? "null";
    return { ...row, secrets: JSON.parse(text) as unknown };
  }

  /** The same, which nobody gets a second time: that is durable when it resolves. */
  async takeConsent(stateHash: string, now: number): Promise<CommunityConsent | undefined> {
    return this.#hub.write((run) => {
      const consent = this.consent(stateHash, now);
      run("DELETE FROM community_consent WHERE state_hash = ?", stateHash);
      return consent;
    });
  }

  /** Throws KithError storage_damaged. */
  session(did: string): CommunityOAuth | undefined {
    const row = this.#hub.readOne<{ session: Uint8Array }>(
      "SELECT session FROM community_oauth WHERE community = ?",
      did,
    );
    const text = row && this.#sessions.text(row.session, "session", did);
    return text ? (JSON.parse(text) as CommunityOAuth) : undefined;
  }

  /**
   * In the place of the session `of`, which may be gone or be another's by now: false then. Null drops it. Durable when it
   * resolves.
   */
  async replaceSession(
    did: string,
    { of, by }: { of: CommunityOAuth; by: CommunityOAuth | null },
  ): Promise<boolean> {
    const sealed = by && this.#sessions.seal(JSON.stringify(by), "session", did);
    return this.#hub.write((run) => {
      if (this.session(did)?.refreshToken !== of.refreshToken) return false;
      if (sealed) putOAuthRow(run, { did, sealed });
      else dropOAuthRow(run, did);
      return true;
    });
  }

  /** Publishing goes on with it, and without any app password. Throws KithError community_not_found. */
  async setSession(
    did: string,
    oauth: CommunityOAuth,
    { audit = [] }: { audit?: readonly CommunityAuditEntry[] } = {},
  ): Promise<void> {
    const sealed = this.#sessions.seal(JSON.stringify(oauth), "session", did);
    await this.#hub.write((run) => {
      const sql = "UPDATE community SET app_password = NULL, session = NULL WHERE did = ?";
      if (run(sql, did).changes === 0) throw noCommunity(did);
      putOAuthRow(run, { did, sealed });
      writeAudit(run, audit);
    });
  }

  /** Seals every secret anew under the newest key of the keyring. */
  async resealSecrets(): Promise<number> {
    return this.#hub.write((run) => {
      const sessions = this.#hub.read<{ id: string; sealed: Uint8Array }>(
        "SELECT community AS id, session AS sealed FROM community_oauth",
      );
      for (const { id, sealed } of sessions) {
        const anew = this.#sessions.reseal(sealed, "session", id);
        run("UPDATE community_oauth SET session = ? WHERE community = ?", anew, id);
      }
      const consents = this.#hub.read<{ id: string; sealed: Uint8Array }>(
        "SELECT state_hash AS id, secrets AS sealed FROM community_consent",
      );
      for (const { id, sealed } of consents) {
        const anew = this.#consents.reseal(sealed, "secrets", id);
        run("UPDATE community_consent SET secrets = ? WHERE state_hash = ?", anew, id);
      }
      const keys = this.#hub.read<{ id: string; sealed: Uint8Array }>(
        "SELECT id, private_key AS sealed FROM community_client_key",
      );
      for (const { id, sealed } of keys) {
        const anew = this.#keys.reseal(sealed, "private_key", id);
        run("UPDATE community_client_key SET private_key = ? WHERE id = ?", anew, id);
      }
      return sessions.length + consents.length + keys.length;
    });
  }
}
