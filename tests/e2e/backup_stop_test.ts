/** A server that stops has shipped all that it has answered. */
import { expect, spyOn, test } from "bun:test";
import { join } from "node:path";
import { Sequencer } from "../../src/actors/mod.ts";
import { decodeFrame } from "../../src/atproto/mod.ts";
import { BackupWorker } from "../../src/backup/mod.ts";
import { loadConfig } from "../../src/config/mod.ts";
import { createServer } from "../../src/server.ts";
import { BackupPlace } from "../backup_parts.ts";
import { createRecord, post } from "../client.ts";
import { Stage } from "../stage.ts";
import { waitFor } from "../wait.ts";

/** The records that the shipped log has: "DID/COLLECTION/RKEY". */
async function shippedRecords(place: BackupPlace): Promise<Set<string>> {
  const repository = await place.open();
  const found = new Set<string>();
  for (const segment of await repository.segments()) {
    for (const { did, kind, frame } of (await repository.segment(segment)).events) {
      if (kind !== "commit") continue;
      const { ops } = decodeFrame(frame).payload as { ops: { path: string }[] };
      for (const { path } of ops) found.add(`${did}/${path}`);
    }
  }
  return found;
}

test("stopped under write load, every answered write is at the destination", async () => {
  using place = new BackupPlace();
  await using stage = await Stage.open({ env: place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" }) });
  const accounts = await Promise.all(["one", "two", "three", "four"].map((name) => stage.account(name)));
  const answered: string[] = [];
  let isStopped = false;
  const writing = accounts.map(async (account) => {
    while (!isStopped) {
      try {
        const { uri } = await createRecord(stage.url, account, { record: post("under load") });
        answered.push(uri.replace("at://", ""));
      } catch {
        // The server stops.
        return;
      }
    }
  });
  await waitFor("some writes", () => answered.length > 200);
  expect(await stage.server.stop()).toBe(0);
  isStopped = true;
  await Promise.all(writing);
  const there = await shippedRecords(place);
  expect(answered.filter((uri) => !there.has(uri))).toEqual([]);
  await place.assertWhole();
}, 120_000);

test("the last shipment comes after the last event", async () => {
  using place = new BackupPlace();
  const steps: string[] = [];
  const [ship, stop] = [BackupWorker.prototype.ship, Sequencer.prototype.stop];
  using _ship = spyOn(BackupWorker.prototype, "ship").mockImplementation(function (
    this: BackupWorker,
    ...args
  ) {
    steps.push(`ship up to ${args[1].upTo}`);
    return ship.apply(this, args);
  });
  let last = 0;
  using _stop = spyOn(Sequencer.prototype, "stop").mockImplementation(async function (this: Sequencer) {
    await stop.apply(this);
    last = this.publishedSeq;
    steps.push("sequencer stopped");
  });
  const env = {
    ...place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "60" }),
    PDS_DATA_DIRECTORY: join(place.path, "data"),
  };
  const server = await createServer(
    loadConfig({ env: { ...env, KITH_LOG_ENABLED: "false", LOG_ENABLED: "false" } }).config,
    {
      listen: false,
    },
  );
  await waitFor("the first shipment", () => steps.length > 0);
  await server.stop();
  expect(steps.slice(-2)).toEqual(["sequencer stopped", `ship up to ${last}`]);
}, 120_000);
