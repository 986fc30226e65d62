/**
 * Who may do what in a community. Pure: each rule answers why something may not be done, in words that end a sentence, and
 * undefined where it may.
 *
 * A member sees who belongs to it. A manager also lets members in, and takes them out. An admin also does so with managers and
 * admins. An owner also deletes it, and makes owners. Publishing is a right of its own, beside the role.
 */
import type { Role } from "../storage/mod.ts";

/** What somebody is in a community. */
export interface Standing {
  readonly role: Role;
  readonly canPublish: boolean;
}

const RANKS: Readonly<Record<Role, number>> = { member: 0, manager: 1, admin: 2, owner: 3 };

/** Roles in rising order of power. */
export const ROLES = Object.keys(RANKS) as readonly Role[];

export function atLeast(role: Role, least: Role): boolean {
  return RANKS[role] >= RANKS[least];
}

/** Whether the actor may make of somebody what `wanted` says; `current` is what they are now, undefined for a stranger. */
export function whyNotGrant(
  actor: Standing,
  { current, wanted, isSelf }: { current: Standing | undefined; wanted: Standing; isSelf: boolean },
): string | undefined {
  if (isSelf && isLess(wanted, actor)) return undefined;
  const ofWanted = whyNotHandle(actor, wanted.role);
  if (ofWanted !== undefined) return ofWanted;
  const ofCurrent = current && whyNotHandle(actor, current.role);
  if (ofCurrent !== undefined) return ofCurrent;
  const raises = wanted.canPublish && current?.canPublish !== true;
  if (raises && !actor.canPublish && !atLeast(actor.role, "admin")) {
    return "only those who may publish themselves, admins and owners let others publish";
  }
  return undefined;
}

/** Whether the actor may make an invite to what `wanted` says. It is asked again when the invite is redeemed. */
export function whyNotInvite(actor: Standing, wanted: Standing): string | undefined {
  return whyNotGrant(actor, { current: undefined, wanted, isSelf: false });
}

/** Whether the actor may take somebody out. Everybody may leave. */
export function whyNotRevoke(
  actor: Standing,
  { current, isSelf }: { current: Standing; isSelf: boolean },
): string | undefined {
  return isSelf ? undefined : whyNotHandle(actor, current.role);
}

export function whyNotPublish({ canPublish }: Standing): string | undefined {
  return canPublish ? undefined : "publishing has not been granted to you";
}

/** Whether the actor may do what only an owner may. */
export function whyNotOwn({ role }: Standing): string | undefined {
  return role === "owner" ? undefined : `only an owner may, and you are ${words(role)}`;
}

export function whyNotManage({ role }: Standing): string | undefined {
  return atLeast(role, "manager")
    ? undefined
    : `only managers, admins and owners may, and you are ${words(role)}`;
}

/** What the one who redeems an invite becomes: nobody loses anything by it. Undefined where it would change nothing. */
export function afterRedeeming(current: Standing | undefined, invited: Standing): Standing | undefined {
  if (!current) return { role: invited.role, canPublish: invited.canPublish };
  const role = atLeast(current.role, invited.role) ? current.role : invited.role;
  const canPublish = current.canPublish || invited.canPublish;
  return role === current.role && canPublish === current.canPublish ? undefined : { role, canPublish };
}

/** Whether somebody of this role may be let in, changed or taken out by the actor. */
function whyNotHandle(actor: Standing, role: Role): string | undefined {
  const managing = whyNotManage(actor);
  if (managing !== undefined) return managing;
  if (actor.role === "manager" && role !== "member") return "a manager may do so with members alone";
  if (RANKS[role] > RANKS[actor.role]) return `you are ${words(actor.role)}, and that is above you`;
  return undefined;
}

/** No right more than before. */
function isLess(wanted: Standing, than: Standing): boolean {
  return atLeast(than.role, wanted.role) && (than.canPublish || !wanted.canPublish);
}

function words(role: Role): string {
  return role === "admin" || role === "owner" ? `an ${role}` : `a ${role}`;
}
