/**
 * Members of communities. Whether a change may be made is decided within its transaction, so that two changes at a time
 * cannot both rest on what one of them ends; and no change takes a community its last owner. Times are Unix milliseconds.
 */
import { KithError } from "../errors.ts";
import { type CommunityAuditEntry, writeAudit } from "./community_audit.ts";
import type { CommunityPage, Role } from "./community_store.ts";
import type { Hub, Run } from "./hub.ts";

export interface Member {
  /** A DID. */
  readonly subject: string;
  readonly role: Role;
  readonly canPublish: boolean;
  readonly grantedBy: string;
  readonly grantedAt: number;
}

/** What a change rests on: those two members as they are when it is made. */
export interface MembersFound {
  readonly actor: Member | undefined;
  readonly current: Member | undefined;
}

export interface MemberChange {
  readonly community: string;
  readonly subject: string;
  /** The DID of who changes it. */
  readonly actor: string;
  readonly now: number;
  /** Throws to refuse the change. Synchronous. */
  readonly decide?: (found: MembersFound) => void;
  readonly audit?: readonly CommunityAuditEntry[];
}

/** What somebody is in one of their communities. */
export interface Membership {
  readonly community: string;
  readonly member: Member;
}

/** Members that a community may have. */
export const COMMUNITY_MEMBERS_MAX = 10_000;

interface Row extends Omit<Member, "canPublish"> {
  canPublish: number;
}

const COLUMNS = "subject, role, can_publish AS canPublish, granted_by AS grantedBy, granted_at AS grantedAt";

export class CommunityMemberStore {
  readonly #hub: Hub;

  constructor(hub: Hub) {
    this.#hub = hub;
  }

  /** What somebody is in a community; undefined for a stranger. */
  member(community: string, subject: string): Member | undefined {
    return findMember(this.#hub, { community, subject });
  }

  /** By DID. */
  members(community: string, { limit, cursor = "" }: CommunityPage): { members: Member[]; cursor?: string } {
    const rows = this.#hub.read<Row>(
      `SELECT ${COLUMNS} FROM community_member WHERE community = ? AND subject > ? ORDER BY subject LIMIT ?`,
      community,
      cursor,
      limit + 1,
    );
    const members = rows.slice(0, limit).map(fromRow);
    const last = members.at(-1);
    return rows.length > limit && last ? { members, cursor: last.subject } : { members };
  }

  /**
   * Sets what somebody is in a community. Throws what `decide` throws, and KithError community_not_found, last_owner,
   * invalid_request (the community is full).
   */
  async putMember(
    change: MemberChange & { readonly role: Role; readonly canPublish: boolean },
  ): Promise<Member> {
    const { community, subject, actor, now, decide, audit = [], role, canPublish } = change;
    return this.#hub.write((run) => {
      const current = this.member(community, subject);
      decide?.({ actor: this.member(community, actor), current });
      const member = { subject, role, canPublish, grantedBy: actor, grantedAt: now };
      writeMember(run, this.#hub, { community, member, current });
      writeAudit(run, audit);
      return member;
    });
  }

  /** Throws what `decide` throws, and KithError last_owner. False where there is no such member. */
  async removeMember({ community, subject, actor, decide, audit = [] }: MemberChange): Promise<boolean> {
    return this.#hub.write((run) => {
      const current = this.member(community, subject);
      decide?.({ actor: this.member(community, actor), current });
      if (!current) return false;
      if (current.role === "owner") refuseLastOwner(this.#hub, { community, subject });
      run("DELETE FROM community_member WHERE community = ? AND subject = ?", community, subject);
      writeAudit(run, audit);
      return true;
    });
  }

  /** The communities that would have no owner without this one; so many at most. */
  soleOwnerOf(subject: string, limit = 100): string[] {
    return this.#hub
      .read<{ community: string }>(
        `SELECT community FROM community_member m WHERE subject = ?1 AND role = 'owner' AND NOT EXISTS
           (SELECT 1 FROM community_member o
            WHERE o.community = m.community AND o.role = 'owner' AND o.subject <> ?1)
         ORDER BY community LIMIT ?2`,
        subject,
        limit,
      )
      .map(({ community }) => community);
  }

  /**
   * Takes somebody out of all communities: their account ends. What they were. Throws KithError last_owner; then nothing has
   * changed.
   */
  async removeSubject(
    subject: string,
    { audit = [] }: { audit?: readonly CommunityAuditEntry[] } = {},
  ): Promise<Membership[]> {
    return this.#hub.write((run) => {
      const [owned] = this.soleOwnerOf(subject, 1);
      if (owned !== undefined) throw lastOwner(owned, subject);
      const rows = this.#hub.read<Row & { community: string }>(
        `SELECT community, ${COLUMNS} FROM community_member WHERE subject = ?`,
        subject,
      );
      run("DELETE FROM community_member WHERE subject = ?", subject);
      if (rows.length > 0) writeAudit(run, audit);
      return rows.map(({ community, ...row }) => ({ community, member: fromRow(row) }));
    });
  }

  /** What `removeSubject` took, where the account stays after all; what has changed meanwhile stays as it is now. */
  async restoreSubject(subject: string, memberships: readonly Membership[]): Promise<void> {
    if (memberships.length === 0) return;
    await this.#hub.write((run) => {
      for (const { community, member } of memberships) {
        const isGone = !this.#hub.readOne("SELECT 1 FROM community WHERE did = ?", community);
        if (isGone || this.member(community, subject)) continue;
        insertMember(run, community, member);
      }
    });
  }
}

export function findMember(
  hub: Hub,
  { community, subject }: { community: string; subject: string },
): Member | undefined {
  const row = hub.readOne<Row>(
    `SELECT ${COLUMNS} FROM community_member WHERE community = ? AND subject = ?`,
    community,
    subject,
  );
  return row && fromRow(row);
}

/** For stores, within a transaction of theirs: the way in which a member's row is written. */
export function writeMember(
  run: Run,
  hub: Hub,
  { community, member, current }: { community: string; member: Member; current: Member | undefined },
): void {
  const { subject, role } = member;
  if (current?.role === "owner" && role !== "owner") refuseLastOwner(hub, { community, subject });
  if (!current) refuseFull(hub, community);
  insertMember(run, community, member);
}

function insertMember(run: Run, community: string, member: Member): void {
  const { subject, role, canPublish, grantedBy, grantedAt } = member;
  run(
    `INSERT INTO community_member (community, subject, role, can_publish, granted_by, granted_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6)
     ON CONFLICT (community, subject) DO UPDATE SET role = ?3, can_publish = ?4, granted_by = ?5, granted_at = ?6`,
    community,
    subject,
    role,
    canPublish ? 1 : 0,
    grantedBy,
    grantedAt,
  );
}

function refuseFull(hub: Hub, community: string): void {
  const row = hub.readOne<{ known: number; members: number }>(
    `SELECT (SELECT count(*) FROM community WHERE did = ?1) known,
       (SELECT count(*) FROM community_member WHERE community = ?1) members`,
    community,
  );
  if (!row?.known) throw new KithError("community_not_found", `There is no community "${community}" here`);
  if (row.members >= COMMUNITY_MEMBERS_MAX) {
    throw new KithError(
      "invalid_request",
      `Could not add a member to "${community}": it has ${COMMUNITY_MEMBERS_MAX}, which is the most`,
    );
  }
}

function refuseLastOwner(hub: Hub, { community, subject }: { community: string; subject: string }): void {
  const other = hub.readOne(
    "SELECT 1 FROM community_member WHERE community = ? AND role = 'owner' AND subject <> ?",
    community,
    subject,
  );
  if (!other) throw lastOwner(community, subject);
}

function lastOwner(community: string, subject: string): KithError {
  return new KithError(
    "last_owner",
    `"${subject}" is the last owner of the community "${community}": make somebody else an owner first, or delete it`,
  );
}

function fromRow(row: Row): Member {
  return { ...row, canPublish: row.canPublish !== 0 };
}
