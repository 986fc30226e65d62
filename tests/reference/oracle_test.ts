/** One script of calls goes to the reference PDS and to kith: answers, events and roots are alike, or docs/differences.md says why not. */
import { describe, expect, test } from "bun:test";
import { Random } from "../random.ts";
import * as accounts from "./cases/accounts.ts";
import * as admin from "./cases/admin.ts";
import { generated } from "./cases/generated.ts";
import * as identity from "./cases/identity.ts";
import * as reads from "./cases/reads.ts";
import * as records from "./cases/records.ts";
import * as statuses from "./cases/statuses.ts";
import { type Part, playScript } from "./run.ts";

const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
const SEEDED_WRITES = 80;
const CALLS_MIN = 500;

const script: readonly Part[] = [
  ["members", accounts.signUps],
  ["elsewhere", identity.elsewhere],
  ["refused sign-ups", accounts.refusedSignUps],
  ["sessions", accounts.sessions],
  ["app passwords", accounts.appPasswords],
  ["records", records.writes],
  ["records of the seed", records.seededWrites(new Random(SEED), SEEDED_WRITES)],
  ["blobs", reads.blobs],
  ["reads of repos", reads.repoReads],
  ["sync", reads.syncReads],
  ["invites", accounts.invites],
  ["preferences", identity.preferences],
  ["service auth", identity.serviceAuth],
  ["calls that go on", identity.proxied],
  ["handles", identity.handles],
  ["PLC", identity.plc],
  ["codes by mail", accounts.mailed],
  ["operators", admin.accounts],
  ["takedowns", admin.takedowns],
  ["deactivated", statuses.deactivated],
  ["taken down", statuses.takenDown],
  ["spoilt calls", generated],
  ["deletions", accounts.deletions],
  ["removals", admin.removals],
  ["what only one of them does", accounts.oneSided],
];

describe(`the oracle run (seed ${SEED})`, () => {
  const run = playScript(script);

  test("is as long as it claims, and docs/differences.md lists what it has met and nothing else", () => {
    const { calls, roots, differences } = run.outcome;
    console.log(`${calls} calls, ${roots} equal roots, ${differences.summary()}`);
    expect(calls).toBeGreaterThanOrEqual(CALLS_MIN);
    expect(roots).toBeGreaterThan(SEEDED_WRITES / 2);
    expect(differences.stale()).toEqual([]);
  });
});
