import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { type Cid, parseCid } from "../atproto/mod.ts";
import { DiskBlobStore, RestoreState } from "../storage/mod.ts";
import { DataFolderFixture } from "./_data_folder_fixture.ts";
import { fetchFiles } from "./restore_files.ts";
import { plannedFiles, planRestore } from "./restore_plan.ts";

const DID = "did:plc:alice";

test("fetchFiles() puts a blob away that an attempt before was cut off with, and none that was there before", async () => {
  using fixture = new DataFolderFixture();
  await fixture.make();
  fixture.account(DID, 5);
  const theirBytes = Buffer.from("of a server that goes on");
  const brought = parseCid(fixture.blob(DID, Buffer.from("brought by a restore"), true));
  const theirs = parseCid(fixture.blob(DID, theirBytes, true));
  const repository = await fixture.create();
  await fixture.run(repository);
  const plan = await planRestore(repository, { isRolledForward: true, isPartial: false });
  const folder = join(fixture.path, "restored");
  mkdirSync(folder);
  const blobs = new DiskBlobStore({ folder: join(folder, "blobs"), tmpFolder: join(folder, "blobs/temp") });
  const upload = await blobs.begin(DID);
  await upload.write(theirBytes);
  await upload.finish();
  await blobs.keep(upload, { did: DID, cid: theirs });
  const attempt = async () => {
    const state = RestoreState.open(join(folder, "restore.sqlite"));
    try {
      const options = { repository, state, folder, blobs, isPartial: false };
      return await fetchFiles(plannedFiles(repository, plan), options);
    } finally {
      state.close();
    }
  };
  const quarantine = blobs.quarantine.bind(blobs);
  blobs.quarantine = () => Promise.reject(new Error("killed"));
  await expect(attempt()).rejects.toThrow("killed");
  blobs.quarantine = quarantine;
  expect((await attempt()).blobs).toBe(2);
  const isAway = async (cid: Cid) => (await blobs.open(DID, cid, { quarantined: true })) !== undefined;
  expect([await isAway(brought), await isAway(theirs)]).toEqual([true, false]);
});
