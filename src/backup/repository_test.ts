import { describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { all, BackupFixture } from "./_fixture.ts";
import { BackupError, type BackupProblem } from "./backup_error.ts";
import { BackupKey, newBackupKey } from "./backup_key.ts";
import { FolderDestination } from "./folder_destination.ts";
import { type SegmentName, segmentName } from "./log_segments.ts";
import { type FileEntry, type SnapshotManifest, writeEntry } from "./manifest.ts";
import {
  IDENTITY_FILE,
  INCREMENTS_FOLDER,
  manifestName,
  objectName,
  Repository,
  SNAPSHOTS_FOLDER,
} from "./repository.ts";

async function problemOf(run: () => Promise<unknown>): Promise<BackupProblem | undefined> {
  try {
    await run();
  } catch (error) {
    if (error instanceof BackupError) return error.problem;
    throw error;
  }
  return undefined;
}

/** A snapshot of one file of two pieces. */
async function snapshotOf(repository: Repository): Promise<{ manifest: SnapshotManifest; file: FileEntry }> {
  const pieces = [Buffer.from("a".repeat(5_000)), randomBytes(3_000)];
  const chunks = [];
  for (const piece of pieces) chunks.push(await repository.putObject(repository.objectId(piece), piece));
  const file: FileEntry = {
    path: "repos/ab/did_plc_alice.1.sqlite",
    kind: "repo",
    size: 8_000,
    sha256: createHash("sha256").update(Buffer.concat(pieces)).digest("hex"),
    chunks,
    did: "did:plc:alice",
    generation: 1,
  };
  const table = Buffer.from(`${writeEntry(file)}\n`);
  const part = await repository.putObject(repository.objectId(table), table);
  const now = Date.now();
  const manifest: SnapshotManifest = {
    name: manifestName(SNAPSHOTS_FOLDER, now),
    startedAt: new Date(now).toISOString(),
    endedAt: new Date().toISOString(),
    kith: "0.0.0",
    hostname: "pds.test",
    serviceDid: "did:web:pds.test",
    log: { prunedUpTo: 0, lastSeq: 7, highWater: 9 },
    files: { chunks: [part], count: 1 },
    counts: { accounts: 1, repos: 1, blobs: 0, bytes: 8_000, writtenBytes: 8_000, writtenObjects: 3 },
    blobStore: "folder",
    hasBlobs: true,
    problems: [],
  };
  await repository.putManifest(manifest);
  return { manifest, file };
}

describe("Repository", () => {
  test("gives back what was put into it, also when opened again", async () => {
    using fixture = new BackupFixture();
    const { manifest, file } = await snapshotOf(await fixture.create());
    const again = await Repository.open(fixture.destination, BackupKey.parse(fixture.keyText));
    const [listed] = await again.snapshots();
    expect(listed?.name).toBe(manifest.name);
    expect(listed?.at).toBeCloseTo(Date.parse(manifest.startedAt), -3);
    const read = await again.snapshot(listed?.name ?? "");
    expect(read).toEqual(manifest);
    expect(await all(again.files(read.files))).toEqual([file]);
    const content = Buffer.concat(await all(again.content(file)));
    expect([content.length, content.toString("latin1", 0, 3)]).toEqual([8_000, "aaa"]);
    expect((await all(again.objects())).length).toBe(3);
  });

  test("segments come in the order of their seqs, with the events that were put in", async () => {
    using fixture = new BackupFixture();
    const repository = await fixture.create();
    const event = (seq: number) => ({
      seq,
      did: "did:plc:alice",
      kind: "commit" as const,
      at: 1_000 + seq,
      frame: new Uint8Array(randomBytes(10 * seq)),
    });
    const shippedAt = new Date().toISOString();
    const second = { after: 3, last: 8, shippedAt, events: [event(5), event(8)] };
    await repository.putSegment(second);
    await repository.putSegment({ after: 0, last: 3, shippedAt, events: [event(3)] });
    const segments = await repository.segments();
    expect(segments.map(({ after, last }) => [after, last])).toEqual([
      [0, 3],
      [3, 8],
    ]);
    const read = await repository.segment(segments[1] as (typeof segments)[number]);
    expect(read.events.map(({ seq, at }) => [seq, at])).toEqual([
      [5, 1_005],
      [8, 1_008],
    ]);
    expect(
      Buffer.compare(read.events[1]?.frame ?? new Uint8Array(), second.events[1]?.frame as Uint8Array),
    ).toBe(0);
  });

  test.each<[title: string, BackupProblem, spoil: (fixture: BackupFixture) => void]>([
    ["an empty folder", "empty", ({ path }) => rmSync(join(path, "destination"), { recursive: true })],
    ["a folder of somebody else", "foreign", (fixture) => rmSync(fixture.file(IDENTITY_FILE))],
    ["an identity that is cut off", "altered", (fixture) => writeFileSync(fixture.file(IDENTITY_FILE), "{")],
    [
      "a later format",
      "newer",
      (fixture) => {
        const text = readFileSync(fixture.file(IDENTITY_FILE), "utf8");
        writeFileSync(fixture.file(IDENTITY_FILE), text.replace('"version": 1', '"version": 2'));
      },
    ],
  ])("open() tells %s", async (_title, problem, spoil) => {
    using fixture = new BackupFixture();
    await snapshotOf(await fixture.create());
    spoil(fixture);
    expect(await problemOf(() => Repository.open(fixture.destination, fixture.key))).toBe(problem);
  });

  test("segments() tells all of them while a server joins some, and a gap that is one", async () => {
    using fixture = new BackupFixture();
    const repository = await fixture.create();
    const put = (after: number, last: number) =>
      repository.putSegment({ after, last, shippedAt: new Date(0).toISOString(), events: [] });
    const names = async () =>
      (await repository.segments()).map(({ after, last }) => `${after}-${last}`).join(" ");
    const parts: SegmentName[] = [];
    for (const at of [0, 1, 2, 3]) parts.push(await put(at, at + 1));
    const { destination } = fixture;
    const list = destination.list.bind(destination);
    let lists = 0;
    destination.list = async function* (folder) {
      lists += 1;
      for await (const file of list(folder)) {
        yield file;
        // After the names were read, and before each file is looked at.
        if (lists > 1 || file.name !== parts[0]?.name) continue;
        await put(1, 3);
        for (const part of parts.slice(1, 3)) await destination.remove(part.name);
      }
    };
    expect([await names(), lists]).toEqual(["0-1 1-3 3-4", 2]);
    expect([await names(), lists]).toEqual(["0-1 1-3 3-4", 3]);
    await destination.remove(segmentName({ after: 1, last: 3 }));
    expect([await names(), lists]).toEqual(["0-1 3-4", 5]);
  });

  test("open() tells another key", async () => {
    using fixture = new BackupFixture();
    await fixture.create();
    const other = BackupKey.parse(newBackupKey());
    expect(await problemOf(() => Repository.open(fixture.destination, other))).toBe("wrong_key");
  });

  test("create() refuses a folder that is not empty, and one that is a backup", async () => {
    using fixture = new BackupFixture();
    await fixture.create();
    expect(await problemOf(() => fixture.create())).toBe("foreign");
    rmSync(fixture.file(IDENTITY_FILE));
    writeFileSync(fixture.file("letter.txt"), "hello");
    expect(await problemOf(() => fixture.create())).toBe("foreign");
  });

  test("create() takes a fresh disk, with what its file system keeps there", async () => {
    using fixture = new BackupFixture();
    mkdirSync(fixture.file("lost+found"), { recursive: true });
    await fixture.create();
    expect((await all(fixture.destination.list(""))).map(({ name }) => name)).toEqual([IDENTITY_FILE]);
  });

  const damages: [title: string, BackupProblem, spoil: (path: string, fixture: BackupFixture) => void][] = [
    ["that is gone", "missing", (path) => rmSync(path)],
    ["that is empty", "truncated", (path) => writeFileSync(path, "")],
    ["that is cut off", "truncated", (path) => writeFileSync(path, readFileSync(path).subarray(0, -1))],
    [
      "with one bit turned",
      "altered",
      (path) => {
        const bytes = readFileSync(path);
        bytes[40] = (bytes[40] ?? 0) ^ 1;
        writeFileSync(path, bytes);
      },
    ],
    ["that something else has written", "altered", (path) => writeFileSync(path, randomBytes(9_000))],
    [
      "that was copied from another name",
      "altered",
      (path, fixture) => {
        const sealed = readFileSync(fixture.file(objectName("0".repeat(64))));
        writeFileSync(path, Buffer.concat([sealed]));
      },
    ],
  ];

  test.each(damages)("object() tells an object %s", async (_title, problem, spoil) => {
    using fixture = new BackupFixture();
    const repository = await fixture.create();
    const { file } = await snapshotOf(repository);
    await repository.putObject("0".repeat(64), randomBytes(9_000));
    spoil(fixture.file(objectName(file.chunks[1]?.id ?? "")), fixture);
    expect(await problemOf(() => all(repository.content(file)))).toBe(problem);
  });

  test("content() tells pieces that do not make the file", async () => {
    using fixture = new BackupFixture();
    const repository = await fixture.create();
    const { file } = await snapshotOf(repository);
    const swapped = { ...file, chunks: [...file.chunks].reverse() };
    expect(await problemOf(() => all(repository.content(swapped)))).toBe("altered");
  });

  test("a snapshot that was given another name does not open", async () => {
    using fixture = new BackupFixture();
    const repository = await fixture.create();
    const { manifest } = await snapshotOf(repository);
    const other = manifestName(SNAPSHOTS_FOLDER, Date.now() + 1_000);
    writeFileSync(fixture.file(other), readFileSync(fixture.file(manifest.name)));
    expect(await problemOf(() => repository.snapshot(other))).toBe("altered");
    expect(await problemOf(() => repository.snapshot("20200101T000000.000Z-00000000"))).toBe("no_snapshot");
  });

  test("objects of another backup do not open, though their key is the same", async () => {
    using fixture = new BackupFixture();
    using other = new BackupFixture();
    const repository = await fixture.create();
    const { file } = await snapshotOf(repository);
    const name = objectName(file.chunks[0]?.id ?? "");
    const { file: theirs } = await snapshotOf(await other.create());
    mkdirSync(dirname(fixture.file(name)), { recursive: true });
    const sealed = readFileSync(other.file(objectName(theirs.chunks[0]?.id ?? "")));
    writeFileSync(fixture.file(name), sealed);
    expect(await problemOf(() => all(repository.content(file)))).toBe("altered");
  });

  test("names rise also where the clock was set back", async () => {
    using fixture = new BackupFixture();
    const repository = await fixture.create();
    const { manifest } = await snapshotOf(repository);
    const after = await repository.newestAt();
    const yesterday = Date.now() - 86_400_000;
    const next = { ...manifest, name: manifestName(SNAPSHOTS_FOLDER, yesterday, after) };
    await repository.putManifest(next);
    expect((await repository.snapshots()).map(({ name }) => name)).toEqual([manifest.name, next.name]);
  });

  test("increments and snapshots are listed apart, strangers among them are not", async () => {
    using fixture = new BackupFixture();
    const repository = await fixture.create();
    const { manifest } = await snapshotOf(repository);
    const { counts: _, blobStore: _2, hasBlobs: _3, problems: _4, ...made } = manifest;
    const name = manifestName(INCREMENTS_FOLDER, Date.now());
    await repository.putManifest({ ...made, name });
    writeFileSync(fixture.file("increments/notes.txt"), "mine");
    expect((await repository.increments()).map((found) => found.name)).toEqual([name]);
    expect((await repository.snapshots()).length).toBe(1);
    expect((await repository.increment(name)).log.highWater).toBe(9);
  });
});

describe("BackupKey", () => {
  test.each([
    ["a letter less", (key: string) => key.slice(0, -1)],
    ["another letter", (key: string) => `${key.slice(0, 20)}${key[20] === "A" ? "B" : "A"}${key.slice(21)}`],
    ["without its beginning", (key: string) => key.slice(8)],
    ["nothing", () => ""],
  ])("parse() refuses %s, and does not show it", (_title, spoil) => {
    const key = newBackupKey();
    const read = () => BackupKey.parse(spoil(key));
    expect(read).toThrow("it is no whole key of kith");
    expect(read).not.toThrow(key.slice(10, 30));
  });
});

describe("FolderDestination", () => {
  test("lists in the order of the names, across folders", async () => {
    using fixture = new BackupFixture();
    const names = ["a/b", "a-b", "a/b-c/d", "ab", "a/b.c"];
    for (const name of names) await fixture.destination.put(name, Buffer.from(name));
    const listed = (await all(fixture.destination.list(""))).map(({ name }) => name);
    expect(listed).toEqual([...names].sort());
    expect((await all(fixture.destination.list("a/"))).map(({ name }) => name)).toEqual([
      "a/b",
      "a/b-c/d",
      "a/b.c",
    ]);
  });

  test("goes on where its folders were taken away behind its back", async () => {
    using fixture = new BackupFixture();
    await fixture.destination.put("a/b", Buffer.from("1"));
    rmSync(fixture.destination.where, { recursive: true });
    await fixture.destination.put("a/c", Buffer.from("2")).catch(() => {});
    await fixture.destination.put("a/c", Buffer.from("3"));
    expect(Buffer.from((await fixture.destination.get("a/c")) ?? []).toString()).toBe("3");
  });

  test("says what is wrong where the folder cannot be one", async () => {
    using fixture = new BackupFixture();
    writeFileSync(join(fixture.path, "file"), "");
    const destination = new FolderDestination(join(fixture.path, "file"));
    expect(destination.put("a", new Uint8Array())).rejects.toThrow("in the backup folder");
    expect(await destination.get("a")).toBeUndefined();
  });

  test.each(["../a", "a/../b", "/a", "a//b", "", "a b"])("put() takes no name such as %p", async (name) => {
    using fixture = new BackupFixture();
    expect(fixture.destination.put(name, new Uint8Array())).rejects.toThrow("no name of a file");
  });
});
