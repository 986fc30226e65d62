import { expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../logger.ts";
import { checkTarget, Target } from "./target.ts";

class Fixture implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), "kith-target-"));

  check(): void {
    checkTarget(this.path, "/nonexistent/pds");
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

test.each([".write-test", "kith.lock", "kith.lock kith.lock-journal", "kith.lock unfinished.part"])(
  "checkTarget() takes a folder in which a run was cut off as it began: with %s",
  async (names) => {
    using fixture = new Fixture();
    const { path: folder } = fixture;
    for (const name of names.split(" ")) writeFileSync(join(folder, name), "");
    fixture.check();
    const log = createLogger({ enabled: false });
    const blobFolder = join(folder, "blobs");
    await using target = await Target.open({ folder, blobFolder, blobBucket: undefined, log });
    await target.finish();
    const isLeft = (name: string): boolean => name.startsWith(".") || name.startsWith("unfinished");
    expect(readdirSync(folder).filter(isLeft)).toEqual([]);
  },
);

test("checkTarget() refuses a folder with anything else", () => {
  using fixture = new Fixture();
  writeFileSync(join(fixture.path, "diary.txt"), "");
  expect(() => fixture.check()).toThrow('it holds "diary.txt"');
});
