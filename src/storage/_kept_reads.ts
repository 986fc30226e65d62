/**
 * What reads of one file have answered, kept in memory until a table that it came from is written. Only for a file that nobody
 * else writes, and without triggers or cascades: a statement then writes the one table that its text names.
 */

/** The table that a statement writes. */
const TARGET =
  /^\s*(?:INSERT(?:\s+OR\s+\w+)?\s+INTO|REPLACE\s+INTO|UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM)\s+(\w+)\b/i;

export interface KeptReadsOptions {
  /** The tables that the read looks at, in lower case. */
  readonly tables: readonly string[];
  /** Keys whose answers are kept; past the bound the ones that were read first are forgotten. */
  readonly keysMax: number;
}

/** Answers of one read, by its key. An answer is shared by all who ask: it must not be changed. */
export class KeptReads<V> {
  readonly #keysMax: number;
  readonly #answers = new Map<string, V>();

  constructor({ keysMax }: Pick<KeptReadsOptions, "keysMax">) {
    this.#keysMax = keysMax;
  }

  /** The kept answer, or that of `read`. That there is nothing is not kept: there is no end of keys that nobody has. */
  get(key: string, read: (key: string) => V | undefined): V | undefined {
    const kept = this.#answers.get(key);
    if (kept !== undefined) return kept;
    const answer = read(key);
    if (answer === undefined) return undefined;
    if (this.#answers.size >= this.#keysMax) {
      const [oldest] = this.#answers.keys();
      if (oldest !== undefined) this.#answers.delete(oldest);
    }
    this.#answers.set(key, answer);
    return answer;
  }

  forget(): void {
    this.#answers.clear();
  }
}

/** All that is kept of one file. */
export class KeptTables {
  readonly #byTable = new Map<string, KeptReads<unknown>[]>();
  /** By the text of a statement, what it makes untrue. */
  readonly #byStatement = new Map<string, readonly KeptReads<unknown>[]>();

  keep<V>(options: KeptReadsOptions): KeptReads<V> {
    const reads = new KeptReads<V>(options);
    for (const table of options.tables) {
      this.#byTable.set(table, [...(this.#byTable.get(table) ?? []), reads as KeptReads<unknown>]);
    }
    this.#byStatement.clear();
    return reads;
  }

  /**
   * Runs one transaction; `note` is to be called after each statement that it runs. What it has made untrue is forgotten at
   * once, for its own reads, and again at its end: it may have read what is rolled back.
   */
  during<T>(transaction: (note: (sql: string) => void) => T): T {
    const untrue = new Set<KeptReads<unknown>>();
    try {
      return transaction((sql) => {
        for (const reads of this.#untrueAfter(sql)) {
          reads.forget();
          untrue.add(reads);
        }
      });
    } finally {
      for (const reads of untrue) reads.forget();
    }
  }

  /** Of a statement whose table is not plain to see: all. */
  #untrueAfter(sql: string): readonly KeptReads<unknown>[] {
    const known = this.#byStatement.get(sql);
    if (known !== undefined) return known;
    const table = TARGET.exec(sql)?.[1]?.toLowerCase();
    const untrue =
      table === undefined ? [...this.#byTable.values()].flat() : (this.#byTable.get(table) ?? []);
    this.#byStatement.set(sql, untrue);
    return untrue;
  }
}
