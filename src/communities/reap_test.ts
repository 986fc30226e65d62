import { describe, expect, spyOn, test } from "bun:test";
import { cidOfOperation, createUpdate, type PlcOperation } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { createLogger } from "../logger.ts";
import type { AttemptKind } from "../storage/mod.ts";
import {
  ALICE,
  ENDPOINT,
  errorOf,
  HOUR_MS,
  KINDS,
  MINT,
  openStage,
  R,
  refusedByHost,
  type Stage,
} from "./_attempts_fixture.ts";
import { CommunitySweep, UNTOLD_PASSWORD_LIFETIME_MS } from "./community_sweep.ts";
import { operationFrom } from "./plc_operations.ts";
import { REAP_IDLE_MS } from "./reap.ts";

const DRY = { idleMs: REAP_IDLE_MS };
const ACT = { ...DRY, operator: "ops" };
const typesOf = (stage: Stage) => stage.plc.rows.map(({ operation }) => (operation as { type: string }).type);
const tombstoned = ["plc_operation", "plc_tombstone"];

/** An attempt that stopped at a call, and was left alone for an hour. */
async function leftAt(stage: Stage, call: string, when: "before" | "after" = "before"): Promise<string> {
  const hadError = stage.troubles.journal.length;
  stage.troubles.add({ call, when });
  await errorOf(stage.make(stage.process().attempts));
  expect(stage.troubles.journal.length).toBeGreaterThan(hadError);
  stage.clock.now += HOUR_MS;
  return stage.attempt?.id ?? "";
}

/** What the caller's key alone does. */
async function ownerActs(
  stage: Stage,
  change = (state: Parameters<Parameters<typeof createUpdate>[1]["change"]>[0]) => state,
) {
  const row = stage.plc.rows.findLast(({ nullified }) => !nullified);
  const operation = createUpdate(row?.operation as PlcOperation, { signer: R, change });
  await stage.plc.submit(row?.did ?? "", operation);
}

describe("Reaper", () => {
  test("lists what was left alone long enough, and says what would be done without doing it", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "recommended");
    const { reaper } = stage.process();
    expect(reaper.list({ idleMs: 2 * HOUR_MS })).toEqual([]);
    expect(reaper.list(DRY)).toMatchObject([{ id, state: "accountCreated", caller: ALICE }]);
    const { reaped, verdict } = await reaper.judge(id, DRY);
    expect([reaped, verdict]).toEqual([false, expect.stringContaining("gets a tombstone")]);
    expect(typesOf(stage)).toEqual(["plc_operation"]);
    expect(stage.host.accounts.size).toBe(1);
    expect(stage.attempt).toMatchObject({ state: "accountCreated", leaseUntil: null });
  });

  test("fault 8: takes the half-made account with it, and archives", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "recommended");
    const did = stage.attempt?.did ?? "";
    const { reaper, attempts } = stage.process();
    const { reaped, verdict } = await reaper.reap(id, ACT);
    expect([reaped, verdict]).toEqual([true, expect.stringContaining("the account is removed")]);
    expect(typesOf(stage)).toEqual(tombstoned);
    expect(stage.host.accounts.size).toBe(0);
    expect(stage.stores.archive.find(id)).toMatchObject({ did, tombstoneCid: stage.plc.rows[1]?.cid });
    const audit = stage.stores.audit.ofAttempt(id, { limit: 2 }).entries;
    expect(audit).toMatchObject([
      { action: "attempt.archived", actor: "admin:ops", detail: { did } },
      { action: "attempt.reaping", actor: "admin:ops" },
    ]);
    expect(reaper.list({ idleMs: 0 })).toEqual([]);
    expect((await stage.make(attempts)).communityDid).not.toBe(did);
  });

  test("fault 8: never one that is active, whatever its row says", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "activate", "after");
    expect(stage.attempt?.state).toBe("plcUpdated");
    const { reaper, attempts } = stage.process();
    for (const verdict of [await reaper.judge(id, DRY), await reaper.reap(id, ACT)]) {
      expect(verdict).toMatchObject({ reaped: false, verdict: expect.stringContaining("is active") });
    }
    expect(typesOf(stage)).toEqual(["plc_operation", "plc_operation"]);
    expect((await stage.make(attempts)).communityDid).toBe(stage.plc.dids[0] ?? "");
  });

  test("fault 8: nor one that somebody has got into by e-mail, and uses", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "activate", "after");
    const [did, account] = [...stage.host.accounts][0] ?? [];
    if (!did || !account) throw new Error("no account");
    stage.host.accounts.set(did, { ...account, password: "their own" });
    const { reaper, attempts } = stage.process();
    const { reaped, verdict } = await reaper.reap(id, ACT);
    expect([reaped, verdict]).toEqual([true, expect.stringContaining("left as they are")]);
    expect(typesOf(stage)).toEqual(["plc_operation", "plc_operation"]);
    expect(stage.host.accounts.has(did)).toBe(true);
    expect(stage.stores.archive.find(id)).toMatchObject({ tombstoneCid: null, eraseAt: null });
    // its maker is not held back by it
    stage.host.accounts.set(did, { ...account, handle: "other.pds.test" });
    expect((await stage.make(attempts)).status).toBe("activated");
  });

  test("never one that may be active, while its host cannot be asked", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "activate");
    stage.troubles.add({ call: "hasAccount", when: "before", times: 2 });
    const { reaper } = stage.process();
    for (const verdict of [await reaper.judge(id, DRY), await reaper.reap(id, ACT)]) {
      expect(verdict).toMatchObject({ reaped: false, verdict: expect.stringContaining("hasAccount") });
    }
    expect((await reaper.reap(id, { ...ACT, idleMs: 0 })).reaped).toBe(true);
    expect(typesOf(stage)).toEqual(["plc_operation", ...tombstoned]);
  });

  test("one whose host is gone for good, where its account cannot be active", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "createAccount");
    stage.troubles.add({ call: "hasAccount", when: "before", times: 9 });
    stage.troubles.add({ call: "removeHalfMade", when: "before", times: 9 });
    const { reaped, verdict } = await stage.process().reaper.reap(id, ACT);
    expect([reaped, verdict]).toEqual([true, expect.stringContaining("could not be removed")]);
    expect(typesOf(stage)).toEqual(tombstoned);
  });

  test("a native account that is active is a community: it is to be gone on with", async () => {
    await using stage = await openStage("native");
    const id = await leftAt(stage, "createAccount", "after");
    const { reaper } = stage.process();
    expect((await reaper.reap(id, ACT)).verdict).toContain("is active");
    stage.host.accounts.clear();
    expect((await reaper.reap(id, { ...ACT, idleMs: 0 })).reaped).toBe(true);
    expect(typesOf(stage)).toEqual(tombstoned);
  });

  test.each(KINDS)("fault 7: a DID that never landed is archived alone (%s)", async (kind: AttemptKind) => {
    await using stage = await openStage(kind);
    const id = await leftAt(stage, "submit");
    expect(stage.attempt?.state).toBe("genesisReady");
    const { reaped, verdict } = await stage.process().reaper.reap(id, ACT);
    expect([reaped, verdict]).toEqual([true, expect.stringContaining("was never registered")]);
    expect(stage.plc.rows).toEqual([]);
    expect(stage.stores.archive.find(id)).toMatchObject({ tombstoneCid: null, eraseAt: null });
  });

  test("fault 7: a DID that landed while its answer was lost is tombstoned", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "submit", "after");
    expect(stage.attempt?.state).toBe("genesisReady");
    await stage.process().reaper.reap(id, ACT);
    expect(typesOf(stage)).toEqual(tombstoned);
  });

  test("a minted identity is its owner's, and only the attempt goes", async () => {
    await using stage = await openStage("mint");
    const id = await leftAt(stage, "submit", "after");
    const { verdict } = await stage.process().reaper.reap(id, ACT);
    expect(verdict).toContain("its owner's");
    expect(typesOf(stage)).toEqual(["plc_operation"]);
  });

  type Change = Parameters<typeof ownerActs>[1];
  test.each<[string, Change, number]>([
    ["took our key out", (state) => ({ ...state, rotationKeys: [R.didKey] }), 1],
    ["changed its handle", (state) => ({ ...state, alsoKnownAs: ["at://other.test"] }), 1],
    ["moved it away", (state) => ({ ...state, services: {} }), 0],
  ])("leaves a DID alone whose owner %s", async (_, change, accounts) => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "recommended");
    await ownerActs(stage, change);
    const { reaped, verdict } = await stage.process().reaper.reap(id, ACT);
    expect([reaped, verdict]).toEqual([true, expect.stringContaining("left as it is")]);
    expect(typesOf(stage)).toEqual(["plc_operation", "plc_operation"]);
    expect(stage.stores.archive.find(id)?.tombstoneCid).toBeNull();
    expect(stage.host.accounts.size).toBe(accounts);
  });

  test("an update that its owner's key came before is not sent, and the attempt can be reaped", async () => {
    await using stage = await openStage("remote");
    const { host } = stage;
    const id = await (async () => {
      const recommended = host.recommended.bind(host);
      host.recommended = async (account) => {
        const answer = await recommended(account);
        stage.troubles.add({ call: "submit", when: "before" });
        return answer;
      };
      return await leftAt(stage, "nothing");
    })();
    expect(stage.attempt?.state).toBe("plcReady");
    await ownerActs(stage, (state) => ({ ...state, alsoKnownAs: ["at://other.test"] }));
    const { attempts, reaper } = stage.process();
    expect(await errorOf(stage.make(attempts))).toMatchObject({
      code: "provisioning_failed",
      message: expect.stringContaining("does not fit any more"),
    });
    expect((await reaper.reap(id, { ...ACT, idleMs: 0 })).reaped).toBe(true);
    expect(stage.plc.rows).toHaveLength(2);
  });

  test("tells it where the owner's key was faster than the tombstone", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "recommended");
    const submit = stage.plc.submit;
    stage.plc.submit = async (did, operation) => {
      stage.plc.submit = submit;
      await ownerActs(stage, (state) => ({ ...state, rotationKeys: [R.didKey] }));
      await submit(did, operation);
    };
    const { verdict } = await stage.process().reaper.reap(id, ACT);
    expect(verdict).toContain("changed meanwhile by its owner's key");
    expect(stage.stores.archive.find(id)?.tombstoneCid).toBeNull();
  });

  test("fault 17: says that a tombstone can be taken back, and that the owner's key can do it", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "createAccount");
    const { verdict } = await stage.process().reaper.judge(id, DRY);
    expect(verdict).toContain("rotation key can take that back for 72 hours");
    await stage.process().reaper.reap(id, ACT);
    const [genesis, tombstone] = stage.plc.rows;
    const restored = createUpdate(genesis?.operation as PlcOperation, {
      signer: R,
      change: (state) => state,
    });
    await stage.plc.submit(genesis?.did ?? "", restored);
    expect(stage.plc.rows.find(({ cid }) => cid === tombstone?.cid)?.nullified).toBe(true);
  });

  test.each(["submit", "removeHalfMade"] as const)(
    "goes on where the one before stopped (%s)",
    async (call) => {
      await using stage = await openStage("remote");
      const id = await leftAt(stage, "recommended");
      const { store } = stage.stores;
      const { reaper } = stage.process();
      stage.troubles.add({ call, when: "after", error: () => new Error("killed") });
      const stopped = await reaper.reap(id, ACT).catch((error: unknown) => error);
      if (call === "submit") {
        // the tombstone's CID was stored before it was sent
        expect(stopped).toMatchObject({ message: "killed" });
        expect(store.find(id)).toMatchObject({ state: "reaping", tombstoneCid: stage.plc.rows[1]?.cid });
      }
      const again = stage.process().reaper;
      if (store.find(id)) expect((await again.reap(id, { ...ACT, idleMs: 0 })).reaped).toBe(true);
      expect(typesOf(stage)).toEqual(tombstoned);
      expect(stage.stores.archive.find(id)?.tombstoneCid).toBe(stage.plc.rows[1]?.cid ?? "none");
    },
  );

  test("its caller, who comes back in the middle, is told that it was taken back", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "recommended");
    stage.troubles.add({ call: "submit", when: "before" });
    const { reaper, attempts } = stage.process();
    expect(await reaper.reap(id, ACT)).toMatchObject({ reaped: false });
    expect(stage.attempt?.state).toBe("reaping");
    expect((await errorOf(stage.make(attempts))).code).toBe("timeout");
    expect(stage.attempt).toBeUndefined();
    expect(typesOf(stage)).toEqual(tombstoned);
    expect((await stage.make(attempts)).status).toBe("activated");
  });

  test("refuses what is not there, is worked on, went on lately, or is over", async () => {
    await using stage = await openStage("remote");
    const { reaper, attempts } = stage.process();
    expect((await errorOf(reaper.judge("nothing", DRY))).code).toBe("attempt_not_found");
    const { host } = stage;
    const held = Promise.withResolvers<void>();
    const reached = Promise.withResolvers<void>();
    const activate = host.activate.bind(host);
    host.activate = async (account) => {
      reached.resolve();
      await held.promise;
      await activate(account);
    };
    const making = stage.make(attempts);
    await reached.promise;
    const id = stage.attempt?.id ?? "";
    expect((await errorOf(reaper.reap(id, { ...ACT, idleMs: 0 }))).code).toBe("lease_lost");
    // also for a reaper of another process, which knows only of the lease
    expect((await errorOf(stage.process().reaper.reap(id, { ...ACT, idleMs: 0 }))).code).toBe("lease_lost");
    expect(reaper.list({ idleMs: 0 })).toEqual([]);
    held.resolve();
    await making;
    expect(await reaper.reap(id, ACT)).toMatchObject({
      reaped: false,
      verdict: expect.stringContaining("has become"),
    });
    expect(typesOf(stage)).toEqual(["plc_operation", "plc_operation"]);
  });

  test("leaves alone what went on lately", async () => {
    await using stage = await openStage("remote");
    const id = await leftAt(stage, "recommended");
    stage.clock.now -= HOUR_MS - 60_000;
    const { reaper } = stage.process();
    expect((await reaper.reap(id, ACT)).verdict).toContain("1 minutes ago");
    expect(typesOf(stage)).toEqual(["plc_operation"]);
  });
});

test("what is here of a native account is removed, or the attempt waits for it", async () => {
  await using stage = await openStage("native");
  const id = await leftAt(stage, "createAccount");
  const { reaper } = stage.process();
  const busy = () => new KithError("busy", "it is being created");
  stage.troubles.add({ call: "removeHalfMade", when: "before", error: busy });
  expect(await reaper.reap(id, ACT)).toMatchObject({ reaped: false, verdict: "it is being created" });
  expect(stage.stores.archive.find(id)).toBeUndefined();
  expect((await reaper.reap(id, { ...ACT, idleMs: 0 })).reaped).toBe(true);
  expect(typesOf(stage)).toEqual(tombstoned);
});

test("a native DID is ended by the server's own key", async () => {
  await using stage = await openStage("native");
  const error = refusedByHost("HandleNotAvailable");
  stage.troubles.add({ call: "createAccount", when: "before", error });
  await errorOf(stage.make(stage.process().attempts));
  expect(typesOf(stage)).toEqual(tombstoned);
  expect(stage.plc.rows[1]?.operation).toMatchObject({ prev: stage.plc.rows[0]?.cid });
});

test("CommunitySweep erases keys once the tombstone is final, and forgets what is old", async () => {
  await using stage = await openStage("remote");
  const id = await leftAt(stage, "recommended");
  await stage.process().reaper.reap(id, ACT);
  const { archive, audit, invites } = stage.stores;
  const sweep = new CommunitySweep({
    ...{ attempts: stage.stores.store, archive, audit, invites },
    logger: createLogger({ enabled: false }),
    now: () => stage.clock.now,
  });
  stage.clock.now += 71 * HOUR_MS;
  await sweep.sweep();
  expect(archive.keys(id)?.subordinateKey).toHaveLength(32);
  stage.clock.now += HOUR_MS;
  sweep.start();
  await sweep.stop();
  expect(archive.keys(id)?.subordinateKey).toBeNull();
  expect(archive.find(id)).toMatchObject({
    eraseAt: null,
    pdsEndpoint: ENDPOINT,
    idempotencyKey: MINT.idempotencyKey,
  });
  stage.clock.now += 401 * 24 * HOUR_MS;
  await sweep.sweep();
  expect(archive.find(id)).toBeUndefined();
  expect(audit.ofAttempt(id, { limit: 9 }).entries).toEqual([]);
});

test("CommunitySweep erases a password that its maker does not come for, once it is old", async () => {
  await using stage = await openStage("remote");
  const { store, archive, audit, invites } = stage.stores;
  const { attempts } = stage.process();
  // the answer is lost
  const lost = spyOn(store, "takePassword").mockRejectedValueOnce(new KithError("busy", "gone"));
  await errorOf(stage.make(attempts));
  lost.mockRestore();
  const id = stage.attempt?.id ?? "";
  const logger = createLogger({ enabled: false });
  const sweep = new CommunitySweep({
    ...{ attempts: store, archive, audit, invites, logger },
    now: () => stage.clock.now,
  });
  stage.clock.now += UNTOLD_PASSWORD_LIFETIME_MS;
  await sweep.sweep();
  expect(store.secrets(id).accountPassword).toMatch(/^[\w-]{43}$/);
  expect(attempts.open(ALICE)).toMatchObject([{ id }]);
  stage.clock.now += 1;
  await sweep.sweep();
  expect(store.secrets(id).accountPassword).toBeNull();
  expect(attempts.open(ALICE)).toEqual([]);
  const answer = await stage.make(attempts);
  expect([answer.status, answer.rootCredentials]).toEqual(["activated", undefined]);
});

test("the stored operations are those that were sent", async () => {
  await using stage = await openStage("remote");
  await stage.make(stage.process().attempts);
  const { genesis, update } = stage.attempt ?? {};
  const sent = stage.plc.rows.map(({ cid }) => cid);
  expect([genesis, update].map((bytes) => cidOfOperation(operationFrom(bytes as Uint8Array)))).toEqual(sent);
});
