/** One data folder writes to a destination: what happens to a second one, to a copy, and to the machine of before a restore. */
import { expect, test } from "bun:test";
import { cpSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { BackupPlace } from "../backup_parts.ts";
import { createRecord, post } from "../client.ts";
import { S3_BUCKET, S3_KEY, S3_SECRET, S3Server } from "../s3_server.ts";
import { Stage } from "../stage.ts";
import { waitFor } from "../wait.ts";

async function contentOf(place: BackupPlace): Promise<string[]> {
  const { destination } = await place.open();
  const names: string[] = [];
  for await (const { name, size } of destination.list("")) names.push(`${name} ${size}`);
  return names;
}

const REFUSED = "another data folder writes there";

async function secondServerIsRefused(place: BackupPlace): Promise<void> {
  await using stage = await Stage.open({ env: place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" }) });
  expect((await place.run(["backup"], { folder: stage.server.folder })).code).toBe(0);
  await waitFor("the first events", async () => (await place.seqs()).length > 0);
  await stage.server.stop();
  const before = await contentOf(place);
  // The same settings, another folder: as where a server was begun anew instead of restored.
  await using other = await Stage.open({ env: place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" }) });
  const ran = await place.run(["backup"], { folder: other.server.folder });
  expect([ran.code, ran.err]).toEqual([1, expect.stringContaining(REFUSED)]);
  expect(ran.err).toContain("kith backup --take-over");
  await waitFor("the refusal of the shipment", () => other.server.output.includes(REFUSED));
  expect(await contentOf(place)).toEqual(before);
  await other.server.stop();
  const alone = await place.run(["backup"], { folder: other.server.folder });
  expect([alone.code, alone.err]).toEqual([78, expect.stringContaining(REFUSED)]);
  expect(await contentOf(place)).toEqual(before);
  // The one that it belongs to goes on.
  await stage.server.start();
  const { uri } = await createRecord(stage.url, stage.alice, { record: post("goes on") });
  expect((await place.run(["backup"], { folder: stage.server.folder })).code).toBe(0);
  expect(uri).toBeString();
  await place.assertWhole();
}

test("a second server with the same settings is refused, and changes nothing: a folder", async () => {
  using place = new BackupPlace();
  await secondServerIsRefused(place);
}, 120_000);

test("a second server with the same settings is refused, and changes nothing: a bucket", async () => {
  await using s3 = await S3Server.start();
  using place = new BackupPlace({
    where: `s3://${S3_BUCKET}/one`,
    s3: {
      KITH_BACKUP_S3_ENDPOINT: s3.url,
      KITH_BACKUP_S3_ACCESS_KEY_ID: S3_KEY,
      KITH_BACKUP_S3_SECRET_ACCESS_KEY: S3_SECRET,
    },
  });
  await secondServerIsRefused(place);
}, 120_000);

test("a restored server takes over; the machine of before is refused, until it is told to take over again", async () => {
  using place = new BackupPlace();
  await using stage = await Stage.open({ env: place.env({ KITH_BACKUP_LOG_SHIP_SECONDS: "1" }) });
  const { folder } = stage.server;
  expect((await place.run(["backup"], { folder })).code).toBe(0);
  // The machine of before runs on, out of sight.
  const restored = join(place.path, "restored");
  const env = { PDS_PORT: String(stage.server.port), PDS_DID_PLC_URL: stage.plc.url };
  const ran = await place.run(["restore", place.where, "--skip-relays"], { folder: restored, env });
  expect([ran.code, ran.err]).toEqual([0, ran.err]);
  // Looking at it is no takeover.
  await createRecord(stage.url, stage.alice, { record: post("still here") });
  expect((await place.run(["backup"], { folder })).code).toBe(0);
  const first = await place.run(["backup"], { folder: restored, env });
  expect([first.code, first.err]).toEqual([0, first.err]);
  const { seq } = { seq: (await place.seqs()).at(-1) ?? 0 };
  await createRecord(stage.url, stage.alice, { record: post("nobody gets it") });
  await waitFor("the refusal", () => stage.server.output.includes(REFUSED));
  const refused = await place.run(["backup"], { folder });
  expect([refused.code, refused.err]).toEqual([1, expect.stringContaining(REFUSED)]);
  const list = await place.run(["backup", "list"], { folder });
  expect(list.out + list.err).toContain(REFUSED);
  expect((await place.seqs()).at(-1)).toBe(seq);
  // A copy of the restored folder is refused once that has gone on.
  const copy = join(place.path, "copy");
  cpSync(restored, copy, { recursive: true });
  for (const _ of [1, 2]) expect((await place.run(["backup"], { folder: restored, env })).code).toBe(0);
  expect((await place.run(["backup"], { folder: copy, env })).code).toBe(78);
  // What one has gone on with is no history that the other can go on with: the copy, whose log is as new, can.
  expect((await place.run(["backup", "--take-over"], { folder: copy, env })).code).toBe(0);
  expect((await place.run(["backup"], { folder: restored, env })).code).toBe(78);
  await place.assertWhole();
  expect(readFileSync(join(copy, "backup-turns.json"), "utf8")).toContain("turns");
  rmSync(copy, { recursive: true });
}, 120_000);
