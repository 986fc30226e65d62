/** 10,000 records that the server has imported: verified and made again from the tree, in seconds and bounded memory. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { createAccount, repoCar, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { kithVerify } from "../verifier.ts";
import { fillRepo, scaled } from "./load.ts";

const RECORDS = scaled(10_000);
const RECORD_BYTES = 200;
/** Measured far below, with room for a slow machine. */
const VERIFY_MS_MAX = 30_000;
const LIMIT_MS = 300_000;

test(
  `kith verify of ${RECORDS} records`,
  async () => {
    await using plc = await PlcDirectory.start();
    await using server = await TestServer.start({ env: { PDS_DID_PLC_URL: plc.url } });
    const alice = await createAccount(server.url, "alice", plc);
    await fillRepo(server.url, alice, { records: RECORDS, bytes: RECORD_BYTES });
    const { status } = await xrpc(server.url, "com.atproto.repo.importRepo", {
      token: alice.accessJwt,
      body: await repoCar(server.url, alice.did),
      headers: { "content-type": "application/vnd.ipld.car" },
    });
    expect(status).toBe(200);
    await server.stop();
    const env = { PDS_DID_PLC_URL: plc.url, PDS_PORT: String(server.port) };
    const clean = await kithVerify(server.folder, { env });
    const report = clean.lines.at(-1);
    console.log(`${RECORDS} records verified in ${report?.ms} ms`);
    expect(clean).toMatchObject({ exit: 0, problems: [], notes: [] });
    expect(report).toMatchObject({ records: RECORDS });
    expect(Number(report?.ms)).toBeLessThan(VERIFY_MS_MAX);

    const repos = join(server.folder, "repos");
    const name = readdirSync(repos, { recursive: true, encoding: "utf8" }).find((each) =>
      each.endsWith(".sqlite"),
    );
    const db = new Database(join(repos, name ?? ""));
    db.run("DELETE FROM record");
    db.close();
    const startedMs = performance.now();
    expect(await kithVerify(server.folder, { env, args: ["--repair", "--yes"] })).toMatchObject({ exit: 0 });
    console.log(
      `an index of ${RECORDS} records made again in ${Math.round(performance.now() - startedMs)} ms`,
    );
  },
  LIMIT_MS,
);
