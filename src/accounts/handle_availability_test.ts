import { expect, test } from "bun:test";
import type { Account } from "./account.ts";
import { HandleAvailability, type HandleQuestion } from "./handle_availability.ts";
import { HandleRules } from "./handle_rules.ts";

const TAKEN = new Set(["alice.test", "alice84.test", "alice11.test"]);
const numbers = [11, 11, 12, 345, 12, 6789, 13, 14];

function ask(question: HandleQuestion) {
  let turn = 0;
  const availability = new HandleAvailability({
    handles: new HandleRules([".test", ".pds.example.com"]),
    accounts: {
      accountByHandle: (handle) => (TAKEN.has(handle) ? ({ handle } as Account) : undefined),
    },
    random: () => numbers[turn++ % numbers.length] ?? 0,
  });
  return availability.check(question);
}

test.each([
  ["bob.test", undefined],
  ["BOB.test", undefined],
  ["bob.pds.example.com", undefined],
  ["alice.test", ["alice12.test", "alice345.test", "alice6789.test", "alice13.test", "alice14.test"]],
  // Not below a domain of this server: what would be.
  ["bob.elsewhere.org", ["bob.test", "bob11.test", "bob12.test", "bob345.test", "bob6789.test"]],
  ["b.o.b.test", ["b-o-b.test", "b-o-b11.test", "b-o-b12.test", "b-o-b345.test", "b-o-b6789.test"]],
  // Reserved.
  ["admin.test", ["admin11.test", "admin12.test", "admin345.test", "admin6789.test", "admin13.test"]],
  ["ab.test", ["ab11.test", "ab12.test", "ab345.test", "ab6789.test", "ab13.test"]],
  [
    `${"x".repeat(30)}.test`,
    [
      `${"x".repeat(18)}.test`,
      `${"x".repeat(16)}11.test`,
      `${"x".repeat(16)}12.test`,
      `${"x".repeat(15)}345.test`,
      `${"x".repeat(14)}6789.test`,
    ],
  ],
])("HandleAvailability.check(%s) suggests %j", async (handle, expected) => {
  expect((await ask({ handle }))?.map((suggestion) => suggestion.handle)).toEqual(expected as string[]);
});

test("HandleAvailability.check() makes suggestions of the e-mail address and the year of birth", async () => {
  const question = {
    handle: "alice.test",
    email: "Alice.Smith+x@example.com",
    birthDate: "1984-05-06T00:00:00Z",
  };
  expect((await ask(question))?.slice(0, 3)).toEqual([
    { handle: "alice1984.test", method: "handle_year" },
    { handle: "alice-smith-x.test", method: "email" },
    { handle: "alice12.test", method: "handle_number" },
  ]);
});

test.each(["nonsense", "a@b", "a b@example.com", "a".repeat(300)])(
  "HandleAvailability.check() refuses the e-mail address %s, also for a free handle",
  async (email) => {
    await expect(ask({ handle: "bob.test", email })).rejects.toMatchObject({ code: "invalid_email" });
  },
);
