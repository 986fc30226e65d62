/** com.atproto.repo.uploadBlob: straight from the socket to the blob store, never whole in memory. */
import { ComAtprotoRepoUploadBlob } from "@atcute/atproto";
import type { BlobRow } from "../../../actors/mod.ts";
import { type Cid, cidToString } from "../../../atproto/mod.ts";
import { KithError } from "../../../errors.ts";
import {
  asBodyError,
  cutAtStop,
  declaredLength,
  isIdentityEncoded,
  refuseDeclaredLength,
  tooLarge,
} from "../../body.ts";
import { type Charge, DAY_MS } from "../../limits/rate_limits.ts";
import { type Call, callerDid, type Method, method, requireScope } from "../../method.ts";
import { missingBlob } from "../../oauth_rules.ts";
import { type Accounts, findAccount } from "../repo_access.ts";
import { BlobQuota, type UploadShare } from "./_blob_quota.ts";
import { assertBytesAllowed, assertDeclaredAllowed } from "./_blob_types.ts";
import { sniffMimeType } from "./_sniff_mime_type.ts";

/** Uploads at one time, over all accounts: each holds a file open. */
const UPLOADS_MAX = 128;
/** Uploads of one account at one time: a few whose bytes trickle in must not keep all others from uploading. */
const ACCOUNT_UPLOADS_MAX = 32;
/** Uploads of an account in a day. */
const UPLOADS = [{ points: 1_000, windowMs: DAY_MS }];
/** Of one that is deactivated, as it is while it moves in with the images of years. */
const UPLOADS_MOVING_IN = [{ points: 100_000, windowMs: DAY_MS }];

/** A blob on its way into the store. */
export interface BlobUpload {
  write(chunk: Uint8Array): Promise<void>;
  /** Ends the upload, temporary and durable; `head` is its first bytes. */
  finish(): Promise<{ readonly cid: Cid; readonly size: number; readonly head: Uint8Array }>;
  /** Removes what there is; nothing where the blob has been kept. */
  discard(): Promise<void>;
}

export interface UploadBlobOptions<Upload extends BlobUpload> {
  readonly accounts: Accounts;
  readonly blobs: { begin(did: string): Promise<Upload> };
  readonly repos: {
    read<T>(did: string, read: (repo: { blobBytes(): number }) => T): Promise<T>;
    /** Resolves with the media type that the blob has in the repo. */
    keepBlob(
      did: string,
      blob: {
        upload: Upload;
        row: BlobRow;
      },
    ): Promise<string>;
  };
  /** PDS_BLOB_UPLOAD_LIMIT, in bytes. */
  readonly blobBytesMax: number;
  /** What one account may have, in bytes; undefined: no bound. */
  readonly quotaBytes: number | undefined;
  /** Media types, or `image/*` and the like; undefined: all. */
  readonly types: readonly string[] | undefined;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/**
 * uploadBlob. A deactivated account may upload, since it does so while it moves in; and a service that the account has
 * given a token for this method, as those do that process videos.
 */
export function uploadBlobMethod<Upload extends BlobUpload>(options: UploadBlobOptions<Upload>): Method {
  const slots = new UploadSlots();
  const storedBytes = (did: string) => options.repos.read(did, (repo) => repo.blobBytes());
  const quota = new BlobQuota({ bytesMax: options.quotaBytes, storedBytes });
  return method(ComAtprotoRepoUploadBlob.mainSchema, {
    auth: "accessOrService",
    oauth: (permissions, { request }) =>
      missingBlob(permissions, request.headers.get("content-type") ?? "application/octet-stream"),
    limit: (call) => uploading(options.accounts, callerDid(call)),
    handler: async (call) => {
      const did = callerDid(call);
      await assertMayUpload(options.accounts, did);
      slots.take(did);
      try {
        refuseDeclaredLength(call.request, options.blobBytesMax);
        assertDeclaredAllowed(call.request.headers.get("content-type"), options.types);
        const share = await quota.begin(did, { declared: declaredSize(call.request) });
        let kept = false;
        try {
          const answer = await uploadBlob(call, { ...options, share });
          kept = true;
          return answer;
        } finally {
          share.end({ kept });
        }
      } finally {
        slots.giveBack(did);
      }
    },
  });
}

/** Who uploads how much at the moment. */
class UploadSlots {
  readonly #byAccount = new Map<string, number>();
  #taken = 0;

  /** Throws KithError busy where the account, or the server, has no room for another upload. */
  take(did: string): void {
    const own = this.#byAccount.get(did) ?? 0;
    if (this.#taken >= UPLOADS_MAX || own >= ACCOUNT_UPLOADS_MAX) {
      const running = own >= ACCOUNT_UPLOADS_MAX ? `${own} uploads of the account` : `${this.#taken} uploads`;
      throw new KithError("busy", `Could not upload: ${running} run already`);
    }
    this.#byAccount.set(did, own + 1);
    this.#taken += 1;
  }

  giveBack(did: string): void {
    const left = (this.#byAccount.get(did) ?? 1) - 1;
    if (left > 0) this.#byAccount.set(did, left);
    else this.#byAccount.delete(did);
    this.#taken -= 1;
  }
}

async function uploading(accounts: Accounts, did: string): Promise<Charge> {
  const account = await findAccount(accounts, did);
  return { budgets: account?.state === "deactivated" ? UPLOADS_MOVING_IN : UPLOADS, key: did };
}

async function assertMayUpload(accounts: Accounts, did: string): Promise<void> {
  const account = await findAccount(accounts, did);
  if (account?.state === "active" || account?.state === "deactivated") return;
  if (account?.state === "suspended") throw new KithError("account_suspended", "Account has been suspended");
  if (account?.state === "takendown") throw new KithError("account_takendown", "Account has been taken down");
  throw new KithError("account_not_found", `Could not upload: there is no account "${did}"`);
}

async function uploadBlob<Upload extends BlobUpload>(
  call: Call,
  { blobs, repos, blobBytesMax, types, share, now }: UploadBlobOptions<Upload> & { share: UploadShare },
): Promise<unknown> {
  const did = callerDid(call);
  const upload = await blobs.begin(did);
  try {
    await receive(call, { upload, share, bytesMax: blobBytesMax });
    const { cid, size, head } = await upload.finish();
    const declared = declaredSize(call.request);
    if (declared !== undefined && declared !== size) {
      throw new KithError(
        "invalid_request",
        `Could not upload: ${declared} bytes declared, ${size} received`,
      );
    }
    const sniffed = sniffMimeType(head, call.request.headers.get("content-type"));
    // What it says it is, has been checked before; this is what it is.
    if (call.principal?.kind === "oauth") {
      requireScope(
        missingBlob(call.principal.permissions, sniffed),
        ComAtprotoRepoUploadBlob.mainSchema.nsid,
      );
    }
    assertBytesAllowed({ sniffed, head }, types);
    const row = { cid, mimeType: sniffed, size, createdAt: now() };
    const mimeType = await repos.keepBlob(did, { upload, row });
    return { blob: { $type: "blob", ref: { $link: cidToString(cid) }, mimeType, size } };
  } catch (error) {
    await upload.discard();
    throw error;
  }
}

/** How many bytes are to come, where that is known before. */
function declaredSize(request: Request): number | undefined {
  return isIdentityEncoded(request) ? declaredLength(request) : undefined;
}

/** Reads the body into `upload` as the store takes it. Bun reads on after a refusal, so the sender sees the answer. */
async function receive(
  call: Call,
  { upload, share, bytesMax }: { upload: BlobUpload; share: UploadShare; bytesMax: number },
): Promise<void> {
  const reader = call.body?.getReader();
  if (!reader) return;
  const stop = cutAtStop(reader, call.stopping);
  let bytes = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        throw asBodyError(error);
      });
      if (done) return stop.end();
      bytes += value.byteLength;
      if (bytes > bytesMax) {
        await reader.cancel().catch(() => {});
        throw tooLarge(bytesMax);
      }
      share.take(value.byteLength);
      await upload.write(value);
    }
  } finally {
    stop.release();
  }
}
