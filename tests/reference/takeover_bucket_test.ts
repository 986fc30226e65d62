/** A reference PDS whose blobs are in a bucket is taken over: kith goes on with the bucket, and what is in it stays. */
import { expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAccount, createRecord, newPicture, post, xrpc } from "../client.ts";
import { TestServer } from "../harness.ts";
import { PlcDirectory } from "../plc_directory.ts";
import { ReferencePds } from "../reference.ts";
import { S3Server, s3Env } from "../s3_server.ts";
import { asAdmin, importReference, postPicture, upload, writeEnvFile } from "../takeover.ts";

setDefaultTimeout(120_000);

test("kith import-reference goes on with the bucket of the reference", async () => {
  const work = mkdtempSync(join(tmpdir(), "kith-takeover-bucket-"));
  const [folder, target] = [join(work, "pds"), join(work, "kith")];
  mkdirSync(folder);
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => rmSync(work, { recursive: true, force: true }));
  const plc = cleanup.use(await PlcDirectory.start());
  const bucket = cleanup.use(await S3Server.start());
  const settings = s3Env(bucket.url, { PDS_BLOBSTORE_S3_FORCE_PATH_STYLE: "true" });
  const env = { ...settings, PDS_BLOBSTORE_DISK_LOCATION: undefined };
  const reference = cleanup.use(await ReferencePds.start({ plc, folder, env }));
  const alice = await createAccount(reference.url, "alice", plc);
  const shown = await postPicture(reference.url, alice, newPicture(30_000));
  const hidden = await postPicture(reference.url, alice, newPicture(30_001));
  const gone = await postPicture(reference.url, alice, newPicture(30_002));
  const uploaded = await upload(reference.url, alice, newPicture(30_003));
  const subject = { $type: "com.atproto.admin.defs#repoBlobRef", did: alice.did, cid: hidden.blob };
  await asAdmin(reference.url, "com.atproto.admin.updateSubjectStatus", {
    subject,
    takedown: { applied: true },
  });
  await reference.stop();
  bucket.remove(`blocks/${alice.did}/${gone.blob}`);
  writeEnvFile(reference);
  const before = bucket.keys();
  expect(before).toContain(`quarantine/${alice.did}/${hidden.blob}`);

  const dry = await importReference([folder, "--dry-run"]);
  expect([dry.code, dry.err]).toEqual([0, expect.stringContaining("has no file of: 1")]);
  expect(bucket.keys()).toEqual(before);

  const elsewhere = await importReference([folder, "--data", target], {
    env: { PDS_BLOBSTORE_S3_BUCKET: "other" },
  });
  expect([elsewhere.code, elsewhere.err]).toEqual([1, expect.stringContaining("set to keep them elsewhere")]);

  const ran = await importReference([folder, "--data", target]);
  expect([ran.code, ran.err]).toEqual([0, expect.stringContaining("Verified: 1 accounts")]);
  const added = `blocks/${alice.did}/${uploaded.ref.$link}`;
  expect(bucket.keys()).toEqual([...before, added].sort());

  const { PDS_DATA_DIRECTORY: _data, ...rest } = reference.env;
  await using kith = await TestServer.start({ folder: target, env: rest });
  const statusOf = async (cid: string) =>
    (await xrpc(kith.url, "com.atproto.sync.getBlob", { params: { did: alice.did, cid } })).status;
  expect([await statusOf(shown.blob), await statusOf(hidden.blob), await statusOf(gone.blob)]).toEqual([
    200, 400, 400,
  ]);
  const embed = { $type: "app.bsky.embed.images", images: [{ image: uploaded, alt: "" }] };
  await createRecord(kith.url, alice, { record: post("at last", { embed }) });
  expect(await statusOf(uploaded.ref.$link)).toBe(200);
});
