import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { statSync, utimesSync, writeFileSync } from "node:fs";
import { all, BackupFixture, emptySnapshot } from "./_fixture.ts";
import type { FileEntry } from "./manifest.ts";
import { writeEntry } from "./manifest.ts";
import { objectName, type Repository } from "./repository.ts";
import { type DatedSnapshot, expired, type KeepRules, prune } from "./retention.ts";

const DAY_MS = 86_400_000;
const HOUR_MS = 3_600_000;
const NONE: KeepRules = { days: 0, weeks: 0, months: 0, logDays: 0 };

/** In the order in which they were taken: a name is never before that of one before. */
const keptOf = (days: readonly string[], keep: Partial<KeepRules>): string[] => {
  let last = 0;
  const snapshots = days.map((day): DatedSnapshot => {
    const takenAt = Date.parse(day);
    last = Math.max(takenAt, last + 1);
    return { name: `snapshots/${day}`, at: last, takenAt, stored: 1 };
  });
  const gone = expired(snapshots, { ...NONE, ...keep });
  return snapshots.filter((snapshot) => !gone.includes(snapshot)).map(({ name }) => name.slice(10));
};

test.each<[title: string, days: string[], keep: Partial<KeepRules>, kept: string[]]>([
  ["nothing of nothing", [], { days: 7 }, []],
  ["the newest always", ["2026-01-01", "2026-01-02"], {}, ["2026-01-02"]],
  [
    "all of the newest day",
    ["2026-01-01T22:00Z", "2026-01-02T01:00Z", "2026-01-02T09:00Z"],
    {},
    ["2026-01-02T01:00Z", "2026-01-02T09:00Z"],
  ],
  [
    "the newest of each day",
    ["2026-01-01T01:00Z", "2026-01-01T22:00Z", "2026-01-02T01:00Z"],
    { days: 2 },
    ["2026-01-01T22:00Z", "2026-01-02T01:00Z"],
  ],
  [
    "days that have one, however far apart",
    ["2025-01-01", "2025-06-01", "2026-01-01"],
    { days: 2 },
    ["2025-06-01", "2026-01-01"],
  ],
  [
    "the newest of each week, which begins on Monday",
    ["2026-01-04", "2026-01-05", "2026-01-11", "2026-01-12"],
    { weeks: 3 },
    ["2026-01-04", "2026-01-11", "2026-01-12"],
  ],
  [
    "the newest of each month",
    ["2025-11-30", "2025-12-01", "2025-12-31", "2026-01-01"],
    { months: 3 },
    ["2025-11-30", "2025-12-31", "2026-01-01"],
  ],
  [
    "others too where the clock was years ahead once",
    ["2026-01-01", "2026-01-02", "2036-01-01"],
    { days: 3 },
    ["2026-01-01", "2026-01-02", "2036-01-01"],
  ],
  [
    "the days after a clock that was a year ahead, and what it took as one of them",
    ["2026-01-01", "2026-01-02", "2027-01-03", "2026-01-04", "2026-01-05T01:00Z", "2026-01-05T02:00Z"],
    { days: 4 },
    ["2026-01-02", "2027-01-03", "2026-01-04", "2026-01-05T01:00Z", "2026-01-05T02:00Z"],
  ],
])("expired() keeps %s", (_title, days, keep, kept) => {
  expect(keptOf(days, keep)).toEqual(kept);
});

/** A snapshot of one file, with an object of its own. */
async function snapshotAt(repository: Repository, startedAt: number): Promise<{ name: string; id: string }> {
  const bytes = randomBytes(500);
  const chunk = await repository.putObject(repository.objectId(bytes), bytes);
  const file: FileEntry = {
    path: "accounts.sqlite",
    kind: "accounts",
    size: 500,
    sha256: "0".repeat(64),
    chunks: [chunk],
  };
  const lines = Buffer.from(`${writeEntry(file)}\n`);
  const part = await repository.putObject(repository.objectId(lines), lines);
  const manifest = emptySnapshot(startedAt, { chunks: [part], count: 1 });
  await repository.putManifest(manifest);
  return { name: manifest.name, id: chunk.id };
}

/** As if they had been written long ago. */
async function age(fixture: BackupFixture, repository: Repository, ms: number): Promise<void> {
  for await (const { name } of repository.objects()) {
    const { mtimeMs } = statSync(fixture.file(name));
    utimesSync(fixture.file(name), (mtimeMs - ms) / 1000, (mtimeMs - ms) / 1000);
  }
}

const NOW = Date.now();
const HELD = { assertHeld: () => {}, now: () => Date.now() };

test("prune() removes old snapshots with what they alone need, and nothing of the others", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const old = await snapshotAt(repository, NOW - 3 * DAY_MS);
  const kept = await snapshotAt(repository, NOW);
  await age(fixture, repository, 2 * HOUR_MS);
  const young = randomBytes(99);
  await repository.putObject(repository.objectId(young), young);
  const pruned = await prune(repository, { keep: NONE, ...HELD });
  expect(pruned).toMatchObject({ snapshots: 1, objects: 2, left: undefined });
  expect((await repository.snapshots()).map(({ name }) => name)).toEqual([kept.name]);
  const ids = (await all(repository.objects())).map(({ id }) => id);
  expect([ids.includes(old.id), ids.includes(kept.id), ids.length]).toEqual([false, true, 3]);
});

test("prune() leaves objects alone where nobody knows what a damaged snapshot needs", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  await snapshotAt(repository, NOW - 3 * DAY_MS);
  const damaged = await snapshotAt(repository, NOW - DAY_MS);
  await snapshotAt(repository, NOW);
  await age(fixture, repository, 2 * HOUR_MS);
  writeFileSync(fixture.file(damaged.name), "nothing of ours");
  const pruned = await prune(repository, { keep: { ...NONE, days: 2 }, ...HELD });
  expect(pruned).toMatchObject({ snapshots: 1, objects: 0 });
  expect(pruned.left).toContain(damaged.name);
  expect((await all(repository.objects())).length).toBe(6);
});

test("prune() removes nothing once the lock may be another's", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  await snapshotAt(repository, NOW - 3 * DAY_MS);
  await snapshotAt(repository, NOW);
  const assertHeld = () => {
    throw new Error("lost");
  };
  const pruned = prune(repository, { keep: NONE, ...HELD, assertHeld });
  expect(pruned).rejects.toThrow("lost");
  await pruned.catch(() => {});
  expect((await repository.snapshots()).length).toBe(2);
});

test("prune() keeps the log that the two newest snapshots need, and the rest for its days", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const shippedAt = new Date().toISOString();
  const name = async (after: number, last: number) =>
    (await repository.putSegment({ after, last, shippedAt, events: [] })).name;
  const names = [await name(0, 10), await name(10, 20), await name(20, 30)];
  await repository.putManifest(emptySnapshot(NOW - DAY_MS, { chunks: [], count: 0 }, { prunedUpTo: 15 }));
  await repository.putManifest(emptySnapshot(NOW, { chunks: [], count: 0 }, { prunedUpTo: 25 }));
  const left = async () => (await repository.segments()).map((segment) => segment.name);
  await prune(repository, { keep: { ...NONE, days: 9, logDays: 30 }, ...HELD });
  expect(await left()).toEqual(names);
  const later = () => Date.now() + 31 * DAY_MS;
  await prune(repository, { keep: { ...NONE, days: 9, logDays: 30 }, ...HELD, now: later });
  expect(await left()).toEqual(names.slice(1));
  expect(objectName("ab".repeat(32))).toStartWith("objects/ab/");
});
