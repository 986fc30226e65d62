/**
 * Blobs in a bucket, under the keys that the reference PDS uses. An upload is a file here until its hash is known, and is
 * then sent straight to its place: a key that is there is whole, and a bucket holds nothing that is on its way.
 */
import { type Cid, cidToString } from "../atproto/mod.ts";
import { isKithError, KithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import { drop, type S3Options, S3Refusal, S3Requests, unsigned } from "./_s3_requests.ts";
import { type BlobUpload, UploadFile, UploadFolder } from "./_upload_file.ts";
import {
  type BlobPage,
  type BlobStore,
  type ByteRange,
  cidOfName,
  type ListedBlob,
  type OpenBlob,
  type StoredBlob,
} from "./blob_store.ts";

export type { S3Options } from "./_s3_requests.ts";

/** Objects removed at a time where all of an account go, and keys asked for at a time. */
const REMOVED_AT_ONCE = 8;
const PAGE_KEYS_MAX = 1_000;
/** An object that nobody has made. */
const PROBE_KEY = "blocks/kith-looks-whether-the-bucket-answers";

export interface S3BlobStoreOptions extends S3Options {
  /** Where uploads are written first. */
  readonly tmpFolder: string;
  readonly logger: Logger;
}

export class S3BlobStore implements BlobStore {
  readonly #options: S3BlobStoreOptions;
  readonly #requests: S3Requests;
  readonly #uploads: UploadFolder;

  constructor(options: S3BlobStoreOptions) {
    this.#options = options;
    this.#requests = new S3Requests(options);
    this.#uploads = new UploadFolder(options.tmpFolder, { durably: false });
  }

  /**
   * Asks the bucket once. Throws KithError config_invalid where it is not there or refuses the key for good; a bucket
   * that does not answer now may answer later, and is a warning.
   */
  async check(): Promise<void> {
    const { bucket, endpoint, accessKeyId } = this.#options;
    const where = `the bucket "${bucket}"${endpoint === undefined ? "" : ` at "${endpoint}"`}`;
    const refuse = (why: string): KithError =>
      new KithError("config_invalid", `Could not use ${where}: ${why}`, {
        hint: "See the PDS_BLOBSTORE_S3_ settings.",
      });
    try {
      const request = { method: "GET", key: PROBE_KEY, action: "Could not ask the blob store" } as const;
      const timeoutMs = this.#options.requestTimeoutMs;
      await drop(await this.#requests.send({ ...request, timeoutMs, expects: [200] }));
    } catch (error) {
      const s3Code = error instanceof S3Refusal ? error.s3Code : "";
      if (s3Code === "NoSuchKey") return;
      if (s3Code === "NoSuchBucket") throw refuse("there is no such bucket");
      if (s3Code === "SignatureDoesNotMatch") throw refuse("PDS_BLOBSTORE_S3_SECRET_ACCESS_KEY is wrong");
      if (s3Code === "InvalidAccessKeyId")
        throw refuse(`it knows no PDS_BLOBSTORE_S3_ACCESS_KEY_ID "${accessKeyId}"`);
      if (/^(?:PermanentRedirect|AuthorizationHeaderMalformed)$/.test(s3Code))
        throw refuse("it is in another region than PDS_BLOBSTORE_S3_REGION says");
      if (/^(?:InvalidToken|ExpiredToken)$/.test(s3Code))
        throw refuse("it refuses the AWS_SESSION_TOKEN that is set in the environment: unset it");
      const message =
        s3Code === "AccessDenied"
          ? "The key to the bucket may not list it; removing an account's blobs and finding leftovers needs that"
          : "The bucket for blobs cannot be used now; blobs are refused until it can";
      this.#options.logger.warn(message, { bucket, endpoint, error, cause: causeOf(error) });
    }
  }

  begin(_did: string): Promise<UploadFile> {
    return this.#uploads.begin();
  }

  async keep(upload: BlobUpload, { did, cid }: { did: string; cid: Cid }): Promise<void> {
    if (!(upload instanceof UploadFile)) throw new TypeError("The upload is of another blob store");
    const action = `Could not keep the blob ${cidToString(cid)}`;
    await this.#told(did, () => this.#put(keyOf("blocks", did, cid), upload, action));
    await upload.discard();
  }

  async #put(key: string, { path, size }: UploadFile, action: string): Promise<void> {
    const answer = await this.#requests.send({
      method: "PUT",
      key,
      // With its length, and from a stream: a file given as such would be read whole where the endpoint has TLS.
      headers: { "content-length": String(size) },
      body: () => Bun.file(path).stream(),
      timeoutMs: this.#options.uploadTimeoutMs,
      expects: [200, 201, 204],
      action,
    });
    await drop(answer);
    // Something on the way may answer 200 to anything.
    if ((await this.#sizeOf(key, action)) !== size) {
      throw new KithError("upstream_failure", `${action}: the blob store has not taken it`);
    }
  }

  async open(did: string, cid: Cid, which: OpenBlob = {}): Promise<StoredBlob | undefined> {
    const key = keyOf(which.quarantined ? "quarantine" : "blocks", did, cid);
    return this.#openKey(did, key, `Could not read the blob ${cidToString(cid)}`);
  }

  #openKey(did: string, key: string, action: string): Promise<StoredBlob | undefined> {
    return this.#told(did, async () => {
      const size = await this.#sizeOf(key, action);
      if (size === undefined) return undefined;
      const all = { start: 0, end: size };
      return {
        size,
        stream: (range = all) =>
          this.#told(did, () => this.#read({ key, range, size, action }).catch(goneSince(action))),
      };
    });
  }

  /** An upload of the reference PDS's that no record refers to, by its key; kith has none in the bucket. */
  async openUpload(did: string, key: string): Promise<StoredBlob | undefined> {
    return this.#openKey(did, `tmp/${did}/${key}`, `Could not read the upload "${key}"`);
  }

  quarantine(did: string, cid: Cid): Promise<void> {
    return this.#move(did, cid, { from: "blocks", to: "quarantine" });
  }

  release(did: string, cid: Cid): Promise<void> {
    return this.#move(did, cid, { from: "quarantine", to: "blocks" });
  }

  /** Through a file here: a copy within a bucket wants a header in the signature that cannot be put into one. */
  #move(did: string, cid: Cid, { from, to }: { from: Place; to: Place }): Promise<void> {
    const action = `Could not move the blob ${cidToString(cid)}`;
    return this.#told(did, async () => {
      const key = keyOf(from, did, cid);
      const size = await this.#sizeOf(key, action);
      if (size === undefined) return;
      const upload = await this.#uploads.begin();
      try {
        const read = this.#read({ key, range: { start: 0, end: size }, size, action });
        for await (const chunk of await read.catch(goneSince(action))) await upload.write(chunk);
        await upload.finish();
        await this.#put(keyOf(to, did, cid), upload, action);
      } catch (error) {
        if (isKithError(error, "blob_not_found")) return;
        throw error;
      } finally {
        await upload.discard();
      }
      await this.#requests.remove(key, action);
    });
  }

  async removeQuarantined(did: string, cid: Cid): Promise<void> {
    const action = `Could not remove the blob ${cidToString(cid)}`;
    await this.#told(did, () => this.#requests.remove(keyOf("quarantine", did, cid), action));
  }

  /** None: a start does not wait for the bucket. One that was being moved is found in either place. */
  async quarantined(_did: string): Promise<Cid[]> {
    return [];
  }

  async #sizeOf(key: string, action: string): Promise<number | undefined> {
    const answer = await this.#requests.send({
      method: "HEAD",
      key,
      timeoutMs: this.#options.requestTimeoutMs,
      expects: [200, 404],
      action,
    });
    await drop(answer);
    if (answer.status === 404) return undefined;
    return lengthOf(answer, action);
  }

  async #read(part: {
    key: string;
    range: ByteRange;
    size: number;
    action: string;
  }): Promise<ReadableStream<Uint8Array>> {
    const { key, range, size, action } = part;
    const { start, end } = range;
    if (end <= start) return new Blob([]).stream();
    const isPart = start > 0 || end < size;
    const answer = await this.#requests.send({
      method: "GET",
      key,
      headers: isPart ? { range: `bytes=${start}-${end - 1}` } : {},
      timeoutMs: this.#options.requestTimeoutMs,
      expects: [isPart ? 206 : 200],
      action,
    });
    if (lengthOf(answer, action) !== end - start) {
      await drop(answer);
      throw anotherLength(action);
    }
    const body: ReadableStream<Uint8Array> = answer.body ?? new Blob([]).stream();
    return exactly(body, { bytes: end - start, idleMs: this.#options.requestTimeoutMs, action });
  }

  async remove(did: string, cid: Cid): Promise<void> {
    await this.#told(did, () =>
      this.#requests.remove(keyOf("blocks", did, cid), `Could not remove the blob ${cidToString(cid)}`),
    );
  }

  async removeAll(did: string): Promise<void> {
    const action = `Could not remove the blobs of "${did}"`;
    await this.#told(did, async () => {
      for (const prefix of [`blocks/${did}/`, `tmp/${did}/`, `quarantine/${did}/`]) {
        for (let after: string | undefined; ; ) {
          const page = await this.#requests.list(prefix, { limit: PAGE_KEYS_MAX, after });
          for (let at = 0; at < page.length; at += REMOVED_AT_ONCE) {
            const some = page.slice(at, at + REMOVED_AT_ONCE);
            await Promise.all(some.map(({ key }) => this.#requests.remove(key, action)));
          }
          after = page.at(-1)?.key;
          if (after === undefined) break;
        }
      }
    });
  }

  async list(did: string, { limit, after, quarantined }: BlobPage): Promise<ListedBlob[]> {
    const prefix = `${quarantined ? "quarantine" : "blocks"}/${did}/`;
    const listed: ListedBlob[] = [];
    let from = after === undefined ? undefined : prefix + after;
    // A page ends the walk where it is short, so keys that are none of ours do not make one so.
    while (listed.length < limit) {
      const page = { limit: limit - listed.length, after: from };
      const found = await this.#told(did, () => this.#requests.list(prefix, page));
      for (const { key, at } of found) {
        const name = key.slice(prefix.length);
        const cid = cidOfName(name);
        if (cid) listed.push({ cid, name, storedAt: at });
      }
      from = found.at(-1)?.key;
      if (from === undefined) break;
    }
    return listed;
  }

  sweepTemporary(): Promise<void> {
    return this.#uploads.sweep();
  }

  /** Callers are told what failed; the operator also why. */
  async #told<T>(did: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (["upstream_failure", "busy", "timeout"].some((code) => isKithError(error, code as never)))
        this.#options.logger.warn("The bucket for blobs has failed a request", {
          did,
          error,
          cause: causeOf(error),
        });
      throw error;
    }
  }
}

/** Where blobs are that are served, and that are taken down. */
type Place = "blocks" | "quarantine";

function keyOf(place: Place, did: string, cid: Cid): string {
  return `${place}/${did}/${cidToString(cid)}`;
}

/** The length of an object, as a bucket tells it: with its ETag, which nothing else that may answer in its place has. */
function lengthOf(answer: Response, action: string): number {
  const text = answer.headers.get("content-length") ?? "";
  if (/^\d{1,15}$/.test(text) && answer.headers.has("etag")) return Number(text);
  throw new KithError("upstream_failure", `${action}: the blob store has not answered as such`);
}

/** For a read of what has been looked at: that it was removed since is no failure of the bucket. */
function goneSince(action: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof S3Refusal) || error.s3Code !== "NoSuchKey") throw error;
    throw new KithError("blob_not_found", `${action}: it is not there any more`, { cause: error });
  };
}

function anotherLength(action: string): KithError {
  return new KithError("upstream_failure", `${action}: the blob store has sent another length`);
}

function causeOf(error: unknown): string | undefined {
  const cause = (error as { cause?: unknown } | null)?.cause;
  return cause instanceof Error ? cause.message : undefined;
}

/** `body`, which must have so many bytes, and may leave its reader waiting for so long: an error else. */
function exactly(
  body: ReadableStream<Uint8Array>,
  { bytes, idleMs, action }: { bytes: number; idleMs: number; action: string },
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let left = bytes;
  return new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        // Runs while something is waited for, never while the consumer takes its time.
        const { promise: late, reject } = Promise.withResolvers<never>();
        const timer = setTimeout(
          () => reject(new KithError("timeout", `${action}: it stands still`)),
          idleMs,
        );
        try {
          const { done, value } = await Promise.race([reader.read(), late]);
          left -= value?.byteLength ?? 0;
          if (left < 0 || (done && left > 0)) {
            throw anotherLength(action);
          }
          if (done) return controller.close();
          controller.enqueue(value);
        } catch (error) {
          await reader.cancel().catch(() => {});
          if (error instanceof KithError) throw error;
          throw new KithError("upstream_failure", `${action}: the blob store broke off`, {
            cause: unsigned(error),
          });
        } finally {
          clearTimeout(timer);
        }
      },
      cancel: () => reader.cancel(),
    },
    { highWaterMark: 1 },
  );
}
