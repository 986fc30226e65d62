import { expect, test } from "bun:test";
import { MetricsText } from "./metrics_text.ts";

function textOf(fill: (text: MetricsText) => void): string {
  const text = new MetricsText();
  fill(text);
  return text.toString();
}

const ROWS: [title: string, fill: (text: MetricsText) => void, lines: string[]][] = [
  [
    "a gauge",
    (text) => text.gauge({ name: "a_b", help: "What it is." }, 1.5),
    ["# HELP a_b What it is.", "# TYPE a_b gauge", "a_b 1.5"],
  ],
  [
    "a counter with labels",
    (text) => text.counter({ name: "a_total", help: "A." }, [[{ x: "1", y: "2" }, 3]]),
    ["# HELP a_total A.", "# TYPE a_total counter", 'a_total{x="1",y="2"} 3'],
  ],
  [
    "labels and words that would break out",
    (text) => text.gauge({ name: "a", help: "A \\ and\nmore" }, [[{ x: 'b"\\\nc 1' }, 0]]),
    ["# HELP a A \\\\ and\\nmore", "# TYPE a gauge", 'a{x="b\\"\\\\\\nc 1"} 0'],
  ],
  [
    "numbers without end",
    (text) => text.gauge({ name: "a", help: "A." }, Number.POSITIVE_INFINITY),
    ["# HELP a A.", "# TYPE a gauge", "a +Inf"],
  ],
  ["nothing of what is unknown", (text) => text.gauge({ name: "a", help: "A." }, undefined), [""]],
  [
    "a histogram, each bucket with all below it",
    (text) =>
      text.histogram(
        { name: "t", help: "T." },
        { bounds: [0.1, 1], series: [{ labels: { k: "v" }, counts: [2, 0, 3], sum: 7 }] },
      ),
    [
      "# HELP t T.",
      "# TYPE t histogram",
      't_bucket{k="v",le="0.1"} 2',
      't_bucket{k="v",le="1"} 2',
      't_bucket{k="v",le="+Inf"} 5',
      't_sum{k="v"} 7',
      't_count{k="v"} 5',
    ],
  ],
];

test.each(ROWS)("MetricsText writes %s", (_title, fill, lines) => {
  expect(textOf(fill)).toBe(`${lines.join("\n")}\n`);
});
