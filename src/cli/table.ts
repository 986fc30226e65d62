/** Text for people: columns that stand under each other. Control characters of foreign text do not reach the terminal. */

export type Row = readonly string[];

/** Lines are broken here: the width of a terminal that nobody has made larger. */
const WIDTH = 80;
/** A name that is longer has a line of its own. */
const NAME_WIDTH_MAX = 32;

/** Breaks text between words; lines after the first stand under `indent`. */
export function wrapped(text: string, { indent = 0 }: { indent?: number } = {}): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (line !== "" && indent + longer.length > WIDTH) {
      lines.push(line);
      line = word;
    } else line = longer;
  }
  return [...lines, line].join(`\n${" ".repeat(indent)}`);
}

export type Described = readonly [name: string, text: string];

/** A line for each name with what is said of it beside it, broken under itself. `beside`: rows that it is to stand in line with. */
export function described(rows: readonly Described[], beside: readonly Described[] = rows): string {
  const lengths = beside.map(([name]) => name.length);
  const width = Math.max(0, ...lengths.filter((length) => length <= NAME_WIDTH_MAX));
  const indent = width + 4;
  return rows
    .map(([name, text]) => {
      const head = name.length > width ? `${name}\n${" ".repeat(width + 2)}` : name.padEnd(width);
      return `  ${head}  ${wrapped(text, { indent })}\n`;
    })
    .join("");
}

/** Prints rows in columns under a head that comes once, however many times rows are added. */
export class Table {
  readonly #out: (text: string) => void;
  readonly #isWrapped: boolean;
  #head: Row | undefined;
  #widths: number[] = [];

  /** `wrapped`: the last column holds sentences, which are broken under themselves. */
  constructor(head: Row, out: (text: string) => void, { wrapped: isWrapped = false } = {}) {
    this.#head = head;
    this.#out = out;
    this.#isWrapped = isWrapped;
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
    const indent = this.#widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0);
    return row
      .map((cell, at) =>
        this.#isWrapped && at === row.length - 1
          ? wrapped(cell, { indent })
          : cell.padEnd(this.#widths[at] ?? 0),
      )
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
