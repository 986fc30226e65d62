/** com.atproto.sync: blobs, served only once a record references them. */
import { ComAtprotoSyncGetBlob, ComAtprotoSyncListBlobs } from "@atcute/atproto";
import { type Cid, cidToString } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import type { Logger } from "../../../logger.ts";
import { sendAsItIs } from "../../answers.ts";
import { type ByteRange, isKnown, rangeOf } from "../../byte_range.ts";
import { type Method, method } from "../../method.ts";
import { type Accounts, type RepoReads, servedAccount } from "../repo_access.ts";
import { readCid } from "./repo_methods.ts";

/** A blob in the store. */
export interface ServedBlob {
  readonly size: number;
  /** The file where there is one: Bun sends it itself, with its length, and in ranges where asked. */
  readonly file?: Blob;
  /** The bytes, read as the consumer pulls; Bun sends them without a length. Resolves once they begin to come. */
  stream(range?: ByteRange): Promise<ReadableStream<Uint8Array>>;
}

export interface SyncBlobOptions {
  readonly accounts: Accounts;
  readonly repos: RepoReads;
  readonly blobs: {
    /** Undefined where it is not there. */
    open(did: string, cid: Cid, which: { quarantined: boolean }): Promise<ServedBlob | undefined>;
  };
  readonly log: Logger;
}

export function syncBlobMethods(options: SyncBlobOptions): Method[] {
  return [getBlob(options), listBlobs(options)];
}

function getBlob({ accounts, repos, blobs, log }: SyncBlobOptions): Method {
  return method(ComAtprotoSyncGetBlob.mainSchema, {
    auth: "optional",
    oauth: "any",
    handler: async ({ params, principal, request }) => {
      const { did } = await servedAccount(accounts, { identifier: params.did, principal });
      const cid = readCid(params.cid);
      const { row, quarantined } = await repos.readDurable(did, (repo) => ({
        row: repo.blobIsReferenced(cid) ? repo.blob(cid) : undefined,
        quarantined: repo.takedowns.blob(cid) !== undefined,
      }));
      // Not even for its owner: what is taken down is looked at by the admin alone.
      const isHidden = quarantined && principal?.kind !== "admin";
      if (!row || isHidden) throw new KithError("blob_not_found", `Could not find the blob "${params.cid}"`);
      const headers = blobHeaders(cid, row.mimeType);
      if (isKnown(request.headers, etagOf(cid))) return new Response(null, { status: 304, headers });
      // The row decides; its file follows, perhaps while it is looked for, and a crash may have left it in the other place.
      const blob =
        (await blobs.open(did, cid, { quarantined })) ??
        (await blobs.open(did, cid, { quarantined: !quarantined })) ??
        (await blobs.open(did, cid, { quarantined }));
      if (!blob) {
        log.warn("The file of a blob is missing", { did, cid: params.cid });
        throw new KithError("blob_not_found", `Could not find the blob "${params.cid}"`);
      }
      if (blob.size !== row.size) {
        const sizes = `${blob.size} bytes instead of ${row.size}`;
        throw new KithError("storage_damaged", `The file of the blob "${params.cid}" has ${sizes}`);
      }
      return blobAnswer(request, { blob, headers, etag: etagOf(cid) });
    },
  });
}

async function blobAnswer(
  request: Request,
  { blob, headers, etag }: { blob: ServedBlob; headers: Headers; etag: string },
): Promise<Response> {
  const { size, file } = blob;
  // Also one of JSON: it may be large, and a part of it is no JSON.
  sendAsItIs(request);
  // A range is of GET alone.
  const range = request.method === "GET" ? rangeOf(request.headers, { size, etag }) : undefined;
  if (range === "unsatisfiable") {
    headers.set("Content-Range", `bytes */${size}`);
    return new Response(null, { status: 416, headers });
  }
  headers.set("Content-Length", String(range ? range.end - range.start : size));
  if (request.method === "HEAD") return new Response(null, { headers });
  if (range) {
    headers.set("Content-Range", `bytes ${range.start}-${range.end - 1}/${size}`);
    return new Response(await blob.stream(range), { status: 206, headers });
  }
  // Given the file, Bun would look at the range itself, by rules of its own.
  const isPlain = file !== undefined && !request.headers.has("range");
  return new Response(isPlain ? file : await blob.stream(), { headers });
}

/** A CID names its bytes, and always the same ones. */
function etagOf(cid: Cid): string {
  return `"${cidToString(cid)}"`;
}

/** A blob is whatever its owner uploaded: it must never run in this server's origin. */
function blobHeaders(cid: Cid, mimeType: string): Headers {
  return new Headers({
    "Content-Type": mimeType,
    "Accept-Ranges": "bytes",
    ETag: etagOf(cid),
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
        repo.listBlobs({ since, limit: limit + 1, cursor, takenDownToo: principal?.kind === "admin" }),
      );
      const cids = found.slice(0, limit).map(cidToString);
      return { cursor: found.length > limit ? cids.at(-1) : undefined, cids };
    },
  });
}
