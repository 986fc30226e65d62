import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { type Cid, cidOfRaw } from "../atproto/mod.ts";
import { REPO_MIGRATIONS } from "./_repo_schema.ts";
import { packBlocks, packCids, StagedRowsWriter } from "./_staged_rows.ts";

const BLOCKS = ["a", "b", "c"].map((text) => {
  const bytes = new TextEncoder().encode(text);
  return { cid: cidOfRaw(bytes), bytes };
});
const [A, B, C] = BLOCKS.map(({ cid }) => cid) as [Cid, Cid, Cid];

test("StagedRowsWriter.write() gives each row its own rev, or that of the rows, and each record its block", () => {
  const db = new Database(":memory:", { strict: true });
  for (const step of REPO_MIGRATIONS) db.run(step);
  const writer = new StagedRowsWriter(db);
  writer.write({ kind: "blocks", rev: "r", ...packBlocks(BLOCKS.slice(0, 1)) });
  const own = BLOCKS.slice(1).map((block, i) => ({ ...block, rev: i === 0 ? "of b" : undefined }));
  writer.write({ kind: "blocks", rev: "r", ...packBlocks(own) });
  const names = JSON.stringify([
    ["x.y.z", "1", null, 1],
    ["x.y.z", "2", "at://subject", 0, "of b"],
  ]);
  writer.write({ kind: "records", rev: "r", names, cids: packCids([A, C, B]) });
  const all = (sql: string) => db.query(sql).values();
  expect(all("SELECT rev, CAST(bytes AS TEXT) FROM staged_block ORDER BY id")).toEqual([
    ["r", "a"],
    ["of b", "b"],
    ["r", "c"],
  ]);
  expect(all("SELECT rkey, rev, subject, block FROM staged_record ORDER BY rkey")).toEqual([
    ["1", "r", null, 1],
    ["2", "of b", "at://subject", 2],
  ]);
  expect(all("SELECT rkey, cid FROM staged_record_blob")).toEqual([["1", C.bytes]]);
  expect(writer.count()).toEqual({ blocks: 3, records: 2 });
  writer.close();
});
