/** How many bytes of blobs an account may have, with what is on its way counted in. */
import { KithError } from "../../../errors.ts";

interface Ledger {
  /** What is kept, as far as these uploads know. */
  stored: number;
  /** What the uploads under way have brought so far. */
  arriving: number;
  uploads: number;
}

export interface BlobQuotaOptions {
  /** Undefined: no bound. */
  readonly bytesMax: number | undefined;
  /** Bytes of the blobs that an account has. */
  readonly storedBytes: (did: string) => Promise<number>;
}

export class BlobQuota {
  readonly #options: BlobQuotaOptions;
  /** Of accounts that upload at the moment. */
  readonly #ledgers = new Map<string, Ledger>();

  constructor(options: BlobQuotaOptions) {
    this.#options = options;
  }

  /**
   * Opens the account of one upload, to be closed by `end`. Throws KithError quota_exceeded where the declared size does not
   * fit, or nothing does.
   */
  async begin(did: string, { declared = 0 }: { declared?: number | undefined }): Promise<UploadShare> {
    const ledger = this.#ledgers.get(did) ?? { stored: 0, arriving: 0, uploads: 0 };
    this.#ledgers.set(did, ledger);
    ledger.uploads += 1;
    const share = new UploadShare(ledger, this.#options.bytesMax, () => {
      ledger.uploads -= 1;
      if (ledger.uploads === 0) this.#ledgers.delete(did);
    });
    try {
      // Of two that began together, the one that read later may answer first.
      if (this.#options.bytesMax !== undefined)
        ledger.stored = Math.max(ledger.stored, await this.#options.storedBytes(did));
      share.assertRoomFor(declared);
      return share;
    } catch (error) {
      share.end({ kept: false });
      throw error;
    }
  }
}

/** What one upload has taken of the quota. */
export class UploadShare {
  readonly #ledger: Ledger;
  readonly #bytesMax: number | undefined;
  readonly #onEnd: () => void;
  #bytes = 0;

  constructor(ledger: Ledger, bytesMax: number | undefined, onEnd: () => void) {
    this.#ledger = ledger;
    this.#bytesMax = bytesMax;
    this.#onEnd = onEnd;
  }

  /** Throws KithError quota_exceeded where so much more does not fit. */
  assertRoomFor(bytes: number): void {
    const { stored, arriving } = this.#ledger;
    const used = stored + arriving;
    if (this.#bytesMax === undefined || used + Math.max(bytes, 1) <= this.#bytesMax) return;
    throw new KithError(
      "quota_exceeded",
      `Could not upload: the account uses ${used} of the ${this.#bytesMax} bytes that it may have`,
    );
  }

  /** Counts what has arrived. Throws KithError quota_exceeded. */
  take(bytes: number): void {
    this.assertRoomFor(bytes);
    this.#bytes += bytes;
    this.#ledger.arriving += bytes;
  }

  end({ kept }: { kept: boolean }): void {
    this.#ledger.arriving -= this.#bytes;
    if (kept) this.#ledger.stored += this.#bytes;
    this.#bytes = 0;
    this.#onEnd();
  }
}
