/** A restore has an account that was moving in when the disk died: of its repo no event tells before it is activated. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type Account,
  createAccount,
  createRecord,
  FILE_COLLECTION,
  PASSWORD,
  postFile,
  repoCar,
  xrpc,
} from "../client.ts";
import { TestServer } from "../harness.ts";
import { RestoredStage } from "../restored_stage.ts";
import { waitFor } from "../wait.ts";

const LIMIT_MS = 300_000;
const RECORDS = 30;
const CREATE = "com.atproto.server.createAccount";
const PNG = { "content-type": "image/png" };

async function call(server: string, nsid: string, more: Parameters<typeof xrpc>[2]): Promise<Uint8Array> {
  const answer = await xrpc(server, nsid, more);
  if (answer.status !== 200)
    throw new Error(`${nsid} answers ${answer.status} ${JSON.stringify(answer.json)}`);
  return answer.bytes;
}

async function ask(server: string, nsid: string, more: Parameters<typeof xrpc>[2]) {
  return JSON.parse(Buffer.from(await call(server, nsid, more)).toString()) as Record<string, unknown>;
}

/** Moves in, all but for the activation. */
async function moveIn(account: Account, { from, to }: { from: string; to: string }): Promise<string> {
  const { did, accessJwt } = account;
  const { did: aud } = await ask(to, "com.atproto.server.describeServer", {});
  const params = { aud: String(aud), lxm: CREATE };
  const signed = await ask(from, "com.atproto.server.getServiceAuth", { token: accessJwt, params });
  const body = { did, handle: "moving.test", email: "moving@example.com", password: PASSWORD };
  const made = await ask(to, CREATE, { token: String(signed.token), body });
  const token = String(made.accessJwt);
  const car = { "content-type": "application/vnd.ipld.car" };
  await call(to, "com.atproto.repo.importRepo", { token, body: await repoCar(from, did), headers: car });
  const missing = await ask(to, "com.atproto.repo.listMissingBlobs", { token });
  for (const { cid } of missing.blobs as { cid: string }[]) {
    const bytes = await call(from, "com.atproto.sync.getBlob", { params: { did, cid } });
    await call(to, "com.atproto.repo.uploadBlob", { token, body: bytes, headers: PNG });
  }
  return token;
}

/** What the newest file of the account that is at the destination has of it. */
async function shippedOf(stage: RestoredStage, did: string): Promise<{ records: number; blobs: number }> {
  const repository = await stage.repository();
  let content: Uint8Array | undefined;
  for (const { name } of await repository.increments()) {
    for await (const entry of repository.files((await repository.increment(name)).files)) {
      if (entry.kind !== "repo" || entry.did !== did) continue;
      const parts: Uint8Array[] = [];
      for await (const bytes of repository.content(entry)) parts.push(bytes);
      content = Buffer.concat(parts);
    }
  }
  if (!content) return { records: 0, blobs: 0 };
  const path = join(stage.path, "shipped.sqlite");
  writeFileSync(path, content);
  const db = new Database(path);
  try {
    const count = (table: string) =>
      db.query<{ n: number }, []>(`SELECT count(*) n FROM ${table}`).get()?.n ?? 0;
    return { records: count("record"), blobs: count("blob") };
  } finally {
    db.close();
  }
}

test(
  "an account that has moved in and was not activated yet is there with its records and blobs",
  async () => {
    await using stage = await RestoredStage.open();
    await using old = await TestServer.start({ env: { PDS_DID_PLC_URL: stage.plc.url } });
    const account = await createAccount(old.url, "alice", stage.plc);
    for (const content of ["one picture", "another one"]) await postFile(old.url, account, { content });
    for (let n = 2; n < RECORDS; n += 1)
      await createRecord(old.url, account, {
        collection: FILE_COLLECTION,
        record: { $type: FILE_COLLECTION, n },
      });
    await stage.backUp();
    const statusOf = (token: string) =>
      ask(stage.url, "com.atproto.server.checkAccountStatus", { token }).then(
        ({ indexedRecords, expectedBlobs, importedBlobs, activated }) =>
          ({ indexedRecords, expectedBlobs, importedBlobs, activated }) as Record<string, unknown>,
      );
    const before = await statusOf(await moveIn(account, { from: old.url, to: stage.url }));
    expect(before).toEqual({ indexedRecords: RECORDS, expectedBlobs: 2, importedBlobs: 2, activated: false });
    const isShipped = async () => {
      const { records, blobs } = await shippedOf(stage, account.did);
      return records === RECORDS && blobs === 2;
    };
    // Its file goes no sooner than it has rested, the longer the busier the machine is.
    await waitFor("its file to be shipped", isShipped, LIMIT_MS / 2);
    await stage.server.kill();
    stage.lose();
    const { ran, report } = await stage.restore();
    expect({ code: ran.code, troubles: report.troubles, notes: report.notes }).toEqual({
      ...{ code: 0, troubles: [], notes: [] },
    });
    await stage.server.start();
    const session = await ask(stage.url, "com.atproto.server.createSession", {
      body: { identifier: account.did, password: PASSWORD },
    });
    expect(await statusOf(String(session.accessJwt))).toEqual(before);
  },
  LIMIT_MS,
);
