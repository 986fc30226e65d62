import { expect, test } from "bun:test";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DataFolderFixture } from "./_data_folder_fixture.ts";
import { BackupEngine } from "./backup_engine.ts";
import { BackupError } from "./backup_error.ts";
import { Repository, WRITER_FILE } from "./repository.ts";
import { KnownTurns, WriterClaim } from "./writer_claim.ts";

function engineOf(fixture: DataFolderFixture): BackupEngine {
  const setup = {
    folder: fixture.data,
    paths: fixture.source.paths,
    blobs: { folder: join(fixture.data, "blobs"), bucket: undefined, copied: true },
    maker: { kith: "0.0.0", hostname: "pds.test", serviceDid: "did:web:pds.test" },
    access: {
      ...{ region: "", endpoint: undefined, forcePathStyle: false },
      ...{ accessKeyId: undefined, secretAccessKey: undefined },
    },
    keep: { days: 7, weeks: 4, months: 6, logDays: 30 },
    host: "here",
  };
  return new BackupEngine({ setup, now: Date.now });
}

test("an engine that lost its claim to an older turn of its own goes on, and to another folder's it does not", async () => {
  using fixture = await new DataFolderFixture().make();
  const target = { where: fixture.destination.where, key: fixture.keyText, knownId: undefined };
  const before = engineOf(fixture);
  await before.snapshot(target);
  await before.stop();
  const old = readFileSync(fixture.file(WRITER_FILE));
  const engine = engineOf(fixture);
  const step = { upTo: 0, blobs: [], changed: [], repos: [], isStoreChanged: true };
  await engine.ship(target, step);
  // As where a bucket carried out late what had been given up, or where the destination was put back.
  for (const damage of [
    () => writeFileSync(fixture.file(WRITER_FILE), old),
    () => rmSync(fixture.file(WRITER_FILE)),
  ]) {
    damage();
    await engine.snapshot(target);
    await engine.ship(target, step);
  }
  const repository = await Repository.open(fixture.destination, fixture.key);
  const known = new KnownTurns(fixture.path);
  const other = await WriterClaim.take(repository, { known, host: "there", now: Date.now, takesOver: true });
  const refused = await engine.snapshot(target).catch((error: unknown) => error);
  expect(refused).toBeInstanceOf(BackupError);
  expect(refused).toMatchObject({ problem: "other_writer" });
  await other.assertHeld(repository);
  await engine.stop();
});
