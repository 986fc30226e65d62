/** Invites to communities: of a token only its hash is stored. Times are Unix milliseconds. */
import { KithError } from "../errors.ts";
import { type CommunityAuditEntry, writeAudit } from "./community_audit.ts";
import { findMember, type Member, writeMember } from "./community_member_store.ts";
import { type CommunityPage, noCommunity, type Role } from "./community_store.ts";
import type { Hub } from "./hub.ts";

export interface CommunityInvite {
  readonly id: string;
  readonly community: string;
  readonly role: Role;
  readonly canPublish: boolean;
  /** How often it may be used, and was. */
  readonly uses: number;
  readonly used: number;
  readonly createdBy: string;
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
}

export type NewCommunityInvite = Omit<CommunityInvite, "used" | "createdAt" | "revokedAt"> & {
  /** SHA-256, hex or base64url. */
  readonly tokenHash: string;
};

/** What a redemption rests on, as it is when it is made. */
export interface RedemptionFound {
  readonly invite: CommunityInvite;
  /** What the caller is in the community already. */
  readonly current: Member | undefined;
  /** What the invite's creator is now. */
  readonly creator: Member | undefined;
}

export interface Redemption {
  readonly tokenHash: string;
  readonly subject: string;
  readonly now: number;
  /**
   * What the caller becomes; undefined leaves everything as it is, and spends no use. Throws to refuse. Synchronous.
   */
  readonly decide: (found: RedemptionFound) => { role: Role; canPublish: boolean } | undefined;
  readonly audit?: (found: RedemptionFound) => readonly CommunityAuditEntry[];
}

export interface Redeemed {
  readonly community: string;
  readonly member: Member;
  readonly changed: boolean;
}

/** Invites of a community that can still be used, at a time. */
export const COMMUNITY_INVITES_MAX = 500;

interface Row extends Omit<CommunityInvite, "canPublish"> {
  canPublish: number;
}

const COLUMNS = `id, community, role, can_publish AS canPublish, uses, used, created_by AS createdBy,
  created_at AS createdAt, expires_at AS expiresAt, revoked_at AS revokedAt`;

export class CommunityInviteStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /** Throws what `decide` throws, and KithError community_not_found, invalid_request (too many open ones). */
  async createInvite(
    invite: NewCommunityInvite & {
      readonly now: number;
      /** Throws to refuse; given what the creator is. Synchronous. */
      readonly decide?: (creator: Member | undefined) => void;
      readonly audit?: readonly CommunityAuditEntry[];
    },
  ): Promise<CommunityInvite> {
    const { tokenHash, now, decide, audit = [], ...row } = invite;
    const { id, community, role, canPublish, uses, createdBy, expiresAt } = row;
    return this.#hub.write((run) => {
      if (!this.#hub.readOne("SELECT 1 FROM community WHERE did = ?", community))
        throw noCommunity(community);
      decide?.(findMember(this.#hub, { community, subject: createdBy }));
      this.#refuseTooMany(community, now);
      run(
        `INSERT INTO community_invite (id, community, token_hash, role, can_publish, uses, created_by, created_at,
           expires_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
        ...[id, community, tokenHash, role, canPublish ? 1 : 0, uses, createdBy, now, expiresAt],
      );
      writeAudit(run, audit);
      return { ...row, used: 0, createdAt: now, revokedAt: null };
    });
  }

  #refuseTooMany(community: string, now: number): void {
    const open = this.#hub.readOne<{ n: number }>(
      `SELECT count(*) n FROM community_invite WHERE community = ? AND revoked_at IS NULL AND used < uses
         AND (expires_at IS NULL OR expires_at > ?)`,
      community,
      now,
    );
    if ((open?.n ?? 0) < COMMUNITY_INVITES_MAX) return;
    throw new KithError(
      "invalid_request",
      `Could not make an invite to "${community}": ${COMMUNITY_INVITES_MAX} are open already; revoke some`,
    );
  }

  invite(community: string, id: string): CommunityInvite | undefined {
    const row = this.#hub.readOne<Row>(
      `SELECT ${COLUMNS} FROM community_invite WHERE id = ? AND community = ?`,
      id,
      community,
    );
    return row && fromRow(row);
  }

  /** What a redemption of the token by `subject` would rest on now; undefined where there is no such invite. */
  found(tokenHash: string, subject: string): RedemptionFound | undefined {
    const row = this.#hub.readOne<Row>(
      `SELECT ${COLUMNS} FROM community_invite WHERE token_hash = ?`,
      tokenHash,
    );
    if (!row) return undefined;
    const invite = fromRow(row);
    const { community, createdBy } = invite;
    return {
      invite,
      current: findMember(this.#hub, { community, subject }),
      creator: findMember(this.#hub, { community, subject: createdBy }),
    };
  }

  /** Newest first, with those that can be used no more. Throws KithError invalid_request on a cursor that is none. */
  invitesOf(
    community: string,
    { limit, cursor }: CommunityPage,
  ): { invites: CommunityInvite[]; cursor?: string } {
    const before = parseCursor(cursor);
    const rows = this.#hub.read<Row>(
      `SELECT ${COLUMNS} FROM community_invite WHERE community = ? AND (created_at, id) < (?, ?)
       ORDER BY created_at DESC, id DESC LIMIT ?`,
      community,
      before.at,
      before.id,
      limit + 1,
    );
    const invites = rows.slice(0, limit).map(fromRow);
    const last = invites.at(-1);
    return rows.length > limit && last ? { invites, cursor: `${last.createdAt}::${last.id}` } : { invites };
  }

  /** False where there is no such invite, or it was revoked before. Throws what `decide` throws. */
  async revokeInvite(change: {
    readonly community: string;
    readonly id: string;
    readonly actor: string;
    readonly now: number;
    readonly decide?: (found: { actor: Member | undefined; invite: CommunityInvite }) => void;
    readonly audit?: readonly CommunityAuditEntry[];
  }): Promise<boolean> {
    const { community, id, actor, now, decide, audit = [] } = change;
    return this.#hub.write((run) => {
      const invite = this.invite(community, id);
      if (!invite || invite.revokedAt !== null) return false;
      decide?.({ actor: findMember(this.#hub, { community, subject: actor }), invite });
      run("UPDATE community_invite SET revoked_at = ? WHERE id = ?", now, id);
      writeAudit(run, audit);
      return true;
    });
  }

  /**
   * Uses an invite, decided and done in one transaction. Undefined where there is none with this token. Throws what `decide`
   * throws, and KithError last_owner.
   */
  async redeem({ tokenHash, subject, now, decide, audit }: Redemption): Promise<Redeemed | undefined> {
    return this.#hub.write((run) => {
      const found = this.found(tokenHash, subject);
      if (!found) return undefined;
      const { invite, current } = found;
      const { community, createdBy } = invite;
      const granted = decide(found);
      if (!granted) {
        if (!current) throw new TypeError("a redemption that grants nothing needs a member");
        return { community, member: current, changed: false };
      }
      const member = { subject, ...granted, grantedBy: createdBy, grantedAt: now };
      writeMember(run, this.#hub, { community, member, current });
      run("UPDATE community_invite SET used = used + 1 WHERE id = ?", invite.id);
      writeAudit(run, audit?.(found) ?? []);
      return { community, member, changed: true };
    });
  }

  /** Forgets invites that have been of no use since before then. */
  async prune(before: number): Promise<number> {
    return this.#hub.write(
      (run) =>
        run(
          `DELETE FROM community_invite WHERE coalesce(revoked_at, expires_at) < ?1
             OR (used >= uses AND created_at < ?1)`,
          before,
        ).changes,
    );
  }
}

/** `<number>::<id>`. */
function parseCursor(cursor: string | undefined): { at: number; id: string } {
  if (cursor === undefined) return { at: Number.MAX_SAFE_INTEGER, id: "" };
  const match = /^(\d{1,15})::(.{1,100})$/.exec(cursor);
  if (match) return { at: Number(match[1]), id: match[2] ?? "" };
  throw new KithError(
    "invalid_request",
    `Could not list invites: the cursor "${cursor.slice(0, 100)}" is malformed`,
  );
}

function fromRow(row: Row): CommunityInvite {
  return { ...row, canPublish: row.canPublish !== 0 };
}
