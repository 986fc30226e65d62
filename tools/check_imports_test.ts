import { expect, test } from "bun:test";
import { checkImports, importsOf, judgeImport, judgePurity } from "./check_imports.ts";

test("importsOf() finds static, type, re-export, dynamic and worker imports", () => {
  const text = `
    import { a } from "./a.ts";
    import type { B } from "../b/mod.ts";
    export * from "./c.ts";
    import "./d.ts";
    const e = await import("./e.ts");
    new Worker(new URL("./f.ts", import.meta.url));
    // import { no } from "./no.ts";
    /* import { no } from "./no.ts"; */
  `;
  expect(importsOf(text).sort()).toEqual(["../b/mod.ts", "./a.ts", "./c.ts", "./d.ts", "./e.ts", "./f.ts"]);
});

test.each([
  ["storage/a.ts", "atproto/mod.ts", undefined],
  ["storage/a.ts", "storage/_b.ts", undefined],
  ["atproto/a.ts", "errors.ts", undefined],
  ["server.ts", "xrpc/mod.ts", undefined],
  ["logger_test.ts", "logger.ts", undefined],
  ["storage/a.ts", "actors/mod.ts", /layer 1 may not import layer 2/],
  ["storage/a.ts", "identity/mod.ts", /neighbour on layer 1/],
  ["xrpc/a.ts", "oauth/mod.ts", /neighbour on layer 5/],
  ["actors/a.ts", "storage/sqlite.ts", /past storage\/mod\.ts/],
  ["atproto/commit.ts", "atproto/mst/_node.ts", /private to its folder/],
  ["nowhere/a.ts", "errors.ts", /has no layer/],
])("judgeImport() of %s -> %s", (from, to, expected) => {
  const finding = judgeImport(from, to);
  if (expected === undefined) expect(finding).toBeUndefined();
  else expect(finding).toMatch(expected);
});

test("judgePurity() refuses the clock in src/atproto and nowhere else", () => {
  const text = "export const now = () => Date.now();";
  expect(judgePurity({ path: "atproto/tid.ts", text })).toMatch(/Date\.now/);
  expect(judgePurity({ path: "storage/tid.ts", text })).toBeUndefined();
  expect(judgePurity({ path: "atproto/tid.ts", text: "// Date.now() is the caller's" })).toBeUndefined();
});

test("checkImports() names a cycle", () => {
  const findings = checkImports([
    { path: "storage/a.ts", text: 'import "./b.ts";' },
    { path: "storage/b.ts", text: 'import "./a.ts";' },
  ]);
  expect(
    findings.some((finding) => finding.includes("cycle: storage/a.ts -> storage/b.ts -> storage/a.ts")),
  ).toBe(true);
});
