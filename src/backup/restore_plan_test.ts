import { expect, test } from "bun:test";
import { mkdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { RestoreState, repoFilePath } from "../storage/mod.ts";
import { DataFolderFixture } from "./_data_folder_fixture.ts";
import type { FileEntry } from "./manifest.ts";
import { objectName, type Repository } from "./repository.ts";
import { type Fetched, fetchFiles } from "./restore_files.ts";
import { plannedFiles, planRestore } from "./restore_plan.ts";

const DID = "did:plc:alice";
/** Each snapshot is of a day of its own: of several of one day none but the newest is kept once that is over. */
const DAY_MS = 86_400_000;

class Fixture extends DataFolderFixture {
  repository!: Repository;
  snapshots: string[] = [];

  /** Two snapshots; between them the repo changes, a blob comes, one is taken down, and an account is made. */
  static async open(): Promise<Fixture> {
    const fixture = new Fixture();
    await fixture.make();
    fixture.repository = await fixture.create();
    fixture.account(DID, 5);
    fixture.blob(DID, Buffer.from("of before"));
    await fixture.run(fixture.repository);
    fixture.change(DID);
    fixture.account("did:plc:young", 5);
    fixture.blob(DID, Buffer.from("of after"));
    fixture.blob(DID, Buffer.from("taken down"), true);
    await fixture.run(fixture.repository, { now: () => Date.now() + DAY_MS });
    fixture.snapshots = (await fixture.repository.snapshots()).map(({ name }) => name);
    return fixture;
  }

  async files(at: number): Promise<Map<string, FileEntry>> {
    const { files } = await this.repository.snapshot(this.snapshots[at] ?? "");
    const found = new Map<string, FileEntry>();
    for await (const entry of this.repository.files(files)) found.set(entry.path, entry);
    return found;
  }

  /** Everything of a file that the older snapshot does not have as well. */
  async damage(path: string): Promise<void> {
    const older = new Set(
      [...(await this.files(0)).values()].flatMap(({ chunks }) => chunks.map(({ id }) => id)),
    );
    const { chunks = [] } = (await this.files(1)).get(path) ?? {};
    const own = chunks.filter(({ id }) => !older.has(id));
    expect(own).not.toEqual([]);
    for (const { id } of own) truncateSync(this.file(objectName(id)), 10);
  }

  async fetch(isRolledForward: boolean): Promise<{ fetched: Fetched; taken: Map<string, string> }> {
    const { repository } = this;
    const plan = await planRestore(repository, { at: this.snapshots[0], isRolledForward, isPartial: false });
    const folder = join(this.path, "restored");
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder);
    const state = RestoreState.open(join(folder, "restore.sqlite"));
    try {
      const fetched = await fetchFiles(plannedFiles(repository, plan), {
        ...{ repository, state, folder, blobs: undefined, isPartial: false },
      });
      const paths = new Set([...(await this.files(0)).keys(), ...(await this.files(1)).keys()]);
      const taken = [...paths].flatMap((path): [string, string][] => {
        const sha256 = state.fetched(path);
        return sha256 === undefined ? [] : [[path, sha256]];
      });
      return { fetched, taken: new Map(taken) };
    } finally {
      state.close();
    }
  }
}

const hashes = (files: ReadonlyMap<string, FileEntry>) =>
  new Map([...files].map(([path, { sha256 }]) => [path, sha256]));

test("planRestore() takes from newer snapshots what they have beyond an older one that is rolled forward", async () => {
  using fixture = await Fixture.open();
  const [before, after] = [await fixture.files(0), await fixture.files(1)];
  const rolled = await fixture.fetch(true);
  expect(rolled.taken).toEqual(new Map([...hashes(before), ...hashes(after)]));
  expect([rolled.fetched.blobs, rolled.fetched.problems]).toEqual([3, []]);
  expect((await fixture.fetch(false)).taken).toEqual(hashes(before));
  const at = fixture.snapshots[0];
  const { repository } = fixture;
  const plan = await planRestore(repository, {
    at,
    ignoresNewer: true,
    isRolledForward: true,
    isPartial: false,
  });
  expect([plan.newer.size, plan.problems]).toEqual([0, []]);
});

test("planRestore() takes no file of a newer snapshot that could not be read then", async () => {
  using fixture = await Fixture.open();
  const { repository, snapshots } = fixture;
  const path = `repos/${repoFilePath(DID, fixture.generation(DID))}`;
  writeFileSync(join(fixture.data, path), "no database ".repeat(1_000));
  await fixture.run(repository, { now: () => Date.now() + 2 * DAY_MS });
  const [at, second, third] = (await repository.snapshots()).map(({ name }) => name);
  expect([at, second]).toEqual(snapshots);
  const stale = [];
  for await (const entry of repository.files((await repository.snapshot(third ?? "")).files))
    if (entry.staleFrom !== undefined) stale.push(entry.path);
  expect(stale).toEqual([path]);
  const { newer } = await planRestore(repository, { at, isRolledForward: true, isPartial: false });
  expect(newer.get(path)).toMatchObject({ newerSnapshot: second });
  expect(newer.get(path)?.entry.staleFrom).toBeUndefined();
});

test("planRestore() takes an older file where that of a newer snapshot is damaged, and says so", async () => {
  using fixture = await Fixture.open();
  const path = `repos/${repoFilePath(DID, fixture.generation(DID))}`;
  await fixture.damage(path);
  const { fetched, taken } = await fixture.fetch(true);
  expect(taken.get(path)).toBe((await fixture.files(0)).get(path)?.sha256);
  expect(fetched.repos.get(path)).toMatchObject({ isInstead: true, order: -1 });
  expect(fetched.problems).toEqual([expect.stringContaining(path)]);
});

test("planRestore() leaves out what is damaged and newer snapshots alone have, and a newer snapshot that cannot be read", async () => {
  using fixture = await Fixture.open();
  const young = `repos/${repoFilePath("did:plc:young", fixture.generation("did:plc:young"))}`;
  await fixture.damage(young);
  const { fetched, taken } = await fixture.fetch(true);
  expect([taken.has(young), fetched.problems.length]).toEqual([false, 1]);
  truncateSync(fixture.file(fixture.snapshots[1] ?? ""), 10);
  const options = { at: fixture.snapshots[0], isRolledForward: true, isPartial: false };
  const { newer, problems } = await planRestore(fixture.repository, options);
  expect([newer.size, problems]).toEqual([0, [expect.stringContaining(fixture.snapshots[1] ?? "")]]);
});
