import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import type { LoggedEvent } from "../storage/mod.ts";
import { BackupFixture } from "./_fixture.ts";
import type { Repository } from "./repository.ts";
import { joinSegments, shipLog, shippedUpTo } from "./ship_log.ts";

/** An event log in memory, from which a retention can take. */
class FakeLog {
  readonly events: LoggedEvent[] = [];
  prunedUpTo = 0;
  /** Called between the reading of events and of the marks. */
  onRead: () => void = () => {};

  append(seq: number, bytes = 20): void {
    this.events.push({
      seq,
      did: "did:plc:alice",
      kind: "commit",
      at: seq,
      frame: new Uint8Array(randomBytes(bytes)),
    });
  }

  prune(upTo: number): void {
    this.prunedUpTo = upTo;
    this.events.splice(0, this.events.filter(({ seq }) => seq <= upTo).length);
  }

  read({
    after,
    upTo,
    rowsMax,
    bytesMax,
  }: {
    after: number;
    upTo: number;
    rowsMax: number;
    bytesMax: number;
  }) {
    const found: LoggedEvent[] = [];
    let bytes = 0;
    for (const event of this.events.filter(({ seq }) => seq > after && seq <= upTo).slice(0, rowsMax)) {
      bytes += event.frame.length;
      if (found.length > 0 && bytes > bytesMax) break;
      found.push(event);
    }
    this.onRead();
    return found;
  }

  marks() {
    const lastSeq = this.events.at(-1)?.seq ?? 0;
    return { prunedUpTo: this.prunedUpTo, lastSeq, highWater: Math.max(lastSeq, this.prunedUpTo) };
  }
}

const ship = (repository: Repository, log: FakeLog, range: { after: number; upTo: number }) =>
  shipLog({ repository, log, ...range, now: () => 1_000 });

async function seqsOf(repository: Repository): Promise<number[]> {
  const seqs: number[] = [];
  for (const segment of await repository.segments()) {
    const { events } = await repository.segment(segment);
    seqs.push(...events.map(({ seq }) => seq));
  }
  return seqs;
}

test("shipLog() ships what is new, whole, in bounded segments, and nothing twice", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const log = new FakeLog();
  for (const seq of [3, 5, 9]) log.append(seq, 3_000_000);
  expect(await ship(repository, log, { after: 0, upTo: 5 })).toEqual({
    last: 5,
    missedUpTo: undefined,
    events: 2,
  });
  expect(await ship(repository, log, { after: 5, upTo: 9 })).toEqual({
    last: 9,
    missedUpTo: undefined,
    events: 1,
  });
  expect(await ship(repository, log, { after: 9, upTo: 9 })).toEqual({
    last: 9,
    missedUpTo: undefined,
    events: 0,
  });
  const segments = await repository.segments();
  expect(segments.map(({ after, last }) => [after, last])).toEqual([
    [0, 3],
    [3, 5],
    [5, 9],
  ]);
  expect(await seqsOf(repository)).toEqual([3, 5, 9]);
});

test("shipLog() tells of events that were removed before they could be shipped, and leaves a gap that can be seen", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const log = new FakeLog();
  for (const seq of [1, 2, 3, 4]) log.append(seq);
  await ship(repository, log, { after: 0, upTo: 1 });
  // Between the reading and the asking.
  log.onRead = () => {
    log.onRead = () => {};
    log.prune(3);
  };
  expect(await ship(repository, log, { after: 1, upTo: 4 })).toEqual({ last: 4, missedUpTo: 3, events: 1 });
  expect((await repository.segments()).map(({ after, last }) => [after, last])).toEqual([
    [0, 1],
    [3, 4],
  ]);
  log.prune(4);
  expect(await ship(repository, log, { after: 4, upTo: 4 })).toMatchObject({
    last: 4,
    missedUpTo: undefined,
  });
});

test("shipLog() goes on past a log that retention has emptied", async () => {
  using fixture = new BackupFixture();
  const log = new FakeLog();
  log.append(7);
  log.prune(7);
  expect(await ship(await fixture.create(), log, { after: 2, upTo: 7 })).toMatchObject({
    last: 2,
    events: 0,
  });
});

test("shipLog() has what belongs to events there before them", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const log = new FakeLog();
  log.append(1);
  const seen: number[] = [];
  const before = async () => void seen.push((await repository.segments()).length);
  await shipLog({ repository, log, after: 0, upTo: 1, now: () => 0, before });
  expect([seen, (await repository.segments()).length]).toEqual([[0], 1]);
});

test("shippedUpTo() refuses a destination that is ahead of the server", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const log = new FakeLog();
  log.append(7);
  await ship(repository, log, { after: 0, upTo: 7 });
  const segments = await repository.segments();
  expect(shippedUpTo(segments, { where: "there", highWater: 7 })).toBe(7);
  expect(shippedUpTo([], { where: "there", highWater: 0 })).toBe(0);
  expect(() => shippedUpTo(segments, { where: "there", highWater: 6 })).toThrow("it has events up to 7");
});

test("joinSegments() joins the small ones that follow one another, and loses none", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const log = new FakeLog();
  for (let seq = 1; seq <= 40; seq++) log.append(seq);
  for (let seq = 1; seq <= 20; seq++) await ship(repository, log, { after: seq - 1, upTo: seq });
  log.prune(25);
  for (let seq = 26; seq <= 40; seq++) await ship(repository, log, { after: seq - 1, upTo: seq });
  const segments = await repository.segments();
  expect(await joinSegments(repository, { segments, now: () => 0 })).toBe(20);
  const joined = await repository.segments();
  expect(joined.slice(0, 2).map(({ after, last }) => [after, last])).toEqual([
    [0, 20],
    [25, 26],
  ]);
  expect(joined.length).toBe(16);
  expect(await seqsOf(repository)).toEqual([
    ...Array.from({ length: 20 }, (_, at) => at + 1),
    ...Array.from({ length: 15 }, (_, at) => at + 26),
  ]);
});
