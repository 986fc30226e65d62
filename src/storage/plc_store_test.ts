import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type PlcRow, PlcStore } from "./plc_store.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-plc-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (second: number) => `2026-01-01T00:00:0${second}.000Z`;
const row = (did: string, { cid, second }: { cid: string; second: number }): PlcRow => ({
  did,
  operation: { type: "plc_operation", n: second },
  cid,
  nullified: false,
  createdAt: at(second),
});

test("PlcStore keeps each DID's log in order, over a restart", () => {
  const path = join(folder, "plc.sqlite");
  const first = new PlcStore(path);
  expect(first.lastCreatedAt()).toBeUndefined();
  first.append(row("did:plc:a", { cid: "c1", second: 1 }), []);
  first.append(row("did:plc:b", { cid: "c2", second: 2 }), []);
  first.append(row("did:plc:a", { cid: "c3", second: 3 }), ["c1"]);
  first.close();
  const store = new PlcStore(path);
  expect(store.log("did:plc:a")).toEqual([
    { ...row("did:plc:a", { cid: "c1", second: 1 }), nullified: true },
    row("did:plc:a", { cid: "c3", second: 3 }),
  ]);
  expect(store.log("did:plc:none")).toEqual([]);
  expect(store.lastCreatedAt()).toBe(at(3));
  expect(store.export({ after: undefined, limit: 2 }).map(({ cid }) => cid)).toEqual(["c1", "c2"]);
  expect(store.export({ after: at(2), limit: 9 }).map(({ cid }) => cid)).toEqual(["c3"]);
  store.close();
});

test("PlcStore.append() changes nothing when it fails", () => {
  const store = new PlcStore(join(folder, "plc.sqlite"));
  store.append(row("did:plc:a", { cid: "c1", second: 1 }), []);
  expect(() => store.append(row("did:plc:a", { cid: "c1", second: 2 }), ["c1"])).toThrow();
  expect(store.log("did:plc:a")).toEqual([row("did:plc:a", { cid: "c1", second: 1 })]);
  store.close();
});
