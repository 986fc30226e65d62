import { expect, test } from "bun:test";
import { judgeRow } from "./judge.ts";
import { renderPlot } from "./plot.ts";
import type { RowInfo } from "./rows.ts";

const OPTIONS = { title: 'kith & "others"', foot: ["2026-01-01", "with what"] };

function row(title: string, [theirs, ours]: readonly [number, number], goal = 10) {
  const info: RowInfo = {
    id: title,
    title,
    unit: "1/s",
    better: "higher",
    goal: { kind: "times", atLeast: goal },
  };
  return judgeRow(info, { reference: [{ value: theirs }], kith: [{ value: ours }] }, new Map());
}

test("each row that has a ratio has a bar, and what falls short another colour", () => {
  const alone = judgeRow(
    { id: "a", title: "alone", unit: "ms", better: "lower" },
    { kith: [{ value: 1 }] },
    new Map(),
  );
  const svg = renderPlot([row("fast", [1, 20]), row("slow", [1, 3]), alone], OPTIONS);
  expect(svg.match(/<rect class="bar"/g)).toHaveLength(1);
  expect(svg.match(/<rect class="short"/g)).toHaveLength(1);
  expect(svg).toContain(">20x<");
  expect(svg).toContain(">3.0x<");
  expect(svg).not.toContain("alone");
});

test("bars are as long as the logarithm, and the scale reaches beyond the longest", () => {
  const svg = renderPlot([row("ten", [1, 10]), row("hundred", [1, 100])], OPTIONS);
  const [ten = 0, hundred = 0] = [...svg.matchAll(/<rect[^>]* width="([\d.]+)"/g)].map((match) =>
    Number(match[1]),
  );
  expect(hundred / ten).toBeCloseTo(2);
  expect(svg).toContain(">100x<");
});

test("a row that is worse than the reference has no length, and not a negative one", () => {
  expect(renderPlot([row("worse", [10, 1])], OPTIONS)).toContain('width="0"');
});

test("words are escaped, and the colours follow the reader's", () => {
  const svg = renderPlot([row("a < b", [1, 2])], OPTIONS);
  expect(svg).toContain(">with what<");
  expect(svg).toContain("kith &amp; &quot;others&quot;");
  expect(svg).toContain("a &lt; b");
  expect(svg).toContain("prefers-color-scheme: dark");
});
