import { expect, test } from "bun:test";
import { Fixture } from "./_fixture.ts";
import { Hub } from "./hub.ts";
import { RESERVED_HANDLES_MAX, ReservedHandleStore } from "./reserved_handle_store.ts";

test("ReservedHandleStore holds a bounded number of names, also over a restart", async () => {
  await using folder = new Fixture();
  const path = folder.file("accounts.sqlite");
  const hub = await Hub.open(path, folder.options);
  const names = new ReservedHandleStore(hub);
  expect(names.has("brand")).toBe(false);
  await names.add("brand", { now: 1 });
  await names.add("brand", { now: 2 });
  expect([names.has("brand"), names.has("other.test", "brand"), names.has("other")]).toEqual([
    true,
    true,
    false,
  ]);
  await hub.write((run) => {
    for (let i = 1; i < RESERVED_HANDLES_MAX; i++) run("INSERT INTO reserved_handle VALUES (?, 3)", `n${i}`);
  });
  await expect(names.add("more", { now: 4 })).rejects.toMatchObject({ code: "busy" });
  await names.add("brand", { now: 5 });
  await hub.close();
  const again = await Hub.open(path, folder.options);
  expect(new ReservedHandleStore(again).has("brand")).toBe(true);
  await again.close();
});
