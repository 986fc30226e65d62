/** com.atproto.sync: blobs, served only once a record references them. */
import { ComAtprotoSyncGetBlob, ComAtprotoSyncListBlobs } from "@atcute/atproto";
import { type Cid, cidToString } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";
import { type Accounts, type RepoReads, servedAccount } from "../repo_access.ts";
import { readCid } from "./repo_methods.ts";

/** A blob in the store. */
export interface ServedBlob {
  readonly size: number;
  /** The file where there is one: Bun sends it itself, with its length, and in ranges where asked. */
  readonly file?: Blob;
  /** The bytes, read as the consumer pulls; Bun sends them without a length. */
  stream(): ReadableStream<Uint8Array>;
}

export interface SyncBlobOptions {
  readonly accounts: Accounts;
  readonly repos: RepoReads;
  readonly blobs: {
    /** Undefined where it is not there. */
    open(did: string, cid: Cid): Promise<ServedBlob | undefined>;
  };
}

export function syncBlobMethods(options: SyncBlobOptions): Method[] {
  return [getBlob(options), listBlobs(options)];
}

function getBlob({ accounts, repos, blobs }: SyncBlobOptions): Method {
  return method(ComAtprotoSyncGetBlob.mainSchema, {
    auth: "optional",
    oauth: "any",
    handler: async ({ params, principal, request }) => {
      const { did } = await servedAccount(accounts, { identifier: params.did, principal });
      const cid = readCid(params.cid);
      const row = await repos.readDurable(did, (repo) =>
        repo.blobIsReferenced(cid) ? repo.blob(cid) : undefined,
      );
      const blob = row && (await blobs.open(did, cid));
      if (!row || !blob) throw new KithError("blob_not_found", `Could not find the blob "${params.cid}"`);
      if (blob.size !== row.size) {
        const sizes = `${blob.size} bytes instead of ${row.size}`;
        throw new KithError("storage_damaged", `The file of the blob "${params.cid}" has ${sizes}`);
      }
      const headers = blobHeaders(cid, row.mimeType);
      if (request.method === "HEAD" || !blob.file) headers.set("Content-Length", String(blob.size));
      if (request.method === "HEAD") return new Response(null, { headers });
      return new Response(blob.file ?? blob.stream(), { headers });
    },
  });
}

/** A blob is whatever its owner uploaded: it must never run in this server's origin. */
function blobHeaders(cid: Cid, mimeType: string): Headers {
  return new Headers({
    "Content-Type": mimeType,
    "Content-Disposition": `attachment; filename="${cidToString(cid)}"`,
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
  });
}

function listBlobs({ accounts, repos }: SyncBlobOptions): Method {
  return method(ComAtprotoSyncListBlobs.mainSchema, {
    auth: "optional",
    oauth: "any",
    handler: async ({ params, principal }) => {
      const { did } = await servedAccount(accounts, { identifier: params.did, principal });
      const { since, limit, cursor } = params;
      const found = await repos.readDurable(did, (repo) =>
        repo.listBlobs({ since, limit: limit + 1, cursor }),
      );
      const cids = found.slice(0, limit).map(cidToString);
      return { cursor: found.length > limit ? cids.at(-1) : undefined, cids };
    },
  });
}
