/**
 * `kill -9` at each system call on files that SQLite does not write, and errors in their place: the file of an upload, the folder that it
 * goes into, what is removed with a record and with an account. Where there is no strace this says so, and does without.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { waitFor, within } from "../wait.ts";
import { OPERATIONS, type Operation } from "./operations.ts";
import { Scene } from "./scene.ts";
import { tally } from "./tally.ts";
import { Tracer, tracerProblem } from "./traced_server.ts";

const SEED = Number(process.env.KITH_TEST_SEED ?? 20_261_121);
const LIMIT_MS = 600_000;

const UNLINK = ["unlink", "unlinkat", "rmdir"];
const RENAME = ["rename", "renameat", "renameat2"];
const WRITE = ["write", "pwrite64", "writev", "pwritev"];
const OPEN = ["open", "openat"];
const SYNC = ["fsync", "fdatasync"];

interface Row {
  readonly operation: string;
  readonly calls: readonly string[];
  readonly on: "upload" | "blob folder" | "blob" | "repo file" | "repo folder";
  /** Errors beside the kill. Nothing is done then, it says so by 503, and the next time it works. */
  readonly errors?: readonly string[];
}

const ROWS: readonly Row[] = [
  { operation: "uploadBlob", calls: OPEN, on: "upload", errors: ["ENOSPC", "EIO"] },
  { operation: "uploadBlob", calls: WRITE, on: "upload", errors: ["ENOSPC", "EIO"] },
  { operation: "uploadBlob", calls: SYNC, on: "upload", errors: ["EIO"] },
  { operation: "uploadBlob", calls: RENAME, on: "upload", errors: ["ENOSPC", "EIO"] },
  { operation: "uploadBlob", calls: OPEN, on: "blob folder" },
  { operation: "uploadBlob", calls: SYNC, on: "blob folder", errors: ["EIO"] },
  { operation: "deleteRecord of the last record with a blob", calls: UNLINK, on: "blob" },
  { operation: "deleteAccount", calls: UNLINK, on: "repo file" },
  { operation: "deleteAccount", calls: SYNC, on: "repo folder" },
];

/** EX_IOERR: what the server ends with when a sync has failed. */
const EXIT_DISK_FAILED = 74;

const problem = tracerProblem();
let scene: Scene;
let tried = 0;

beforeAll(async () => {
  if (problem === undefined) scene = await Scene.open({ seed: SEED, writers: 1 });
}, LIMIT_MS);

afterAll(async () => {
  if (problem !== undefined) return;
  try {
    await scene.replay();
    tally("system calls killed or refused", tried, scene);
  } finally {
    await scene[Symbol.asyncDispose]();
  }
}, LIMIT_MS);

/** The newest of the files below a folder whose names end so. */
function newest(folder: string, ending: string): string {
  const paths = readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name));
  const files = paths.filter((path) => path.endsWith(ending) && statSync(path).isFile());
  return files.sort((a, b) => statSync(a).birthtimeMs - statSync(b).birthtimeMs).at(-1) ?? "";
}

/** Of the server as it is before the operation; no upload has been made since it started, but those that prepared it. */
function pathsOf(on: Row["on"]): string[] {
  const folder = realpathSync(scene.server.folder);
  const own = join(folder, "blobs", scene.writers[0]!.account.did.replaceAll(":", "_"));
  const repo = newest(join(folder, "repos"), ".sqlite");
  switch (on) {
    case "upload":
      return [join(folder, "blobs", "temp", `upload-${scene.server.pid}-1`)];
    case "blob folder":
      return [own, own.replaceAll("_", ":")];
    case "blob":
      return [newest(existsSync(own) ? own : own.replaceAll("_", ":"), "")];
    case "repo file":
      return ["", "-wal", "-shm"].map((suffix) => `${repo}${suffix}`);
    case "repo folder":
      return [join(repo, "..")];
  }
}

async function killAt(operation: Operation, { calls, on }: Row): Promise<void> {
  const turn = await operation.prepare(scene);
  await using tracer = await Tracer.attach(scene.server.pid, { calls, paths: pathsOf(on), how: "KILL" });
  const status = await turn.act().catch(() => undefined);
  // The call may come after the answer.
  await within("the server to die of it", scene.server.exited());
  const met = await tracer.detach();
  await scene.server.kill();
  await scene.noticeDeath();
  await scene.recover();
  const isDone = await turn.isDone();
  tried += 1;
  expect({ met, isDone }).toEqual({ met: true, isDone: status === 200 || isDone });
}

async function failAt(operation: Operation, { calls, on }: Row, how: string): Promise<void> {
  const turn = await operation.prepare(scene);
  await using tracer = await Tracer.attach(scene.server.pid, { calls, paths: pathsOf(on), how });
  const status = await turn.act();
  expect([status, await tracer.detach()]).toEqual([503, true]);
  tried += 1;
  expect(await turn.isDone()).toBe(false);
  expect(await turn.act()).toBe(200);
  expect(await turn.isDone()).toBe(true);
  const folder = join(scene.server.folder, "blobs", "temp");
  await waitFor("no upload to be left", () => readdirSync(folder).length === 0);
  // The uploads of a server are counted from its start.
  await scene.server.kill();
  await scene.noticeDeath();
  await scene.recover();
}

/** A folder that could not be synced: nobody knows what is on the disk, and the next start decides. */
async function endAt(operation: Operation, { calls, on }: Row, how: string): Promise<void> {
  const turn = await operation.prepare(scene);
  await using tracer = await Tracer.attach(scene.server.pid, { calls, paths: pathsOf(on), how });
  const status = await turn.act().catch(() => undefined);
  expect([status === 200, await scene.server.exited()]).toEqual([false, EXIT_DISK_FAILED]);
  expect(await tracer.detach()).toBe(true);
  await scene.noticeDeath();
  await scene.recover();
  tried += 1;
  expect(await turn.act()).toBe(200);
  expect(await turn.isDone()).toBe(true);
  await scene.server.kill();
  await scene.noticeDeath();
  await scene.recover();
}

if (problem === undefined) {
  for (const row of ROWS) {
    const operation = OPERATIONS.find(({ name }) => name === row.operation)!;
    const where = `${row.calls[0]} of the ${row.on}`;
    test(`${row.operation}: killed at ${where}`, () => killAt(operation, row), LIMIT_MS);
    for (const error of row.errors ?? [])
      test(
        `${row.operation}: ${error} at ${where}`,
        () => (row.on === "blob folder" ? endAt : failAt)(operation, row, error),
        LIMIT_MS,
      );
  }
} else {
  test("system calls that fail", () => console.log(`not tried: ${problem}`));
}
