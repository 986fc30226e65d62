/** Text for people: columns that stand under each other. Control characters of foreign text do not reach the terminal. */

export type Row = readonly string[];

/** Prints rows in columns under a head that comes once, however many times rows are added. */
export class Table {
  readonly #out: (text: string) => void;
  #head: Row | undefined;
  #widths: number[] = [];

  constructor(head: Row, out: (text: string) => void) {
    this.#head = head;
    this.#out = out;
  }

  /** Widths are those of all rows so far: of a list that comes in pages, later ones may be wider. */
  add(rows: readonly Row[]): void {
    const all = [...(this.#head ? [this.#head] : []), ...rows].map((row) => row.map(printable));
    this.#head = undefined;
    for (const row of all) {
      for (const [at, cell] of row.entries()) this.#widths[at] = Math.max(this.#widths[at] ?? 0, cell.length);
    }
    this.#out(all.map((row) => `${this.#line(row)}\n`).join(""));
  }

  #line(row: Row): string {
    return row
      .map((cell, at) => cell.padEnd(this.#widths[at] ?? 0))
      .join("  ")
      .trimEnd();
  }
}

/** One fact a line, its name before it; what is undefined is left out. */
export function facts(entries: readonly (readonly [name: string, value: string | undefined])[]): string {
  const there = entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined);
  const width = Math.max(...there.map(([name]) => name.length));
  return there.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}\n`).join("");
}

/** Text that others wrote, for a terminal: none of its control characters, which could rewrite what stands there. */
function printable(text: string): string {
  return text.replace(/\p{C}/gu, "\u{fffd}");
}

/** As `printable`, for text of several lines. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}
