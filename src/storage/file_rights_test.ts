import { expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const NOBODY_UID = 65_534;
const isRoot = process.getuid?.() === 0;

/** Tries to recover the repo file as a user to whom the folder belongs, and who is not root. */
const SCRIPT = `
  const [folder] = process.argv.slice(1);
  if (process.getuid() === 0) process.setuid(${NOBODY_UID});
  const { Maintenance, RepoFiles, isWithoutRight } = await import("${join(import.meta.dir, "mod.ts")}");
  const onFatal = (error) => { throw error; };
  const maintenance = Maintenance.start({ onFatal });
  const files = new RepoFiles({ folder, maintenance, onFatal });
  const failures = [];
  for (const step of ["recover", "open"]) {
    await files[step]("did:plc:alice", 1).catch((error) =>
      failures.push({ code: error.code, message: error.message, hint: error.hint, isOfRights: isWithoutRight(error) }));
  }
  console.log(JSON.stringify(failures));
  await maintenance.stop();
`;

test("RepoFiles says of a file that this user may not open whose it is and what to do, and not that it is damaged", () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-rights-"));
  try {
    const { path } = repoFile(folder);
    if (isRoot) chownSync(folder, NOBODY_UID, 0);
    chmodSync(path, isRoot ? 0o600 : 0);
    const { stdout, stderr } = Bun.spawnSync([process.execPath, "-e", SCRIPT, folder]);
    const failure = {
      code: "storage_damaged",
      message: expect.stringMatching(
        /^Could not open ".*": this user \(uid \d+\) may not read and write ".*\.sqlite", which belongs to uid \d+ with mode 0\d00$/,
      ),
      hint: expect.stringMatching(/^Nothing is wrong with what is in it\. .*chown/),
      isOfRights: true,
    };
    expect({ err: stderr.toString(), failures: JSON.parse(stdout.toString() || "null") }).toEqual({
      err: "",
      failures: [failure, failure],
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

/** What stands in for a repo file: nobody comes to read it. */
function repoFile(folder: string): { path: string } {
  const shard = Buffer.from(new Bun.CryptoHasher("sha256").update("did:plc:alice").digest()).toString("hex");
  const parent = join(folder, shard.slice(0, 2));
  mkdirSync(parent);
  if (isRoot) chownSync(parent, NOBODY_UID, 0);
  const path = join(parent, "did_plc_alice.1.sqlite");
  writeFileSync(path, "x".repeat(4096));
  return { path };
}
