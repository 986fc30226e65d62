/** Files that a disk has damaged: what they hold is lost until a backup is put back, and nothing else. */
import { expect, test } from "bun:test";
import { closeSync, openSync, readdirSync, statSync, writeSync } from "node:fs";
import { join } from "node:path";
import { createRecord, http, post, xrpc } from "../client.ts";
import { Stage } from "../stage.ts";
import { waitFor } from "../wait.ts";

/** Overwrites the start of every page in a part of the file. */
function damage(path: string, { from, to }: { from: number; to: number }): void {
  const file = openSync(path, "r+");
  for (let at = from * 4096; at < to * 4096; at += 4096) {
    writeSync(file, Buffer.alloc(200, 0xee), 0, 200, at);
  }
  closeSync(file);
}

const pagesOf = (path: string) => Math.floor(statSync(path).size / 4096);

function repoFiles(folder: string, did: string): string[] {
  return readdirSync(join(folder, "repos"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.includes(did.slice("did:plc:".length)) && !name.endsWith("-shm"))
    .map((name) => join(folder, "repos", name));
}

test.each([0, 1])(
  "a repo file damaged from page %d on at a crash keeps no other account from being served",
  async (page) => {
    await using stage = await Stage.open({ keyType: "k256" });
    const bob = await stage.account("bob");
    for (const account of [stage.alice, bob])
      await createRecord(stage.url, account, { record: post("kept") });
    await stage.server.stop();
    await stage.server.start();
    for (const account of [stage.alice, bob])
      await createRecord(stage.url, account, { record: post("open") });
    await stage.server.kill();
    for (const path of repoFiles(stage.server.folder, stage.alice.did))
      damage(path, { from: page, to: pagesOf(path) });
    await stage.server.start();
    const read = (did: string) =>
      xrpc(stage.url, "com.atproto.sync.getLatestCommit", { params: { did } }).then(({ status }) => status);
    expect([await read(stage.alice.did), await read(bob.did)]).toEqual([500, 200]);
    await createRecord(stage.url, bob, { record: post("goes on") });
    await waitFor("the log of it", () => stage.server.output.includes("is damaged"));
  },
);

test("a damaged event log ends the streams that need it, and not the server", async () => {
  await using stage = await Stage.open({ keyType: "k256" });
  const text = "x".repeat(20_000);
  for (let n = 0; n < 30; n += 1)
    await createRecord(stage.url, stage.alice, { collection: "dev.kith.test.large", record: { n, text } });
  await stage.server.stop();
  const log = join(stage.server.folder, "events.sqlite");
  // Not the ends, which a start reads.
  damage(log, { from: Math.floor(pagesOf(log) / 3), to: Math.floor((pagesOf(log) / 3) * 2) });
  await stage.server.start();
  const socket = new WebSocket(
    `${stage.url.replace("http", "ws")}/xrpc/com.atproto.sync.subscribeRepos?cursor=0`,
  );
  let code = 0;
  socket.onclose = (event) => {
    code = event.code;
  };
  await waitFor("the end of the stream", () => code !== 0);
  expect(code).toBe(1011);
  expect((await http(`${stage.url}/ready`)).status).toBe(200);
});
