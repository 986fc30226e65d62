import { expect, test } from "bun:test";
import { KithError } from "../../errors.ts";
import type { Attempt } from "../../storage/mod.ts";
import { callerOf } from "../calls_fixture.ts";
import { communityAdminMethods } from "./attempt_methods.ts";

const ALICE = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const NOW = 1_790_000_000_000;

const attemptOf = (id: string, createdAt: number): Attempt => ({
  ...{
    id,
    caller: ALICE,
    idempotencyKey: "a-key-of-alice",
    requestDigest: "00",
    kind: "remote",
    state: "plcReady",
  },
  ...{ handle: "group.test", pdsEndpoint: "https://pds.test", pdsDid: null, rotationKey: "did:key:z" },
  ...{
    did: "did:plc:44ybard66vv44zksje25o7dz",
    genesis: new Uint8Array([1]),
    update: null,
    tombstoneCid: null,
  },
  ...{ fence: 1, leaseUntil: null, createdAt, updatedAt: NOW - 3_600_000 },
  lastError: { step: "plcReady", code: "timeout", message: "The directory did not answer", at: NOW },
});
const BARE: Attempt = {
  ...attemptOf("bare", 9),
  handle: null,
  pdsEndpoint: null,
  did: null,
  lastError: null,
};

function make() {
  const asked: unknown[] = [];
  const logged: unknown[] = [];
  const found = [attemptOf("b", 1), attemptOf("c", 1), attemptOf("a", 2), BARE];
  const verdict = (id: string, reaped: boolean) => {
    const attempt = found.find((one) => one.id === id);
    if (!attempt) throw new KithError("attempt_not_found", "There is none");
    return { attempt, reaped, verdict: "it is taken back" };
  };
  const methods = communityAdminMethods({
    reaper: {
      list: ({ idleMs }) => {
        asked.push(idleMs);
        return found;
      },
      judge: async (id, given) => {
        asked.push(["judge", id, given]);
        return verdict(id, false);
      },
      reap: async (id, given) => {
        asked.push(["reap", id, given]);
        return verdict(id, true);
      },
    },
    log: { warn: (...words) => void logged.push(words) },
    now: () => NOW,
  });
  const caller = callerOf(methods);
  const call = (name: string, given: { json?: object; params?: Record<string, string | number> }) =>
    caller({ as: "admin", ...given, nsid: `dev.kith.admin.${name}` });
  return { call, asked, logged };
}

test("listAttempts tells of each attempt what an operator needs, and no secret", async () => {
  const { call, asked } = make();
  const { body } = await call("listAttempts", { params: { olderThanSeconds: 60 } });
  expect(asked).toEqual([60_000]);
  const { attempts } = body as { attempts: object[] };
  expect(attempts).toHaveLength(4);
  expect(attempts[0]).toEqual({
    ...{ id: "b", state: "plcReady", kind: "remote", caller: ALICE, did: "did:plc:44ybard66vv44zksje25o7dz" },
    ...{ handle: "group.test", pdsEndpoint: "https://pds.test", idleSeconds: 3_600 },
    ...{ createdAt: new Date(1).toISOString(), updatedAt: new Date(NOW - 3_600_000).toISOString() },
    lastError: "The directory did not answer",
  });
  expect(JSON.stringify(body)).not.toContain("a-key-of-alice");
});

test("listAttempts goes from page to page, and leaves none out", async () => {
  const { call } = make();
  const ids: string[] = [];
  let cursor: string | undefined;
  do {
    const params = { limit: 1, ...(cursor === undefined ? {} : { cursor }) };
    const { body } = await call("listAttempts", { params });
    const page = body as { attempts: { id: string }[]; cursor?: string };
    ids.push(...page.attempts.map(({ id }) => id));
    cursor = page.cursor;
  } while (cursor !== undefined);
  expect(ids).toEqual(["b", "c", "a", "bare"]);
});

test("reapAttempt only tells, unless it is to act; who has it done is in the log", async () => {
  const { call, asked, logged } = make();
  const dry = await call("reapAttempt", { json: { id: "a" } });
  expect(dry.body).toMatchObject({ attempt: { id: "a", verdict: "it is taken back", reaped: false } });
  expect(logged).toEqual([]);
  const json = { id: "a", dryRun: false, olderThanSeconds: 0, operator: "olga" };
  expect((await call("reapAttempt", { json })).body).toMatchObject({ attempt: { reaped: true } });
  expect(asked).toEqual([
    ["judge", "a", { idleMs: 1_800_000 }],
    ["reap", "a", { idleMs: 0, operator: "olga" }],
  ]);
  expect(logged).toEqual([[expect.any(String), expect.objectContaining({ attempt: "a", operator: "olga" })]]);
  expect(await call("reapAttempt", { json: { id: "none" } })).toMatchObject({
    status: 400,
    body: { error: "AttemptNotFound" },
  });
});
