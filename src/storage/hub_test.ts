import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { Fixture } from "./_fixture.ts";
import { Hub } from "./hub.ts";

const WRITE = "INSERT INTO open_repo (did, generation) VALUES (?, 1)";

test("Hub.write() resolves only once a sync that began after its commit has ended", async () => {
  await using folder = new Fixture();
  const rounds: PromiseWithResolvers<void>[] = [];
  const sync = () => {
    const round = Promise.withResolvers<void>();
    rounds.push(round);
    return round.promise;
  };
  const opening = Hub.open(folder.file("a.sqlite"), { ...folder.options, sync });
  const settle = () => new Promise<void>((resolve) => setImmediate(resolve));
  while (rounds.length === 0) await settle();
  rounds.shift()?.resolve();
  const hub = await opening;
  const done: string[] = [];
  const write = (name: string) => hub.write((run) => run(WRITE, name)).then(() => done.push(name));
  const first = write("a");
  while (rounds.length === 0) await settle();
  const others = [write("b"), write("c")];
  await settle();
  expect(done).toEqual([]);
  rounds.shift()?.resolve();
  await first;
  expect(done).toEqual(["a"]);
  while (rounds.length === 0) await settle();
  rounds.shift()?.resolve();
  await Promise.all(others);
  expect(done).toEqual(["a", "b", "c"]);
  expect(rounds.length).toBe(0);
  await hub.close();
});

test("Hub.write() rolls back when its function throws, and goes on", async () => {
  await using folder = new Fixture();
  const hub = await Hub.open(folder.file("a.sqlite"), folder.options);
  const failure = await hub
    .write((run) => {
      run(WRITE, "a");
      throw new Error("no");
    })
    .catch((error) => error.message);
  expect(failure).toBe("no");
  const count = () => hub.read("SELECT 1 FROM open_repo").length;
  expect(count()).toBe(0);
  await hub.write((run) => run(WRITE, "a"));
  expect(count()).toBe(1);
  await hub.close();
});

test("Hub keeps its WAL bounded under writes, and writes wait for the restart", async () => {
  await using folder = new Fixture();
  const hub = await Hub.open(folder.file("a.sqlite"), folder.options);
  let next = 0;
  for (let round = 0; round < 15; round += 1) {
    const writes = Array.from({ length: 10 }, () =>
      hub.write((run) => run(WRITE, `${next++} ${"x".repeat(200_000)}`)),
    );
    await Promise.all(writes);
  }
  expect(hub.readOne<{ n: number }>("SELECT count(*) n FROM open_repo")).toEqual({ n: 150 });
  // 15 x 2 MB were written
  expect(statSync(folder.file("a.sqlite-wal")).size).toBeLessThan(24 * 1024 * 1024);
  await hub.close();
  expect(folder.fatal).toEqual([]);
});
