import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import type { LoggedEvent } from "../storage/mod.ts";
import { BackupFixture } from "./_fixture.ts";
import { RestoredFixture } from "./_restored_fixture.ts";
import type { Repository } from "./repository.ts";
import { type RestoreLogOptions, readLastKeys, restoreLog } from "./restore_log.ts";

const [A, B] = ["did:plc:a", "did:plc:b"];

function event(seq: number, did = A): LoggedEvent {
  return { seq, did, kind: "commit", at: seq * 10, frame: Buffer.from(`frame ${seq}`) };
}

async function ship(repository: Repository, after: number, events: readonly LoggedEvent[]): Promise<string> {
  const last = events.at(-1)?.seq ?? after;
  return (await repository.putSegment({ after, last, shippedAt: "2026-01-31T00:00:00Z", events })).name;
}

async function scene(
  use: (
    parts: BackupFixture & { repository: Repository; restored: RestoredFixture },
    run: (more?: Partial<RestoreLogOptions>) => ReturnType<typeof restoreLog>,
  ) => Promise<void>,
): Promise<void> {
  using fixture = new BackupFixture();
  await using restored = await RestoredFixture.open();
  const repository = await fixture.create();
  const run = (more: Partial<RestoreLogOptions> = {}) =>
    restoreLog({
      ...{ repository, log: restored.stores.log, state: restored.state },
      ...{ prunedUpTo: 0, from: 2, upTo: undefined, end: 1e9, shippedUpTo: 0, isPartial: false },
      ...more,
    });
  await use(Object.assign(fixture, { repository, restored }), run);
}

test("restoreLog() makes the log anew, and sorts what is newer than the snapshot by account; repeatedly", async () => {
  await scene(async ({ repository, restored }, run) => {
    await ship(repository, 0, [event(1), event(2, B)]);
    await ship(repository, 2, [event(5), event(6, B)]);
    // A segment that was joined with others before they were removed.
    await ship(repository, 0, [event(1), event(2, B), event(5), event(6, B), event(9)]);
    for (const _ of [1, 2]) {
      const found = await run();
      expect(found).toEqual({ lastSeq: 9, lastAt: 90, gaps: [], begins: 0, problems: [] });
      const { log } = restored.stores;
      const frames = log.read({ after: 0, upTo: 99, rowsMax: 99, bytesMax: 1e6 });
      expect(frames.map(({ seq, frame }) => [seq, Buffer.from(frame).toString()])).toEqual(
        [1, 2, 5, 6, 9].map((seq) => [seq, `frame ${seq}`]),
      );
      expect([...restored.state.eventsOf(A)].map(({ seq }) => seq)).toEqual([5, 9]);
      expect([...restored.state.eventsOf(B)].map(({ seq }) => seq)).toEqual([6]);
      // Lower than any that a server gives.
      expect((log.lastKey(A) ?? "") < "2222222222zzz").toBe(true);
    }
    restored.stores.log.restoreMarks({
      prunedUpTo: 0,
      lastKeys: [
        [A, "3kaaaaaaaaaaa"],
        [B, ""],
      ],
    });
    expect(restored.stores.log.lastKey(A)).toBe("3kaaaaaaaaaaa");
    expect(restored.stores.log.lastKey(B)).not.toBe("");
  });
});

test("restoreLog() ends where the plan does, whatever is shipped meanwhile, also in the midst of what was joined", async () => {
  await scene(async ({ repository, restored }, run) => {
    await ship(repository, 0, [event(1), event(3), event(5), event(7)]);
    await ship(repository, 7, [event(8, B)]);
    expect(await run({ end: 5 })).toEqual({ lastSeq: 5, lastAt: 50, gaps: [], begins: 0, problems: [] });
    expect(restored.stores.log.lastSeq()).toBe(5);
    expect([...restored.state.eventsOf(A)].map(({ seq }) => seq)).toEqual([3, 5]);
    expect([...restored.state.eventsOf(B)]).toEqual([]);
  });
});

test("restoreLog() tells which events are missing, but not of those from before the snapshot", async () => {
  await scene(async ({ repository }, run) => {
    await ship(repository, 4, [event(5), event(6)]);
    await ship(repository, 8, [event(9)]);
    const found = await run({ from: 6 });
    expect([found.gaps, found.begins]).toEqual([[[6, 8]], 4]);
    expect((await run({ from: 3 })).gaps).toEqual([
      [3, 4],
      [6, 8],
    ]);
  });
});

test("restoreLog() tells of events that the snapshot's log had and that are gone from the backup", async () => {
  await scene(async ({ repository }, run) => {
    const none = { lastSeq: 0, lastAt: 0, problems: [] };
    expect(await run({ shippedUpTo: 7 })).toEqual({ ...none, gaps: [[0, 7]], begins: 7 });
    expect(await run({ shippedUpTo: 7, prunedUpTo: 7 })).toEqual({ ...none, gaps: [], begins: 7 });
    expect(await run({ shippedUpTo: 7, end: 5 })).toEqual({ ...none, gaps: [[0, 5]], begins: 5 });
    await ship(repository, 0, [event(1), event(2, B)]);
    expect(await run({ shippedUpTo: 7 })).toMatchObject({ lastSeq: 2, gaps: [[2, 7]], begins: 0 });
    await ship(repository, 2, [event(7)]);
    expect(await run({ shippedUpTo: 7 })).toMatchObject({ lastSeq: 7, gaps: [] });
  });
});

test("restoreLog() ends the log at the snapshot where repos are not rolled forward, and sorts the rest all the same", async () => {
  await scene(async ({ repository, restored }, run) => {
    await ship(repository, 0, [event(1), event(2), event(5)]);
    await run({ upTo: 2 });
    expect(restored.stores.log.lastSeq()).toBe(2);
    expect([...restored.state.eventsOf(A)].map(({ seq }) => seq)).toEqual([5]);
  });
});

test("restoreLog() refuses a damaged segment, or passes it over where it may", async () => {
  await scene(async (parts, run) => {
    const { repository } = parts;
    await ship(repository, 0, [event(1), event(2)]);
    const bad = await ship(repository, 2, [event(5)]);
    await Bun.write(parts.file(bad), "KBK1 and nothing that opens");
    await ship(repository, 5, [event(9)]);
    expect(run()).rejects.toThrow(bad);
    const found = await run({ isPartial: true });
    expect([found.lastSeq, found.problems.length, found.gaps]).toEqual([9, 1, [[2, 5]]]);
  });
});

test("restoreLog() looks again where segments were joined meanwhile", async () => {
  await scene(async (parts, run) => {
    const { repository } = parts;
    const first = await ship(repository, 0, [event(1)]);
    const second = await ship(repository, 1, [event(3)]);
    const listed = await repository.segments();
    const asked = Object.create(repository, {
      segments: {
        value: async () => {
          if (listed.length === 0) return await repository.segments();
          await ship(repository, 0, [event(1), event(3)]);
          for (const name of [first, second]) rmSync(parts.file(name));
          return listed.splice(0);
        },
      },
      segment: { value: (name: Parameters<Repository["segment"]>[0]) => repository.segment(name) },
    }) as Repository;
    expect((await run({ repository: asked })).lastSeq).toBe(3);
  });
});

test("readLastKeys() reads lines that come in pieces, and refuses what is none", async () => {
  async function* pieces(text: string): AsyncIterable<Uint8Array> {
    for (let at = 0; at < text.length; at += 7) yield Buffer.from(text.slice(at, at + 7));
  }
  const found: [string, string][] = [];
  for await (const pairs of readLastKeys(pieces('["did:plc:a","3k1"]\n["did:plc:b","3k2"]\n')))
    found.push(...pairs);
  expect(found).toEqual([
    ["did:plc:a", "3k1"],
    ["did:plc:b", "3k2"],
  ]);
  const bad = async () => {
    for await (const _ of readLastKeys(pieces('["did:plc:a"]\n'))) void _;
  };
  expect(bad()).rejects.toThrow("a line is not a pair");
});
