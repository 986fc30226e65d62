import { expect, test } from "bun:test";
import { ProgressLine } from "./_progress_line.ts";

const ROWS: readonly {
  title: string;
  isTerminal: boolean;
  tellEveryMs?: number;
  /** When it is shown, in milliseconds; "!" for news. */
  shown: readonly (number | `${number}!`)[];
  wrote: string;
}[] = [
  {
    title: "a terminal's line is drawn anew every 100 ms, and at once for news",
    isTerminal: true,
    shown: [0, 50, 99, 100, 150, "160!", 200, 260],
    wrote: "\r\u001b[K0\r\u001b[K100\r\u001b[K160\r\u001b[K260\r\u001b[K",
  },
  { title: "elsewhere nothing is written", isTerminal: false, shown: [0, "50!", 99_000], wrote: "" },
  {
    title: "elsewhere a line is written now and then, where it takes long",
    isTerminal: false,
    tellEveryMs: 10_000,
    shown: [0, "50!", 1_999, 2_000, 11_999, 12_000],
    wrote: "2000\n12000\n",
  },
];

test.each(ROWS)("ProgressLine: $title", ({ isTerminal, tellEveryMs, shown, wrote }) => {
  const written: string[] = [];
  let nowMs = 0;
  const line = new ProgressLine(
    { isTerminal, err: (text) => void written.push(text) },
    { elapsed: () => nowMs, ...(tellEveryMs === undefined ? {} : { tellEveryMs }) },
  );
  for (const each of shown) {
    nowMs = Number.parseInt(String(each), 10);
    line.show(() => String(nowMs), { isNews: typeof each === "string" });
  }
  // Once is enough.
  line.clear();
  line.clear();
  expect(written.join("")).toBe(wrote);
});
