import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { RestoreState } from "../storage/mod.ts";
import { DataFolderFixture } from "./_data_folder_fixture.ts";
import { LogShipper } from "./log_shipper.ts";
import type { Repository } from "./repository.ts";
import { planRestore, SNAPSHOT_ORDER } from "./restore_plan.ts";
import { type RestoredRows, restoreRows } from "./restore_rows.ts";

const DID = "did:plc:alice";

class Fixture extends DataFolderFixture implements Disposable {
  repository!: Repository;
  readonly state = RestoreState.open(join(this.path, "restore.sqlite"));
  /** The accounts store as it was fetched. */
  readonly fetched = join(this.path, "fetched.sqlite");

  static async open(): Promise<Fixture> {
    const fixture = new Fixture();
    await fixture.make();
    fixture.repository = await fixture.create();
    fixture.account(DID, 5);
    await fixture.run(fixture.repository);
    copyFileSync(join(fixture.data, "accounts.sqlite"), fixture.fetched);
    fixture.state.noteFetched("accounts.sqlite", "of the snapshot");
    return fixture;
  }

  set(path: string, handle: string): void {
    const db = new Database(path);
    db.run("UPDATE account SET handle = ? WHERE did = ?", [handle, DID]);
    db.close();
  }

  handle(): string | undefined {
    const db = new Database(this.fetched);
    const row = db.query<{ handle: string }, [string]>("SELECT handle FROM account WHERE did = ?").get(DID);
    db.close();
    return row?.handle;
  }

  /** One step each: the first one of a shipper ships the accounts store too. */
  async ship(...handles: string[]): Promise<void> {
    const shipper = await LogShipper.open({
      repository: this.repository,
      source: this.source,
      maker: { kith: "0.0.0", hostname: "pds.test", serviceDid: "did:web:pds.test" },
      now: () => Date.now() + 20_000,
      missed: { blobs: [], accounts: [], repos: [] },
    });
    for (const handle of handles) {
      this.set(join(this.data, "accounts.sqlite"), handle);
      await shipper.step({ upTo: 0, blobs: [], changed: [DID], repos: [], isStoreChanged: false });
    }
    shipper.close();
  }

  async restore(): Promise<Map<string, RestoredRows>> {
    const plan = await planRestore(this.repository, { isRolledForward: true, isPartial: false });
    const { repository, state, fetched: accountsPath } = this;
    const refuse = (problem: string) => {
      throw new Error(problem);
    };
    const accountsOrder = plan.newer.get("accounts.sqlite")?.order ?? SNAPSHOT_ORDER;
    return await restoreRows({
      ...{ repository, plan, state, accountsPath, accountsOrder },
      ...{ isPartial: false, onProblem: refuse },
    });
  }

  override [Symbol.dispose](): void {
    this.state.close();
    super[Symbol.dispose]();
  }
}

test("restoreRows() puts the newest rows of an account into the store, and not again over what a restore made of them", async () => {
  using fixture = await Fixture.open();
  await fixture.ship("first.test", "second.test");
  const rows = await fixture.restore();
  expect([rows.get(DID)?.store.account?.[0]?.handle, fixture.handle()]).toEqual([
    "second.test",
    "second.test",
  ]);
  fixture.set(fixture.fetched, "of-the-restore.test");
  expect([...(await fixture.restore()).keys()]).toEqual([DID]);
  expect(fixture.handle()).toBe("of-the-restore.test");
  // Newer ones have come meanwhile.
  await fixture.ship("x.test", "third.test");
  await fixture.restore();
  expect(fixture.handle()).toBe("third.test");
});

test("restoreRows() puts them again where another accounts store was fetched, unless that is newer", async () => {
  using fixture = await Fixture.open();
  await fixture.ship("first.test", "second.test");
  await fixture.restore();
  fixture.set(fixture.fetched, "fetched.test");
  fixture.state.noteFetched("accounts.sqlite", "another one");
  await fixture.restore();
  expect(fixture.handle()).toBe("second.test");
  // A shipper begins with the whole store.
  const shipper = await LogShipper.open({
    repository: fixture.repository,
    source: fixture.source,
    maker: { kith: "0.0.0", hostname: "pds.test", serviceDid: "did:web:pds.test" },
    now: () => Date.now() + 30_000,
    missed: { blobs: [], accounts: [], repos: [] },
  });
  await shipper.step({ upTo: 0, blobs: [], changed: [], repos: [], isStoreChanged: false });
  shipper.close();
  fixture.set(fixture.fetched, "newer.test");
  fixture.state.noteFetched("accounts.sqlite", "the newest one");
  await fixture.restore();
  expect(fixture.handle()).toBe("newer.test");
});
