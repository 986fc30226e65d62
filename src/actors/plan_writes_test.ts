import { describe, expect, test } from "bun:test";
import {
  type BlobRef,
  type Block,
  type Cid,
  cidKey,
  cidOfCbor,
  cidOfRaw,
  cidToString,
  encodeCbor,
} from "../atproto/mod.ts";
import { type ErrorCode, KithError } from "../errors.ts";
import { planWrites, type RepoView } from "./plan_writes.ts";
import type { BlobRow, RecordWrite } from "./repo_types.ts";

const POST = "app.bsky.feed.post";
const LIKE = "app.bsky.feed.like";
const HEAD = {
  commit: cidOfCbor(new Uint8Array([1])),
  rev: "3jzfcijpj2z2a",
  data: cidOfCbor(new Uint8Array([2])),
};

function record(text: string): Block {
  const bytes = encodeCbor({ text });
  return { cid: cidOfCbor(bytes), bytes };
}

function blob(byte: number, row: Partial<BlobRow> = {}): { ref: BlobRef; row: BlobRow } {
  const cid = cidOfRaw(new Uint8Array([byte]));
  const common = { cid, mimeType: "image/png", size: 1 };
  return { ref: common, row: { ...common, createdAt: 0, ...row } };
}

class FakeRepo implements RepoView {
  readonly did = "did:plc:a";
  readonly records = new Map<string, Cid>();
  readonly subjects = new Map<string, string>();
  readonly blobs = new Map<string, BlobRow>();
  recordCid(collection: string, rkey: string): Cid | undefined {
    return this.records.get(`${collection}/${rkey}`);
  }
  recordWithSubject(collection: string, subject: string): string | undefined {
    return this.subjects.get(`${collection} ${subject}`);
  }
  blob(cid: Cid): BlobRow | undefined {
    return this.blobs.get(cidKey(cid));
  }
  readonly takenDown = new Set<string>();
  readonly takedowns = { blob: (cid: Cid) => (this.takenDown.has(cidKey(cid)) ? "ref" : undefined) };
}

const content = (rkey: string, text = "x", blobs: BlobRef[] = []) => ({
  collection: POST,
  rkey,
  record: record(text),
  blobs,
});

function plan(repo: FakeRepo, ...writes: RecordWrite[]) {
  return planWrites(repo, { request: { writes }, head: HEAD });
}

function refusal(repo: FakeRepo, ...writes: RecordWrite[]): KithError {
  try {
    plan(repo, ...writes);
  } catch (error) {
    if (error instanceof KithError) return error;
  }
  throw new Error("planWrites() did not refuse");
}

describe("planWrites()", () => {
  test("makes a put a create where nothing is, an update where something else is, nothing where it is the same", () => {
    const repo = new FakeRepo();
    repo.records.set(`${POST}/other`, record("old").cid);
    repo.records.set(`${POST}/same`, record("x").cid);
    const made = plan(
      repo,
      { action: "put", ...content("new") },
      { action: "put", ...content("other") },
      { action: "put", ...content("same") },
    );
    expect(made.results.map(({ action }) => action)).toEqual(["create", "update", "none"]);
    expect(made.writes.map(({ action, path }) => [action, path])).toEqual([
      ["create", `${POST}/new`],
      ["update", `${POST}/other`],
    ]);
    expect(made.results.map(({ uri }) => uri)).toContain(`at://did:plc:a/${POST}/same`);
    expect(made.puts).toHaveLength(2);
  });

  test("does nothing for the deletion of what is not there, where that is allowed", () => {
    const repo = new FakeRepo();
    const missing = { action: "delete", collection: POST, rkey: "a", ifExists: true } as const;
    expect(plan(repo, missing)).toMatchObject({ writes: [], results: [{ action: "none" }] });
    repo.records.set(`${POST}/a`, record("x").cid);
    expect(plan(repo, missing)).toMatchObject({
      writes: [{ action: "delete" }],
      results: [{ action: "delete" }],
    });
  });

  test("deletes the earlier like of the same subject in the same commit, and does not tell of it", () => {
    const repo = new FakeRepo();
    repo.subjects.set(`${LIKE} at://x/y/z`, "old");
    const like = { action: "create", ...content("new"), collection: LIKE, subject: "at://x/y/z" } as const;
    const made = plan(repo, { ...like, replacesSubject: true });
    expect(made.writes.map(({ action, path }) => [action, path])).toEqual([
      ["delete", `${LIKE}/old`],
      ["create", `${LIKE}/new`],
    ]);
    expect(made.results).toHaveLength(1);
    expect(plan(repo, like).writes).toHaveLength(1);
  });

  test.each([
    ["the record that is there", "x", "x", true],
    ["another record", "x", "y", false],
    ["a record where none is", undefined, "x", false],
    ["no record where none is", undefined, null, true],
    ["no record where one is", "x", null, false],
  ] as const)("checks swapRecord: %s", (_, is, expected, passes) => {
    const repo = new FakeRepo();
    if (is) repo.records.set(`${POST}/a`, record(is).cid);
    const swapRecord = expected === null ? null : record(expected).cid;
    const write: RecordWrite = { action: "put", ...content("a", "new"), swapRecord };
    if (passes) expect(plan(repo, write).writes).toHaveLength(1);
    else expect(refusal(repo, write).code).toBe("invalid_swap");
  });

  test("checks swapRecord of a deletion", () => {
    const repo = new FakeRepo();
    repo.records.set(`${POST}/a`, record("x").cid);
    const gone = { action: "delete", collection: POST, rkey: "a", swapRecord: record("y").cid } as const;
    expect(refusal(repo, gone).message).toContain(cidToString(record("x").cid));
  });

  test("checks swapCommit", () => {
    const repo = new FakeRepo();
    const request = { writes: [], swapCommit: record("no").cid };
    expect(() => planWrites(repo, { request, head: HEAD })).toThrow(cidToString(HEAD.commit));
    expect(planWrites(repo, { request: { writes: [], swapCommit: HEAD.commit }, head: HEAD }).writes).toEqual(
      [],
    );
  });

  test.each([
    ["not uploaded", undefined, "blob_not_found"],
    ["of another type", { mimeType: "image/jpeg" }, "invalid_mime_type"],
    ["of another size", { size: 2 }, "invalid_size"],
  ] as [string, Partial<BlobRow> | undefined, ErrorCode][])("refuses a blob that is %s", (_, row, code) => {
    const repo = new FakeRepo();
    const made = blob(1, row);
    if (row) repo.blobs.set(cidKey(made.row.cid), made.row);
    expect(refusal(repo, { action: "create", ...content("a", "x", [made.ref]) }).code).toBe(code);
  });

  test("counts a blob once, however often the record names it", () => {
    const repo = new FakeRepo();
    const { ref, row } = blob(1);
    repo.blobs.set(cidKey(row.cid), row);
    expect(plan(repo, { action: "create", ...content("a", "x", [ref, ref]) }).puts[0]?.blobs).toHaveLength(1);
  });
});

test("planWrites() refuses a reference to a blob that is taken down", () => {
  const repo = new FakeRepo();
  const { ref, row } = blob(1);
  repo.blobs.set(cidKey(ref.cid), row);
  const write = { action: "create", ...content("a", "x", [ref]) } as const;
  expect(plan(repo, write).writes).toHaveLength(1);
  repo.takenDown.add(cidKey(ref.cid));
  expect(() => plan(repo, write)).toThrow(expect.objectContaining({ code: "blob_not_found" }));
});
