import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DevKithAdminFindAccount } from "../lexicons/mod.ts";
import { AdminClient } from "./admin_client.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-admin-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const find = (dataFolder: string) =>
  new AdminClient(dataFolder).call(DevKithAdminFindAccount.mainSchema, { params: { account: "x" } });

function lock(): string {
  writeFileSync(join(folder, "kith.lock"), "");
  return folder;
}

test.each([
  ["no folder", () => join(folder, "none"), /There is no data folder/, /--data/],
  ["a folder without data", () => folder, /is no data folder of kith/, /--data/],
  ["a folder whose server does not run", () => lock(), /No server runs on/, /kith serve/],
  [
    "a path that no socket may have",
    () => {
      const long = join(folder, "x".repeat(100));
      mkdirSync(long);
      return long;
    },
    /may have \d+/,
    /symbolic link/,
  ],
] as [string, () => string, RegExp, RegExp][])(
  "AdminClient.call() on %s",
  async (_, where, message, hint) => {
    await expect(find(where())).rejects.toMatchObject({
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    });
  },
);

test.each([
  [
    () => Response.json({ error: "AccountNotFound", message: "none" }, { status: 403 }),
    "none",
    "AccountNotFound",
    undefined,
  ],
  [
    () => Response.json({ error: "InternalServerError", message: "oh" }, { status: 500 }),
    "oh",
    "InternalServerError",
    /log/,
  ],
  [
    () => Response.json({ error: "MethodNotImplemented", message: "?" }, { status: 501 }),
    "?",
    "MethodNotImplemented",
    /version/,
  ],
  [
    () => new Response("<html>", { status: 502 }),
    '"dev.kith.admin.findAccount" was answered 502',
    undefined,
    undefined,
  ],
] as [() => Response, string, string | undefined, RegExp | undefined][])(
  "AdminClient.call() tells a refusal, row %#",
  async (answer, message, error, hint) => {
    const server = Bun.serve({ unix: join(folder, "admin.sock"), fetch: answer });
    const refused = await find(folder).catch((thrown: unknown) => thrown);
    await server.stop(true);
    expect(refused).toMatchObject({ name: "AdminError", message });
    expect((refused as { error?: string }).error).toBe(error);
    if (hint) expect((refused as { hint?: string }).hint).toMatch(hint);
    else expect((refused as { hint?: string }).hint).toBeUndefined();
  },
);

test("AdminClient.call() says that a call whose answer is lost may have been done", async () => {
  const server = Bun.serve({
    unix: join(folder, "admin.sock"),
    fetch: () => {
      void server.stop(true);
      return new Promise<Response>(() => {});
    },
  });
  lock();
  await expect(find(folder)).rejects.toMatchObject({ hint: expect.stringContaining("may have been done") });
});
