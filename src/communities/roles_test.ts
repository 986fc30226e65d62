import { describe, expect, test } from "bun:test";
import type { Role } from "../storage/mod.ts";
import {
  afterRedeeming,
  ROLES,
  type Standing,
  whyNotGrant,
  whyNotInvite,
  whyNotOwn,
  whyNotPublish,
  whyNotRevoke,
} from "./roles.ts";

const a = (role: Role, canPublish = false): Standing => ({ role, canPublish });

/** Whom a role may let in, change and take out. */
const HANDLES: Record<Role, readonly Role[]> = {
  member: [],
  manager: ["member"],
  admin: ["member", "manager", "admin"],
  owner: ROLES,
};

describe("whyNotGrant()", () => {
  for (const actor of ROLES) {
    for (const wanted of ROLES) {
      const may = HANDLES[actor].includes(wanted);
      test(`${actor} makes a stranger ${wanted}: ${may ? "may" : "may not"}`, () => {
        const why = whyNotGrant(a(actor), { current: undefined, wanted: a(wanted), isSelf: false });
        expect(why === undefined).toBe(may);
        expect(whyNotInvite(a(actor), a(wanted)) === undefined).toBe(may);
      });
      const mayTake = HANDLES[actor].includes(wanted);
      test(`${actor} makes a member of one who is ${wanted}: ${mayTake ? "may" : "may not"}`, () => {
        const why = whyNotGrant(a(actor), { current: a(wanted), wanted: a("member"), isSelf: false });
        expect(why === undefined).toBe(mayTake);
      });
    }
  }

  const publishing: readonly [string, Standing, Standing | undefined, boolean][] = [
    ["a manager without the right", a("manager"), undefined, false],
    ["a manager with the right", a("manager", true), undefined, true],
    ["an admin without the right", a("admin"), undefined, true],
    ["an owner without the right", a("owner"), undefined, true],
    ["a member with the right", a("member", true), undefined, false],
    ["a manager without the right, of one who has it already", a("manager"), a("member", true), true],
  ];
  for (const [name, actor, current, may] of publishing) {
    test(`${name} lets a member publish: ${may ? "may" : "may not"}`, () => {
      const why = whyNotGrant(actor, { current, wanted: a("member", true), isSelf: false });
      expect(why === undefined).toBe(may);
    });
  }

  test("everybody may give rights up, and nobody but admins and owners takes more", () => {
    const self = (current: Standing, wanted: Standing) =>
      whyNotGrant(current, { current, wanted, isSelf: true }) === undefined;
    expect(self(a("admin", true), a("member"))).toBe(true);
    expect(self(a("member", true), a("member"))).toBe(true);
    expect(self(a("manager"), a("admin"))).toBe(false);
    expect(self(a("manager"), a("manager", true))).toBe(false);
    expect(self(a("admin"), a("owner"))).toBe(false);
    expect(self(a("admin"), a("admin", true))).toBe(true);
  });
});

describe("whyNotRevoke()", () => {
  for (const actor of ROLES) {
    for (const role of ROLES) {
      const may = HANDLES[actor].includes(role);
      test(`${actor} takes out one who is ${role}: ${may ? "may" : "may not"}`, () => {
        expect(whyNotRevoke(a(actor), { current: a(role), isSelf: false }) === undefined).toBe(may);
        expect(whyNotRevoke(a(actor), { current: a(role), isSelf: true })).toBeUndefined();
      });
    }
  }
});

test("whyNotPublish(): the right alone counts, not the role", () => {
  expect(whyNotPublish(a("owner"))).toBeString();
  expect(whyNotPublish(a("member", true))).toBeUndefined();
});

test("whyNotOwn(): owners alone", () => {
  expect(ROLES.filter((role) => whyNotOwn(a(role)) === undefined)).toEqual(["owner"]);
});

describe("afterRedeeming()", () => {
  const rows: readonly [Standing | undefined, Standing, Standing | undefined][] = [
    [undefined, a("member"), a("member")],
    [undefined, a("admin", true), a("admin", true)],
    [a("owner", true), a("member"), undefined],
    [a("owner"), a("member", true), a("owner", true)],
    [a("member", true), a("manager"), a("manager", true)],
    [a("manager"), a("manager"), undefined],
  ];
  for (const [current, invited, after] of rows) {
    const name = (standing?: Standing) => (standing ? JSON.stringify(standing) : "nothing");
    test(`${name(current)} with an invite to ${name(invited)} becomes ${name(after)}`, () => {
      expect(afterRedeeming(current, invited)).toEqual(after);
    });
  }
});
