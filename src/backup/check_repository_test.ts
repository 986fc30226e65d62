import { describe, expect, test } from "bun:test";
import { truncateSync } from "node:fs";
import { DataFolderFixture, FaultyDestination } from "./_data_folder_fixture.ts";
import { checkRepository, collectObjects } from "./check_repository.ts";
import type { Destination, StoredFile } from "./destination.ts";
import type { ChunkRef } from "./manifest.ts";
import { objectName, Repository } from "./repository.ts";

const ALICE = "did:plc:alice";

/** Does something once it has listed a folder for the first time, as a server may that writes there meanwhile. */
class BusyDestination extends FaultyDestination {
  readonly #after: string;
  #meanwhile: (() => Promise<unknown>) | undefined;

  constructor(inner: Destination, after: string, meanwhile: () => Promise<unknown>) {
    super(inner);
    this.#after = after;
    this.#meanwhile = meanwhile;
  }

  override async *list(folder: string): AsyncIterable<StoredFile> {
    yield* super.list(folder);
    if (folder !== this.#after) return;
    const meanwhile = this.#meanwhile;
    this.#meanwhile = undefined;
    await meanwhile?.();
  }
}

/** Two snapshots, of which the first needs objects that the second does not. */
async function twoSnapshots(): Promise<{ fixture: DataFolderFixture; repository: Repository }> {
  const fixture = await new DataFolderFixture().make();
  fixture.account(ALICE);
  fixture.event(5);
  const repository = await fixture.create();
  await fixture.run(repository);
  fixture.change(ALICE);
  fixture.event(6);
  await fixture.run(repository);
  return { fixture, repository };
}

async function objectsOf(repository: Repository, name: string): Promise<Map<string, ChunkRef>> {
  const needed = new Map<string, ChunkRef>();
  await collectObjects(repository, (await repository.snapshot(name)).files.chunks, needed);
  return needed;
}

/** Removes the first snapshot and what only it needs, as retention does. */
async function removeFirst(repository: Repository): Promise<void> {
  const [first, second] = await repository.snapshots();
  const gone = await objectsOf(repository, first?.name ?? "");
  for (const id of (await objectsOf(repository, second?.name ?? "")).keys()) gone.delete(id);
  expect(gone.size).toBeGreaterThan(0);
  await repository.destination.remove(first?.name ?? "");
  for (const id of gone.keys()) await repository.destination.remove(objectName(id));
}

describe("checkRepository() beside a server that backs up", () => {
  test.each([
    ["after the objects were listed", "objects/", 3],
    ["after the snapshots were listed", "snapshots/", 2],
  ])("does not miss what is written %s", async (_, after, snapshots) => {
    const { fixture, repository } = await twoSnapshots();
    using _fixture = fixture;
    const destination = new BusyDestination(fixture.destination, after, () => {
      fixture.change(ALICE);
      return fixture.run(repository);
    });
    const report = await checkRepository(await Repository.open(destination, fixture.key), { all: true });
    expect(report).toMatchObject({ problems: [], damaged: [], gaps: [], snapshots });
  });

  test.each([
    ["before the snapshot was read", "snapshots/", 1],
    ["after the snapshot was read", "increments/", 2],
  ])("does not miss what is removed %s", async (_, after, snapshots) => {
    const { fixture, repository } = await twoSnapshots();
    using _fixture = fixture;
    const destination = new BusyDestination(fixture.destination, after, () => removeFirst(repository));
    const report = await checkRepository(await Repository.open(destination, fixture.key), { all: true });
    expect(report).toMatchObject({ problems: [], damaged: [], gaps: [], snapshots });
  });

  test("does not miss a segment that is joined with others", async () => {
    const { fixture, repository } = await twoSnapshots();
    using _fixture = fixture;
    const [segment] = await repository.segments();
    const destination = new BusyDestination(fixture.destination, "log/", () =>
      fixture.destination.remove(segment?.name ?? ""),
    );
    const report = await checkRepository(await Repository.open(destination, fixture.key), { all: true });
    expect(report).toMatchObject({ problems: [], damaged: [], gaps: [] });
  });
});

test("checkRepository() tells what is gone from what is there and cannot be used", async () => {
  const { fixture, repository } = await twoSnapshots();
  using _fixture = fixture;
  const newest = (await repository.snapshots()).at(-1)?.name ?? "";
  const [one, other] = [...(await objectsOf(repository, newest)).values()].map(({ id }) => objectName(id));
  await fixture.destination.remove(one ?? "");
  truncateSync(fixture.file(other ?? ""), 20);
  for (const all of [true, false]) {
    const { problems, damaged } = await checkRepository(repository, { all });
    expect([problems.length, damaged]).toEqual([2, [other ?? ""]]);
    expect(problems).toContain(`Could not read "${one}" of the backup: it is not there`);
  }
});

test("checkRepository() tells of a segment that is gone, and not of events that the server itself had removed", async () => {
  const { fixture, repository } = await twoSnapshots();
  using _fixture = fixture;
  const segments = await repository.segments();
  expect(segments.length).toBe(2);
  const [first, second] = segments.map(({ name }) => name);
  const bytes = await fixture.destination.get(first ?? "");
  await fixture.destination.remove(first ?? "");
  const beginning = await checkRepository(repository, { all: true });
  expect(beginning).toMatchObject({
    gaps: [],
    problems: [expect.stringMatching(/Events after 0 up to 5 .*subscribers/)],
  });
  await fixture.destination.put(first ?? "", bytes ?? new Uint8Array());
  await fixture.destination.remove(second ?? "");
  const end = await checkRepository(repository, { all: true });
  expect(end).toMatchObject({ gaps: [], problems: [expect.stringMatching(/Events after 5 up to 6 /)] });
});
