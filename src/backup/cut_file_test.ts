import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { copySqlite } from "../storage/mod.ts";
import { all, BackupFixture } from "./_fixture.ts";
import { cutByLength, cutByPages, fileBytes, PIECE_BYTES, putStream } from "./cut_file.ts";
import { ObjectWriter } from "./object_writer.ts";

test("putStream() cuts by length, and the pieces make the file", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const writer = await ObjectWriter.open(repository);
  const bytes = randomBytes(2 * PIECE_BYTES + 17);
  async function* source() {
    for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
  }
  const put = await putStream(source(), { writer, cut: cutByLength });
  const chunks = await put.stored;
  expect(chunks.map(({ size }) => size)).toEqual([PIECE_BYTES, PIECE_BYTES, 17]);
  expect([put.size, put.sha256]).toEqual([bytes.length, createHash("sha256").update(bytes).digest("hex")]);
  const whole = Buffer.concat(await all(repository.content({ ...put, chunks, path: "x", kind: "blob" })));
  expect(Buffer.compare(whole, bytes)).toBe(0);
});

test("putStream() puts nothing for an empty file", async () => {
  using fixture = new BackupFixture();
  const writer = await ObjectWriter.open(await fixture.create());
  async function* source() {}
  const put = await putStream(source(), { writer, cut: cutByLength });
  expect([put.size, await put.stored]).toEqual([0, []]);
});

test("a database that was changed in a few places costs little more than these", async () => {
  using fixture = new BackupFixture();
  const repository = await fixture.create();
  const path = join(fixture.path, "live.sqlite");
  const db = new Database(path, { create: true });
  db.run("PRAGMA journal_mode = WAL");
  db.run("CREATE TABLE block (id INTEGER PRIMARY KEY, cid BLOB NOT NULL UNIQUE, bytes BLOB NOT NULL)");
  const insert = db.prepare("INSERT INTO block (cid, bytes) VALUES (?, ?)");
  const add = db.transaction((count: number) => {
    for (let i = 0; i < count; i++) insert.run(randomBytes(36), randomBytes(300 + (i % 200)));
  });
  add(40_000);
  const store = async (name: string) => {
    const copy = join(fixture.path, name);
    copySqlite(path, copy);
    const writer = await ObjectWriter.open(repository);
    const put = await putStream(fileBytes(copy), { writer, cut: cutByPages });
    await put.stored;
    return { size: put.size, written: writer.written.bytes, copy };
  };
  const first = await store("first.sqlite");
  expect(first.written).toBeGreaterThan(10_000_000);
  add(20);
  db.run("DELETE FROM block WHERE id = 12345");
  const second = await store("second.sqlite");
  expect(second.written).toBeLessThan(first.written / 3);
  const third = await store("third.sqlite");
  expect(third.written).toBe(0);
  db.close();
  const copied = new Database(second.copy, { readonly: true });
  expect(copied.query("PRAGMA integrity_check").all()).toEqual([{ integrity_check: "ok" }]);
  expect(copied.query("SELECT count(*) AS n FROM block").get()).toEqual({ n: 40_019 });
  copied.close();
  expect(readFileSync(second.copy).length).toBe(second.size);
});
