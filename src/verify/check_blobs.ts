/** An account's blobs: rows against files, both ways; files against their hashes; records against rows. */
import { type Cid, cidFromBytes, cidToString } from "../atproto/mod.ts";
import { isKithError } from "../errors.ts";
import { type BlobRead, eachBlob, isDamage, type RepoReads, storageError } from "../storage/mod.ts";
import type { Whose } from "./check_repo.ts";
import { type FindingsList, Gathered } from "./findings_list.ts";
import type { VerifiedBlob, VerifyBlobs } from "./sources.ts";

/** Marks an item as a file of the quarantine. */
export const QUARANTINED = "quarantine:";

export interface BlobTotals {
  blobs: number;
  missing: number;
  bytes: number;
}

export interface CheckBlobsOptions {
  readonly whose: Whose;
  readonly findings: FindingsList;
  readonly blobs: VerifyBlobs;
  /** False: only sizes are looked at. */
  readonly readsBlobs: boolean;
  readonly totals: BlobTotals;
  /** Blobs of records that were published, and that the account's file has lost. */
  readonly lost: ReadonlySet<string>;
  turn(): Promise<void>;
}

export async function checkBlobs(reads: RepoReads, options: CheckBlobsOptions): Promise<void> {
  await new BlobCheck(reads, options).run();
}

/** A row whose file is not there, or has other bytes. */
interface WrongBlob {
  readonly cid: Cid;
  readonly found: Gathered;
  readonly example: string;
  /** False where a takedown has, or should have, put it away. */
  readonly isServed: boolean;
}

class BlobCheck {
  readonly #reads: RepoReads;
  readonly #options: CheckBlobsOptions;
  readonly #wrong: WrongBlob[] = [];
  /** Under which blob's name bytes lie that are not that blob's, by their hash. */
  readonly #elsewhere = new Map<string, string>();
  readonly #swapped = new Gathered();
  readonly #missing = new Gathered();
  readonly #damaged = new Gathered();
  readonly #sizes = new Gathered();
  readonly #misplaced = new Gathered();
  readonly #strays = new Gathered();
  readonly #left = new Gathered();
  readonly #ofLost = new Gathered();
  readonly #rowless = new Gathered();
  readonly #awaited = new Gathered();

  constructor(reads: RepoReads, options: CheckBlobsOptions) {
    this.#reads = reads;
    this.#options = options;
  }

  async run(): Promise<void> {
    for (const row of this.#reads.blobs()) {
      await this.#options.turn();
      await this.#checkRow(row);
    }
    let last = "";
    for (const { cid: bytes, collection, rkey } of this.#reads.missingBlobs()) {
      const cid = cidFromBytes(bytes);
      const name = cidToString(cid);
      if (name === last) continue;
      last = name;
      await this.#options.turn();
      await this.#checkReference(cid, `${collection}/${rkey}`);
    }
    await this.#checkFiles();
    this.#tell();
  }

  async #checkRow(row: BlobRead): Promise<void> {
    const { whose, blobs, totals, readsBlobs } = this.#options;
    const cid = cidFromBytes(row.cid);
    const name = cidToString(cid);
    totals.blobs += 1;
    const quarantined = this.#reads.isTakenDown(cid);
    let found = await blobs.open(whose.did, cid, { quarantined });
    const other =
      found && !quarantined ? undefined : await blobs.open(whose.did, cid, { quarantined: !quarantined });
    if (other) this.#misplaced.add(name, name);
    found ??= other;
    if (!found) {
      totals.missing += 1;
      this.#wrong.push({ cid, found: this.#missing, example: name, isServed: !quarantined });
      return;
    }
    const isSized = found.size === row.size;
    if (!readsBlobs && isSized) return;
    const digest = await this.#digestOf(found);
    if (digest !== hexOf(cid)) {
      const example = `${name} (${found.size} bytes, ${row.size} uploaded)`;
      const isServed = !quarantined && !other;
      this.#wrong.push({ cid, found: this.#damaged, example, isServed });
      if (isServed && digest !== undefined) this.#elsewhere.set(digest, name);
    } else if (!isSized)
      this.#sizes.add(`${name} (${row.size} instead of ${found.size})`, `${name} ${found.size}`);
  }

  /** A reference without a row: never uploaded, or the row is lost. */
  async #checkReference(cid: Cid, path: string): Promise<void> {
    const { whose, blobs } = this.#options;
    const name = cidToString(cid);
    const quarantined = this.#reads.isTakenDown(cid);
    const found = await blobs.open(whose.did, cid, { quarantined });
    if (found && (await this.#isWhole(found, cid))) this.#rowless.add(`${name} of "${path}"`, name);
    else if (!found) this.#awaited.add(`${name} of "${path}"`);
  }

  async #checkFiles(): Promise<void> {
    const { whose, blobs } = this.#options;
    for await (const { cid } of eachBlob(blobs, { did: whose.did })) {
      if (this.#reads.hasBlob(cid)) continue;
      await this.#options.turn();
      await this.#checkStray(cid);
    }
    for (const cid of await blobs.quarantined(whose.did)) {
      if (this.#reads.isTakenDown(cid) || this.#reads.hasBlob(cid)) continue;
      this.#strays.add(`${cidToString(cid)} in the quarantine`, QUARANTINED + cidToString(cid));
    }
    for await (const path of blobs.nameless?.(whose.did) ?? []) this.#strays.add(`"${path}"`, path);
  }

  async #checkStray(cid: Cid): Promise<void> {
    const { whose, blobs } = this.#options;
    const name = cidToString(cid);
    const found = await blobs.open(whose.did, cid);
    if (!found) return;
    const digest = await this.#digestOf(found);
    const isWhole = digest === hexOf(cid);
    if (!isWhole && digest !== undefined) this.#elsewhere.set(digest, name);
    // It is awaited by a record and has no row: told as that already.
    if (isWhole && this.#rowless.items.includes(name)) return;
    // What a crash or a restore leaves of uploads is whole; the server's walk over all accounts removes it.
    const whole = this.#options.lost.has(name) ? this.#ofLost : this.#left;
    (isWhole ? whole : this.#strays).add(name, name);
  }

  async #isWhole(blob: VerifiedBlob, cid: Cid): Promise<boolean> {
    return (await this.#digestOf(blob)) === hexOf(cid);
  }

  /** In hex; undefined for what the disk does not give back. */
  async #digestOf(blob: VerifiedBlob): Promise<string | undefined> {
    if (blob.sha256 !== undefined) return blob.sha256;
    const hash = new Bun.CryptoHasher("sha256");
    let bytes = 0;
    try {
      for await (const chunk of await blob.stream()) {
        hash.update(chunk);
        bytes += chunk.length;
        await this.#options.turn();
      }
    } catch (error) {
      const isOfDisk =
        isDamage(error) || isKithError(storageError(error, "Could not read a blob"), "storage_full");
      if (!isOfDisk) throw error;
      return undefined;
    } finally {
      this.#options.totals.bytes += bytes;
    }
    return bytes === blob.size ? hash.digest("hex") : undefined;
  }

  /** Missing and damaged ones, but those whose bytes lie under another name. */
  #sortWrong(): void {
    for (const { cid, found, example, isServed } of this.#wrong) {
      const name = cidToString(cid);
      const from = isServed ? this.#elsewhere.get(hexOf(cid)) : undefined;
      if (from === undefined) found.add(example, name);
      else this.#swapped.add(`${name} is under "${from}"`, `${name} ${from}`);
    }
  }

  #tell(): void {
    this.#sortWrong();
    const {
      whose: { did, handle },
      findings,
    } = this.#options;
    const whose = handle === undefined ? { did } : { did, handle };
    const tell = (found: Gathered, code: Parameters<Gathered["tell"]>[1]["code"], what: string) =>
      found.tell(findings, { ...whose, code, what });
    tell(this.#missing, "blob_missing", "blobs have no file");
    tell(this.#swapped, "blob_misnamed", "blobs have their bytes under another's name");
    tell(this.#damaged, "blob_damaged", "blobs have other bytes than were uploaded");
    tell(this.#sizes, "blob_size_differs", "blobs have another size than is noted");
    tell(this.#misplaced, "blob_misplaced", "blobs are in the wrong place");
    tell(this.#rowless, "blob_row_missing", "blobs are here and not known");
    tell(this.#strays, "blob_stray", "files are of no blob");
    tell(this.#ofLost, "blob_of_lost", "files are of records that are lost");
    tell(this.#left, "blob_left_over", "files are left of uploads");
    tell(this.#awaited, "blob_awaited", "blobs are awaited");
  }
}

function hexOf(cid: Cid): string {
  return Buffer.from(cid.digest.contents).toString("hex");
}
