import { expect, test } from "bun:test";
import { join } from "node:path";
import { Fixture } from "./_fixture.ts";
import { EventLog, type EventRow } from "./event_log.ts";
import { openSqlite } from "./sqlite.ts";

function row(seq: number, more: Partial<EventRow> = {}): EventRow {
  const key = `3${String(seq).padStart(12, "0")}`;
  return { seq, did: "did:plc:a", key, kind: "commit", at: seq * 10, frame: Uint8Array.of(seq), ...more };
}

function open(folder: Fixture): Promise<EventLog> {
  return EventLog.open(folder.file("events.sqlite"), folder.options);
}

test("EventLog.append() keeps rows, high-water seq and last keys together", async () => {
  await using folder = new Fixture();
  const log = await open(folder);
  expect([log.firstSeq(), log.lastSeq(), log.highWater()]).toEqual([0, 0, 0]);
  log.append([row(5), row(7, { did: "did:plc:b", key: "3b" })]);
  expect([log.firstSeq(), log.lastSeq(), log.highWater()]).toEqual([5, 7, 7]);
  expect(log.lastKey("did:plc:b")).toBe("3b");
  expect(log.lastKey("did:plc:c")).toBeUndefined();
  await log.durable();
  expect(log.isDurable()).toBe(true);
  await log.close();
});

test("EventLog.append() refuses a seq or a key that is not above all before, and writes nothing then", async () => {
  await using folder = new Fixture();
  const log = await open(folder);
  log.append([row(5)]);
  expect(() => log.append([row(6), row(6)])).toThrow("seq 6: it is not above 6");
  expect(() => log.append([row(6), row(7, { key: row(6).key })])).toThrow("it is in the log");
  log.raiseHighWater(100);
  log.raiseHighWater(50);
  expect(() => log.append([row(100)])).toThrow("not above 100");
  expect([log.lastSeq(), log.highWater()]).toEqual([5, 100]);
  await log.close();
});

test("EventLog.read() is bounded by rows and bytes, but gives the first row whatever its size", async () => {
  await using folder = new Fixture();
  const log = await open(folder);
  log.append([1, 2, 3, 4].map((seq) => row(seq, { frame: new Uint8Array(1000) })));
  const seqs = (range: object) =>
    log.read({ after: 0, upTo: 9, rowsMax: 9, bytesMax: 1e6, ...range }).map(({ seq }) => seq);
  expect(seqs({})).toEqual([1, 2, 3, 4]);
  expect(seqs({ after: 1, upTo: 3 })).toEqual([2, 3]);
  expect(seqs({ rowsMax: 2 })).toEqual([1, 2]);
  expect(seqs({ bytesMax: 2500 })).toEqual([1, 2]);
  expect(seqs({ bytesMax: 1 })).toEqual([1]);
  expect(seqs({ after: 4 })).toEqual([]);
  await log.close();
});

test("EventLog.prune() and firstSeqAt() go by age; what outlives rows stays", async () => {
  await using folder = new Fixture();
  const log = await open(folder);
  log.append([1, 20, 21, 3000, 3001].map((seq) => row(seq)));
  expect([0, 10, 11, 200, 210, 211, 30_010, 30_011].map((ms) => log.firstSeqAt(ms))).toEqual([
    1, 1, 20, 20, 21, 3000, 3001, 0,
  ]);
  expect(log.prunedUpTo()).toBe(0);
  const prune = (before: number, rowsMax: number) =>
    log.prune({ ...{ before, rowsMax }, publishedUpTo: 9_999, bytesMax: 1_000 });
  expect(prune(30_000, 2)).toEqual({ removed: 2, upTo: 20, isHeld: false, isMore: true });
  expect(log.prunedUpTo()).toBe(20);
  expect(log.firstSeq()).toBe(21);
  expect(prune(30_000, 100)).toEqual({ removed: 1, upTo: 21, isHeld: false, isMore: false });
  expect(prune(30_000, 100)).toEqual({ removed: 0, upTo: 0, isHeld: false, isMore: false });
  expect(prune(1e9, 100)).toMatchObject({ removed: 2, isMore: false });
  expect([log.firstSeq(), log.lastSeq(), log.highWater()]).toEqual([0, 0, 3001]);
  expect(() => log.append([row(3001)])).toThrow("not above");
  expect(() => log.append([row(3002, { key: row(3001).key })])).toThrow("it is in the log");
  expect(log.firstSeqAt(0)).toBe(0);
  await log.close();
});

test("EventLog.prune() takes rows of a clock that was ahead to be as old as what follows them", async () => {
  await using folder = new Fixture();
  const log = await open(folder);
  const times = [100, 9_000, 9_001, 9_002, 200, 300, 9_500];
  log.append(times.map((at, index) => row(index + 1, { at })));
  expect(log.lastAt()).toBe(9_500);
  const prune = (options: { before: number; rowsMax: number; held?: { seq: number; notBefore: number } }) =>
    log.prune({ ...options, now: 1_000, publishedUpTo: 9_999, bytesMax: 1_000_000 }).removed;
  expect(prune({ before: 150, rowsMax: 3 })).toBe(1);
  expect(prune({ before: 150, rowsMax: 3 })).toBe(0);
  expect(prune({ before: 250, rowsMax: 2 })).toBe(2);
  expect(prune({ before: 250, rowsMax: 100, held: { seq: 3, notBefore: 150 } })).toBe(0);
  expect(prune({ before: 250, rowsMax: 100 })).toBe(2);
  expect(prune({ before: 900, rowsMax: 100 })).toBe(1);
  // Nothing says how old it is.
  expect(prune({ before: 900, rowsMax: 100 })).toBe(0);
  expect(log.firstSeq()).toBe(7);
  await log.close();
});

test("EventLog.dropUnkept() drops a DID's rows above a key, and none that was published", async () => {
  await using folder = new Fixture();
  const log = await open(folder);
  const other = { did: "did:plc:b" };
  log.append([row(1), row(2), row(3, other)], 0);
  log.append([row(4), row(5), row(6, other), row(7)], 2);
  const seqs = () => log.read({ after: 0, upTo: 99, rowsMax: 99, bytesMax: 1e6 }).map(({ seq }) => seq);
  expect(log.dropUnkept("did:plc:a", row(7).key)).toBe(0);
  expect(log.dropUnkept("did:plc:c", "")).toBe(0);
  expect(log.dropUnkept("did:plc:a", row(4).key)).toBe(2);
  expect([log.lastKey("did:plc:a"), log.lastKey("did:plc:b"), log.highWater()]).toEqual([
    row(4).key,
    row(6).key,
    7,
  ]);
  expect(seqs()).toEqual([1, 2, 3, 4, 6]);
  // An older file of the repo: what was published stays, and so does the key of the newest of it.
  log.append([row(8)], 7);
  log.append([row(9, other)], 8);
  expect(log.dropUnkept("did:plc:a", row(1).key)).toBe(0);
  expect([seqs().includes(8), log.lastKey("did:plc:a")]).toEqual([true, row(8).key]);
  log.append([row(10), row(11)], 9);
  log.append([row(12)], 10);
  expect([log.dropUnkept("did:plc:a", row(1).key), log.lastKey("did:plc:a")]).toEqual([2, row(10).key]);
  expect(() => log.append([row(7)])).toThrow("not above");
  await log.close();
});

test("EventLog.open() takes over a log from before rows had keys, all of it as published", async () => {
  await using folder = new Fixture();
  const path = folder.file("events.sqlite");
  const old = openSqlite(path, { create: true });
  old.run(`CREATE TABLE event (seq INTEGER PRIMARY KEY, did TEXT NOT NULL, kind TEXT NOT NULL, at INTEGER NOT NULL, frame BLOB NOT NULL);
    CREATE TABLE last_key (did TEXT PRIMARY KEY, key TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE high_water (id INTEGER PRIMARY KEY CHECK (id = 1), seq INTEGER NOT NULL, pruned_up_to INTEGER NOT NULL);
    INSERT INTO high_water VALUES (1, 6, 2);
    INSERT INTO event VALUES (5, 'did:plc:a', 'commit', 50, x'05');
    INSERT INTO last_key VALUES ('did:plc:a', '3x');
    PRAGMA user_version = 1`);
  old.close();
  const log = await open(folder);
  expect(log.dropUnkept("did:plc:a", "3a")).toBe(0);
  log.append([row(7, { key: "3y" })]);
  expect(log.dropUnkept("did:plc:a", "3x")).toBe(1);
  expect([log.lastSeq(), log.lastKey("did:plc:a"), log.prunedUpTo()]).toEqual([5, "3x", 2]);
  await log.close();
});

test("EventLog.restoreMarks() and beginAfter() count what there is as published: none of it is dropped", async () => {
  await using folder = new Fixture();
  const log = await open(folder);
  log.beginAfter(3);
  expect([log.highWater(), log.prunedUpTo()]).toEqual([3, 3]);
  expect(() => log.append([row(3)])).toThrow("not above");
  log.append([row(4), row(5)]);
  log.restoreMarks({
    prunedUpTo: 2,
    lastKeys: [
      ["did:plc:a", row(4).key],
      ["did:plc:c", "3c"],
    ],
  });
  expect([log.prunedUpTo(), log.lastKey("did:plc:a"), log.lastKey("did:plc:c")]).toEqual([
    3,
    row(5).key,
    "3c",
  ]);
  expect(log.dropUnkept("did:plc:a", "")).toBe(0);
  log.append([row(6)]);
  expect(log.dropUnkept("did:plc:a", "")).toBe(1);
  await log.close();
});

test("EventLog.prune() leaves events that are held, until they are too old for that too", async () => {
  await using folder = new Fixture();
  const log = await open(folder);
  log.append([1, 2, 3, 4].map((seq) => row(seq, { at: seq * 10 })));
  const prune = (held: { seq: number; notBefore: number }) =>
    log.prune({ before: 40, publishedUpTo: 4, rowsMax: 9, bytesMax: 1_000, held });
  expect(prune({ seq: 0, notBefore: 10 })).toEqual({ removed: 0, upTo: 0, isHeld: true, isMore: false });
  expect(prune({ seq: 0, notBefore: 11 })).toEqual({ removed: 1, upTo: 1, isHeld: true, isMore: false });
  expect(prune({ seq: 2, notBefore: 0 })).toMatchObject({ removed: 1, isHeld: true });
  expect([log.firstSeq(), log.prunedUpTo()]).toEqual([3, 2]);
  expect(prune({ seq: 9, notBefore: 0 })).toMatchObject({ removed: 1, isHeld: false });
  expect(log.firstSeq()).toBe(4);
  await log.close();
});

test("EventLog.prune() never takes what was not published, and is bounded by bytes, but takes one row whatever its size", async () => {
  await using folder = new Fixture();
  const log = await open(folder);
  log.append([1, 2, 3, 4, 5].map((seq) => row(seq, { frame: new Uint8Array(1_000) })));
  const prune = (publishedUpTo: number, bytesMax: number) =>
    log.prune({ before: Number.MAX_SAFE_INTEGER, publishedUpTo, rowsMax: 100, bytesMax });
  expect(prune(0, 1e6)).toEqual({ removed: 0, upTo: 0, isHeld: false, isMore: false });
  expect(prune(4, 1)).toEqual({ removed: 1, upTo: 1, isHeld: false, isMore: true });
  expect(prune(4, 2_500)).toEqual({ removed: 2, upTo: 3, isHeld: false, isMore: true });
  expect(prune(4, 1e6)).toEqual({ removed: 1, upTo: 4, isHeld: false, isMore: false });
  expect([log.firstSeq(), log.prunedUpTo()]).toEqual([5, 4]);
  await log.close();
});

test("EventLog.open() finds after SIGKILL what was appended", async () => {
  await using folder = new Fixture();
  const script = `
    const { EventLog, Maintenance } = await import(${JSON.stringify(join(import.meta.dir, "mod.ts"))});
    const onFatal = (error) => { console.error(error); process.exit(1); };
    const maintenance = Maintenance.start({ onFatal });
    const log = await EventLog.open(${JSON.stringify(folder.file("events.sqlite"))}, { maintenance, onFatal });
    log.append([{ seq: 7, did: "did:plc:a", key: "3a", kind: "commit", at: 1, frame: Uint8Array.of(9) }]);
    await log.durable();
    process.kill(process.pid, "SIGKILL");
  `;
  expect(Bun.spawnSync(["bun", "-e", script], { stderr: "pipe" }).stderr.toString()).toBe("");
  const log = await open(folder);
  expect(log.read({ after: 0, upTo: 9, rowsMax: 9, bytesMax: 9 })).toEqual([
    { seq: 7, frame: Uint8Array.of(9) },
  ]);
  expect([log.highWater(), log.lastKey("did:plc:a")]).toEqual([7, "3a"]);
  await log.close();
});
