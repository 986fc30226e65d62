import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isKithError } from "../errors.ts";
import { DataFolderFixture, FaultyDestination } from "./_data_folder_fixture.ts";
import { all, BackupFixture } from "./_fixture.ts";
import { BackupError } from "./backup_error.ts";
import { checkRepository } from "./check_repository.ts";
import type { FileEntry } from "./manifest.ts";
import { Repository } from "./repository.ts";
import { openWritable } from "./run_backup.ts";

const ALICE = "did:plc:alice";
const BOB = "did:plc:bob";

async function folder(): Promise<DataFolderFixture> {
  const fixture = await new DataFolderFixture().make();
  for (const did of [ALICE, BOB]) fixture.account(did);
  fixture.event(5);
  return fixture;
}

async function filesOf(repository: Repository, name: string): Promise<Map<string, FileEntry>> {
  const { files } = await repository.snapshot(name);
  return new Map((await all(repository.files(files))).map((file) => [file.path, file]));
}

async function assertWhole(repository: Repository): Promise<void> {
  const { problems, gaps } = await checkRepository(repository, { all: true });
  expect({ problems, gaps }).toEqual({ problems: [], gaps: [] });
}

describe("runBackup", () => {
  test("copies everything, and each file is what it was", async () => {
    using fixture = await folder();
    const bytes = randomBytes(3_000_000);
    const cid = fixture.blob(ALICE, bytes);
    const down = fixture.blob(BOB, randomBytes(100), true);
    const repository = await fixture.create();
    const phases: string[] = [];
    let copied = 0;
    const { manifest } = await fixture.run(repository, {
      onProgress: ({ phase }) => void phases.push(phase),
      onCopied: () => void copied++,
    });
    expect([...new Set(phases)]).toEqual(
      ["look", "log", "repos", "blobs", "verify", "prune"].toSpliced(3, 0, "accounts"),
    );
    expect(copied).toBe(1);
    expect(manifest.counts).toMatchObject({ accounts: 2, repos: 2, blobs: 2 });
    expect([manifest.log.lastSeq, manifest.problems]).toEqual([5, []]);
    const files = await filesOf(repository, manifest.name);
    expect([...files.values()].map(({ kind }) => kind)).toEqual([
      ...["event_keys", "repo", "repo", "accounts", "secret", "secret", "blob", "blob"],
    ] as FileEntry["kind"][]);
    const read = async (path: string) =>
      Buffer.concat(await all(repository.content(files.get(path) as FileEntry)));
    expect(Buffer.compare(await read(`blobs/did_plc_alice/${cid}`), bytes)).toBe(0);
    expect(files.get(`blobs/quarantine/did_plc_bob/${down}`)?.quarantined).toBe(true);
    expect((await read("master.key")).toString()).toBe(
      readFileSync(join(fixture.data, "master.key"), "utf8"),
    );
    expect((await read("events.keys")).toString()).toBe('["did:plc:alice","key1"]\n');
    await assertWhole(repository);
    expect(readdirSync(join(fixture.data, "tmp"))).toEqual([]);
    expect(await all(fixture.destination.list("locks/"))).toEqual([]);
  });

  test("ships, without a server, no event that its repo does not have: it was never published", async () => {
    using fixture = await folder();
    const repository = await fixture.create();
    const upTo = async () => (await fixture.run(repository)).manifest.log.lastSeq;
    fixture.event(6, ALICE, { published: false });
    fixture.event(7, BOB, { published: false });
    expect(await upTo()).toBe(5);
    fixture.lastTid(ALICE, "key2");
    expect(await upTo()).toBe(6);
    fixture.lastTid(BOB, "key3");
    expect(await upTo()).toBe(7);
    fixture.event(9, "did:plc:nobody", { published: false });
    expect(await upTo()).toBe(9);
  });

  test("ships no event before the blobs and rows that belong to it, so that one which is cut off harms no restore of the one before", async () => {
    using fixture = await folder();
    const destination = new FaultyDestination(fixture.destination);
    const repository = await Repository.create(destination, fixture.key, { hostname: "pds.test", now: 0 });
    await fixture.run(repository);
    expect(await repository.increments()).toEqual([]);
    const cid = fixture.blob(ALICE, randomBytes(100));
    fixture.eventWith(9, ALICE, [cid]);
    const written: string[] = [];
    destination.fault = (_, name) => {
      written.push(name.split("/")[0] ?? "");
      return name.startsWith("snapshots/") ? "down" : "kept";
    };
    expect(fixture.run(repository)).rejects.toThrow("Could not write");
    await fixture.run(repository).catch(() => {});
    expect((await repository.segments()).at(-1)?.last).toBe(9);
    expect(written.indexOf("increments")).toBeGreaterThan(0);
    expect(written.indexOf("increments")).toBeLessThan(written.indexOf("log"));
    const [increment] = await repository.increments();
    const { files } = await repository.increment(increment?.name ?? "");
    expect((await all(repository.files(files))).map((file) => file.cid)).toEqual([cid]);
  });

  test("writes nothing of what has not changed, and of a repo that has only that", async () => {
    using fixture = await folder();
    fixture.account("did:plc:carol", 20_000);
    fixture.blob(ALICE, randomBytes(100_000));
    const repository = await fixture.create();
    const first = await fixture.run(repository);
    const again = await fixture.run(repository);
    expect(again.manifest.counts.writtenObjects).toBe(0);
    fixture.change("did:plc:carol");
    const changed = await fixture.run(repository);
    expect(changed.manifest.counts.writtenBytes).toBeLessThan(first.manifest.counts.writtenBytes / 3);
    const [one, other] = [first, changed].map(({ manifest }) => filesOf(repository, manifest.name));
    const [before, after] = [await one, await other];
    const path = (did: string) => `repos/${fixture.repoPath(did).split("/repos/")[1]}`;
    expect(after?.get(path(ALICE))).toEqual(before?.get(path(ALICE)) as FileEntry);
    expect(after?.get(path("did:plc:carol"))?.sha256).not.toBe(before?.get(path("did:plc:carol"))?.sha256);
    await assertWhole(repository);
  });

  test("reads again what the destination has lost of an unchanged file", async () => {
    using fixture = await folder();
    const repository = await fixture.create();
    const { manifest } = await fixture.run(repository);
    const files = await filesOf(repository, manifest.name);
    const repo = [...files.values()].find(({ did }) => did === ALICE);
    await repository.destination.remove(`objects/${repo?.chunks[0]?.id.slice(0, 2)}/${repo?.chunks[0]?.id}`);
    expect((await checkRepository(repository, { all: false })).problems.length).toBe(1);
    await fixture.run(repository);
    await assertWhole(repository);
  });

  test("takes a damaged repo from the snapshot before, and says so", async () => {
    using fixture = await folder();
    const repository = await fixture.create();
    const first = await fixture.run(repository);
    writeFileSync(fixture.repoPath(ALICE), "no database".repeat(1_000));
    rmSync(fixture.repoPath(BOB));
    for (let round = 0; round < 2; round++) {
      const { manifest } = await fixture.run(repository);
      expect(manifest.problems.length).toBe(2);
      expect(manifest.problems.join()).toContain(ALICE);
      const files = await filesOf(repository, manifest.name);
      const stale = [...files.values()]
        .map(({ staleFrom }) => staleFrom)
        .filter((name) => name !== undefined);
      expect(stale).toEqual([first.manifest.name, first.manifest.name]);
    }
    await assertWhole(repository);
  });

  test("tells of a blob whose bytes are not those of its name, and copies it nevertheless", async () => {
    using fixture = await folder();
    const cid = fixture.blob(ALICE, randomBytes(100));
    writeFileSync(join(fixture.data, "blobs/did_plc_alice", cid), "other bytes");
    const repository = await fixture.create();
    const { manifest } = await fixture.run(repository);
    expect([manifest.counts.blobs, manifest.problems]).toEqual([
      1,
      [`The blob ${cid} of "${ALICE}" is damaged: its bytes have another hash`],
    ]);
  });

  test("leaves blobs out where it is told to", async () => {
    using fixture = await folder();
    fixture.blob(ALICE, randomBytes(100));
    const source = { ...fixture.source, blobs: undefined };
    const { manifest } = await fixture.run(await fixture.create(), { source });
    expect([manifest.hasBlobs, manifest.counts.blobs]).toEqual([false, 0]);
  });

  test("of two at once one is refused, and the other is whole", async () => {
    using fixture = await folder();
    const repository = await fixture.create();
    const outcomes = await Promise.allSettled([fixture.run(repository), fixture.run(repository)]);
    const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
    expect(refused.length).toBeGreaterThan(0);
    for (const error of refused) expect((error as BackupError).problem).toBe("locked");
    await fixture.run(repository);
    await assertWhole(repository);
  });
});

describe("a destination that fails", () => {
  test.each(["full", "down"] as const)(
    "%s at any write: the run fails, earlier snapshots are whole, and the next run writes the rest",
    async (fault) => {
      using fixture = await folder();
      fixture.blob(ALICE, randomBytes(2_500_000));
      const destination = new FaultyDestination(fixture.destination);
      const repository = await Repository.create(destination, fixture.key, { hostname: "pds.test", now: 0 });
      await fixture.run(repository);
      fixture.account("did:plc:carol");
      fixture.blob(ALICE, randomBytes(2_500_000));
      fixture.event(9);
      let snapshots = 1;
      for (let at = 1; ; at++) {
        const before = destination.writes;
        destination.fault = (write) => (write >= before + at ? fault : "kept");
        const failed = await fixture.run(repository).then(
          () => undefined,
          (error: unknown) => error,
        );
        const took = destination.writes - before;
        destination.fault = () => "kept";
        if (failed === undefined) {
          snapshots += 1;
          break;
        }
        expect(isKithError(failed, fault === "full" ? "storage_full" : "upstream_failure")).toBe(true);
        expect(took).toBeGreaterThanOrEqual(at);
        expect((await repository.snapshots()).length).toBe(snapshots);
        await assertWhole(repository);
      }
      const { manifest } = await fixture.run(repository);
      expect([manifest.counts.writtenObjects, manifest.counts.accounts]).toEqual([0, 3]);
      await assertWhole(repository);
    },
  );

  test.each(["lost", "altered"] as const)(
    "%s objects are found before the snapshot is visible, and the next run writes them",
    async (fault) => {
      using fixture = await folder();
      const destination = new FaultyDestination(fixture.destination);
      const repository = await Repository.create(destination, fixture.key, { hostname: "pds.test", now: 0 });
      const isObject = (name: string) => name.startsWith("objects/");
      let struck = 0;
      destination.fault = (_, name) => (isObject(name) && ++struck === 3 ? fault : "kept");
      const failed = await fixture.run(repository).catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(BackupError);
      expect((failed as BackupError).problem).toBe(fault === "lost" ? "missing" : "altered");
      expect(await repository.snapshots()).toEqual([]);
      await fixture.run(repository);
      await assertWhole(repository);
    },
  );

  test("an object that a run before has left cut off is found and written anew", async () => {
    using fixture = await folder();
    const repository = await fixture.create();
    const { manifest } = await fixture.run(repository);
    await repository.destination.remove(manifest.name);
    const [first] = await all(repository.objects());
    writeFileSync(
      fixture.file(first?.name ?? ""),
      readFileSync(fixture.file(first?.name ?? "")).subarray(0, 50),
    );
    expect(fixture.run(repository)).rejects.toThrow("The backup is not complete");
    await fixture.run(repository).catch(() => {});
    await fixture.run(repository);
    await assertWhole(repository);
  });

  test("a manifest that lies damaged does not keep the next snapshot from being taken", async () => {
    using fixture = await folder();
    const repository = await fixture.create();
    const { manifest } = await fixture.run(repository);
    writeFileSync(fixture.file(manifest.name), "{}");
    const next = await fixture.run(repository);
    expect(next.manifest.problems.length).toBe(1);
    expect((await repository.snapshot(next.manifest.name)).counts.repos).toBe(2);
  });
});

describe("openWritable", () => {
  const options = { hostname: "pds.test", now: 0 };

  test("begins a backup in an empty destination, and opens it afterwards", async () => {
    using fixture = new BackupFixture();
    const made = await openWritable(fixture.destination, fixture.key, options);
    const opened = await openWritable(fixture.destination, fixture.key, {
      ...options,
      knownId: made.identity.id,
    });
    expect(opened.identity).toEqual(made.identity);
  });

  test("refuses an empty destination where there was a backup: a disk that is not mounted", async () => {
    using fixture = new BackupFixture();
    mkdirSync(fixture.destination.where);
    const opened = openWritable(fixture.destination, fixture.key, { ...options, knownId: "before" });
    expect(opened).rejects.toThrow("is empty, though this server has backed up to it before");
    await opened.catch(() => {});
    expect(readdirSync(fixture.destination.where)).toEqual([]);
  });

  test("asks for the disk also where something was written below its place as it went", async () => {
    using fixture = new BackupFixture();
    await fixture.destination.put("objects/ab/one", Buffer.from("1"));
    const open = (knownId?: string) =>
      openWritable(fixture.destination, fixture.key, { ...options, knownId });
    await expect(open("before")).rejects.toThrow(
      expect.objectContaining({
        message: expect.stringMatching(
          /has "objects\/ab\/one" .*, though this server has backed up to it before/,
        ),
        hint: expect.stringContaining("Is the disk mounted"),
      }),
    );
    await expect(open()).rejects.toThrow(/has "objects\/ab\/one" and no "[^"]+"$/);
  });

  test("refuses another server's backup", async () => {
    using fixture = new BackupFixture();
    await fixture.create();
    const opened = openWritable(fixture.destination, fixture.key, { ...options, hostname: "other.test" });
    expect(opened).rejects.toThrow('it is the backup of "pds.test"');
    await opened.catch(() => {});
  });
});
