import { expect, test } from "bun:test";
import { all, BackupFixture } from "./_fixture.ts";
import { FileTableWriter, orderOf, PreviousFiles } from "./file_table.ts";
import type { FileEntry } from "./manifest.ts";
import { ObjectWriter } from "./object_writer.ts";

const entry = (kind: FileEntry["kind"], path: string, more: Partial<FileEntry> = {}): FileEntry => ({
  ...{ kind, path, size: 0, sha256: "0".repeat(64), chunks: [] },
  ...more,
});
const blob = (did: string, cid: string, quarantined = false): FileEntry =>
  entry("blob", `blobs/${quarantined ? "quarantine/" : ""}${did}/${cid}`, {
    did,
    cid,
    ...(quarantined ? { quarantined } : {}),
  });

test("a table gives back its files in their order, and PreviousFiles finds those that are asked for in it", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const writer = await ObjectWriter.open(repository);
  const table = new FileTableWriter(writer);
  const files = [
    entry("event_keys", "events.keys"),
    ...Array.from({ length: 3_000 }, (_, at) =>
      entry("repo", `repos/aa/${String(at).padStart(5, "0")}.1.sqlite`),
    ),
    entry("accounts", "accounts.sqlite"),
    blob("did_plc_a", "bafk1"),
    blob("did_plc_a", "bafk2"),
    blob("did_plc_a", "bafk0", true),
    // As a blob that was moved meanwhile is found in the end.
    blob("did_plc_a", "bafk00"),
    blob("did_plc_ab", "bafk1"),
    blob("did_plc_b", "bafk1"),
  ];
  for (const file of files) await table.add(file);
  const written = await table.end();
  expect(written.count).toBe(files.length);
  expect(written.chunks.length).toBeGreaterThan(1);
  expect(await all(repository.files(written))).toEqual(files);
  const previous = new PreviousFiles(repository, written);
  const asked = [
    entry("repo", "repos/aa/00000.1.sqlite"),
    entry("repo", "repos/aa/00000x.1.sqlite"),
    entry("repo", "repos/aa/02999.1.sqlite"),
    blob("did_plc_a", "bafk1"),
    blob("did_plc_a", "bafk3"),
    blob("did_plc_a", "bafk0", true),
    blob("did_plc_aa", "bafk1"),
    blob("did_plc_ab", "bafk1"),
    blob("did_plc_b", "bafk1"),
    blob("did_plc_c", "bafk1"),
  ];
  const found: boolean[] = [];
  for (const file of asked) found.push((await previous.find(file)) !== undefined);
  expect(found).toEqual([true, false, true, true, false, true, false, true, true, false]);
  expect(await new PreviousFiles(repository, undefined).find(files[0] as FileEntry)).toBeUndefined();
  expect([...asked].map(orderOf)).toEqual([...asked].map(orderOf).sort());
});
