import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { DataFolderFixture, FaultyDestination } from "./_data_folder_fixture.ts";
import { emptySnapshot } from "./_fixture.ts";
import { readRowsFile } from "./account_rows_file.ts";
import { isBackupDamage } from "./backup_error.ts";
import { LogShipper, type ShipStep } from "./log_shipper.ts";
import type { Missed } from "./missed.ts";
import { Repository } from "./repository.ts";

const DID = "did:plc:alice";

class Shipping extends DataFolderFixture {
  readonly faulty = new FaultyDestination(this.destination);

  async ship(
    step: Partial<ShipStep> & { upTo: number },
    missed: Missed = { blobs: [], accounts: [], repos: [] },
  ): Promise<number> {
    const repository = await Repository.open(this.faulty, this.key);
    const shipper = await LogShipper.open({
      repository,
      source: this.source,
      maker: { kith: "0.0.0", hostname: "pds.test", serviceDid: "did:web:pds.test" },
      now: Date.now,
      missed,
    });
    try {
      return (await shipper.step({ blobs: [], changed: [], repos: [], isStoreChanged: false, ...step })).last;
    } finally {
      shipper.close();
    }
  }

  /** Of each increment, what is in it, oldest first. */
  async shipped(): Promise<string[][]> {
    const repository = await Repository.open(this.destination, this.key);
    const found: string[][] = [];
    for (const { name } of await repository.increments()) {
      const kinds: string[] = [];
      for await (const entry of repository.files((await repository.increment(name)).files)) {
        if (entry.kind !== "rows") kinds.push(entry.kind);
        else for (const { did } of await readRowsFile(repository, entry)) kinds.push(`rows of ${did}`);
      }
      found.push(kinds);
    }
    return found;
  }

  async segments(): Promise<[after: number, last: number][]> {
    const repository = await Repository.open(this.destination, this.key);
    return (await repository.segments()).map(({ after, last }) => [after, last]);
  }
}

async function open(): Promise<Shipping> {
  const fixture = await new Shipping().make();
  await fixture.create();
  fixture.account(DID, 5);
  return fixture;
}

for (const fault of ["lost", "altered"] as const) {
  for (const folder of ["log/", "increments/", "objects/"]) {
    test(`step() counts nothing whose ${folder} the destination has ${fault}, and ships it with the next one`, async () => {
      using fixture = await open();
      fixture.event(1);
      fixture.faulty.fault = (_write, name) => (name.startsWith(folder) ? fault : "kept");
      const failed = await fixture.ship({ upTo: 1, changed: [DID] }).catch((error: unknown) => error);
      expect(isBackupDamage(failed)).toBe(true);
      // Nothing is left that could be taken for whole.
      const repository = await Repository.open(fixture.destination, fixture.key);
      for (const segment of await repository.segments()) await repository.segment(segment);
      for (const { name } of await repository.increments()) await repository.increment(name);
      expect(await fixture.segments()).toEqual([]);
      fixture.faulty.fault = () => "kept";
      expect(await fixture.ship({ upTo: 1, changed: [DID] })).toBe(1);
      expect(await fixture.segments()).toEqual([[0, 1]]);
      expect((await fixture.shipped()).flat()).toContain(`rows of ${DID}`);
    });
  }
}

test("step() ships what no event tells of the accounts that have changed, before the events", async () => {
  using fixture = await open();
  fixture.account("did:plc:bob", 5);
  fixture.event(1);
  await fixture.ship({ upTo: 1, changed: [DID, "did:plc:nobody"] });
  expect((await fixture.shipped())[0]).toEqual([
    "accounts",
    "secret",
    "secret",
    `rows of ${DID}`,
    "rows of did:plc:nobody",
  ]);
  // Dev mode's directory has what the account's DID leads to.
  fixture.directory();
  await fixture.ship({ upTo: 1, changed: [DID] });
  expect((await fixture.shipped()).at(-1)).toContain("directory");
  // Without its file, too.
  rmSync(fixture.repoPath(DID));
  await fixture.ship({ upTo: 1, changed: [DID] });
  expect((await fixture.shipped()).at(-1)).toContain(`rows of ${DID}`);
  rmSync(join(fixture.data, "repos"), { recursive: true });
});

test("step() ships the blobs that records refer to before their events, whether it is told of them or not", async () => {
  using fixture = await open();
  const cids = Array.from({ length: 3 }, () => fixture.blob(DID, randomBytes(100)));
  const kinds = async () => (await fixture.shipped()).flat().filter((kind) => kind === "blob").length;
  // The first snapshot will have those of before.
  fixture.eventWith(1, DID, cids);
  await fixture.ship({ upTo: 1 });
  expect(await kinds()).toBe(0);
  const repository = await Repository.open(fixture.destination, fixture.key);
  await repository.putManifest(emptySnapshot(Date.now(), { chunks: [], count: 0 }));
  fixture.eventWith(2, DID, cids);
  fixture.faulty.fault = (_write, name) => (name.startsWith("log/") ? "down" : "kept");
  await fixture.ship({ upTo: 2, blobs: [{ did: DID, cid: cids[0] ?? "" }] }).catch(() => {});
  expect(await fixture.segments()).toEqual([[0, 1]]);
  expect(await kinds()).toBe(3);
  fixture.faulty.fault = () => "kept";
  // One that is gone by now is the event of a later moment's.
  rmSync(fixture.blobPath(DID, cids[0] ?? ""));
  expect(await fixture.ship({ upTo: 2 })).toBe(2);
});

test("step() ships the whole file of accounts whose repos no event tells of, with what the accounts store has of them, and what a server before may have missed", async () => {
  using fixture = await open();
  fixture.account("did:plc:bob", 5);
  fixture.event(1);
  await fixture.ship({ upTo: 1 });
  const missed: Missed = { blobs: [], accounts: [], repos: ["did:plc:bob"] };
  expect(await fixture.ship({ upTo: 1, repos: [DID] }, missed)).toBe(1);
  const shipped = (await fixture.shipped()).slice(-2);
  expect(shipped.map((kinds) => [kinds[0], kinds.at(-1)])).toEqual([
    ["repo", `rows of ${DID}`],
    ["repo", "rows of did:plc:bob"],
  ]);
  expect(missed.repos).toEqual([]);
});

test("step() ships no event after the one that it is told to end with", async () => {
  using fixture = await open();
  for (const seq of [1, 2, 3]) fixture.event(seq);
  expect(await fixture.ship({ upTo: 3, logUpTo: 2 })).toBe(2);
  expect(await fixture.segments()).toEqual([[0, 2]]);
});
