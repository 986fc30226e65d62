/**
 * What the authorization server remembers: requests that are under way, what was granted, what may be used once, and which
 * apps an account has said yes to. Of secrets only SHA-256 hashes are stored. Times are Unix milliseconds.
 */
import type { Hub, Run } from "./hub.ts";

/** How a client has shown who it is: bound to a session when it begins. */
export interface ClientAuthPin {
  readonly method: "none" | "private_key_jwt";
  readonly kid?: string;
  readonly alg?: string;
  /** Thumbprint of the client's key, RFC 7638. */
  readonly jkt?: string;
}

/** A pushed authorization request, until its code is exchanged. */
export interface OAuthRequestRow {
  /** Hash of the secret in its request_uri. */
  readonly id: string;
  readonly clientId: string;
  readonly clientAuth: ClientAuthPin;
  readonly parameters: Readonly<Record<string, string>>;
  readonly dpopJkt: string;
  /** The browser that has opened it; no other may. */
  readonly device: string | null;
  /** Once it is approved: by whom, for what, and the hash of its code. */
  readonly did: string | null;
  readonly scope: string | null;
  /** The scope with its permission sets written out. */
  readonly expanded: string | null;
  readonly codeHash: string | null;
  readonly createdAt: number;
  readonly expiresAt: number;
}

/** What an account lets an app do: one row an authorization. */
export interface OAuthGrantRow {
  readonly id: string;
  readonly did: string;
  readonly clientId: string;
  readonly clientAuth: ClientAuthPin;
  readonly dpopJkt: string;
  readonly scope: string;
  readonly expanded: string;
  /** The browser that it was approved in. */
  readonly device: string | null;
  readonly createdAt: number;
  readonly updatedAt: number;
  /** The end of the session, however often it is refreshed. */
  readonly expiresAt: number;
  readonly codeHash: string;
  readonly accessHash: string;
  readonly accessExpiresAt: number;
  /** Null for an app that does not refresh. */
  readonly refreshHash: string | null;
  readonly refreshExpiresAt: number;
}

/** What an account has last allowed an app. */
export interface OAuthConsentRow {
  readonly clientId: string;
  readonly scope: string;
  readonly updatedAt: number;
}

/** What a refresh changes. */
export type OAuthRotation = Pick<
  OAuthGrantRow,
  "expanded" | "updatedAt" | "accessHash" | "accessExpiresAt" | "refreshExpiresAt"
> & { readonly refreshHash: string };

type RequestColumns = Omit<OAuthRequestRow, "clientAuth" | "parameters"> & {
  clientAuth: string;
  parameters: string;
};
type GrantColumns = Omit<OAuthGrantRow, "clientAuth"> & { clientAuth: string };

const REQUEST = `id, client_id AS clientId, client_auth AS clientAuth, parameters, dpop_jkt AS dpopJkt, device, did, scope,
  expanded, code_hash AS codeHash, created_at AS createdAt, expires_at AS expiresAt`;
const GRANT = `id, did, client_id AS clientId, client_auth AS clientAuth, dpop_jkt AS dpopJkt, scope, expanded, device,
  created_at AS createdAt, updated_at AS updatedAt, expires_at AS expiresAt, code_hash AS codeHash,
  access_hash AS accessHash, access_expires_at AS accessExpiresAt, refresh_hash AS refreshHash,
  refresh_expires_at AS refreshExpiresAt`;
/** Rows that have ended and that one insertion clears away. */
const PRUNE_ROWS = 10;
/** Grants of one account; the one that was used longest ago makes room. */
export const ACCOUNT_GRANTS_MAX = 200;
/** Apps whose consent an account is remembered to have given; the oldest makes room. */
export const ACCOUNT_CONSENTS_MAX = 200;

export class OAuthStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /**
   * Adds a request, and marks `useOnce` (a hash) as used until its time. False, and nothing is added, where it was used
   * before.
   */
  async addRequest(
    row: OAuthRequestRow,
    { useOnce, now }: { useOnce: { hash: string; until: number }; now: number },
  ): Promise<boolean> {
    return this.#hub.write((run) => {
      prune(run, now);
      if (!this.#use(run, { ...useOnce, now })) return false;
      run(
        `INSERT INTO oauth_request (id, client_id, client_auth, parameters, dpop_jkt, created_at, expires_at)
         VALUES (?, ?, ?, ?, ?, ?, ?)`,
        row.id,
        row.clientId,
        JSON.stringify(row.clientAuth),
        JSON.stringify(row.parameters),
        row.dpopJkt,
        row.createdAt,
        row.expiresAt,
      );
      return true;
    });
  }

  request(id: string): OAuthRequestRow | undefined {
    return this.#request("id = ?", id);
  }

  requestByCode(codeHash: string): OAuthRequestRow | undefined {
    return this.#request("code_hash = ?", codeHash);
  }

  /** Binds a request to a browser, and moves its end. False where it is another's, approved, or gone. */
  async bindRequest(id: string, { device, expiresAt }: { device: string; expiresAt: number }) {
    return this.#hub.write((run) => {
      const { changes } = run(
        `UPDATE oauth_request SET device = ?1, expires_at = ?2
         WHERE id = ?3 AND (device IS NULL OR device = ?1) AND code_hash IS NULL`,
        device,
        expiresAt,
        id,
      );
      return changes > 0;
    });
  }

  /** Gives a request its code. False where it has one, is another browser's, or the account may not sign in. */
  async approveRequest(
    id: string,
    approval: {
      device: string;
      did: string;
      scope: string;
      expanded: string;
      codeHash: string;
      expiresAt: number;
    },
  ): Promise<boolean> {
    return this.#hub.write((run) => {
      if (!this.#maySignIn(approval.did)) return false;
      const { changes } = run(
        `UPDATE oauth_request SET did = ?1, scope = ?2, expanded = ?3, code_hash = ?4, expires_at = ?5
         WHERE id = ?6 AND device = ?7 AND code_hash IS NULL`,
        approval.did,
        approval.scope,
        approval.expanded,
        approval.codeHash,
        approval.expiresAt,
        id,
        approval.device,
      );
      return changes > 0;
    });
  }

  /** Ends a request of a browser. False where there is none. */
  async removeRequest(id: string, { device }: { device: string }): Promise<boolean> {
    return this.#hub.write(
      (run) =>
        run("DELETE FROM oauth_request WHERE id = ? AND device = ? AND code_hash IS NULL", id, device)
          .changes > 0,
    );
  }

  /** Exchanges a code for a grant. False, and nothing is granted, where the code was used, or the account may not sign in. */
  async addGrant(grant: OAuthGrantRow, { now }: { now: number }): Promise<boolean> {
    return this.#hub.write((run) => {
      const { changes } = run("DELETE FROM oauth_request WHERE code_hash = ?", grant.codeHash);
      if (changes === 0 || !this.#maySignIn(grant.did)) return false;
      prune(run, now);
      makeRoom(run, grant.did);
      run(
        `INSERT INTO oauth_grant (id, did, client_id, client_auth, dpop_jkt, scope, expanded, device, created_at, updated_at,
           expires_at, code_hash, access_hash, access_expires_at, refresh_hash, refresh_expires_at, ends_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        grant.id,
        grant.did,
        grant.clientId,
        JSON.stringify(grant.clientAuth),
        grant.dpopJkt,
        grant.scope,
        grant.expanded,
        grant.device,
        grant.createdAt,
        grant.updatedAt,
        grant.expiresAt,
        grant.codeHash,
        grant.accessHash,
        grant.accessExpiresAt,
        grant.refreshHash,
        grant.refreshExpiresAt,
        endOf(grant),
      );
      return true;
    });
  }

  grant(id: string): OAuthGrantRow | undefined {
    return this.#grant("id = ?", id);
  }

  grantByAccessToken(hash: string): OAuthGrantRow | undefined {
    return this.#grant("access_hash = ?", hash);
  }

  grantByCode(hash: string): OAuthGrantRow | undefined {
    return this.#grant("code_hash = ?", hash);
  }

  /** What an account has granted, the latest used first. */
  grantsOf(did: string): OAuthGrantRow[] {
    return this.#hub
      .read<GrantColumns>(`SELECT ${GRANT} FROM oauth_grant WHERE did = ? ORDER BY updated_at DESC, id`, did)
      .map(toGrant);
  }

  /**
   * Replaces both tokens of a grant. False where `refreshHash` is not the present one: it was used before, so somebody has a
   * copy, and the grant is gone.
   */
  async rotateGrant(id: string, refreshHash: string, next: OAuthRotation): Promise<boolean> {
    return this.#hub.write((run) => {
      const { changes } = run(
        `UPDATE oauth_grant SET expanded = ?, updated_at = ?, access_hash = ?, access_expires_at = ?, refresh_hash = ?,
           refresh_expires_at = ?6, ends_at = min(expires_at, max(?6, ?4))
         WHERE id = ?7 AND refresh_hash = ?8`,
        next.expanded,
        next.updatedAt,
        next.accessHash,
        next.accessExpiresAt,
        next.refreshHash,
        next.refreshExpiresAt,
        id,
        refreshHash,
      );
      if (changes === 0) run("DELETE FROM oauth_grant WHERE id = ?", id);
      return changes > 0;
    });
  }

  /** Ends a grant; with `did` only one of that account. False where there is none. */
  async removeGrant(id: string, { did }: { did?: string } = {}): Promise<boolean> {
    return this.#hub.write(
      (run) =>
        run("DELETE FROM oauth_grant WHERE id = ?1 AND (?2 IS NULL OR did = ?2)", id, did ?? null).changes >
        0,
    );
  }

  /** Ends all that an account has granted, and what it is about to. */
  async removeAllOf(did: string): Promise<void> {
    await this.#hub.write((run) => endOAuth(run, did));
  }

  /** True the first time, false until `until`. `hash` names what may be used once. */
  async useOnce(hash: string, { until, now }: { until: number; now: number }): Promise<boolean> {
    return this.#hub.write((run) => {
      prune(run, now);
      return this.#use(run, { hash, until, now });
    });
  }

  /** The scope that an account has last allowed an app; undefined where it is not remembered. */
  consent(did: string, clientId: string): string | undefined {
    return this.#hub.readOne<{ scope: string }>(
      "SELECT scope FROM oauth_consent WHERE did = ? AND client_id = ?",
      did,
      clientId,
    )?.scope;
  }

  /** The apps that an account is remembered to have allowed something, the latest first. */
  consentsOf(did: string): OAuthConsentRow[] {
    return this.#hub.read<OAuthConsentRow>(
      `SELECT client_id AS clientId, scope, updated_at AS updatedAt FROM oauth_consent WHERE did = ?
       ORDER BY updated_at DESC, client_id`,
      did,
    );
  }

  async rememberConsent(row: { did: string; clientId: string; scope: string; now: number }): Promise<void> {
    await this.#hub.write((run) => {
      run(
        "INSERT OR REPLACE INTO oauth_consent (did, client_id, scope, updated_at) VALUES (?, ?, ?, ?)",
        row.did,
        row.clientId,
        row.scope,
        row.now,
      );
      run(
        `DELETE FROM oauth_consent WHERE did = ?1 AND client_id IN
           (SELECT client_id FROM oauth_consent WHERE did = ?1 ORDER BY updated_at DESC LIMIT -1 OFFSET ?2)`,
        row.did,
        ACCOUNT_CONSENTS_MAX,
      );
    });
  }

  async forgetConsent(did: string, clientId: string): Promise<void> {
    await this.#hub.write((run) => {
      run("DELETE FROM oauth_consent WHERE did = ? AND client_id = ?", did, clientId);
    });
  }

  #request(where: string, value: string): OAuthRequestRow | undefined {
    const row = this.#hub.readOne<RequestColumns>(
      `SELECT ${REQUEST} FROM oauth_request WHERE ${where}`,
      value,
    );
    if (!row) return undefined;
    return { ...row, clientAuth: JSON.parse(row.clientAuth), parameters: JSON.parse(row.parameters) };
  }

  #grant(where: string, value: string): OAuthGrantRow | undefined {
    const row = this.#hub.readOne<GrantColumns>(`SELECT ${GRANT} FROM oauth_grant WHERE ${where}`, value);
    return row && toGrant(row);
  }

  #use(run: Run, { hash, until, now }: { hash: string; until: number; now: number }): boolean {
    run("DELETE FROM oauth_used WHERE hash = ? AND until <= ?", hash, now);
    return run("INSERT OR IGNORE INTO oauth_used (hash, until) VALUES (?, ?)", hash, until).changes > 0;
  }

  #maySignIn(did: string): boolean {
    const sql = "SELECT 1 FROM account WHERE did = ? AND state IN ('active', 'deactivated')";
    return this.#hub.readOne(sql, did) !== undefined;
  }
}

/**
 * Within a transaction: ends every grant of an account, every request that it has approved, and forgets whom it has allowed
 * something: whoever had the password may have said yes to an app of theirs, which would be let in again without asking.
 */
export function endOAuth(run: Run, did: string): void {
  for (const table of ["oauth_grant", "oauth_request", "oauth_consent"]) {
    run(`DELETE FROM ${table} WHERE did = ?`, did);
  }
}

function toGrant(row: GrantColumns): OAuthGrantRow {
  return { ...row, clientAuth: JSON.parse(row.clientAuth) as ClientAuthPin };
}

/** When nothing of a grant is good for anything any more. */
function endOf(grant: Pick<OAuthGrantRow, "expiresAt" | "accessExpiresAt" | "refreshExpiresAt">): number {
  return Math.min(grant.expiresAt, Math.max(grant.accessExpiresAt, grant.refreshExpiresAt));
}

function makeRoom(run: Run, did: string): void {
  run(
    `DELETE FROM oauth_grant WHERE id IN
       (SELECT id FROM oauth_grant WHERE did = ? ORDER BY updated_at DESC, id LIMIT -1 OFFSET ?)`,
    did,
    ACCOUNT_GRANTS_MAX - 1,
  );
}

/** A few of what has ended, so that no table grows for ever. */
function prune(run: Run, now: number): void {
  for (const [table, key, end] of [
    ["oauth_request", "id", "expires_at"],
    ["oauth_grant", "id", "ends_at"],
    ["oauth_used", "hash", "until"],
  ]) {
    run(
      `DELETE FROM ${table} WHERE ${key} IN (SELECT ${key} FROM ${table} WHERE ${end} <= ? ORDER BY ${end} LIMIT ?)`,
      now,
      PRUNE_ROWS,
    );
  }
}
