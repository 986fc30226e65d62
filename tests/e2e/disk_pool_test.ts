/** How many disk waits run side by side: seen in the threads that the server has made by then. */
import { expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { createAccount, createRecord, post } from "../client.ts";
import { Stage } from "../stage.ts";
import { waitFor } from "../wait.ts";

const WRITES_AT_ONCE = 8;

function poolThreads(pid: number): number {
  const names = readdirSync(`/proc/${pid}/task`).map((id) => {
    try {
      return readFileSync(`/proc/${pid}/task/${id}/comm`, "utf8");
    } catch {
      return "";
    }
  });
  return names.filter((name) => name.startsWith("Bun Pool")).length;
}

/** Of other systems, and beside so many cores, it could not be seen. */
const isSeen = process.platform === "linux" && availableParallelism() < WRITES_AT_ONCE;

test.skipIf(!isSeen)("disk waits are not bound by the number of cores", async () => {
  await using stage = await Stage.open({ env: { UV_THREADPOOL_SIZE: undefined } });
  const others = Array.from({ length: WRITES_AT_ONCE }, (_, at) =>
    createAccount(stage.url, `pool${at}`, stage.plc),
  );
  const users = await Promise.all(others);
  const threads = await waitFor("more threads than cores", async () => {
    await Promise.all(users.map((user) => createRecord(stage.url, user, { record: post("together") })));
    const count = poolThreads(stage.server.pid);
    return count > availableParallelism() ? count : undefined;
  });
  expect(threads).toBeGreaterThan(availableParallelism());
});
