import { expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { DataFolderFixture } from "./_data_folder_fixture.ts";
import { findMissed } from "./missed.ts";

const ALICE = "did:plc:alice";
const YEAR_MS = 365 * 86_400_000;

test("findMissed() finds what came after the newest snapshot, also where the clock was a year ahead before", async () => {
  using fixture = await new DataFolderFixture().make();
  fixture.account(ALICE);
  fixture.account("did:plc:bob");
  const repository = await fixture.create();
  const missed = () => findMissed(repository, { source: fixture.source, now: Date.now() });
  const cid = fixture.blob(ALICE, randomBytes(100));
  expect(await missed()).toEqual({ blobs: [], accounts: [], repos: [] });
  await fixture.run(repository, { now: () => Date.now() + YEAR_MS });
  // What came meanwhile may be missed: that snapshot says nothing of when it was.
  expect(await missed()).toEqual({
    blobs: [{ did: ALICE, cid }],
    accounts: [ALICE, "did:plc:bob"],
    repos: [],
  });
  await fixture.run(repository, { now: Date.now });
  fixture.change(ALICE);
  expect(await missed()).toEqual({ blobs: [{ did: ALICE, cid }], accounts: [ALICE], repos: [] });
  // Of one that is not active no event may tell what has changed in its repo.
  fixture.deactivate(ALICE);
  fixture.deactivate("did:plc:bob");
  expect((await missed()).repos).toEqual([ALICE]);
});
