import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { differences, generate } from "./lexicons.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-lexicons-test-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const main = {
  type: "query",
  output: { encoding: "application/json", schema: { type: "object", properties: {} } },
};

function write(id: string, lexicon: unknown): void {
  const path = join(folder, `${id.replaceAll(".", "/")}.json`);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, JSON.stringify(lexicon));
}

test("generate() gives a typed schema for each lexicon, and a mod.ts over them", () => {
  write("dev.kith.test.look", { lexicon: 1, id: "dev.kith.test.look", defs: { main } });
  const files = generate(folder);
  expect([...files.keys()].sort()).toEqual(["mod.ts", "types/dev/kith/test/look.ts"]);
  expect(files.get("mod.ts")).toContain("DevKithTestLook");
  expect(files.get("types/dev/kith/test/look.ts")).toContain("mainSchema");
});

test("generate() throws on a lexicon that is not valid", () => {
  write("dev.kith.test.look", { lexicon: 1, id: "dev.kith.test.look", defs: { main: { type: "quary" } } });
  expect(() => generate(folder)).toThrow("Could not generate");
});

test("differences() names what was changed, added and removed", () => {
  const a = new Map([
    ["same", "1"],
    ["changed", "1"],
    ["removed", "1"],
  ]);
  const b = new Map([
    ["same", "1"],
    ["changed", "2"],
    ["added", "1"],
  ]);
  expect(differences(a, b)).toEqual(["added", "changed", "removed"]);
});
