/** The reference PDS runs as a peer of these tests, and our judges agree with what it makes. */
import { expect, test } from "bun:test";
import { createAccount, createRecord, post, repoCar } from "../client.ts";
import { judgeRepo } from "../judges.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";

test("the reference PDS serves an account whose repo the judges accept", async () => {
  await using plc = await PlcDirectory.start();
  await using reference = await ReferencePds.start({ plc });
  const alice = await createAccount(reference.url, "alice", plc);
  await createRecord(reference.url, alice, { record: post("from the reference") });
  const repo = await judgeRepo(await repoCar(reference.url, alice.did), alice.did, alice.didKey);
  expect(repo.records.size).toBe(1);
});
