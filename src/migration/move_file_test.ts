import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newMove } from "./move.ts";
import { MoveFile, readMove } from "./move_file.ts";

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-move-"));
  path = join(folder, "deep/er/move.json");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const move = newMove({
  did: "did:plc:a",
  handle: "alice.test",
  source: { pds: "https://old.example", signIn: "https://old.example" },
  target: { url: "https://new.example", did: "did:web:new.example" },
});

test("MoveFile keeps what was patched, for its owner alone, and leaves nothing at the end", () => {
  {
    using file = MoveFile.create(path, move);
    file.patch({ step: "copyBlobs", tokens: { target: { accessJwt: "a", refreshJwt: "b" } } });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    expect(statSync(join(folder, "deep/er")).mode & 0o777).toBe(0o700);
  }
  using file = MoveFile.open(path);
  expect(file?.move).toEqual({
    ...move,
    step: "copyBlobs",
    tokens: { target: { accessJwt: "a", refreshJwt: "b" } },
  });
  writeFileSync(file?.carPath ?? "", "car");
  file?.remove();
  file?.patch({ step: "sign" });
  file?.[Symbol.dispose]();
  expect(readdirSync(join(folder, "deep/er"))).toEqual([]);
});

test("MoveFile is one process's at a time; one that was killed does not count", async () => {
  MoveFile.create(path, move)[Symbol.dispose]();
  const lock = `${path}.lock`;
  const other = Bun.spawn(["cat"], { stdin: "pipe" });
  writeFileSync(lock, String(other.pid));
  expect(() => MoveFile.open(path)).toThrow(/: process \d+ is at it/);
  other.kill("SIGKILL");
  await other.exited;
  using file = MoveFile.open(path);
  expect(file?.move.did).toBe("did:plc:a");
  expect(readFileSync(lock, "utf8")).toBe(String(process.pid));
});

test("MoveFile waits for a process that has its lock and has not said yet which one it is", async () => {
  MoveFile.create(path, move)[Symbol.dispose]();
  const lock = `${path}.lock`;
  writeFileSync(lock, "");
  const script = 'echo ready; sleep 0.1; printf $$ > "$0"; exec sleep 30';
  const other = Bun.spawn(["sh", "-c", script, lock], { stdout: "pipe" });
  try {
    await other.stdout.getReader().read();
    expect(() => MoveFile.open(path)).toThrow(`process ${other.pid} is at it`);
  } finally {
    other.kill("SIGKILL");
    await other.exited;
  }
  writeFileSync(lock, "");
  // The machine stopped there.
  MoveFile.open(path)?.[Symbol.dispose]();
  expect(existsSync(lock)).toBe(false);
});

test.each([
  ["{", "it is not JSON"],
  ["{}", "version"],
  [JSON.stringify({ ...move, version: 2 }), "version"],
  [JSON.stringify({ ...move, step: "fly" }), "step"],
])("MoveFile refuses a file that says %s", (text, why) => {
  MoveFile.create(path, move)[Symbol.dispose]();
  writeFileSync(path, text);
  expect(() => MoveFile.open(path)).toThrow(why);
  expect(() => readMove(path)).toThrow(why);
  expect(existsSync(`${path}.lock`)).toBe(false);
});

test("MoveFile begins no move over another", () => {
  MoveFile.create(path, move)[Symbol.dispose]();
  expect(() => MoveFile.create(path, move)).toThrow("already");
});

test("MoveFile is undefined where there is none", () => {
  expect(MoveFile.open(path)).toBeUndefined();
  expect(readMove(path)).toBeUndefined();
});
