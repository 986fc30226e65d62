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

  /** The communities that would have no owner without this one; so many at most. Who is leaving counts for none. */
  soleOwnerOf(subject: string, limit = 100): string[] {
    return this.#hub
      .read<{ community: string }>(
        `SELECT community FROM community_member m WHERE subject = ?1 AND role = 'owner' AND NOT EXISTS
           (SELECT 1 FROM community_member o
            WHERE o.community = m.community AND o.role = 'owner' AND o.subject <> ?1 AND o.leaving = 0)
         ORDER BY community LIMIT ?2`,
        subject,
        limit,
      )
      .map(({ community }) => community);
  }

  /**
   * From now on nobody may rely on somebody as the other owner: their account is being deleted. Throws KithError last_owner;
   * then nothing has changed.
   */
  async beginLeaving(subject: string): Promise<void> {
    await this.#hub.write((run) => {
      const [owned] = this.soleOwnerOf(subject, 1);
      if (owned !== undefined) throw lastOwner(owned, subject);
      run("UPDATE community_member SET leaving = 1 WHERE subject = ?", subject);
    });
  }

  /** Their account stays after all. */
  async endLeaving(subject: string): Promise<void> {
    await this.#hub.write((run) =>
      run("UPDATE community_member SET leaving = 0 WHERE subject = ? AND leaving = 1", subject),
    );
  }

  /** At the start, when no deletion is under way: takes out whose account is gone, and lets the others stay. */
  async settleLeaving(): Promise<void> {
    await this.#hub.write((run) => {
      run(
        `DELETE FROM community_member WHERE leaving = 1 AND subject NOT IN
           (SELECT did FROM account WHERE state NOT IN ('deleting', 'deleted'))`,
      );
      run("UPDATE community_member SET leaving = 0 WHERE leaving = 1");
    });
  }

  /** Takes somebody out of all communities: their account ends. Throws KithError last_owner; then nothing has changed. */
  async removeSubject(
    subject: string,
    { audit = [] }: { audit?: readonly CommunityAuditEntry[] } = {},
  ): Promise<number> {
    return this.#hub.write((run) => {
      const [owned] = this.soleOwnerOf(subject, 1);
      if (owned !== undefined) throw lastOwner(owned, subject);
      const removed = run("DELETE FROM community_member WHERE subject = ?", subject).changes;
      if (removed > 0) writeAudit(run, audit);
      return removed;
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

/** For stores, within a transaction of theirs: the only way in which a member's row is written. */
export function writeMember(
  run: Run,
  hub: Hub,
  { community, member, current }: { community: string; member: Member; current: Member | undefined },
): void {
  const { subject, role, canPublish, grantedBy, grantedAt } = member;
  if (current?.role === "owner" && role !== "owner") refuseLastOwner(hub, { community, subject });
  if (!current) refuseFull(hub, community);
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
    "SELECT 1 FROM community_member WHERE community = ? AND role = 'owner' AND subject <> ? AND leaving = 0",
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
