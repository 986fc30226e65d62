/**
 * Communities: whose they are in the network, and what we publish for them with. Secrets are sealed. Their members and
 * invites: community_member_store.ts, community_invite_store.ts. Times are Unix milliseconds.
 */
import { KithError } from "../errors.ts";
import { type CommunityOAuth, dropOAuthRow, putOAuthRow, sealOAuth } from "./_community_oauth_rows.ts";
import { SealedColumns } from "./_sealed_columns.ts";
import { type CommunityAuditEntry, writeAudit } from "./community_audit.ts";
import type { Hub, Run } from "./hub.ts";
import type { Keyring } from "./keyring.ts";

export type CommunityMode = "provisioned" | "minted" | "adopted";
/** In rising order of power. */
export type Role = "member" | "manager" | "admin" | "owner";
export type CommunityKind = "native" | "loopback" | "remote";

export interface Community {
  readonly did: string;
  readonly mode: CommunityMode;
  /** Where its account is; null for a minted one, which has none. */
  readonly kind: CommunityKind | null;
  readonly handle: string | null;
  readonly pdsEndpoint: string | null;
  readonly pdsDid: string | null;
  /** The did:key of its owner that stands first in the DID's rotation keys; null for an adopted one. */
  readonly rotationKey: string | null;
  readonly createdBy: string;
  readonly createdAt: number;
}

export type NewCommunity = Omit<Community, "createdAt">;

export interface CommunitySession {
  readonly accessJwt: string;
  readonly refreshJwt: string;
}

export interface CommunitySecrets {
  readonly appPassword: string | null;
  /** Private bytes of our rotation key, P-256, which stands below the owner's. */
  readonly subordinateKey: Uint8Array | null;
  readonly session: CommunitySession | null;
}

/** A community, and what somebody is in it. */
export interface CommunityOfMember extends Community {
  readonly role: Role;
  readonly canPublish: boolean;
}

export interface CommunityPage {
  readonly limit: number;
  readonly cursor?: string | undefined;
}

const COLUMNS = `did, mode, kind, handle, pds_endpoint AS pdsEndpoint, pds_did AS pdsDid,
  rotation_key AS rotationKey, created_by AS createdBy, created_at AS createdAt`;

type SecretColumn = "app_password" | "subordinate_key" | "session";
const SECRET_COLUMNS: readonly SecretColumn[] = ["app_password", "subordinate_key", "session"];
type SecretRow = Record<SecretColumn, Uint8Array | null>;

export class CommunityStore {
  readonly #hub: Hub;
  readonly #keyring: Keyring;
  readonly #sealed: SealedColumns<SecretColumn>;

  constructor(hub: Hub, keyring: Keyring) {
    this.#hub = hub;
    this.#keyring = keyring;
    this.#sealed = communityColumns(keyring);
  }

  /**
   * Adds a community whose owner is its creator, who may publish. Throws KithError already_exists, and community_quota
   * where the creator has `communitiesMax` already.
   */
  async add(
    community: NewCommunity & {
      readonly appPassword?: string | null;
      /** In the place of an app password. */
      readonly oauth?: CommunityOAuth;
      readonly communitiesMax?: number;
      readonly now: number;
      readonly audit?: readonly CommunityAuditEntry[];
    },
  ): Promise<void> {
    const { appPassword, oauth, communitiesMax = Number.POSITIVE_INFINITY, ...more } = community;
    const { now, audit = [], ...row } = more;
    const session = oauth && sealOAuth(this.#keyring, { did: row.did, oauth });
    const sealed = appPassword ? this.#sealed.seal(appPassword, "app_password", row.did) : null;
    await this.#hub.write((run) => {
      if (this.find(row.did)) {
        throw new KithError(
          "already_exists",
          `Could not add the community "${row.did}": it is there already`,
        );
      }
      const had = this.countOf(row.createdBy);
      if (had >= communitiesMax) {
        throw new KithError(
          "community_quota",
          `Could not add the community "${row.did}": you have ${had} already`,
        );
      }
      insertCommunity(run, row, { appPassword: sealed, subordinateKey: null, now });
      if (session) putOAuthRow(run, { did: row.did, sealed: session });
      writeAudit(run, audit);
    });
  }

  find(did: string): Community | undefined {
    return this.#hub.readOne(`SELECT ${COLUMNS} FROM community WHERE did = ?`, did);
  }

  /** Throws KithError community_not_found, storage_damaged. */
  secrets(did: string): CommunitySecrets {
    const row = this.#hub.readOne<SecretRow>(
      `SELECT ${SECRET_COLUMNS.join(", ")} FROM community WHERE did = ?`,
      did,
    );
    if (!row) throw noCommunity(did);
    const session = this.#sealed.text(row.session, "session", did);
    return {
      appPassword: this.#sealed.text(row.app_password, "app_password", did),
      subordinateKey: this.#sealed.bytes(row.subordinate_key, "subordinate_key", did),
      session: session === null ? null : (JSON.parse(session) as CommunitySession),
    };
  }

  /** Keeps the session that publishing goes on with; null drops it. Throws KithError community_not_found. */
  async saveSession(did: string, session: CommunitySession | null): Promise<void> {
    const sealed = session && this.#sealed.seal(JSON.stringify(session), "session", did);
    await this.#change(did, (run) => run("UPDATE community SET session = ? WHERE did = ?", sealed, did));
  }

  /** Another app password, or none; the session of the one before goes, and one by OAuth. Throws KithError community_not_found. */
  async setAppPassword(
    did: string,
    appPassword: string | null,
    { audit = [] }: { audit?: readonly CommunityAuditEntry[] } = {},
  ): Promise<void> {
    const sealed = appPassword === null ? null : this.#sealed.seal(appPassword, "app_password", did);
    await this.#change(did, (run) => {
      writeAudit(run, audit);
      dropOAuthRow(run, did);
      return run("UPDATE community SET app_password = ?, session = NULL WHERE did = ?", sealed, did);
    });
  }

  /** What the network calls it now. Throws KithError community_not_found. */
  async setHandle(did: string, handle: string | null): Promise<void> {
    await this.#change(did, (run) => run("UPDATE community SET handle = ? WHERE did = ?", handle, did));
  }

  async #change(did: string, change: (run: Run) => { changes: number }): Promise<void> {
    await this.#hub.write((run) => {
      if (change(run).changes === 0) throw noCommunity(did);
    });
  }

  /** Forgets it with its secrets, members and invites; its audit stays. False where it was not there. */
  async remove(
    did: string,
    { audit = [] }: { audit?: readonly CommunityAuditEntry[] } = {},
  ): Promise<boolean> {
    return this.#hub.write((run) => {
      run("DELETE FROM community_invite WHERE community = ?", did);
      run("DELETE FROM community_member WHERE community = ?", did);
      dropOAuthRow(run, did);
      const removed = run("DELETE FROM community WHERE did = ?", did).changes > 0;
      if (removed) writeAudit(run, audit);
      return removed;
    });
  }

  /** Communities whose account was of this server, and is deleted. */
  withoutAccount(): string[] {
    return this.#hub
      .read<{ did: string }>(
        `SELECT c.did FROM community c JOIN account a ON a.did = c.did
         WHERE c.kind = 'native' AND a.state IN ('deleting', 'deleted')`,
      )
      .map(({ did }) => did);
  }

  /** The communities that somebody belongs to, by DID. */
  listOf(
    subject: string,
    { limit, cursor = "" }: CommunityPage,
  ): { communities: CommunityOfMember[]; cursor?: string } {
    const rows = this.#hub
      .read<Omit<CommunityOfMember, "canPublish"> & { canPublish: number }>(
        `SELECT ${COLUMNS}, m.role, m.can_publish AS canPublish
         FROM community_member m JOIN community c ON c.did = m.community
         WHERE m.subject = ? AND m.community > ? ORDER BY m.community LIMIT ?`,
        subject,
        cursor,
        limit + 1,
      )
      .map((row) => ({ ...row, canPublish: row.canPublish !== 0 }));
    const communities = rows.slice(0, limit);
    const last = communities.at(-1);
    return rows.length > limit && last ? { communities, cursor: last.did } : { communities };
  }

  /** How many communities somebody has made or adopted. */
  countOf(creator: string): number {
    return (
      this.#hub.readOne<{ n: number }>("SELECT count(*) n FROM community WHERE created_by = ?", creator)?.n ??
      0
    );
  }

  /** Seals every secret anew under the newest key of the keyring. */
  async resealSecrets(): Promise<number> {
    return this.#hub.write((run) => {
      const rows = this.#hub.read<SecretRow & { did: string }>(
        `SELECT did, ${SECRET_COLUMNS.join(", ")} FROM community`,
      );
      for (const row of rows) {
        run(
          `UPDATE community SET ${SECRET_COLUMNS.map((column) => `${column} = ?`).join(", ")} WHERE did = ?`,
          ...SECRET_COLUMNS.map((column) => this.#sealed.reseal(row[column], column, row.did)),
          row.did,
        );
      }
      return rows.length;
    });
  }
}

export function communityColumns(keyring: Keyring): SealedColumns<SecretColumn> {
  return new SealedColumns(keyring, { table: "community", purpose: "communities" });
}

/** The rows of a new community; secrets sealed for it. For stores, within a transaction of theirs. */
export function insertCommunity(
  run: Run,
  community: NewCommunity,
  secrets: { appPassword: Uint8Array | null; subordinateKey: Uint8Array | null; now: number },
): void {
  const { did, mode, kind, handle, pdsEndpoint, pdsDid, rotationKey, createdBy } = community;
  const { appPassword, subordinateKey, now } = secrets;
  run(
    `INSERT INTO community (did, mode, kind, handle, pds_endpoint, pds_did, rotation_key, app_password,
       subordinate_key, created_by, created_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ...[did, mode, kind, handle, pdsEndpoint, pdsDid, rotationKey, appPassword, subordinateKey],
    createdBy,
    now,
  );
  run(
    `INSERT INTO community_member (community, subject, role, can_publish, granted_by, granted_at)
     VALUES (?1, ?2, 'owner', 1, ?2, ?3)`,
    did,
    createdBy,
    now,
  );
}

export function noCommunity(did: string): KithError {
  return new KithError("community_not_found", `There is no community "${did}" here`);
}
