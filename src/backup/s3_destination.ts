/** A destination that is a bucket, or what lies below a prefix of one. An object there is whole or is not there. */
import { KithError } from "../errors.ts";
import { S3Objects, type S3Options } from "../storage/mod.ts";
import { assertFileName, type Destination, type StoredFile } from "./destination.ts";

export interface S3DestinationOptions extends S3Options {
  /** Without slashes at its ends; "" for the whole bucket. */
  readonly prefix: string;
}

export class S3Destination implements Destination {
  readonly where: string;
  readonly #objects: S3Objects;
  readonly #prefix: string;

  constructor({ prefix, ...options }: S3DestinationOptions) {
    this.where = `s3://${options.bucket}${prefix === "" ? "" : `/${prefix}`}`;
    this.#prefix = prefix === "" ? "" : `${prefix}/`;
    this.#objects = new S3Objects(options);
  }

  async put(name: string, bytes: Uint8Array): Promise<void> {
    assertFileName(name);
    await this.#told(() => this.#objects.put(this.#prefix + name, bytes));
  }

  async get(name: string): Promise<Uint8Array | undefined> {
    assertFileName(name);
    return await this.#told(() => this.#objects.get(this.#prefix + name));
  }

  async size(name: string): Promise<number | undefined> {
    assertFileName(name);
    return await this.#told(() => this.#objects.size(this.#prefix + name));
  }

  async *list(folder: string): AsyncIterable<StoredFile> {
    const pages = this.#objects.list(this.#prefix + folder)[Symbol.asyncIterator]();
    for (;;) {
      const next = await this.#told(() => pages.next());
      if (next.done) return;
      const { key, size, at } = next.value;
      yield { name: key.slice(this.#prefix.length), size, at };
    }
  }

  async remove(name: string): Promise<void> {
    assertFileName(name);
    await this.#told(() => this.#objects.remove(this.#prefix + name));
  }

  async sweep(): Promise<void> {}

  /** Says which bucket it was. */
  async #told<T>(run: () => Promise<T>): Promise<T> {
    try {
      return await run();
    } catch (error) {
      if (!(error instanceof KithError)) throw error;
      const cause = error.cause instanceof Error ? ` (${error.cause.message})` : "";
      throw new KithError(error.code, `${error.message} in the backup "${this.where}"${cause}`, {
        cause: error,
        hint: "Is the bucket there, does the endpoint answer, and may the key get, put, delete and list? See the KITH_BACKUP_S3_ settings.",
      });
    }
  }
}
