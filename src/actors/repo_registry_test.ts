import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readCar } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { Bench, didOf, fill, handleOf, outcomeOf, post, unpost, watch } from "./_bench.ts";
import { until } from "./_fake_log.ts";
import { SLOT_WAITERS_MAX } from "./open_slots.ts";

const DID = didOf("alice");
const BOB = didOf("bob");

// Rule 9: durable, then answered, then handed over, in order.

test("RepoRegistry.write() answers only after the repo's disk, and its event goes out only after the log's, too", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const before = bench.eventLog.lastSeq();
  const isTold = (rev?: string): boolean => bench.eventsOf(DID).some(({ payload }) => payload.rev === rev);
  bench.disks.repo.hold();
  bench.disks.log.hold();
  const written = bench.write(DID, post("one"));
  const answer = watch(written);
  await bench.disks.repo.reached();
  await bench.disks.log.reached();
  // It is committed, as a read sees, and in the log, where no subscriber sees it.
  expect(await bench.registry.read(DID, (repo) => repo.recordCount())).toBe(1);
  expect(bench.eventLog.lastSeq()).toBeGreaterThan(before);
  expect([answer.answered, bench.sequencer.publishedSeq]).toEqual([false, before]);

  bench.disks.repo.release();
  const { commit } = await written;
  expect(isTold(commit?.rev)).toBe(false);
  bench.disks.log.release();
  await until(() => isTold(commit?.rev));
});

test("RepoRegistry.write() is neither answered nor told where the log's disk was faster than the repo's", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID, BOB);
  const before = bench.sequencer.publishedSeq;
  bench.disks.repo.hold();
  const writes = [bench.write(DID, post("one")), bench.write(BOB, post("two"))];
  const answers = writes.map(watch);
  await until(() => bench.eventLog.lastSeq() > before && bench.eventLog.isDurable());
  expect(answers.map(({ answered }) => answered)).toEqual([false, false]);
  expect(bench.sequencer.publishedSeq).toBe(before);
  bench.disks.repo.release();
  await Promise.all(writes);
  await until(() => bench.sequencer.publishedSeq === bench.eventLog.lastSeq());
});

test("RepoRegistry.write() keeps the order of one repo's writes that await the disk together", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  bench.disks.repo.hold();
  const rkeys = ["a", "b", "c", "d", "e"];
  const answers: string[] = [];
  const writes = rkeys.map(async (rkey) => {
    const { commit } = await bench.write(DID, post(rkey));
    answers.push(rkey);
    return commit?.rev ?? "";
  });
  await bench.disks.repo.reached();
  await until(() => bench.openFiles.now.size === 1);
  expect(await bench.registry.read(DID, (repo) => repo.recordCount())).toBe(5);
  expect(answers).toEqual([]);
  bench.disks.repo.release();
  const revs = await Promise.all(writes);
  expect(answers).toEqual(rkeys);
  expect(revs).toEqual([...revs].sort());
  const commits = () => bench.eventsOf(DID).filter(({ type }) => type === "#commit");
  await until(() => commits().length === 1 + rkeys.length);
  expect(
    commits()
      .slice(1)
      .map(({ payload }) => String(payload.rev)),
  ).toEqual(revs);
  // Each tells of the one before, and the seqs leave nothing out.
  expect(
    commits()
      .slice(1)
      .map(({ payload }) => payload.since),
  ).toEqual([commits()[0]?.payload.rev, ...revs.slice(0, -1)]);
  expect(bench.events.map(({ seq }) => seq)).toEqual(bench.events.map((_, at) => bench.firstSeq + at));
});

// Rule 13: what relays read is durable.

test("RepoRegistry.readDurable() and exportRepo() await the disk, read() does not", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  bench.disks.repo.hold();
  const written = bench.write(DID, post("one"));
  await bench.disks.repo.reached();
  const head = (await bench.registry.read(DID, (repo) => repo.state().head))?.commit;
  const durable = bench.registry.readDurable(DID, (repo) => repo.state().head?.commit);
  const exported = bench.registry.exportRepo(DID);
  const waiting = [watch(durable), watch(exported)];
  // A second read has been answered since both were asked.
  await bench.registry.read(DID, () => {});
  expect(waiting.map(({ answered }) => answered)).toEqual([false, false]);
  bench.disks.repo.release();
  expect(await durable).toEqual(head);
  const bytes = new Uint8Array(await new Response(await exported).arrayBuffer());
  const { roots, blocks } = readCar(bytes);
  expect(roots).toEqual(head ? [head] : []);
  expect([...blocks].length).toBe(3);
  await written;
});

// Rule 15: status.

test("RepoRegistry.setStatus() is answered when the file, and after it the accounts, have it durably", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  bench.disks.repo.hold();
  const done = bench.registry.setStatus(DID, "deactivated");
  const answer = watch(done);
  await bench.disks.repo.reached();
  expect([answer.answered, bench.accounts.account(DID)?.state]).toEqual([false, "active"]);
  // The refusal does not wait for the disk: nothing slips in behind it.
  expect(await outcomeOf(bench.write(DID, post("one")))).toBe("account_deactivated");

  bench.disks.hub.hold();
  bench.disks.repo.release();
  await bench.disks.hub.reached();
  expect(answer.answered).toBe(false);
  bench.disks.hub.release();
  await done;
  expect(bench.accounts.account(DID)).toMatchObject({ state: "deactivated", deactivatedAt: bench.nowMs });
  expect(await bench.registry.read(DID, (repo) => repo.state().status)).toBe("deactivated");
  await until(() => bench.typesOf(DID).length === 5);
  expect(bench.eventsOf(DID).at(-1)).toMatchObject({
    type: "#account",
    payload: { active: false, status: "deactivated" },
  });
});

test("RepoRegistry.setStatus() lets what came before a deactivation through, and refuses what comes behind", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const outcomes = await Promise.all([
    outcomeOf(bench.write(DID, post("before"))),
    outcomeOf(bench.registry.setStatus(DID, "deactivated")),
    outcomeOf(bench.write(DID, post("behind"))),
  ]);
  expect(outcomes).toEqual(["done", "done", "account_deactivated"]);
  await until(() => bench.typesOf(DID).length === 6);
  expect(bench.typesOf(DID).slice(4)).toEqual(["#commit", "#account"]);
});

test("RepoRegistry.setStatus() tells on activation who the account is and where its repo stands", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const { commit } = await bench.write(DID, post("one"));
  await bench.registry.setStatus(DID, "deactivated");
  await bench.registry.setStatus(DID, "active");
  await until(() => bench.typesOf(DID).length === 9);
  expect(bench.eventsOf(DID).slice(-3)).toMatchObject([
    { type: "#account", payload: { active: true } },
    { type: "#identity", payload: { handle: handleOf(DID) } },
    { type: "#sync", payload: { rev: commit?.rev } },
  ]);
  expect(bench.accounts.account(DID)).toMatchObject({ state: "active", deactivatedAt: null });
  expect(await outcomeOf(bench.write(DID, post("two")))).toBe("done");
});

test("RepoRegistry.setStatus() takes an account down and suspends it: then only its status may change", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  for (const status of ["takendown", "suspended"] as const) {
    await bench.registry.setStatus(DID, status);
    expect(bench.accounts.account(DID)?.state).toBe(status);
    expect(await outcomeOf(bench.write(DID, post("one")))).toBe("account_takendown");
    const { upload, row } = await bench.upload(DID, "blob");
    expect(await outcomeOf(bench.registry.keepBlob(DID, { upload, row }))).toBe("account_takendown");
  }
  await bench.registry.setStatus(DID, "active");
  await until(() => bench.typesOf(DID).length === 9);
  expect(
    bench
      .eventsOf(DID)
      .slice(4, 6)
      .map(({ payload }) => [payload.active, payload.status]),
  ).toEqual([
    [false, "takendown"],
    [false, "suspended"],
  ]);
});

test("RepoRegistry.setStatus() that is refused takes back nothing that came right behind it", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID, BOB);
  for (const did of [DID, BOB]) {
    await bench.write(did, post("one"));
    await bench.registry.read(did, (repo) => {
      const { setStatus } = repo;
      repo.setStatus = () => {
        repo.setStatus = setStatus;
        throw new KithError("storage_full", "no room");
      };
    });
  }
  const takedown = [bench.registry.setStatus(DID, "deactivated"), bench.registry.setStatus(DID, "takendown")];
  expect(await Promise.all(takedown.map(outcomeOf))).toEqual(["storage_full", "done"]);
  expect(await outcomeOf(bench.write(DID, post("two")))).toBe("account_takendown");

  const death = [bench.registry.setStatus(BOB, "deactivated"), bench.registry.deleteRepo(BOB)];
  expect(await Promise.all(death.map(outcomeOf))).toEqual(["storage_full", "done"]);
  await until(() => bench.accounts.account(BOB)?.state === "deleted");
});

// Rule 16: death.

test("RepoRegistry.deleteRepo() decides, tells the network, and only then removes the files", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID, BOB);
  const { upload, row, ref } = await bench.upload(DID, "blob");
  await bench.registry.keepBlob(DID, { upload, row });
  await bench.write(DID, post("one", "one", [ref]));
  const { lastTid } = await bench.registry.read(DID, (repo) => repo.state());

  bench.disks.log.hold();
  const inFlight = bench.write(DID, post("two"));
  await bench.registry.deleteRepo(DID);
  await inFlight;
  const [tombstone] = bench.accounts.deleting();
  expect(tombstone?.tombstone.key.localeCompare(lastTid ?? "")).toBe(1);
  await bench.disks.log.reached();
  expect(bench.repoFilesOf(DID)).not.toEqual([]);
  expect(existsSync(join(bench.folder, "blobs", DID.replaceAll(":", "_")))).toBe(true);
  expect(bench.accounts.account(DID)).toMatchObject({ state: "deleting", handle: handleOf(DID) });
  expect(await outcomeOf(bench.write(DID, post("three")))).toBe("repo_not_found");
  expect(await outcomeOf(bench.registry.deleteRepo(DID))).toBe("repo_not_found");

  bench.disks.log.release();
  await until(() => bench.accounts.account(DID)?.state === "deleted");
  expect(bench.eventsOf(DID).at(-1)).toMatchObject({
    type: "#account",
    payload: { active: false, status: "deleted" },
  });
  expect(bench.typesOf(DID).slice(4)).toEqual(["#commit", "#commit", "#account"]);
  expect(bench.repoFilesOf(DID)).toEqual([]);
  expect(existsSync(join(bench.folder, "blobs", DID.replaceAll(":", "_")))).toBe(false);
  expect(bench.accounts.accountByHandle(handleOf(DID))).toBeUndefined();
  expect(bench.openRows()).not.toContain(DID);
  await until(() => bench.registry.openCount === 1);
  expect(await outcomeOf(bench.registry.read(DID, () => {}))).toBe("repo_not_found");
  expect(await outcomeOf(bench.write(BOB, post("one")))).toBe("done");
});

test("RepoRegistry.deleteRepo() leaves no blob behind that an upload was putting in its place", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const keep = bench.stopBefore("keep");
  const moving = outcomeOf(bench.registry.keepBlob(DID, await bench.upload(DID, "one")));
  await keep.reached;
  await bench.registry.deleteRepo(DID);
  const late = outcomeOf(bench.registry.keepBlob(DID, await bench.upload(DID, "two")));
  expect(await late).toBe("repo_not_found");
  expect(bench.accounts.account(DID)?.state).toBe("deleting");
  keep.open();
  expect(await moving).toBe("repo_not_found");
  await until(() => bench.accounts.account(DID)?.state === "deleted");
  expect(existsSync(join(bench.folder, "blobs", DID.replaceAll(":", "_")))).toBe(false);
});

test("RepoRegistry.deleteRepo() that is refused leaves an account that is usable, and no file open", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  await bench.write(DID, post("one"));
  const { beginDeletion } = bench.accounts;
  bench.accounts.beginDeletion = async () => {
    throw new KithError("storage_full", "no room");
  };
  expect(await outcomeOf(bench.registry.deleteRepo(DID))).toBe("storage_full");
  await until(() => bench.registry.openCount === 0);
  expect(bench.openFiles.count).toBe(0);

  // Its events are still pending in the file, which is opened for reading only, and closed again.
  expect(await bench.registry.read(DID, (repo) => repo.pendingEvents().length)).toBeGreaterThan(0);
  bench.accounts.beginDeletion = beginDeletion;
  await bench.registry.stop();
  expect(bench.openFiles.count).toBe(0);
  await using after = await bench.crash();
  await after.recover();
  expect(after.events).toEqual([]);
  expect(await outcomeOf(after.write(DID, post("two")))).toBe("done");
  expect(await outcomeOf(after.registry.deleteRepo(DID))).toBe("done");
  await until(() => after.accounts.account(DID)?.state === "deleted");
});

// Rule 18: blobs.

test("RepoRegistry.keepBlob() remembers a blob once its file is in place, and answers when both are durable", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const { upload, row, ref } = await bench.upload(DID, "blob");
  const keep = bench.stopBefore("keep");
  const kept = bench.registry.keepBlob(DID, { upload, row });
  const answer = watch(kept);
  await keep.reached;
  expect(await bench.blob(DID, ref.cid)).toEqual({ file: false, row: false });
  bench.disks.repo.hold();
  keep.open();
  await bench.disks.repo.reached();
  expect(await bench.blob(DID, ref.cid)).toEqual({ file: true, row: true });
  expect(answer.answered).toBe(false);
  bench.disks.repo.release();
  await kept;
});

test("RepoRegistry removes a blob's file with its last reference, after that is durable", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const { upload, row, ref } = await bench.upload(DID, "blob");
  await bench.registry.keepBlob(DID, { upload, row });
  await bench.write(DID, post("one", "one", [ref]), post("two", "two", [ref]));
  await bench.write(DID, unpost("one"));
  expect(await bench.blob(DID, ref.cid)).toEqual({ file: true, row: true });

  bench.disks.repo.hold();
  const removed = bench.write(DID, unpost("two"));
  await bench.disks.repo.reached();
  expect(await bench.blob(DID, ref.cid)).toEqual({ file: true, row: false });
  const remove = bench.stopBefore("remove");
  bench.disks.repo.release();
  await removed;
  await remove.reached;
  expect((await bench.blob(DID, ref.cid)).file).toBe(true);
  remove.open();
  const gone = async () => !(await bench.blob(DID, ref.cid)).file;
  while (!(await gone()));
});

test("RepoRegistry.keepBlob() of a blob whose removal is under way waits for it, and then stays", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const first = await bench.upload(DID, "blob");
  await bench.registry.keepBlob(DID, first);
  await bench.write(DID, post("one", "one", [first.ref]));
  const remove = bench.stopBefore("remove");
  await bench.write(DID, unpost("one"));
  await remove.reached;
  const second = await bench.upload(DID, "blob");
  const kept = bench.registry.keepBlob(DID, second);
  const answer = watch(kept);
  await bench.registry.read(DID, () => {});
  expect(answer.answered).toBe(false);
  remove.open();
  await kept;
  expect(await bench.blob(DID, first.ref.cid)).toEqual({ file: true, row: true });
  expect(await outcomeOf(bench.write(DID, post("two", "two", [second.ref])))).toBe("done");
});

test("RepoRegistry leaves the file of a blob that an upload brings back before the removal", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const first = await bench.upload(DID, "blob");
  await bench.registry.keepBlob(DID, first);
  await bench.write(DID, post("one", "one", [first.ref]));
  bench.disks.repo.hold();
  const removed = bench.write(DID, unpost("one"));
  await bench.disks.repo.reached();
  // The upload is on its way to its place when the removal becomes durable.
  const second = await bench.upload(DID, "blob");
  const keep = bench.stopBefore("keep");
  const kept = bench.registry.keepBlob(DID, second);
  await keep.reached;
  bench.disks.repo.release();
  await removed;
  keep.open();
  await kept;
  expect(await bench.blob(DID, first.ref.cid)).toEqual({ file: true, row: true });
});

// Rule 19: eviction.

test("RepoRegistry keeps its bound, and never has two files of one DID, however many are written at once", async () => {
  await using bench = await Bench.start({ openReposMax: 2 });
  const dids = ["a", "b", "c", "d", "e", "f"].map((name) => didOf(name));
  await bench.createAccounts(...dids);
  bench.openFiles.mostOfOne = bench.openFiles.most = 0;
  const writes = Array.from({ length: 8 }, (_, at) =>
    dids.map((did) => bench.write(did, post(`r${at}`))),
  ).flat();
  const reads = Array.from({ length: 4 }, () => dids.map((did) => bench.registry.read(did, () => {}))).flat();
  await Promise.all([...writes, ...reads]);
  expect(bench.openFiles.mostOfOne).toBe(1);
  expect(bench.openFiles.most).toBeLessThanOrEqual(2);
  for (const did of dids) {
    expect(await bench.registry.read(did, (repo) => repo.recordCount())).toBe(8);
  }
  await bench.registry.stop();
  expect(bench.openFiles.count).toBe(0);
  expect(bench.openRows()).toEqual([]);
  for (const did of dids) expect(bench.typesOf(did).slice(4)).toEqual(new Array(8).fill("#commit"));
});

test("RepoRegistry closes nothing with a write in flight, an event pending, a status unprojected or an export open", async () => {
  await using bench = await Bench.start({ openReposMax: 1 });
  await bench.createAccounts(DID, BOB);
  const { repo, log, hub } = bench.disks;
  /** The other repo is opened only once `release` has been called. */
  const keepsOut = async (reached: () => Promise<void>, release: () => void): Promise<void> => {
    await reached();
    const read = bench.registry.read(BOB, () => {});
    const answer = watch(read);
    await bench.registry.read(DID, () => {});
    expect([answer.answered, [...bench.openFiles.now.keys()]]).toEqual([false, [DID]]);
    expect(bench.openRows()).toContain(DID);
    release();
    await read;
    expect([...bench.openFiles.now.keys()]).toEqual([BOB]);
    expect(bench.openRows()).not.toContain(DID);
  };
  await bench.registry.read(DID, () => {});
  repo.hold();
  const inFlight = bench.write(DID, post("one"));
  await keepsOut(
    () => repo.reached(),
    () => repo.release(),
  );
  await inFlight;

  log.hold();
  await bench.write(DID, post("two"));
  await keepsOut(
    () => log.reached(),
    () => log.release(),
  );

  const project = bench.stopBefore("projectState");
  const status = bench.registry.setStatus(DID, "deactivated");
  await keepsOut(
    () => project.reached,
    () => project.open(),
  );
  await status;

  await bench.registry.setStatus(DID, "active");
  const stream = await bench.registry.exportRepo(DID);
  await keepsOut(
    async () => {},
    () => void stream.cancel(),
  );
  hub.release();
});

test("RepoRegistry makes room when a repo rests that was only read", async () => {
  await using bench = await Bench.start({ openReposMax: 1 });
  await bench.createAccounts(DID, BOB);
  await Promise.all([DID, BOB, DID, BOB].map((did) => bench.registry.read(did, () => {})));
  expect(bench.openFiles.most).toBe(1);
});

test("RepoRegistry closes no repo under a caller that has just found it open", async () => {
  await using bench = await Bench.start({ openReposMax: 1 });
  await bench.createAccounts(DID, BOB);
  const stale = { writes: [post("one")], swapCommit: post("none").record.cid };
  const useless = { ...unpost("none"), ifExists: true } as const;
  const idleWork = [
    () => outcomeOf(bench.registry.write(DID, stale)),
    () => outcomeOf(bench.write(DID, useless)),
    async () => {
      const { upload, row } = await bench.upload(DID, "blob");
      return outcomeOf(bench.registry.keepBlob(DID, { upload, row }));
    },
  ];
  const outcomes: string[] = [];
  for (const work of idleWork) {
    await bench.registry.read(DID, () => {});
    const worked = work();
    await bench.registry.read(BOB, () => {});
    outcomes.push(await worked);
  }
  expect(outcomes).toEqual(["invalid_swap", "done", "done"]);
  expect(bench.openFiles.most).toBe(1);
});

test("RepoRegistry gives room in the order of asking, and refuses as busy past its bound of waiters", async () => {
  await using bench = await Bench.start({ openReposMax: 1 });
  const dids = ["a", "b", "c", "d"].map((name) => didOf(name));
  await bench.createAccounts(DID, ...dids);
  const stream = await bench.registry.exportRepo(DID);
  bench.openFiles.order.length = 0;
  const waiters = Array.from({ length: SLOT_WAITERS_MAX }, (_, at) =>
    outcomeOf(bench.registry.read(dids[at % dids.length] ?? DID, () => {})),
  );
  expect(await outcomeOf(bench.registry.read(didOf("a"), () => {}))).toBe("busy");
  // Those who use an open repo wait for nothing.
  expect(await outcomeOf(bench.registry.read(DID, () => {}))).toBe("done");
  await stream.cancel();
  expect(await Promise.all(waiters.slice(0, dids.length))).toEqual(dids.map(() => "done"));
  expect(bench.openFiles.order.slice(0, dids.length)).toEqual(dids);
  await bench.registry.stop();
  expect((await Promise.all(waiters)).at(-1)).toBe("shutting_down");
  expect(bench.openFiles.most).toBe(1);
});

test("RepoRegistry.stop() lets what is under way end, refuses those who wait, and closes every file", async () => {
  await using bench = await Bench.start({ openReposMax: 1 });
  await bench.createAccounts(DID, BOB);
  bench.disks.repo.hold();
  const inFlight = outcomeOf(bench.write(DID, post("one")));
  await bench.disks.repo.reached();
  const waiting = [outcomeOf(bench.write(BOB, post("one"))), outcomeOf(bench.registry.read(BOB, () => {}))];
  const stopped = bench.registry.stop();
  expect(await Promise.all(waiting)).toEqual(["shutting_down", "shutting_down"]);
  expect(await outcomeOf(bench.registry.read(DID, () => {}))).toBe("shutting_down");
  expect(bench.openRows()).toEqual([DID]);
  bench.disks.repo.release();
  await stopped;
  expect(await inFlight).toBe("done");
  expect(bench.typesOf(DID).at(-1)).toBe("#commit");
  expect([bench.openFiles.count, bench.registry.openCount, bench.openRows()]).toEqual([0, 0, []]);
  expect(await outcomeOf(bench.write(DID, post("two")))).toBe("shutting_down");
});

test("RepoRegistry closes the file also where forgetting its published events is refused", async () => {
  await using bench = await Bench.start({ openReposMax: 1 });
  await bench.createAccounts(DID, BOB);
  const { commit } = await bench.write(DID, post("one"));
  await until(() => bench.eventsOf(DID).at(-1)?.payload.rev === commit?.rev);
  await bench.registry.read(DID, (repo) => {
    repo.forgetPending = () => {
      throw new KithError("storage_full", "no room");
    };
  });
  await bench.registry.read(BOB, () => {});
  expect([...bench.openFiles.now.keys()]).toEqual([BOB]);
  expect(await bench.registry.read(DID, (repo) => repo.pendingEvents().length)).toBeGreaterThan(0);
  await bench.write(DID, post("two"));
  await until(() => bench.typesOf(DID).length === 6);
  await bench.registry.read(BOB, () => {});
  expect(await bench.registry.read(DID, (repo) => repo.pendingEvents())).toEqual([]);
  expect(bench.typesOf(DID).slice(4)).toEqual(["#commit", "#commit"]);
});

// Rule 14: births.

test("RepoRegistry.createRepo() is one birth, however often it is asked for, at once or later", async () => {
  await using bench = await Bench.start();
  await bench.beginAccount(DID);
  bench.disks.repo.hold();
  const births = [bench.registry.createRepo(DID), bench.registry.createRepo(DID)];
  const answers = births.map(watch);
  await bench.disks.repo.reached();
  expect(answers.map(({ answered }) => answered)).toEqual([false, false]);
  expect(bench.sequencer.backlog).toBe(0);
  bench.disks.repo.release();
  await Promise.all(births);
  const head = await bench.registry.read(DID, (repo) => repo.state().head);
  // Its actor is open.
  await bench.registry.createRepo(DID);
  await until(() => bench.typesOf(DID).length === 4);
  expect(bench.typesOf(DID)).toEqual(["#identity", "#account", "#commit", "#sync"]);
  await bench.registry.stop();

  // Its file is there, its actor is not, its row is still `creating`.
  await using after = await bench.crash();
  await after.recover();
  await Promise.all([after.registry.createRepo(DID), after.registry.createRepo(DID)]);
  expect(await after.registry.read(DID, (repo) => repo.state().head)).toEqual(head);
  await after.accounts.finishCreation(DID, "active");
  const { commit } = await after.write(DID, post("one"));
  await until(() => after.events.length > 0);
  expect(after.events.map(({ payload }) => payload.rev)).toEqual([commit?.rev]);
  expect([after.openFiles.mostOfOne, bench.openFiles.mostOfOne]).toEqual([1, 1]);
});

test("RepoRegistry.createRepo() of an account that is not being created is refused", async () => {
  await using bench = await Bench.start({ openReposMax: 1 });
  await bench.createAccounts(DID, BOB);
  await expect(bench.registry.createRepo(DID)).rejects.toThrow("its account is active");
  await expect(bench.registry.createRepo(didOf("nobody"))).rejects.toThrow("its account is unknown");
});

test("RepoRegistry keeps the open row of an account that is not complete yet when it closes its repo", async () => {
  await using bench = await Bench.start({ openReposMax: 1 });
  await bench.createAccounts(BOB);
  await bench.beginAccount(DID);
  await bench.registry.createRepo(DID);
  await bench.registry.read(BOB, () => {});
  expect([...bench.openFiles.now.keys()]).toEqual([BOB]);
  // What completes it later writes at once: a crash must find the row.
  await bench.registry.createRepo(DID);
  await bench.accounts.finishCreation(DID, "active");
  const giveRoom = fill(bench.eventLog);
  const { commit } = await bench.write(DID, post("one", "x".repeat(100_000)));
  await using after = await bench.crash();
  giveRoom();
  await after.recover();
  expect(after.logged(DID).at(-1)?.payload.rev).toBe(commit?.rev);
  expect(after.openRows()).toEqual([]);
});

test("RepoRegistry.createRepo() closes the file of a birth that failed, and may be repeated", async () => {
  await using bench = await Bench.start();
  await bench.beginAccount(DID);
  const { signer } = bench.accounts;
  bench.accounts.signer = () => {
    throw new KithError("storage_damaged", "no key");
  };
  expect(await outcomeOf(bench.registry.createRepo(DID))).toBe("storage_damaged");
  expect(bench.openFiles.count).toBe(0);
  bench.accounts.signer = signer;
  await bench.registry.createRepo(DID);
  expect(bench.openFiles.mostOfOne).toBe(1);
});

test("RepoRegistry.stop() refuses births that have not begun", async () => {
  await using bench = await Bench.start({ openReposMax: 1 });
  await bench.createAccounts(DID);
  await bench.beginAccount(BOB);
  bench.disks.repo.hold();
  const inFlight = bench.write(DID, post("one"));
  await bench.disks.repo.reached();
  const waiting = outcomeOf(bench.registry.createRepo(BOB));
  const stopped = bench.registry.stop();
  expect(await waiting).toBe("shutting_down");
  bench.disks.repo.release();
  await Promise.all([inFlight, stopped]);
  expect(await outcomeOf(bench.registry.createRepo(BOB))).toBe("shutting_down");
  expect(bench.openFiles.count).toBe(0);
});

// Rule 17: an import has the repo to itself.

test("RepoRegistry.importRepo() begins when nothing is in flight, and holds every change until it has ended", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const car = await new Response(await bench.registry.exportRepo(DID)).bytes();
  bench.disks.repo.hold();
  const before = bench.write(DID, post("before"));
  const [begun, go] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let hasBegun = false;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    hasBegun = true;
    begun.resolve();
    await go.promise;
    yield car;
  }
  const keys = { documentKey: async () => undefined, earlierKeys: async () => [] };
  const imported = bench.registry.importRepo(DID, { chunks: chunks(), bytesMax: 1_000_000, ...keys });
  await bench.disks.repo.reached();
  await bench.registry.read(DID, () => {});
  expect(hasBegun).toBe(false);
  bench.disks.repo.release();
  await before;
  await begun.promise;
  const behind = [
    bench.write(DID, post("behind")),
    bench.registry.setStatus(DID, "deactivated"),
    bench.write(DID, post("refused")),
  ].map(outcomeOf);
  const answers = behind.map(watch);
  await bench.registry.read(DID, () => {});
  expect(answers.map(({ answered }) => answered)).toEqual([false, false, false]);
  go.resolve();
  await imported;
  expect(await Promise.all(behind)).toEqual(["done", "done", "account_deactivated"]);
  expect(await bench.registry.read(DID, (repo) => repo.recordCount())).toBe(1);
  await until(() => bench.typesOf(DID).length === 8);
  expect(bench.typesOf(DID).slice(4)).toEqual(["#commit", "#sync", "#commit", "#account"]);
});

test("RepoRegistry.importRepo() into a deactivated repo is told on its activation", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  await bench.write(DID, post("one"));
  const car = await new Response(await bench.registry.exportRepo(DID)).bytes();
  const untold: string[] = [];
  bench.registry.untold.onRepo((did) => untold.push(did));
  await bench.registry.setStatus(DID, "deactivated");
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield car;
  }
  const keys = { documentKey: async () => undefined, earlierKeys: async () => [] };
  await bench.registry.importRepo(DID, { chunks: chunks(), bytesMax: 1_000_000, ...keys });
  // Until then a backup learns of it so.
  expect(untold).toEqual([DID]);
  await bench.registry.announceIdentity(DID);
  await until(() => bench.typesOf(DID).length === 7);
  expect(bench.typesOf(DID).slice(5)).toEqual(["#account", "#identity"]);
  const rev = await bench.registry.read(DID, (repo) => repo.state().head?.rev);
  await bench.registry.setStatus(DID, "active");
  await until(() => bench.typesOf(DID).length === 10);
  expect(bench.eventsOf(DID).slice(-3)).toMatchObject([
    { type: "#account", payload: { active: true } },
    { type: "#identity", payload: { handle: handleOf(DID) } },
    { type: "#sync", payload: { rev } },
  ]);
});

// Takedowns.

test("RepoRegistry.setStatus() keeps under a takedown what the owner has made of the account", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const { registry, accounts } = bench;
  await registry.setStatus(DID, "takendown", { takedownRef: "ref 1" });
  expect(accounts.account(DID)).toMatchObject({
    state: "takendown",
    takedownRef: "ref 1",
    deactivatedAt: null,
  });
  await registry.setStatus(DID, "takendown", { ownerStatus: "deactivated" });
  expect(accounts.account(DID)).toMatchObject({
    state: "takendown",
    takedownRef: "ref 1",
    deactivatedAt: bench.nowMs,
  });
  expect(await outcomeOf(registry.setStatus(DID, "active", { lifts: true }))).toBe("busy");
  expect(await outcomeOf(bench.write(DID, post("one")))).toBe("account_takendown");
  await registry.setStatus(DID, "deactivated", { lifts: true });
  expect(accounts.account(DID)).toMatchObject({ state: "deactivated", takedownRef: null });
  await until(() => bench.typesOf(DID).length === 7);
  expect(
    bench
      .eventsOf(DID)
      .slice(4)
      .map(({ payload }) => payload.status),
  ).toEqual(["takendown", "takendown", "deactivated"]);
});

test("RepoRegistry.moderate() tells the status anew, in every status", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const statuses = ["active", "deactivated", "takendown"] as const;
  for (const status of statuses) {
    if (status !== "active") await bench.registry.setStatus(DID, status);
    const before = bench.eventsOf(DID).length;
    await bench.registry.moderate(DID, { kind: "announce" });
    await until(() => bench.eventsOf(DID).some(({ type }, at) => at >= before && type === "#account"));
    const told = status === "active" ? { active: true } : { active: false, status };
    expect(bench.eventsOf(DID).at(-1)).toMatchObject({ type: "#account", payload: told });
  }
});

test("RepoRegistry.moderate() puts the file of a blob away and back, and refuses it meanwhile", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const { registry, blobs } = bench;
  const { upload, row, ref } = await bench.upload(DID, "blob");
  await registry.keepBlob(DID, { upload, row });
  await bench.write(DID, post("one", "one", [ref]));
  const places = async () => {
    const [file, put] = [
      await blobs.open(DID, row.cid),
      await blobs.open(DID, row.cid, { quarantined: true }),
    ];
    return [file !== undefined, put !== undefined];
  };
  await registry.setStatus(DID, "takendown");
  await registry.moderate(DID, { kind: "blob", cid: row.cid, ref: "ref" });
  expect(await places()).toEqual([false, true]);
  await registry.setStatus(DID, "active");
  const again = await bench.upload(DID, "blob");
  expect(await outcomeOf(registry.keepBlob(DID, again))).toBe("invalid_request");
  await again.upload.discard();
  expect(await outcomeOf(bench.write(DID, post("two", "two", [ref])))).toBe("blob_not_found");
  await registry.moderate(DID, { kind: "blob", cid: row.cid, ref: null });
  expect(await places()).toEqual([true, false]);

  // Its last record goes while it is away: nothing comes back.
  await registry.moderate(DID, { kind: "blob", cid: row.cid, ref: "ref" });
  await bench.write(DID, unpost("one"));
  expect(await places()).toEqual([false, true]);
  await registry.moderate(DID, { kind: "blob", cid: row.cid, ref: null });
  expect(await places()).toEqual([false, false]);
});

test("RepoRegistry.moderate() puts a blob away that comes in at the same time", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const { registry, blobs } = bench;
  const { upload, row } = await bench.upload(DID, "blob");
  const gate = bench.stopBefore("keep");
  const kept = outcomeOf(registry.keepBlob(DID, { upload, row }));
  await gate.reached;
  await registry.moderate(DID, { kind: "blob", cid: row.cid, ref: "ref" });
  gate.open();
  expect(await kept).toBe("invalid_request");
  expect(await blobs.open(DID, row.cid)).toBeUndefined();
  expect(await blobs.open(DID, row.cid, { quarantined: true })).toBeDefined();
});

test.each(["busy", "storage_full"] as const)(
  "a change that finds a file that cannot be opened now is told %s",
  async (code) => {
    await using before = await Bench.start();
    await before.createAccounts(DID);
    await using bench = await before.crash();
    await bench.recover();
    Object.assign(bench.files, { open: () => Promise.reject(new KithError(code, "Not now")) });
    expect(await outcomeOf(bench.write(DID, post("one")))).toBe(code);
  },
);
