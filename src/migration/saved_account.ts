/** What an account has published, in a folder: fetched from its server as anybody may, kept for the day when that is gone. */
import { appendFileSync, existsSync, mkdirSync, readFileSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { KithError } from "../errors.ts";
import { isHostError, PATIENCE_OF_A_MOVE, type Upload, XrpcHost } from "../identity/mod.ts";
import type { HostSurroundings } from "./hosts.ts";

/** Where what was saved before will do. */
const HASTE = { ...PATIENCE_OF_A_MOVE, retryPausesMs: [500] };
const CAR_TYPE = "application/vnd.ipld.car";
const ANY_TYPE = "application/octet-stream";
const PAGE_ENTRIES = 500;
const CID = /^[a-z0-9]{1,100}$/;
const TYPE = /^[\w.+-]+\/[\w.+;= -]+$/;

const blobs = z.object({ cursor: z.string().optional(), cids: z.array(z.string().regex(CID)) });

export interface SavedAccountOptions {
  readonly did: string;
  readonly surroundings: HostSurroundings;
  say(text: string): void;
}

export class SavedAccount {
  readonly #folder: string;
  readonly #options: SavedAccountOptions;
  /** By CID; a line of the file for each that is whole. */
  #types: Map<string, string> | undefined;

  constructor(folder: string, options: SavedAccountOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  get #isThere(): boolean {
    return existsSync(this.#path("repo.car"));
  }

  /** Fetches what has changed. Where the server cannot be asked, what was saved before has to do. Throws KithErrors. */
  async save(from: string): Promise<void> {
    const { did, surroundings, say } = this.#options;
    mkdirSync(this.#path("blobs"), { recursive: true, mode: 0o700 });
    const patience = this.#isThere ? HASTE : PATIENCE_OF_A_MOVE;
    const host = new XrpcHost({ ...surroundings, url: from, patience });
    try {
      const { body } = await host.bytes("com.atproto.sync.getRepo", { params: { did } });
      const part = `${this.#path("repo.car")}.part`;
      await Bun.write(part, new Response(body));
      renameSync(part, this.#path("repo.car"));
      const count = await this.#saveBlobs(host);
      say(`what it has published is in "${this.#folder}": the records, and ${count} blobs`);
    } catch (error) {
      if (!(error instanceof KithError) || !this.#isThere) throw error;
      const age = statSync(this.#path("repo.car")).mtime.toISOString();
      say(`going on with what was saved in "${this.#folder}" at ${age}: ${error.message}`);
    }
  }

  repo(): Promise<Upload> {
    const file = Bun.file(this.#path("repo.car"));
    return Promise.resolve({ type: CAR_TYPE, bytes: file.size, body: file.stream() });
  }

  /** What sends it, as often as that is needed; undefined where it was not saved. */
  blob(cid: string): (() => Upload) | undefined {
    const type = this.#known().get(cid);
    if (type === undefined) return undefined;
    const file = Bun.file(this.#path("blobs", cid));
    return () => ({ type, bytes: file.size, body: file.stream() });
  }

  /** How many there are now. */
  async #saveBlobs(host: XrpcHost): Promise<number> {
    const { did } = this.#options;
    const nsid = "com.atproto.sync.listBlobs";
    const known = this.#known();
    const seen = new Set<string>();
    for (let cursor: string | undefined; ; ) {
      const { data } = blobs.safeParse(
        await host.json(nsid, { params: { did, limit: PAGE_ENTRIES, cursor } }),
      );
      if (data === undefined)
        throw new KithError("upstream_failure", `"${host.url}" answered ${nsid} wrongly`);
      const fresh = data.cids.filter((cid) => !seen.has(cid));
      for (const cid of fresh) {
        seen.add(cid);
        if (!known.has(cid)) await this.#saveBlob(host, cid);
      }
      if (!data.cursor || fresh.length === 0) return known.size;
      cursor = data.cursor;
    }
  }

  async #saveBlob(host: XrpcHost, cid: string): Promise<void> {
    const { did, say } = this.#options;
    try {
      const { body, headers } = await host.bytes("com.atproto.sync.getBlob", { params: { did, cid } });
      await Bun.write(this.#path("blobs", cid), new Response(body));
      const told = headers.get("content-type") ?? "";
      const type = TYPE.test(told) ? told : ANY_TYPE;
      appendFileSync(this.#path("blobs.tsv"), `${cid}\t${type}\n`);
      this.#known().set(cid, type);
    } catch (error) {
      if (!isHostError(error) || error.status >= 500) throw error;
      say(`the blob "${cid}" is not to be had: ${error.message}`);
    }
  }

  #known(): Map<string, string> {
    if (this.#types !== undefined) return this.#types;
    const path = this.#path("blobs.tsv");
    const lines = existsSync(path) ? readFileSync(path, "utf8").split("\n") : [];
    const whole = lines.slice(0, -1).map((line) => line.split("\t") as [string, string]);
    this.#types = new Map(whole.filter(([cid, type]) => CID.test(cid) && TYPE.test(type ?? "")));
    return this.#types;
  }

  #path(...names: string[]): string {
    return join(this.#folder, ...names);
  }
}
