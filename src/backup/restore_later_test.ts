import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { copyFileSync, mkdirSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { DataFolderFixture } from "./_data_folder_fixture.ts";
import { LogShipper } from "./log_shipper.ts";
import type { FileEntry } from "./manifest.ts";
import { objectName, type Repository } from "./repository.ts";
import { readLater } from "./restore_later.ts";
import { planRestore } from "./restore_plan.ts";
import type { RestoredRows } from "./restore_rows.ts";

const [ALICE, BOB, YOUNG] = ["did:plc:alice", "did:plc:bob", "did:plc:young"] as const;

class Fixture extends DataFolderFixture {
  repository!: Repository;
  snapshot = "";
  /** The accounts store of the snapshot. */
  readonly fetched = join(this.path, "fetched.sqlite");
  #ahead = 10_000;

  /** With a snapshot of two accounts. */
  static async open(): Promise<Fixture> {
    const fixture = new Fixture();
    await fixture.make();
    fixture.repository = await fixture.create();
    for (const did of [ALICE, BOB]) {
      fixture.account(did, 5);
      fixture.on(fixture.repoPath(did), "CREATE TABLE record_takedown (rkey TEXT, ref TEXT)");
    }
    await fixture.back();
    fixture.snapshot = (await fixture.repository.snapshots()).at(-1)?.name ?? "";
    copyFileSync(join(fixture.data, "accounts.sqlite"), fixture.fetched);
    mkdirSync(join(fixture.path, "looked-into"));
    return fixture;
  }

  on(path: string, ...statements: string[]): void {
    const db = new Database(path);
    for (const sql of statements) db.run(sql);
    db.close();
  }

  inStore(...statements: string[]): void {
    this.on(join(this.data, "accounts.sqlite"), ...statements);
  }

  async back(): Promise<void> {
    this.#ahead += 10_000;
    await this.run(this.repository, { now: () => Date.now() + this.#ahead });
  }

  async ship(...changed: string[]): Promise<void> {
    this.#ahead += 10_000;
    const shipper = await LogShipper.open({
      repository: this.repository,
      source: this.source,
      maker: { kith: "0.0.0", hostname: "pds.test", serviceDid: "did:web:pds.test" },
      now: () => Date.now() + this.#ahead,
      missed: { blobs: [], accounts: [], repos: [] },
    });
    await shipper.step({ upTo: 0, blobs: [], changed, repos: [], isStoreChanged: false });
    shipper.close();
  }

  /** What of this file only it has goes from the destination: the rest is in an increment before. */
  async spoil({ chunks }: FileEntry): Promise<void> {
    const increments = await this.repository.increments();
    const others = new Set<string>();
    for (const { name } of increments.slice(0, -1))
      for await (const entry of this.repository.files((await this.repository.increment(name)).files))
        for (const { id } of entry.chunks) others.add(id);
    const own = chunks.filter(({ id }) => !others.has(id));
    expect(own).not.toEqual([]);
    for (const { id } of own) truncateSync(this.file(objectName(id)), 10);
  }

  async read(): Promise<{ rows: Map<string, RestoredRows>; notes: string[] }> {
    const { repository, snapshot: at, fetched: accountsPath } = this;
    const plan = await planRestore(repository, { at, isRolledForward: false, isPartial: false });
    const notes: string[] = [];
    const rows = await readLater({
      ...{ repository, plan, accountsPath, repos: new Map() },
      tmp: join(this.path, "looked-into"),
      onNote: (note) => notes.push(note),
    });
    return { rows, notes };
  }
}

const account = (rows: ReadonlyMap<string, RestoredRows>, did: string) => rows.get(did)?.store.account?.[0];

async function happen(fixture: Fixture): Promise<void> {
  fixture.on(fixture.repoPath(ALICE), "INSERT INTO record_takedown VALUES ('a', 'late')");
  fixture.inStore(
    `UPDATE account SET password_hash = 'new', generation = 77, signing_key = x'07' WHERE did = '${ALICE}'`,
    `UPDATE account SET state = 'deleted', handle = NULL WHERE did = '${BOB}'`,
  );
  fixture.account(YOUNG, 5);
}

test.each(["a newer snapshot", "increments"])(
  "readLater() has from %s what holds, and leaves what belongs to the repo of before",
  async (where) => {
    using fixture = await Fixture.open();
    const generation = fixture.generation(ALICE);
    if (where === "increments") {
      fixture.on(fixture.repoPath(ALICE), "INSERT INTO record_takedown VALUES ('a', 'late')");
      await fixture.ship(ALICE);
    }
    await happen(fixture);
    // A file that the account has no more is in no newer snapshot.
    if (where !== "increments")
      fixture.inStore(`UPDATE account SET generation = ${generation} WHERE did = '${ALICE}'`);
    if (where === "increments") await fixture.ship();
    else await fixture.back();
    const { rows, notes } = await fixture.read();
    expect(account(rows, ALICE)).toMatchObject({ password_hash: "new", signing_key: null, generation });
    expect(rows.get(ALICE)?.quiet?.record_takedown).toEqual([{ rkey: "a", ref: "late" }]);
    expect(account(rows, BOB)?.state).toBe("deleted");
    expect(rows.has(YOUNG)).toBe(false);
    expect(notes).toEqual([expect.stringContaining(YOUNG)]);
  },
);

test("readLater() says so where the newest is damaged, and takes what is older", async () => {
  using fixture = await Fixture.open();
  fixture.inStore(`UPDATE account SET password_hash = 'first' WHERE did = '${ALICE}'`);
  await fixture.ship();
  fixture.inStore(`UPDATE account SET password_hash = 'second' WHERE did = '${ALICE}'`);
  await fixture.ship();
  const newest = (await fixture.repository.increments()).at(-1)?.name ?? "";
  for await (const entry of fixture.repository.files((await fixture.repository.increment(newest)).files)) {
    if (entry.kind === "accounts") await fixture.spoil(entry);
  }
  const { rows, notes } = await fixture.read();
  expect([account(rows, ALICE)?.password_hash, notes]).toEqual([
    "first",
    [expect.stringContaining("accounts.sqlite")],
  ]);
});

test("readLater() leaves an account as it was that a later store has lost: who has ended keeps a row there", async () => {
  using fixture = await Fixture.open();
  fixture.on(fixture.repoPath(ALICE), "INSERT INTO record_takedown VALUES ('a', 'late')");
  fixture.inStore(`DELETE FROM account WHERE did = '${ALICE}'`);
  await fixture.ship(ALICE);
  const { rows } = await fixture.read();
  expect(account(rows, ALICE)).toMatchObject({ did: ALICE });
});
