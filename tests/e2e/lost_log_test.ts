/** The event log is lost, and the server goes on without it. */
import { expect, test } from "bun:test";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createAccount, createRecord, post } from "../client.ts";
import { Firehose } from "../firehose.ts";
import { TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { kithVerify } from "../verifier.ts";
import { waitFor } from "../wait.ts";

const LIMIT_MS = 120_000;

test(
  "a server whose event log is lost says so, gives higher seqs, and tells subscribers that they have missed something",
  async () => {
    await using plc = await PlcDirectory.start();
    await using server = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
    const alice = await createAccount(server.url, "alice", plc);
    const bob = await createAccount(server.url, "bob", plc);
    let cursor = 0;
    {
      using firehose = await Firehose.connect(server.url, { cursor: 0 });
      await createRecord(server.url, alice, { record: post("before") });
      const commit = await firehose.find(
        "the commit",
        ({ type, body }) => type === "#commit" && body.since !== null,
      );
      cursor = commit.seq;
    }
    await server.stop();
    for (const suffix of ["", "-wal", "-shm"])
      rmSync(join(server.folder, `events.sqlite${suffix}`), { force: true });
    await server.start();
    await waitFor("the log of it", () => server.output.includes("The event log was lost"));
    using firehose = await Firehose.connect(server.url, { cursor });
    await createRecord(server.url, alice, { record: post("after") });
    const commit = await firehose.find("the commit", ({ type }) => type === "#commit");
    expect(commit.seq).toBeGreaterThan(cursor);
    expect(firehose.infos.map(({ name }) => name)).toEqual(["OutdatedCursor"]);
    await server.stop();
    await server.start();
    expect(server.output.split("The event log was lost")).toHaveLength(2);
    await server.stop();
    const env = { PDS_DID_PLC_URL: plc.url, PDS_PORT: String(server.port) };
    // Of whom nothing was told since.
    expect(await kithVerify(server.folder, { env })).toMatchObject({ exit: 1, problems: ["events_missing"] });
    const args = ["--repair", "--yes"];
    expect(await kithVerify(server.folder, { env, args })).toMatchObject({ exit: 0 });
    await server.start();
    using after = await Firehose.connect(server.url, { cursor: commit.seq });
    await after.find("the #sync", ({ type, did }) => type === "#sync" && did === bob.did);
  },
  LIMIT_MS,
);
