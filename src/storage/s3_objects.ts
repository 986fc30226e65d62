/** Whole objects of a bucket, by key: small enough to be held in memory. */
import { KithError } from "../errors.ts";
import { drop, type S3Options, S3Requests, unsigned } from "./_s3_requests.ts";

export interface S3Object {
  readonly key: string;
  readonly size: number;
  /** Unix milliseconds. */
  readonly at: number;
}

const PAGE_KEYS_MAX = 1_000;

export class S3Objects {
  readonly #options: S3Options;
  readonly #requests: S3Requests;

  constructor(options: S3Options) {
    this.#options = options;
    this.#requests = new S3Requests(options);
  }

  async put(key: string, bytes: Uint8Array): Promise<void> {
    const action = `Could not write "${key}"`;
    const answer = await this.#requests.send({
      method: "PUT",
      key,
      headers: { "content-length": String(bytes.length) },
      body: () => new Blob([bytes as Uint8Array<ArrayBuffer>]).stream(),
      timeoutMs: this.#options.uploadTimeoutMs,
      expects: [200, 201, 204],
      action,
    });
    await drop(answer);
    // Something on the way may answer 200 to anything.
    if (!answer.headers.has("etag")) throw notAsSuch(action);
  }

  async get(key: string): Promise<Uint8Array | undefined> {
    const action = `Could not read "${key}"`;
    const timeoutMs = this.#options.requestTimeoutMs;
    const answer = await this.#requests.send({ method: "GET", key, timeoutMs, expects: [200, 404], action });
    if (answer.status === 404) {
      await drop(answer);
      return undefined;
    }
    if (!answer.headers.has("etag")) throw notAsSuch(action);
    const bytes = await this.#body(answer, action);
    const length = Number(answer.headers.get("content-length") ?? bytes.length);
    if (bytes.length === length) return bytes;
    throw new KithError("upstream_failure", `${action}: the bucket has sent another length`);
  }

  async #body(answer: Response, action: string): Promise<Uint8Array> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      const error = new KithError("timeout", `${action}: the bucket does not send it to its end`);
      timer = setTimeout(() => reject(error), this.#options.uploadTimeoutMs);
    });
    try {
      return new Uint8Array(await Promise.race([answer.arrayBuffer(), late]));
    } catch (cause) {
      if (cause instanceof KithError) throw cause;
      throw new KithError("upstream_failure", `${action}: the bucket broke off`, { cause: unsigned(cause) });
    } finally {
      clearTimeout(timer);
    }
  }

  async size(key: string): Promise<number | undefined> {
    const action = `Could not look at "${key}"`;
    const timeoutMs = this.#options.requestTimeoutMs;
    const answer = await this.#requests.send({ method: "HEAD", key, timeoutMs, expects: [200, 404], action });
    await drop(answer);
    if (answer.status === 404) return undefined;
    const length = Number(answer.headers.get("content-length") ?? Number.NaN);
    if (Number.isNaN(length) || !answer.headers.has("etag")) throw notAsSuch(action);
    return length;
  }

  /** Every object below a prefix, in the order of the keys. */
  async *list(prefix: string): AsyncIterable<S3Object> {
    for (let after: string | undefined; ; ) {
      const page = await this.#requests.list(prefix, {
        limit: PAGE_KEYS_MAX,
        ...(after === undefined ? {} : { after }),
      });
      yield* page;
      after = page.at(-1)?.key;
      if (after === undefined) return;
    }
  }

  /** Nothing where it is not there. */
  async remove(key: string): Promise<void> {
    await this.#requests.remove(key, `Could not remove "${key}"`);
  }
}

function notAsSuch(action: string): KithError {
  return new KithError("upstream_failure", `${action}: the bucket has not answered as such`);
}
