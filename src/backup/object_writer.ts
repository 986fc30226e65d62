/** Puts pieces of files into a repository: those that are there already are not written again, and a few go at a time. */
import type { ChunkRef } from "./manifest.ts";
import { objectName, type Repository } from "./repository.ts";

/** Pieces on their way at a time. With their copies on the way they are what a run has in memory. */
const AT_ONCE = 6;

export interface WriterTotals {
  readonly objects: number;
  /** In the destination. */
  readonly bytes: number;
}

export class ObjectWriter {
  readonly #repository: Repository;
  /** Objects of the destination by id, with the bytes that they take there. */
  readonly #known: Map<string, number>;
  /** Whether the destination is asked for what is not among them. */
  readonly #asks: boolean;
  /** Objects that were read back before, with the bytes that they take. */
  readonly #proven: ReadonlyMap<string, number>;
  /** Objects that this run must read back. */
  readonly #unproven = new Map<string, ChunkRef>();
  /** What this run refers to: the bytes that each must take. */
  readonly #needed = new Map<string, number>();
  readonly #underWay = new Map<string, Promise<ChunkRef>>();
  readonly #waiting: (() => void)[] = [];
  #slots = AT_ONCE;
  #objects = 0;
  #bytes = 0;

  private constructor(
    repository: Repository,
    {
      known,
      asks,
      proven = new Map(),
    }: { known: Map<string, number>; asks: boolean; proven?: ReadonlyMap<string, number> },
  ) {
    this.#proven = proven;
    this.#repository = repository;
    this.#known = known;
    this.#asks = asks;
  }

  /** For a few files: asks the destination for each piece whether it has it. Proven ones were read back before. */
  static forFew(repository: Repository, proven: ReadonlyMap<string, number> = new Map()): ObjectWriter {
    return new ObjectWriter(repository, { known: new Map(), asks: true, proven });
  }

  /** Looks at what the destination has. */
  static async open(repository: Repository): Promise<ObjectWriter> {
    const known = new Map<string, number>();
    for await (const { id, size } of repository.objects()) known.set(id, size);
    return new ObjectWriter(repository, { known, asks: false });
  }

  get written(): WriterTotals {
    return { objects: this.#objects, bytes: this.#bytes };
  }

  /** Read back at the end of the run. */
  get unproven(): readonly ChunkRef[] {
    return [...this.#unproven.values()];
  }

  /** Of every object that the run refers to, the bytes that it must take. */
  get needed(): ReadonlyMap<string, number> {
    return this.#needed;
  }

  /** True where all of these are there, as long as they were when they were written; then they count as needed. */
  reuse(chunks: readonly ChunkRef[]): boolean {
    if (!chunks.every(({ id, stored }) => this.#known.get(id) === stored)) return false;
    for (const { id, stored } of chunks) this.#needed.set(id, stored);
    return true;
  }

  /**
   * Resolves once the piece may be handed over to `stored`, whose promise is the piece in the destination: so a caller that reads faster
   * than the destination writes waits here, not in memory.
   */
  async put(plain: Uint8Array): Promise<{ readonly stored: Promise<ChunkRef> }> {
    const id = this.#repository.objectId(plain);
    const underWay = this.#underWay.get(id);
    if (underWay) return { stored: underWay };
    const known = this.#known.get(id);
    if (known !== undefined) {
      const ref = { id, size: plain.length, stored: known };
      // Left by a run that was cut off, or another file's: whether it is whole nobody has looked.
      if (!this.#needed.has(id)) this.#unproven.set(id, ref);
      this.#needed.set(id, known);
      return { stored: Promise.resolve(ref) };
    }
    await this.#take();
    const stored = this.#write(id, plain).finally(() => {
      this.#underWay.delete(id);
      this.#give();
    });
    stored.catch(() => {});
    this.#underWay.set(id, stored);
    return { stored };
  }

  async #write(id: string, plain: Uint8Array): Promise<ChunkRef> {
    const size = this.#asks ? await this.#repository.destination.size(objectName(id)) : undefined;
    if (size !== undefined) {
      const ref = { id, size: plain.length, stored: size };
      this.#known.set(id, size);
      this.#needed.set(id, size);
      if (this.#proven.get(id) !== size) this.#unproven.set(id, ref);
      return ref;
    }
    const ref = await this.#repository.putObject(id, plain);
    this.#known.set(id, ref.stored);
    this.#needed.set(id, ref.stored);
    this.#unproven.set(id, ref);
    this.#objects += 1;
    this.#bytes += ref.stored;
    return ref;
  }

  async #take(): Promise<void> {
    if (this.#slots > 0) {
      this.#slots -= 1;
      return;
    }
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #give(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#slots += 1;
  }
}
