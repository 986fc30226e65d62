/** A restore has what no event tells and changed after the snapshot: keys and passwords of young accounts, preferences, takedowns. */
import { Database } from "bun:sqlite";
import { expect, test } from "bun:test";
import { join } from "node:path";
import { type Account, createRecord, PASSWORD, post, xrpc } from "../client.ts";
import { ADMIN_PASSWORD } from "../harness.ts";
import { RestoredStage } from "../restored_stage.ts";
import { waitFor } from "../wait.ts";

const LIMIT_MS = 300_000;
const ADMIN = { authorization: `Basic ${btoa(`admin:${ADMIN_PASSWORD}`)}` };

async function signIn(
  stage: RestoredStage,
  { did }: Account,
  password: string,
): Promise<Account["accessJwt"]> {
  const { status, json } = await xrpc(stage.url, "com.atproto.server.createSession", {
    body: { identifier: did, password },
  });
  expect([did, status]).toEqual([did, 200]);
  return json.accessJwt as string;
}

test(
  "accounts that were made seconds before the disk died sign in and sign their commits",
  async () => {
    await using stage = await RestoredStage.open();
    await stage.backUp();
    const accounts: Account[] = [];
    // One after another: each must be there with its events, also where a copy of the accounts store was shipped a moment ago.
    for (const name of ["first", "second", "third"]) {
      const account = await stage.account(name);
      accounts.push(account);
      const { commit } = await createRecord(stage.url, account, { record: post("the first one") });
      await stage.settle(commit.rev);
      const last = stage.events.at(-1)?.seq ?? 0;
      await waitFor("its events to be shipped", async () => (await stage.shippedUpTo()) >= last);
    }
    await stage.server.kill();
    stage.lose();
    const { ran, report } = await stage.restore();
    expect({ code: ran.code, troubles: report.troubles }).toEqual({ code: 0, troubles: [] });
    await stage.server.start();
    for (const account of accounts) {
      const accessJwt = await signIn(stage, account, PASSWORD);
      await createRecord(stage.url, { ...account, accessJwt }, { record: post("goes on") });
      expect((await stage.repo(account.did)).records.size).toBe(2);
    }
  },
  LIMIT_MS,
);

/** Of the takedowns: each is waited for. */
const REFS = ["late, the record", "late, the blob"];

/** Whether the newest rows at the destination have all of these words. */
async function isShipped(stage: RestoredStage, words: readonly string[]): Promise<boolean> {
  const repository = await stage.repository();
  let found = "";
  for (const { name } of await repository.increments()) {
    for await (const entry of repository.files((await repository.increment(name)).files)) {
      if (entry.kind !== "rows") continue;
      found = "";
      for await (const bytes of repository.content(entry)) found += Buffer.from(bytes).toString();
    }
  }
  return words.every((word) => found.includes(word));
}

/** Of the password, as the server has it now. */
function hashOf(stage: RestoredStage, { did }: Account): string {
  using db = new Database(join(stage.data, "accounts.sqlite"), { readonly: true });
  const sql = "SELECT password_hash AS hash FROM account WHERE did = ?";
  return db.query<{ hash: string }, [string]>(sql).get(did)!.hash;
}

test(
  "preferences, takedowns of records and blobs, and a new password after the snapshot hold",
  async () => {
    await using stage = await RestoredStage.open();
    const alice = await stage.account("alice");
    const call = (nsid: string, body: object, headers?: Record<string, string>) =>
      xrpc(stage.url, nsid, headers ? { body, headers } : { body, token: alice.accessJwt });
    const uploaded = await xrpc(stage.url, "com.atproto.repo.uploadBlob", {
      token: alice.accessJwt,
      body: Buffer.from("a picture that is taken down"),
      headers: { "content-type": "text/plain" },
    });
    const blob = uploaded.json.blob as { ref: { $link: string } };
    const collection = "dev.kith.test.file";
    const kept = { $type: collection, blob };
    await createRecord(stage.url, alice, { collection, rkey: "kept", record: kept });
    const { uri, cid } = await createRecord(stage.url, alice, { record: post("is taken down") });
    // Before it is taken down: later the backup would have it as put away.
    await waitFor("the blob to be shipped", async () => {
      const repository = await stage.repository();
      for (const { name } of await repository.increments())
        for await (const entry of repository.files((await repository.increment(name)).files))
          if (entry.cid === blob.ref.$link) return true;
      return false;
    });
    await stage.backUp();

    const preferences = [{ $type: "app.bsky.actor.defs#adultContentPref", enabled: true }];
    expect((await call("app.bsky.actor.putPreferences", { preferences })).status).toBe(200);
    const subjects = [
      { $type: "com.atproto.repo.strongRef", uri, cid },
      { $type: "com.atproto.admin.defs#repoBlobRef", did: alice.did, cid: blob.ref.$link },
    ];
    for (const [at, subject] of subjects.entries()) {
      const takedown = { subject, takedown: { applied: true, ref: REFS[at] } };
      expect((await call("com.atproto.admin.updateSubjectStatus", takedown, ADMIN)).status).toBe(200);
    }
    await waitFor("the takedowns to be shipped", () =>
      isShipped(stage, ["adultContentPref", uri.split("/").at(-1) ?? "", ...REFS]),
    );
    // Alone in an increment of its own, which has all the rest as well.
    const changed = { did: alice.did, password: "another one, 7 words long" };
    expect((await call("com.atproto.admin.updateAccountPassword", changed, ADMIN)).status).toBe(200);
    await waitFor("the password to be shipped", () => isShipped(stage, [hashOf(stage, alice), ...REFS]));
    await stage.server.kill();
    stage.lose();
    const { ran, report } = await stage.restore();
    expect({ code: ran.code, troubles: report.troubles, found: report.check.findings }).toEqual({
      ...{ code: 0, troubles: [], found: [] },
    });
    await stage.server.start();

    const token = await signIn(stage, alice, changed.password);
    const read = await xrpc(stage.url, "app.bsky.actor.getPreferences", { token });
    expect(read.json).toEqual({ preferences });
    const [collectionOf, rkey] = uri.split("/").slice(-2);
    const record = await xrpc(stage.url, "com.atproto.repo.getRecord", {
      params: { repo: alice.did, collection: collectionOf ?? "", rkey: rkey ?? "" },
    });
    expect([record.status, record.json.error]).toEqual([400, "RecordNotFound"]);
    const file = await xrpc(stage.url, "com.atproto.sync.getBlob", {
      params: { did: alice.did, cid: blob.ref.$link },
    });
    expect(file.status).toBe(400);
    for (const [at, subject] of [{ uri }, { did: alice.did, blob: blob.ref.$link }].entries()) {
      const status = await xrpc(stage.url, "com.atproto.admin.getSubjectStatus", {
        params: subject,
        headers: ADMIN,
      });
      expect(status.json.takedown).toEqual({ applied: true, ref: REFS[at] });
    }
  },
  LIMIT_MS,
);
