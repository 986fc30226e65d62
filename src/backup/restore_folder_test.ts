import { expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isKithError } from "../errors.ts";
import { DataFolder } from "../storage/mod.ts";
import { RestoreFolder } from "./restore_folder.ts";

class Place implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "kith-place-"));
  readonly data = join(this.path, "data");

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

const OPEN = { bytes: 1_000 };

function fill(folder: string): void {
  for (const name of ["accounts.sqlite", "master.key"]) writeFileSync(join(folder, name), name);
  writeFileSync(join(folder, "blobs", "one"), "1");
}

async function refusalOf(run: () => unknown): Promise<string> {
  try {
    await run();
  } catch (error) {
    if (isKithError(error)) return `${error.code}: ${error.message} ${error.hint}`;
    throw error;
  }
  return "none";
}

test.each([true, false])(
  "RestoreFolder puts a folder together beside the target (there already: %p)",
  async (isThere) => {
    using place = new Place();
    if (isThere) mkdirSync(place.data);
    const folder = await RestoreFolder.open(place.data, OPEN);
    expect(folder.scratch.path).toBe(`${place.data}.restoring`);
    fill(folder.scratch.path);
    expect(await refusalOf(() => DataFolder.open(place.data))).toContain("a restore into it has not ended");
    expect(await refusalOf(() => RestoreFolder.open(place.data, OPEN))).toContain("is using it");
    await folder.finish();
    folder.close();
    expect(readdirSync(join(place.data, "blobs"))).toEqual(["one"]);
    expect(readdirSync(place.path)).toEqual(["data"]);
    DataFolder.open(place.data).close();
  },
);

test("RestoreFolder puts a folder together beside what the target is a link to, and no server starts on either", async () => {
  using place = new Place();
  const disk = join(place.path, "disk");
  mkdirSync(join(disk, "data"), { recursive: true });
  symlinkSync(join(disk, "data"), place.data);
  const folder = await RestoreFolder.open(place.data, OPEN);
  expect(RestoreFolder.placesOf(place.data).beside).toBe(folder.scratch.path);
  fill(folder.scratch.path);
  for (const path of [place.data, join(disk, "data")])
    expect(await refusalOf(() => DataFolder.open(path))).toContain("a restore into it has not ended");
  await folder.finish();
  folder.close();
  DataFolder.open(place.data).close();
  expect(readdirSync(disk)).toEqual(["data"]);
});

test("RestoreFolder goes on inside the target where that was begun, and ends what was cut off while it was moved", async () => {
  using place = new Place();
  const inside = join(place.data, ".restoring");
  mkdirSync(inside, { recursive: true });
  const folder = await RestoreFolder.open(place.data, OPEN);
  expect([folder.scratch.path, folder.isComplete]).toEqual([inside, false]);
  fill(inside);
  folder.close();
  // As a crash leaves it amid the moves.
  writeFileSync(join(inside, "moving"), "");
  for (const name of ["accounts.sqlite", "blobs"]) renameSync(join(inside, name), join(place.data, name));
  expect(await refusalOf(() => DataFolder.open(place.data))).toContain("a restore into it has not ended");
  const again = await RestoreFolder.open(place.data, OPEN);
  expect(again.isComplete).toBe(true);
  await again.finish();
  again.close();
  expect(existsSync(inside)).toBe(false);
  expect(readdirSync(join(place.data, "blobs"))).toEqual(["one"]);
  expect(
    readdirSync(place.data)
      .filter((name) => !name.startsWith("kith.lock"))
      .sort(),
  ).toEqual(["accounts.sqlite", "blobs", "master.key", "repos", "tmp"]);
});

test("RestoreFolder refuses what is not empty, in use, a file, or without room, and makes nothing", async () => {
  using place = new Place();
  mkdirSync(place.data);
  writeFileSync(join(place.data, "diary"), "");
  writeFileSync(join(place.data, "letters"), "");
  expect(await refusalOf(() => RestoreFolder.open(place.data, OPEN))).toContain(
    'it is not empty, there is "diary" and 1 more',
  );
  expect(await refusalOf(() => RestoreFolder.open(join(place.data, "diary"), OPEN))).toContain(
    "it is a file",
  );
  const used = join(place.path, "used");
  const server = DataFolder.open(used);
  // Another process than the one that asks has the lock in life; the lock does not tell them apart.
  expect(await refusalOf(() => RestoreFolder.open(used, OPEN))).toContain("a server is using it");
  server.close();
  const huge = { bytes: 2 ** 60 };
  expect(await refusalOf(() => RestoreFolder.open(join(place.path, "new"), huge))).toStartWith(
    "storage_full",
  );
  expect(readdirSync(place.path).sort()).toEqual(["data", "used"]);
});

test.each([true, false])(
  "RestoreFolder replaces nothing that came into the target while it was put together (inside: %p)",
  async (isInside) => {
    using place = new Place();
    if (isInside) mkdirSync(join(place.data, ".restoring"), { recursive: true });
    const folder = await RestoreFolder.open(place.data, OPEN);
    fill(folder.scratch.path);
    mkdirSync(place.data, { recursive: true });
    writeFileSync(join(place.data, "accounts.sqlite"), "another's");
    expect(await refusalOf(() => folder.finish())).toContain('it is not empty, there is "accounts.sqlite"');
    folder.close();
    expect(readFileSync(join(place.data, "accounts.sqlite"), "utf8")).toBe("another's");
    rmSync(join(place.data, "accounts.sqlite"));
    const again = await RestoreFolder.open(place.data, OPEN);
    await again.finish();
    again.close();
    DataFolder.open(place.data).close();
  },
);
