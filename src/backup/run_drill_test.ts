import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { BackupFixture } from "./_fixture.ts";
import { runDrill } from "./run_drill.ts";

/** Another process with a drill under way: it holds the folder that the drill puts together, until it is killed. */
const OTHER = `
  const { DataFolder } = await import(process.argv[1]);
  globalThis.held = DataFolder.open(process.argv[2], { isRestored: true });
  console.log("held");
  setInterval(() => {}, 1_000);`;

test("runDrill() leaves the drill of another process in the same folder alone", async () => {
  using fixture = new BackupFixture();
  const scratch = join(fixture.path, "drill.restoring");
  const module = join(import.meta.dir, "../storage/mod.ts");
  const other = Bun.spawn([process.execPath, "-e", OTHER, module, scratch], { stdout: "pipe" });
  try {
    await other.stdout.getReader().read();
    const setup = {
      where: join(fixture.path, "nowhere"),
      key: "",
      access: {},
      folder: fixture.path,
      blobBytes: 0,
    };
    const drill = runDrill({
      setup: setup as Parameters<typeof runDrill>[0]["setup"],
      check: () => Promise.reject(new Error("It should not come to that")),
      now: Date.now,
      onFatal: () => {},
    });
    await expect(drill).rejects.toMatchObject({ code: "busy" });
    expect(existsSync(join(scratch, "repos"))).toBe(true);
  } finally {
    other.kill();
    await other.exited;
  }
});
