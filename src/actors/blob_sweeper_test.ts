import { expect, test } from "bun:test";
import { existsSync, rmSync, utimesSync } from "node:fs";
import { join } from "node:path";
import { type BlobRef, type Cid, cidToString } from "../atproto/mod.ts";
import { KithError } from "../errors.ts";
import { Bench, didOf, post, unpost } from "./_bench.ts";
import { QUIET, until } from "./_fake_log.ts";
import {
  BlobSweeper,
  MOVING_LIFETIME_MS,
  removeAllOrLater,
  STEP_ACCOUNTS_MAX,
  SWEEP_BLOBS_MAX,
  WALK_EVERY_MS,
} from "./blob_sweeper.ts";

const DID = didOf("alice");
const LIFETIME_MS = 24 * 3_600_000;

/** A sweeper that takes steps only as the test asks: its own come after minutes. */
function sweeperOf(bench: Bench): BlobSweeper {
  const { blobLooks: looks, accounts, registry: repos, blobs, now, logger } = bench;
  return new BlobSweeper({ looks, accounts, repos, blobs, lifetimeMs: LIFETIME_MS, now, logger });
}

const keep = async (bench: Bench, content: string) => {
  const { upload, row, ref } = await bench.upload(DID, content);
  await bench.registry.keepBlob(DID, { upload, row });
  return ref;
};
const pathOf = (bench: Bench, cid: Cid): string =>
  join(bench.folder, "blobs", DID.replaceAll(":", "_"), cidToString(cid));
const gone = { file: false, row: false };
const there = { file: true, row: true };

test("BlobSweeper removes an upload that no record refers to once it is old, and no other", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const sweeper = sweeperOf(bench);
  const unused = await keep(bench, "unused");
  const used = await keep(bench, "used");
  await bench.write(DID, post("one", "one", [used]));
  bench.nowMs += LIFETIME_MS - 1;
  await sweeper.step();
  expect(await bench.blob(DID, unused.cid)).toEqual(there);
  bench.nowMs += LIFETIME_MS;
  await sweeper.step();
  await until(() => !existsSync(pathOf(bench, unused.cid)));
  expect(await bench.blob(DID, unused.cid)).toEqual(gone);
  expect(await bench.blob(DID, used.cid)).toEqual(there);
  // Nothing is left to look for.
  expect(bench.blobLooks.due(Number.MAX_SAFE_INTEGER, 10)).toEqual([]);
  await sweeper.stop();
});

test("BlobSweeper removes nothing of a repo whose file is older than what was published, and an error tells of it once", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const known = await keep(bench, "its record is lost, and not its row");
  const older = await bench.copyRepos();
  const unknown = await keep(bench, "its row is lost, too");
  await bench.write(DID, post("one", "one", [known, unknown]));
  await until(() => bench.eventsOf(DID).at(-1)?.type === "#commit");
  await using after = await bench.crash({ repos: older });
  rmSync(older, { recursive: true });
  const long = new Date(after.nowMs - LIFETIME_MS);
  for (const { cid } of [known, unknown]) utimesSync(pathOf(after, cid), long, long);
  after.nowMs += 2 * LIFETIME_MS;
  const sweeper = sweeperOf(after);
  await sweeper.step();
  expect(after.errors).toEqual(["A repo is older than what the network was told of it: writes are lost"]);
  // What is written from now on hides how old the file was, and brings nothing back.
  await after.write(DID, post("two"));
  after.nowMs += WALK_EVERY_MS;
  await sweeper.step();
  expect(await after.blob(DID, known.cid)).toEqual(there);
  expect(await after.blob(DID, unknown.cid)).toEqual({ file: true, row: false });
  expect(after.errors).toHaveLength(1);
  await sweeper.stop();
});

test("BlobSweeper: a blob uploaded again begins a new life", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const sweeper = sweeperOf(bench);
  const first = await keep(bench, "again");
  bench.nowMs += LIFETIME_MS - 1_000;
  await keep(bench, "again");
  bench.nowMs += 2_000;
  await sweeper.step();
  expect(await bench.blob(DID, first.cid)).toEqual(there);
  await sweeper.stop();
});

test("BlobSweeper keeps what a deactivated account has uploaded, which may be moving in", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const sweeper = sweeperOf(bench);
  const early = await keep(bench, "before its record");
  await bench.registry.setStatus(DID, "deactivated");
  bench.nowMs += MOVING_LIFETIME_MS - 1_000;
  await sweeper.step();
  expect(await bench.blob(DID, early.cid)).toEqual(there);
  bench.nowMs += LIFETIME_MS;
  await sweeper.step();
  await until(() => !existsSync(pathOf(bench, early.cid)));
  await sweeper.stop();
});

test("BlobSweeper never takes a blob that a record is being given at the same time", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const sweeper = sweeperOf(bench);
  const refs = await Promise.all(Array.from({ length: 20 }, (_, at) => keep(bench, `raced ${at}`)));
  bench.nowMs += LIFETIME_MS + 1;
  const writes = refs.map((ref, at) =>
    bench.write(DID, post(`r${at}`, `r${at}`, [ref])).then(
      () => true,
      () => false,
    ),
  );
  const [written] = await Promise.all([Promise.all(writes), sweeper.step()]);
  for (const [at, ref] of refs.entries()) {
    if (written[at]) expect(await bench.blob(DID, ref.cid)).toEqual(there);
    else await until(() => !existsSync(pathOf(bench, ref.cid)));
  }
  await sweeper.stop();
});

test("BlobSweeper.step() walks over the accounts and removes old files that have no row, and only those", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const sweeper = sweeperOf(bench);
  const used = await keep(bench, "used");
  await bench.write(DID, post("one", "one", [used]));
  const stray = async (content: string, ageMs: number) => {
    const { upload, ref } = await bench.upload(DID, content);
    await bench.blobs.keep(upload, { did: DID, cid: ref.cid });
    const seconds = (bench.nowMs - ageMs) / 1_000;
    utimesSync(pathOf(bench, ref.cid), seconds, seconds);
    return ref;
  };
  const old = await stray("old", LIFETIME_MS + 1_000);
  const young = await stray("young", 1_000);
  await sweeper.step();
  expect(await bench.blob(DID, old.cid)).toEqual(gone);
  expect(await bench.blob(DID, young.cid)).toEqual({ file: true, row: false });
  expect(await bench.blob(DID, used.cid)).toEqual(there);
  const { cursor, nextAt } = bench.blobLooks.walk();
  expect([cursor, nextAt]).toEqual([undefined, bench.nowMs + WALK_EVERY_MS]);
  await sweeper.stop();
});

test("BlobSweeper.step() leaves alone the files of an account that may be moving in", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const { upload, ref } = await bench.upload(DID, "brought along");
  await bench.blobs.keep(upload, { did: DID, cid: ref.cid });
  await bench.registry.setStatus(DID, "deactivated");
  const sweeper = sweeperOf(bench);
  await sweeper.step();
  expect(await bench.blob(DID, ref.cid)).toEqual({ file: true, row: false });
  await sweeper.stop();
});

test("BlobSweeper finds after a crash what was being uploaded or removed", async () => {
  await using bench = await Bench.start();
  await bench.createAccounts(DID);
  const removed = await keep(bench, "its record goes");
  await bench.write(DID, post("one", "one", [removed]));
  const gate = bench.stopBefore("remove");
  await bench.write(DID, unpost("one"));
  await gate.reached;
  const second = await bench.upload(DID, "its row never comes");
  await bench.blobs.keep(second.upload, { did: DID, cid: second.ref.cid });
  await using after = await bench.crash();
  gate.open();
  await after.recover();
  for (const { cid } of [removed, second.ref]) {
    expect(await after.blob(DID, cid)).toEqual({ file: true, row: false });
  }
  const sweeper = sweeperOf(after);
  const old = (after.nowMs - LIFETIME_MS) / 1_000 - 1;
  for (const { cid } of [removed, second.ref]) utimesSync(pathOf(after, cid), old, old);
  await sweeper.step();
  for (const { cid } of [removed, second.ref]) expect(await after.blob(DID, cid)).toEqual(gone);
  await sweeper.stop();
});

test("removeAllOrLater() leaves a dead account's blobs to the sweeper where the bucket fails", async () => {
  await using bench = await Bench.start();
  const { blobLooks: looks, accounts, registry: repos, now, logger } = bench;
  const removed: string[] = [];
  let isDown = true;
  const blobs = {
    list: async () => [],
    removeAll: async (did: string) => {
      if (isDown) throw new KithError("upstream_failure", "The bucket is down");
      removed.push(did);
    },
  };
  await removeAllOrLater(DID, { blobs, looks, now, logger });
  const sweeper = new BlobSweeper({ looks, accounts, repos, blobs, lifetimeMs: LIFETIME_MS, now, logger });
  bench.nowMs += 3_600_000;
  await sweeper.step();
  expect(looks.due(Number.MAX_SAFE_INTEGER, 10)).toEqual([DID]);
  isDown = false;
  bench.nowMs += 3_600_000;
  await sweeper.step();
  expect([removed, looks.due(Number.MAX_SAFE_INTEGER, 10)]).toEqual([[DID], []]);
  await sweeper.stop();
});

/** The account is deleted, and what it had uploaded is due to be looked for. */
async function buried(bench: Bench): Promise<void> {
  await bench.createAccounts(DID);
  await keep(bench, "of the dead");
  await bench.registry.deleteRepo(DID);
  await until(() => bench.accounts.account(DID)?.state === "deleted");
  bench.nowMs += 2 * LIFETIME_MS;
}

async function moveIn(bench: Bench): Promise<BlobRef> {
  await bench.beginAccount(DID, { movesIn: true });
  await bench.registry.createRepo(DID);
  await bench.accounts.finishCreation(DID, "deactivated");
  return await keep(bench, "of who moved in");
}

test("BlobSweeper: who moves in under the DID of a deleted account waits until that one's blobs are gone", async () => {
  await using bench = await Bench.start();
  await buried(bench);
  const sweeper = sweeperOf(bench);
  const gate = bench.stopBefore("removeAll");
  const step = sweeper.step();
  await gate.reached;
  const moved = moveIn(bench);
  await Bun.sleep(50);
  gate.open();
  await step;
  expect(await bench.blob(DID, (await moved).cid)).toEqual(there);
  await sweeper.stop();
});

test("BlobSweeper does not wait for a backup with the blobs of a deleted account", async () => {
  await using bench = await Bench.start();
  await buried(bench);
  let isHeld = true;
  Object.assign(bench.blobs, { isHeld: () => isHeld });
  const sweeper = sweeperOf(bench);
  await sweeper.step();
  expect(bench.blobLooks.due(Number.MAX_SAFE_INTEGER, 10)).toEqual([DID]);
  const moved = await moveIn(bench);
  isHeld = false;
  bench.nowMs += 3_600_000;
  await sweeper.step();
  expect(await bench.blob(DID, moved.cid)).toEqual(there);
  await sweeper.stop();
});

test("BlobLooks.look() does not forget an account into which something comes meanwhile", async () => {
  await using bench = await Bench.start();
  const { blobLooks: looks } = bench;
  await looks.note(DID, 1);
  await looks.look(DID, async () => {
    await looks.around(DID, 5, async () => undefined);
    return undefined;
  });
  expect(looks.due(10, 10)).toEqual([DID]);
  await looks.look(DID, async () => undefined);
  expect(looks.due(10, 10)).toEqual([]);
  expect(SWEEP_BLOBS_MAX).toBeLessThan(1_001);
});

test("BlobSweeper.step() does a bounded part of what is due, and goes on with it at the next", async () => {
  const DUE = 45;
  const due = Array.from({ length: DUE }, (_, at) => didOf(`n${at}`));
  const [swept, walked]: [string[], string[]] = [[], []];
  const limits = new Set<number>();
  let walk: { cursor: string | undefined; nextAt: number } = { cursor: undefined, nextAt: 0 };
  let turn = 0;
  const sweeper = new BlobSweeper({
    looks: {
      due: (_, limit) => due.slice(0, limit),
      look: async (did, run) => {
        // It is due again at once where a full part of its blobs went.
        if ((await run()) !== turn) due.splice(due.indexOf(did), 1);
      },
      note: async () => {},
      walk: () => walk,
      moveWalk: async (to) => {
        walk = to;
      },
    },
    accounts: {
      account: (did) => ({ did, state: "active" }),
      listAccounts: ({ cursor, limit }) => {
        const from = Number(cursor ?? 0);
        const dids = Array.from({ length: Math.min(limit, DUE - from) }, (_, at) => didOf(`n${from + at}`));
        const isLast = from + limit >= DUE;
        return {
          accounts: dids.map((did) => ({ did, state: "active" })),
          ...(isLast ? {} : { cursor: String(from + limit) }),
        };
      },
    },
    repos: {
      sweepBlobs: async (did, { limit }) => {
        limits.add(limit);
        swept.push(did);
        // The first has more than goes at a time.
        const isFirst = did === didOf("n0") && swept.filter((each) => each === did).length < 3;
        return isFirst ? { removed: limit, oldestLeft: 1 } : { removed: 1, oldestLeft: undefined };
      },
      removeStrays: async () => 0,
      removeRemains: async () => true,
    },
    blobs: {
      list: async (did, { limit }) => {
        limits.add(limit);
        walked.push(did);
        return [];
      },
      removeAll: async () => {},
    },
    ...{ lifetimeMs: LIFETIME_MS, now: () => turn, logger: QUIET },
  });
  const counts: [number, number][] = [];
  for (turn = 1; turn <= 4; turn += 1) {
    const before = [swept.length, walked.length] as const;
    await sweeper.step();
    counts.push([swept.length - before[0], walked.length - before[1]]);
  }
  await sweeper.stop();
  expect(counts).toEqual([
    [STEP_ACCOUNTS_MAX, STEP_ACCOUNTS_MAX],
    [STEP_ACCOUNTS_MAX, STEP_ACCOUNTS_MAX],
    [7, 5],
    [0, 0],
  ]);
  expect([...limits]).toEqual([SWEEP_BLOBS_MAX]);
  expect(swept.filter((did) => did === didOf("n0"))).toHaveLength(3);
  expect([due, new Set(walked).size]).toEqual([[], DUE]);
});
