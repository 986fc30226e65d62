/** Blobs of 1 MB, up and down. */
import { type Bench, type RowSet, sampleOf } from "../bench.ts";
import { type BenchAccount, COLLECTION, call, postOf } from "../calls.ts";
import type { RequestSpec } from "../load/mod.ts";
import type { PeerName } from "../peers.ts";
import type { RowInfo } from "../rows.ts";
import { get } from "./reads.ts";

const BLOB_BYTES = 1_000_000;
const CONNECTIONS = 4;
const UPLOADS_MAX = 300;

const UPLOAD: RowInfo = {
  id: "uploadBlob",
  title: `uploadBlob of 1 MB, ${CONNECTIONS} connections`,
  unit: "MB/s",
  better: "higher",
  goal: { kind: "times", atLeast: 2 },
  remark: "the reference does not fsync blobs",
};

const DOWNLOAD: RowInfo = {
  id: "getBlob",
  title: `getBlob of 1 MB, ${CONNECTIONS} connections`,
  unit: "MB/s",
  better: "higher",
  goal: { kind: "times", atLeast: 3 },
};

const uploadBlob: RowSet = {
  rows: [UPLOAD],
  measure: async (bench, name) => {
    const peer = await bench.peer(name);
    const users = (await bench.users(name)).slice(0, CONNECTIONS);
    const path = "/xrpc/com.atproto.repo.uploadBlob";
    const lanes = users.map(({ token }): RequestSpec[] => [
      { method: "POST", path, token, imageBytes: BLOB_BYTES },
    ]);
    const { port } = peer;
    const usage = await bench.using(peer, () =>
      bench.load.ask({ kind: "load", port, lanes, seconds: bench.seconds, requestsMax: UPLOADS_MAX }),
    );
    const { requests, seconds } = usage.result;
    return { [UPLOAD.id]: sampleOf((requests * BLOB_BYTES) / 1_000_000 / seconds, requests, usage) };
  },
};

/** A blob that a record refers to, as those that are served are. */
function blobOf(bench: Bench, name: PeerName): Promise<{ did: string; cid: string }> {
  return bench.once(`blob ${name}`, async () => {
    const { url } = await bench.peer(name);
    const { did, token } = (await bench.users(name))[0] as BenchAccount;
    const bytes = new Uint8Array(BLOB_BYTES).fill(7);
    bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    const { blob } = await call<{ blob: { ref: { $link: string } } }>(url, "com.atproto.repo.uploadBlob", {
      token,
      bytes,
      type: "image/png",
    });
    const embed = { $type: "app.bsky.embed.images", images: [{ alt: "", image: blob }] };
    const record = { ...postOf("with an image"), embed };
    await call(url, "com.atproto.repo.createRecord", {
      token,
      json: { repo: did, collection: COLLECTION, record },
    });
    return { did, cid: blob.ref.$link };
  });
}

const getBlob: RowSet = {
  rows: [DOWNLOAD],
  measure: async (bench, name) => {
    const peer = await bench.peer(name);
    const { did, cid } = await blobOf(bench, name);
    const lanes = Array.from({ length: CONNECTIONS }, () => [
      get("com.atproto.sync.getBlob", `did=${did}&cid=${cid}`),
    ]);
    const { port } = peer;
    const usage = await bench.using(peer, () =>
      bench.load.ask({ kind: "load", port, lanes, seconds: bench.seconds }),
    );
    const { requests, seconds, bodyBytes } = usage.result;
    return { [DOWNLOAD.id]: sampleOf(bodyBytes / 1_000_000 / seconds, requests, usage) };
  },
};

export const BLOBS: readonly RowSet[] = [uploadBlob, getBlob];
