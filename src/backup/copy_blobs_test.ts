import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { DataFolderFixture } from "./_data_folder_fixture.ts";
import type { BackupBlobs } from "./snapshot_source.ts";

const ALICE = "did:plc:alice";

/** The blobs of a server that goes on: `meanwhile` happens after each call, which it is given with its number. */
function busyBlobs(inner: BackupBlobs, meanwhile: (call: string) => void): BackupBlobs {
  const calls = { list: 0, open: 0 };
  return {
    list: async (...asked) => {
      const page = await inner.list(...asked);
      meanwhile(`list ${++calls.list}`);
      return page;
    },
    open: async (...asked) => {
      const found = await inner.open(...asked);
      meanwhile(`open ${++calls.open}`);
      return found;
    },
  };
}

test.each([
  ["taken down once it was found", false, ["open 1"]],
  ["given back once it was found", true, ["open 1"]],
  ["taken down once it was listed, and given back between two looks", false, ["list 1", "open 1"]],
])("a blob that is %s is in the snapshot all the same", async (_, startsDown, moves) => {
  using fixture = await new DataFolderFixture().make();
  fixture.account(ALICE);
  const cid = fixture.blob(ALICE, randomBytes(100), startsDown);
  let isDown = startsDown;
  const blobs = busyBlobs(fixture.source.blobs as BackupBlobs, (call) => {
    if (!moves.includes(call)) return;
    const to = fixture.blobPath(ALICE, cid, !isDown);
    mkdirSync(dirname(to), { recursive: true });
    renameSync(fixture.blobPath(ALICE, cid, isDown), to);
    isDown = !isDown;
  });
  const repository = await fixture.create();
  const { manifest } = await fixture.run(repository, { source: { ...fixture.source, blobs } });
  expect([manifest.counts.blobs, manifest.problems]).toEqual([1, []]);
});
