import { expect, test } from "bun:test";
import { existsSync, rmSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { tidToMicros } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { Bench, didOf, fill, handleOf, outcomeOf, post, START_MS, watch } from "./_bench.ts";
import { until } from "./_fake_log.ts";
import { beginLostLog, reserveFirstSeq } from "./start_up.ts";

const DID = didOf("alice");
const BOB = didOf("bob");

// Rule 21: what a start repeats.

test("recoverRepos() sequences what a crashed repo has pending, once, and brings it to rest", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID, BOB);
  bench.disks.log.hold();
  const one = await bench.write(DID, post("one"));
  // Its events are in the log's file already; those of the next are not: the log's disk is awaited.
  await until(() => bench.eventLog.lastKey(DID) === one.commit?.rev);
  const two = await bench.write(DID, post("two"));
  await using after = await bench.crash();
  expect(after.openRows().sort()).toEqual([DID, BOB]);
  expect(await after.recover()).toEqual({ recovered: 2, deleted: 0 });
  const revs = after.logged(DID).flatMap(({ type, payload }) => (type === "#commit" ? [payload.rev] : []));
  expect(revs.slice(1)).toEqual([one.commit?.rev, two.commit?.rev]);
  expect(after.eventsOf(DID).map(({ payload }) => payload.rev)).toEqual([two.commit?.rev]);
  expect(after.openRows()).toEqual([]);
  expect(after.openFiles.count).toBe(0);
  expect(await after.registry.read(DID, (repo) => repo.pendingEvents())).toEqual([]);
  expect(await after.registry.read(DID, (repo) => repo.recordCount())).toBe(2);

  // Nothing is left to do, and a start that died before it forgot does it again without a second event.
  await using again = await after.crash();
  expect(await again.recover()).toEqual({ recovered: 0, deleted: 0 });
  expect(again.events).toEqual([]);
});

test("recoverRepos() drops what the log has and a repo has lost, but nothing that was published", async () => {
  await using bench = await Bench.start();
  await bench.recover();
  await bench.createAccounts(DID, BOB);
  const one = await bench.write(DID, post("one"));
  await until(() => bench.sequencer.publishedSeq === bench.eventLog.lastSeq());
  const repos = await bench.copyRepos();
  // Published, so its repo was durable: an older file of it was put there by hand.
  const told = await bench.write(BOB, post("told"));
  await until(() => bench.sequencer.publishedSeq === bench.eventLog.lastSeq());
  const published = bench.eventLog.lastSeq();
  bench.disks.repo.hold();
  const lost = ["two", "three"].map((rkey) => watch(bench.write(DID, post(rkey))));
  await until(() => bench.logged(DID).filter(({ seq }) => seq > published).length === 2);
  await until(() => bench.eventLog.isDurable());
  const used = bench.eventLog.lastSeq();

  await using first = await bench.crash({ repos });
  expect(lost.map(({ answered }) => answered)).toEqual([false, false]);
  expect(bench.sequencer.publishedSeq).toBe(published);
  const gate = first.stopBefore("unmarkOpen");
  const recovered = first.recover();
  await gate.reached;
  await using after = await first.crash();
  gate.open();
  await recovered;
  for (const started of [first, after]) {
    if (started === after) await after.recover();
    expect(started.logged(DID).at(-1)?.payload.rev).toBe(one.commit?.rev);
    expect(started.eventLog.lastKey(DID)).toBe(one.commit?.rev);
    expect(started.logged(BOB).at(-1)?.payload.rev).toBe(told.commit?.rev);
    expect(started.eventLog.highWater()).toBeGreaterThanOrEqual(used);
    const { commit } = await started.write(DID, post("two"));
    await until(() => started.eventsOf(DID).some(({ payload }) => payload.rev === commit?.rev));
    expect(started.eventsOf(DID).at(-1)?.seq).toBeGreaterThan(used);
  }
  rmSync(repos, { recursive: true });
});

test("recoverRepos() may die at every step and is as good as new when repeated", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  bench.disks.log.hold();
  const { commit } = await bench.write(DID, post("one"));
  const project = bench.stopBefore("projectState");
  const done = bench.registry.setStatus(DID, "deactivated");
  await project.reached;
  const steps = ["recover", "projectState", "unmarkOpen"] as const;
  for (const step of steps) {
    await using first = await bench.crash();
    const gate = first.stopBefore(step);
    const recovered = first.recover();
    await gate.reached;
    await using second = await first.crash();
    expect(await second.recover()).toEqual({ recovered: 1, deleted: 0 });
    expect(second.accounts.account(DID)?.state).toBe("deactivated");
    expect(second.openRows()).toEqual([]);
    const told = second.logged(DID);
    expect(told.filter(({ payload }) => payload.rev === commit?.rev)).toHaveLength(1);
    expect(told.filter(({ payload }) => payload.status === "deactivated")).toHaveLength(1);
    gate.open();
    await recovered;
  }
  bench.disks.log.release();
  project.open();
  await done;
});

test("recoverRepos() repeats in the accounts what the file says of its status", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const project = bench.stopBefore("projectState");
  const done = bench.registry.setStatus(DID, "takendown");
  await project.reached;
  await using after = await bench.crash();
  expect(after.accounts.account(DID)?.state).toBe("active");
  await after.recover();
  expect(after.accounts.account(DID)?.state).toBe("takendown");
  expect(await outcomeOf(after.write(DID, post("one")))).toBe("account_takendown");
  project.open();
  await done;
});

test("recoverRepos() reports an account whose file is missing, keeps its row, and goes on with the others", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID, BOB);
  await using after = await bench.crash();
  await rm(after.files.path(DID, after.accounts.account(DID)?.generation ?? -1));
  await after.recover();
  expect(after.errors).toEqual(["The repo file of an account is missing; its account cannot be used"]);
  expect(after.openRows()).toEqual([DID]);
  expect(await outcomeOf(after.write(BOB, post("one")))).toBe("done");
  expect(await outcomeOf(after.registry.read(DID, () => {}))).toBe("repo_not_found");
});

test("recoverRepos() reports an account whose file is damaged, and goes on with the others", async () => {
  await using bench = await Bench.start();
  const carol = didOf("carol");
  await bench.createAccounts(DID, BOB);
  await bench.beginAccount(carol);
  await bench.registry.createRepo(carol);
  await using after = await bench.crash();
  for (const did of [DID, carol]) {
    const path = after.files.path(did, after.accounts.account(did)?.generation ?? -1);
    await rm(`${path}-wal`, { force: true });
    await writeFile(path, "x".repeat(10_000));
  }
  await after.recover();
  expect(after.errors).toEqual(
    new Array(2).fill("The repo file of an account is damaged; its account cannot be used"),
  );
  expect(after.openRows().sort()).toEqual([DID, carol]);
  expect(await outcomeOf(after.registry.read(DID, () => {}))).toBe("storage_damaged");
  expect(await outcomeOf(after.write(BOB, post("one")))).toBe("done");
});

test("recoverRepos() reports a file that this user may not open as that, and goes on with the others", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID, BOB);
  await using after = await bench.crash();
  const recover = after.files.recover.bind(after.files);
  after.files.recover = async (did, generation) => {
    if (did !== DID) return await recover(did, generation);
    const cause = Object.assign(new Error("permission denied"), { code: "EACCES" });
    throw new KithError("storage_damaged", "Could not open it", { cause });
  };
  await after.recover();
  expect(after.errors).toEqual([
    "The repo file of an account may not be opened by this user; its account cannot be used",
  ]);
  expect(await outcomeOf(after.write(BOB, post("one")))).toBe("done");
});

test("recoverRepos() leaves an account that is being created to whoever finishes creations", async () => {
  await using bench = await Bench.start();
  await bench.beginAccount(DID);
  await bench.beginAccount(BOB);
  bench.disks.log.hold();
  await bench.registry.createRepo(BOB);
  await using after = await bench.crash();
  await after.recover();
  for (const did of [DID, BOB]) expect(after.accounts.account(did)?.state).toBe("creating");
  expect(after.openRows().sort()).toEqual([DID, BOB]);
  await after.registry.createRepo(BOB);
  await after.registry.createRepo(DID);
  for (const did of [DID, BOB]) {
    await until(() => after.logged(did).length === 4);
    expect(after.logged(did).map(({ type }) => type)).toEqual(["#identity", "#account", "#commit", "#sync"]);
  }
});

// Rule 16: a death that a crash interrupts.

const DEATH_STEPS = ["removeAll", "remove", "finishDeletion"] as const;

for (const step of [...DEATH_STEPS, "event" as const]) {
  test(`recoverRepos() finishes a deletion that died before its step "${step}", and may die there itself`, async () => {
    await using bench = await Bench.start();
    await bench.createAccounts(DID, BOB);
    const { upload, row, ref } = await bench.upload(DID, "blob");
    await bench.registry.keepBlob(DID, { upload, row });
    await bench.write(DID, post("one", "one", [ref]));
    await until(() => bench.typesOf(DID).length === 5);
    const gate = step === "event" ? undefined : bench.stopBefore(step);
    if (step === "event") bench.disks.log.hold();
    await bench.registry.deleteRepo(DID);
    await (gate?.reached ?? bench.disks.log.reached());

    await using first = await bench.crash();
    expect(first.accounts.account(DID)?.state).toBe("deleting");
    const firstGate = step === "event" ? undefined : first.stopBefore(step);
    if (step === "event") first.disks.log.hold();
    const recovered = first.recover();
    if (firstGate) await firstGate.reached;

    await using second = await first.crash();
    expect(await second.recover()).toEqual({ recovered: 1, deleted: 1 });
    expect(second.accounts.account(DID)).toMatchObject({ state: "deleted", handle: "handle.invalid" });
    expect(second.accounts.accountByHandle(handleOf(DID))).toBeUndefined();
    expect(second.repoFilesOf(DID)).toEqual([]);
    expect(existsSync(join(second.folder, "blobs", DID.replaceAll(":", "_")))).toBe(false);
    expect(second.openRows()).toEqual([]);
    const told = second.logged(DID);
    expect(told.filter(({ payload }) => payload.status === "deleted")).toHaveLength(1);
    expect(told.at(-1)?.payload.status).toBe("deleted");
    expect(await second.recover()).toEqual({ recovered: 0, deleted: 0 });
    expect(await outcomeOf(second.write(BOB, post("one")))).toBe("done");
    firstGate?.open();
    first.disks.log.release();
    await recovered;
    gate?.open();
  });
}

test("recoverRepos() knows nothing of a deletion that was not decided", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const decide = bench.stopBefore("beginDeletion");
  const deleted = bench.registry.deleteRepo(DID);
  await decide.reached;
  await using after = await bench.crash();
  expect(await after.recover()).toEqual({ recovered: 1, deleted: 0 });
  expect(await outcomeOf(after.write(DID, post("one")))).toBe("done");
  decide.open();
  await deleted;
});

// Rule 21: the first seq.

test("reserveFirstSeq() begins above the clock, and above every seq that was given, also when the clock was set back", async () => {
  await using bench = await Bench.start();
  expect(bench.firstSeq).toBe(START_MS * 1_000);
  expect(bench.accounts.highWater()).toBe(bench.firstSeq - 1);
  await bench.createAccounts(DID);
  const last = bench.eventLog.lastSeq();
  expect(last).toBe(bench.firstSeq + 3);

  await using back = await bench.crash({ nowMs: START_MS - 86_400_000 });
  expect(back.firstSeq).toBe(last + 1);
  expect(back.accounts.highWater()).toBe(last);
  // Reserved and not used: the next start begins above it all the same.
  await using unused = await back.crash({ nowMs: START_MS + 5 });
  expect(unused.firstSeq).toBe((START_MS + 5) * 1_000);
  await using backAgain = await unused.crash({ nowMs: 0 });
  expect(backAgain.firstSeq).toBe(unused.firstSeq);
  await backAgain.recover();
  const { commit } = await backAgain.write(DID, post("one"));
  await until(() => backAgain.typesOf(DID).length === 1);
  expect(backAgain.eventsOf(DID)[0]?.seq).toBe(unused.firstSeq);
  // The repo's own clock did not go back either.
  expect(tidToMicros(commit?.rev ?? "")).toBeGreaterThan(START_MS * 1_000);
});

test("reserveFirstSeq() resolves only once what it reserved is durable", async () => {
  const calls: string[] = [];
  const accounts = {
    highWater: () => 5,
    raiseHighWater: async (seq: number) => {
      await Promise.resolve();
      calls.push(`durable ${seq}`);
    },
  };
  const first = await reserveFirstSeq({
    accounts,
    log: { highWater: () => 9 },
    now: () => 0,
  });
  expect([first, ...calls]).toEqual([10, "durable 9"]);
});

test.each([
  { title: "a log that was lost", known: 7_000, active: 2, logged: 0, isLost: true },
  { title: "a log with events", known: 7_000, active: 2, logged: 5, isLost: false },
  { title: "a server that nobody is on yet", known: 7_000, active: 0, logged: 0, isLost: false },
  { title: "a first start", known: 0, active: 0, logged: 0, isLost: false },
])("beginLostLog() and $title", async ({ known, active, logged, isLost }) => {
  const calls: unknown[] = [];
  await beginLostLog({
    accounts: { highWater: () => known, countByState: () => (active > 0 ? { active } : {}) },
    log: {
      highWater: () => logged,
      beginAfter: (seq) => void calls.push(seq > known + 1_000_000),
      durable: async () => void calls.push("durable"),
    },
    logger: { ...console, child: () => ({}) as never, error: (message) => void calls.push(message) },
  });
  expect(calls).toEqual(isLost ? [true, "durable", expect.stringContaining("was lost")] : []);
});

// No room.

test("a repo with no room refuses a write cleanly and goes on later", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID, BOB);
  await bench.write(DID, post("one"));
  const before = await bench.registry.read(DID, (repo) => repo.state());
  const giveRoom = await bench.registry.read(DID, fill);
  const large = post("two", "x".repeat(100_000));
  expect(await outcomeOf(bench.write(DID, large))).toBe("storage_full");
  expect(await bench.registry.read(DID, (repo) => repo.state())).toEqual(before);
  expect(await outcomeOf(bench.write(BOB, post("one")))).toBe("done");
  giveRoom();
  const { commit } = await bench.write(DID, large);
  await until(() => bench.typesOf(DID).length === 6);
  expect(bench.eventsOf(DID).at(-1)?.payload).toMatchObject({ rev: commit?.rev, since: before.head?.rev });
});

test("with a full event log writes are answered, their events are late, and none is lost", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID, BOB);
  const giveRoom = fill(bench.eventLog);
  const text = "x".repeat(50_000);
  const written = [];
  for (const rkey of ["a", "b", "c"]) {
    for (const did of [DID, BOB]) written.push((await bench.write(did, post(rkey, text))).commit?.rev);
  }
  await until(() => bench.errors.length > 0);
  expect(bench.sequencer.backlog).toBeGreaterThan(0);
  expect(bench.registry.openCount).toBe(2);
  await using after = await bench.crash();
  giveRoom();
  for (const run of [bench, after]) {
    if (run === after) await after.recover();
    else await until(() => bench.typesOf(DID).length + bench.typesOf(BOB).length === 14);
    const told = [...run.logged(DID), ...run.logged(BOB)].sort((a, b) => a.seq - b.seq);
    const revs = (did: string) =>
      told.flatMap(({ did: of, type, payload }) => (of === did && type === "#commit" ? [payload.rev] : []));
    for (const [at, did] of [DID, BOB].entries()) {
      expect(revs(did).slice(1)).toEqual(written.filter((_, index) => index % 2 === at));
    }
  }
});

test("recoverRepos() puts the files of blobs where their takedowns say", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const uploads = await Promise.all(["one", "two"].map((content) => bench.upload(DID, content)));
  for (const { upload, row } of uploads) await bench.registry.keepBlob(DID, { upload, row });
  const [one, two] = uploads.map(({ row }) => row.cid);
  if (!one || !two) throw new Error("two blobs");
  await bench.registry.moderate(DID, { kind: "blob", cid: one, ref: "ref" });
  const [away, back] = [bench.stopBefore("quarantine"), bench.stopBefore("release")];
  const put = bench.registry.moderate(DID, { kind: "blob", cid: two, ref: "ref" });
  const lifted = bench.registry.moderate(DID, { kind: "blob", cid: one, ref: null });
  await Promise.all([away.reached, back.reached]);
  await using after = await bench.crash();
  await after.recover();
  const isServed = async (cid: typeof one) => (await after.blobs.open(DID, cid)) !== undefined;
  expect([await isServed(one), await isServed(two)]).toEqual([true, false]);
  expect(await after.blobs.quarantined(DID)).toEqual([two]);
  away.open();
  back.open();
  await Promise.all([put, lifted]);
});

test("recoverRepos() repeats the reference of a takedown, and what is under it", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  await bench.registry.setStatus(DID, "takendown", { takedownRef: "ref 1" });
  const project = bench.stopBefore("projectState");
  const done = bench.registry.setStatus(DID, "takendown", {
    takedownRef: "ref 2",
    ownerStatus: "deactivated",
  });
  await project.reached;
  await using after = await bench.crash();
  expect(after.accounts.account(DID)).toMatchObject({ takedownRef: "ref 1", deactivatedAt: null });
  await after.recover();
  expect(after.accounts.account(DID)).toMatchObject({
    takedownRef: "ref 2",
    deactivatedAt: expect.any(Number),
  });
  project.open();
  await done;
});
