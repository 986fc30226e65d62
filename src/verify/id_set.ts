/** Row ids seen: a bit each, so that the blocks of the largest repo take a few megabytes. */
const PAGE_BITS = 1 << 16;

export class IdSet {
  readonly #pages = new Map<number, Uint8Array>();
  size = 0;

  /** False where it was there. */
  add(id: number): boolean {
    const page = this.#pageOf(id);
    const [at, bit] = [(id % PAGE_BITS) >> 3, 1 << (id & 7)];
    if (((page[at] ?? 0) & bit) !== 0) return false;
    page[at] = (page[at] ?? 0) | bit;
    this.size += 1;
    return true;
  }

  has(id: number): boolean {
    const page = this.#pages.get(Math.floor(id / PAGE_BITS));
    return page !== undefined && ((page[(id % PAGE_BITS) >> 3] ?? 0) & (1 << (id & 7))) !== 0;
  }

  #pageOf(id: number): Uint8Array {
    const number = Math.floor(id / PAGE_BITS);
    let page = this.#pages.get(number);
    if (!page) {
      page = new Uint8Array(PAGE_BITS >> 3);
      this.#pages.set(number, page);
    }
    return page;
  }
}
