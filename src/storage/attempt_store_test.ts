import { describe, expect, test } from "bun:test";
import { ALICE, BOB, COMMUNITY, GROUP, newAttempt, openCommunityStores } from "./_community_fixture.ts";
import { TOMBSTONE_NULLIFIABLE_MS } from "./attempt_archive.ts";
import type { AttemptStore, NewAttempt } from "./attempt_store.ts";

const DAY_MS = 86_400_000;
const KEY = new Uint8Array(32).fill(7);
const code = (value: string) => expect.objectContaining({ code: value });
const at = { now: 2_000, leaseMs: 1_000 };

async function leased(attempts: AttemptStore, change: Partial<NewAttempt> = {}): Promise<number> {
  const { id } = await attempts.begin(newAttempt(change));
  return (await attempts.lease(id, { now: 1_000, leaseMs: 1_000 })) ?? -1;
}

describe("AttemptStore", () => {
  test("begins one attempt for a caller and key, whatever is asked for", async () => {
    await using stores = await openCommunityStores();
    const first = await stores.attempts.begin(newAttempt());
    expect(await stores.attempts.begin(newAttempt({ id: "other", requestDigest: "11" }))).toEqual(first);
    expect(first).toMatchObject({ state: "planned", fence: 0, did: null, lastError: null });
    expect(stores.attempts.byKey(BOB, "key-1")).toBeUndefined();
    expect((await stores.attempts.begin(newAttempt({ id: "bobs", caller: BOB }))).id).toBe("bobs");
    expect(stores.attempts.secrets("attempt-1")).toEqual({
      request: { email: "group@mail.test" },
      signingKey: null,
      signingKeyType: null,
      subordinateKey: null,
      accountPassword: null,
      appPassword: null,
    });
  });

  test.each<[string, Partial<NewAttempt["quotas"]>, Partial<NewAttempt>, boolean]>([
    ["in flight", { inFlightMax: 1 }, {}, true],
    ["in flight, of another", { inFlightMax: 1 }, { caller: BOB }, false],
    ["of a caller in a day", { perCallerPerDayMax: 1 }, {}, true],
    ["of a caller a day later", { perCallerPerDayMax: 1 }, { now: 1_000 + DAY_MS }, false],
    ["of another caller in a day", { perCallerPerDayMax: 1 }, { caller: BOB }, false],
    ["of all in a day", { perDayMax: 1 }, { caller: BOB }, true],
    ["of communities", { communitiesMax: 0 }, {}, true],
  ])("holds the quota %s", async (_, quota, change, refused) => {
    await using stores = await openCommunityStores();
    await stores.attempts.begin(newAttempt());
    const { quotas } = newAttempt();
    const next = newAttempt({ id: "2", idempotencyKey: "key-2", ...change, quotas: { ...quotas, ...quota } });
    const begun = stores.attempts.begin(next);
    if (refused) await expect(begun).rejects.toThrow(code("community_quota"));
    else expect(await begun).toMatchObject({ id: "2" });
    await begun.catch(() => {});
    // what is there already is no new attempt
    expect((await stores.attempts.begin({ ...newAttempt(), quotas: next.quotas })).id).toBe("attempt-1");
  });

  test("counts quotas within the transaction: of two at once one is begun", async () => {
    await using stores = await openCommunityStores();
    const quotas = { inFlightMax: 1, perCallerPerDayMax: 9, perDayMax: 9, communitiesMax: 9 };
    const begun = await Promise.allSettled(
      [1, 2, 3].map((n) => stores.attempts.begin(newAttempt({ id: `${n}`, idempotencyKey: `${n}`, quotas }))),
    );
    expect(begun.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected", "rejected"]);
  });

  test("charges what was archived only where a DID was made", async () => {
    await using stores = await openCommunityStores();
    const quotas = { inFlightMax: 1, perCallerPerDayMax: 1, perDayMax: 9, communitiesMax: 9 };
    let fence = await leased(stores.attempts);
    const end = { note: "refused", tombstoneCid: null, now: 1_500 };
    await stores.archive.archive("attempt-1", fence, end);
    fence = await leased(stores.attempts, { id: "2", quotas });
    await stores.attempts.keep("2", fence, { state: "genesisReady", did: GROUP, ...at });
    await stores.archive.archive("2", fence, end);
    await expect(stores.attempts.begin(newAttempt({ id: "3", quotas }))).rejects.toThrow(
      code("community_quota"),
    );
  });

  test("lets one hold the lease, and keeps nothing for an older fence", async () => {
    await using stores = await openCommunityStores();
    const { attempts } = stores;
    const fence = await leased(attempts);
    expect(await attempts.lease("attempt-1", { now: 1_999, leaseMs: 1_000 })).toBeUndefined();
    expect(await attempts.lease("nothing", { now: 1_999, leaseMs: 1_000 })).toBeUndefined();
    const kept = await attempts.keep("attempt-1", fence, { state: "preflighted", ...at });
    expect(kept).toMatchObject({ state: "preflighted", leaseUntil: 3_000, updatedAt: 2_000 });
    const next = await attempts.lease("attempt-1", { now: 3_000, leaseMs: 1_000 });
    expect(next).toBe(fence + 1);
    const late = attempts.keep("attempt-1", fence, { state: "genesisReady", appPassword: "x", ...at });
    await expect(late).rejects.toThrow(code("lease_lost"));
    const error = { step: "preflighted", code: "timeout", message: "late" } as const;
    await expect(attempts.noteError("attempt-1", fence, { ...error, now: 5 })).rejects.toThrow(
      code("lease_lost"),
    );
    await attempts.release("attempt-1", fence);
    expect(attempts.find("attempt-1")).toMatchObject({ state: "preflighted", leaseUntil: 4_000 });
    await attempts.noteError("attempt-1", fence + 1, { ...error, now: 5_000 });
    expect(attempts.find("attempt-1")?.lastError).toEqual({ ...error, at: 5_000 });
    await attempts.release("attempt-1", fence + 1);
    expect(attempts.find("attempt-1")).toMatchObject({ fence: fence + 2, leaseUntil: null });
    const released = attempts.keep("attempt-1", fence + 1, { state: "failed", ...at });
    await expect(released).rejects.toThrow(code("lease_lost"));
    expect(await attempts.lease("attempt-1", { now: 3_000, leaseMs: 1_000 })).toBe(fence + 3);
    await attempts.releaseAll();
    await expect(attempts.keep("attempt-1", fence + 3, { state: "failed", ...at })).rejects.toThrow(
      code("lease_lost"),
    );
    expect(await attempts.lease("attempt-1", { now: 3_001, leaseMs: 1 })).toBe(fence + 5);
  });

  test("keeps secrets sealed, each in its place, and erases them", async () => {
    await using stores = await openCommunityStores();
    const { attempts, hub, keyring } = stores;
    const fence = await leased(attempts);
    await attempts.keep("attempt-1", fence, {
      state: "genesisReady",
      did: GROUP,
      genesis: Uint8Array.of(1),
      update: Uint8Array.of(2),
      pdsDid: "did:web:pds.test",
      signingKey: KEY,
      signingKeyType: "p256",
      subordinateKey: KEY,
      accountPassword: "correct horse",
      appPassword: "app-pass",
      audit: [{ attempt: "attempt-1", actor: ALICE, action: "provision.genesisReady", at: 2_000 }],
      ...at,
    });
    const row = hub.readOne<Record<string, Uint8Array>>("SELECT * FROM attempt") ?? {};
    const all = Buffer.concat(Object.values(row).filter((value) => value instanceof Uint8Array));
    for (const secret of [Buffer.from(KEY), "correct horse", "app-pass", "group@mail.test"]) {
      expect(all.includes(secret)).toBe(false);
    }
    keyring.rotate();
    expect(await attempts.resealSecrets()).toBe(1);
    expect(attempts.secrets("attempt-1")).toMatchObject({
      accountPassword: "correct horse",
      signingKeyType: "p256",
    });
    expect(attempts.find("attempt-1")).toMatchObject({ did: GROUP, pdsDid: "did:web:pds.test" });
    expect([...(attempts.find("attempt-1")?.update ?? [])]).toEqual([2]);
    await attempts.keep("attempt-1", fence, {
      state: "plcUpdated",
      erase: ["signingKey", "subordinateKey", "accountPassword", "appPassword", "request"],
      ...at,
    });
    expect(attempts.secrets("attempt-1")).toMatchObject({
      request: undefined,
      signingKey: null,
      subordinateKey: null,
      accountPassword: null,
      appPassword: null,
    });
    expect(stores.audit.ofAttempt("attempt-1", { limit: 5 }).entries).toMatchObject([
      { actor: ALICE, action: "provision.genesisReady", community: null, detail: {} },
    ]);
    await hub.write((run) => run("UPDATE attempt SET app_password = ?", row.account_password ?? null));
    expect(() => attempts.secrets("attempt-1")).toThrow(code("storage_damaged"));
  });

  test("graduates in one transaction, repeatable, and hands the password out once", async () => {
    await using stores = await openCommunityStores();
    const { attempts, communities, members, audit } = stores;
    const fence = await leased(attempts);
    const secrets = { signingKey: KEY, subordinateKey: KEY, accountPassword: "pw", appPassword: "app" };
    await attempts.keep("attempt-1", fence, { state: "credentialReady", did: GROUP, ...secrets, ...at });
    expect(await attempts.takePassword("attempt-1")).toBeNull();
    const options = {
      community: COMMUNITY,
      audit: [{ community: GROUP, actor: ALICE, action: "provision.graduated", at: 9 }],
      now: 9_000,
    };
    await expect(attempts.graduate("attempt-1", fence + 1, options)).rejects.toThrow(code("lease_lost"));
    expect(communities.find(GROUP)).toBeUndefined();
    const graduated = await attempts.graduate("attempt-1", fence, options);
    expect(graduated).toMatchObject({ state: "graduated", did: GROUP });
    expect(await attempts.graduate("attempt-1", fence, options)).toEqual(graduated);
    expect(communities.find(GROUP)).toEqual({ ...COMMUNITY, createdAt: 9_000 });
    const kept = communities.secrets(GROUP);
    expect([kept.appPassword, [...(kept.subordinateKey ?? [])], kept.session]).toEqual([
      "app",
      [...KEY],
      null,
    ]);
    expect(members.members(GROUP, { limit: 5 }).members).toEqual([
      { subject: ALICE, role: "owner", canPublish: true, grantedBy: ALICE, grantedAt: 9_000 },
    ]);
    expect(attempts.secrets("attempt-1")).toEqual({
      request: undefined,
      signingKey: null,
      signingKeyType: null,
      subordinateKey: null,
      accountPassword: "pw",
      appPassword: null,
    });
    const taken = await Promise.all([1, 2, 3].map(() => attempts.takePassword("attempt-1")));
    expect(taken.sort()).toEqual(["pw", null, null].sort());
    expect(audit.of(GROUP, { limit: 5 }).entries).toHaveLength(1);
    expect(attempts.stuck({ now: 1e9, idleMs: 0 })).toEqual([]);
    expect(
      stores.archive.archive("attempt-1", fence, { note: "", tombstoneCid: null, now: 1 }),
    ).rejects.toThrow(code("lease_lost"));
  });

  test("graduates nothing where its second half cannot be written", async () => {
    await using stores = await openCommunityStores();
    const { attempts, communities, members, hub } = stores;
    const fence = await leased(attempts);
    await attempts.keep("attempt-1", fence, { state: "credentialReady", did: GROUP, ...at });
    await hub.write((run) =>
      run("CREATE TRIGGER no_audit BEFORE INSERT ON community_audit BEGIN SELECT RAISE(ABORT, 'no'); END"),
    );
    const audit = [{ community: GROUP, actor: ALICE, action: "x", at: 9 }];
    const graduated = attempts.graduate("attempt-1", fence, { community: COMMUNITY, audit, now: 9 });
    await expect(graduated).rejects.toThrow("no");
    await graduated.catch(() => {});
    expect(communities.find(GROUP)).toBeUndefined();
    expect(members.member(GROUP, ALICE)).toBeUndefined();
    expect(attempts.find("attempt-1")?.state).toBe("credentialReady");
  });

  test("refuses to graduate into a community that is there already", async () => {
    await using stores = await openCommunityStores();
    await stores.communities.add({ ...COMMUNITY, mode: "adopted", createdBy: BOB, now: 1 });
    const fence = await leased(stores.attempts);
    const graduated = stores.attempts.graduate("attempt-1", fence, { community: COMMUNITY, now: 2 });
    await expect(graduated).rejects.toThrow(code("already_exists"));
  });

  test("tells which attempts are stuck", async () => {
    await using stores = await openCommunityStores();
    const { attempts } = stores;
    const fence = await leased(attempts);
    await attempts.begin(newAttempt({ id: "2", idempotencyKey: "2", now: 5_000 }));
    const ids = (options: Parameters<AttemptStore["stuck"]>[0]) =>
      attempts.stuck(options).map(({ id }) => id);
    expect(ids({ now: 1_999, idleMs: 0 })).toEqual([]);
    expect(ids({ now: 6_000, idleMs: 2_000 })).toEqual(["attempt-1"]);
    expect(ids({ now: 6_000, idleMs: 0 })).toEqual(["attempt-1", "2"]);
    expect(ids({ now: 6_000, idleMs: 0, id: "2" })).toEqual(["2"]);
    expect(ids({ now: 6_000, idleMs: 0, id: "3" })).toEqual([]);
    await attempts.keep("attempt-1", fence, { state: "reaping", now: 6_000, leaseMs: 1_000 });
    expect(ids({ now: 6_500, idleMs: 0 })).toEqual(["2"]);
  });
});

describe("AttemptArchive", () => {
  test("frees the key, and keeps keys only for as long as a tombstone can be taken back", async () => {
    await using stores = await openCommunityStores();
    const { attempts, archive, keyring } = stores;
    let fence = await leased(attempts);
    const keys = { signingKey: KEY, signingKeyType: "k256", subordinateKey: KEY } as const;
    await attempts.keep("attempt-1", fence, {
      state: "reaping",
      did: GROUP,
      ...keys,
      accountPassword: "pw",
      ...at,
    });
    const end = { note: "tombstoned", tombstoneCid: "bafy", now: 10_000 };
    await expect(archive.archive("attempt-1", fence + 1, end)).rejects.toThrow(code("lease_lost"));
    await archive.archive("attempt-1", fence, {
      ...end,
      audit: [{ attempt: "attempt-1", actor: "admin", action: "reap", at: 1 }],
    });
    expect(attempts.find("attempt-1")).toBeUndefined();
    expect(() => attempts.secrets("attempt-1")).toThrow(code("lease_lost"));
    expect(archive.find("attempt-1")).toMatchObject({
      state: "reaping",
      did: GROUP,
      note: "tombstoned",
      tombstoneCid: "bafy",
      eraseAt: 10_000 + TOMBSTONE_NULLIFIABLE_MS,
    });
    keyring.rotate();
    expect(await archive.resealKeys()).toBe(1);
    const kept = archive.keys("attempt-1");
    expect([kept?.signingKeyType, [...(kept?.signingKey ?? [])], [...(kept?.subordinateKey ?? [])]]).toEqual([
      "k256",
      [...KEY],
      [...KEY],
    ]);
    fence = await leased(attempts, { id: "2" });
    await attempts.keep("2", fence, { state: "failed", ...keys, ...at });
    await archive.archive("2", fence, { note: "never landed", tombstoneCid: null, now: 10_001 });
    const none = { signingKey: null, signingKeyType: null, subordinateKey: null };
    expect(archive.keys("2")).toEqual(none);
    expect(archive.archived({ limit: 1 })).toMatchObject({ attempts: [{ id: "2" }], cursor: "10001::2" });
    expect(archive.archived({ limit: 1, cursor: "10001::2" }).attempts).toMatchObject([{ id: "attempt-1" }]);
    expect(await archive.eraseExpiredKeys(10_000 + TOMBSTONE_NULLIFIABLE_MS - 1)).toBe(0);
    expect(await archive.prune(20_000)).toBe(1);
    expect(await archive.eraseExpiredKeys(10_000 + TOMBSTONE_NULLIFIABLE_MS)).toBe(1);
    expect(archive.keys("attempt-1")).toEqual(none);
    expect(archive.keys("nothing")).toBeUndefined();
    expect(await archive.prune(20_000)).toBe(1);
  });
});
