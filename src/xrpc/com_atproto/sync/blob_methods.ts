/** com.atproto.sync: blobs, served only once a record references them. */
import { ComAtprotoSyncGetBlob, ComAtprotoSyncListBlobs } from "@atcute/atproto";
import { type Cid, cidToString } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import { type Method, method } from "../../method.ts";
import { type Accounts, type RepoReads, servedAccount } from "../repo_access.ts";
import { readCid } from "./repo_methods.ts";

export interface SyncBlobOptions {
  readonly accounts: Accounts;
  readonly repos: RepoReads;
  readonly blobs: {
    /** Undefined where the file is not there. */
    open(
      did: string,
      cid: Cid,
    ): Promise<{ readonly size: number; stream(): ReadableStream<Uint8Array> } | undefined>;
  };
}

export function syncBlobMethods(options: SyncBlobOptions): Method[] {
  return [getBlob(options), listBlobs(options)];
}

function getBlob({ accounts, repos, blobs }: SyncBlobOptions): Method {
  return method(ComAtprotoSyncGetBlob.mainSchema, {
    auth: "optional",
    handler: async ({ params, principal, request }) => {
      const { did } = await servedAccount(accounts, { identifier: params.did, principal });
      const cid = readCid(params.cid);
      const row = await repos.readDurable(did, (repo) =>
        repo.blobIsReferenced(cid) ? repo.blob(cid) : undefined,
      );
      const file = row && (await blobs.open(did, cid));
      if (!row || !file) throw new KithError("blob_not_found", `Could not find the blob "${params.cid}"`);
      return new Response(request.method === "HEAD" ? null : file.stream(), {
        headers: blobHeaders({ cid, mimeType: row.mimeType, size: file.size }),
      });
    },
  });
}

/** A blob is whatever its owner uploaded: it must never run in this server's origin. */
function blobHeaders({
  cid,
  mimeType,
  size,
}: {
  cid: Cid;
  mimeType: string;
  size: number;
}): Record<string, string> {
  return {
    "Content-Type": mimeType,
    "Content-Length": String(size),
    "Content-Disposition": `attachment; filename="${cidToString(cid)}"`,
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "X-Content-Type-Options": "nosniff",
  };
}

function listBlobs({ accounts, repos }: SyncBlobOptions): Method {
  return method(ComAtprotoSyncListBlobs.mainSchema, {
    auth: "optional",
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
