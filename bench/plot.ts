/** Results as a picture for the README: bars of how many times better kith is, on a scale of powers of ten. Pure. */

import { goalTimes, type RowResult } from "./rows.ts";

const WIDTH = 900;
const LABEL_WIDTH = 370;
const BAR_LEFT = LABEL_WIDTH + 10;
const BAR_RIGHT = WIDTH - 90;
const ROW_HEIGHT = 24;
const BAR_HEIGHT = 14;
const TOP = 64;
const FOOT_LINE = 17;
const FOOT_GAP = 30;
const SCALE_MAX_LEAST = 10;

export interface PlotOptions {
  readonly title: string;
  /** Where and when, below the bars. */
  readonly foot: readonly string[];
}

/** Readable on light and dark ground: the colours follow what the reader has chosen. */
const STYLE = `
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 16px; font-weight: 600 }
  .quiet { fill: #59636e; font-size: 12px }
  .grid { stroke: #d1d9e0; stroke-width: 1 }
  .even { stroke: #59636e; stroke-width: 1 }
  .bar { fill: #1d6a54 }
  .short { fill: #8f5b00 }
  .goal { stroke: #1f2328; stroke-width: 2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc }
    .quiet { fill: #9198a1 }
    .grid { stroke: #3d444d }
    .even { stroke: #9198a1 }
    .bar { fill: #4fb894 }
    .short { fill: #d9a441 }
    .goal { stroke: #f0f6fc }
  }`;

export function renderPlot(results: readonly RowResult[], { title, foot }: PlotOptions): string {
  const bars = results.flatMap((result) => {
    const times = result.basis === "cpu" ? result.cpuRatio : result.ratio;
    return times ? [{ result, times: times.median }] : [];
  });
  const goals = bars.map(({ result }) => goalTimes(result) ?? 1);
  const largest = Math.max(SCALE_MAX_LEAST, ...bars.map(({ times }) => times), ...goals);
  const decades = Math.ceil(Math.log10(largest));
  const xOf = (times: number): number =>
    BAR_LEFT + ((BAR_RIGHT - BAR_LEFT) * Math.log10(Math.max(1, times))) / decades;
  const bottom = TOP + bars.length * ROW_HEIGHT + 4;
  const height = bottom + FOOT_GAP + foot.length * FOOT_LINE;
  const lines = Array.from({ length: decades + 1 }, (_, power) => {
    const x = number(xOf(10 ** power));
    const name = power === 0 ? "as the reference" : `${(10 ** power).toLocaleString("en-US")}x`;
    return (
      `<line class="${power === 0 ? "even" : "grid"}" x1="${x}" x2="${x}" y1="${TOP - 6}" y2="${bottom}"/>` +
      `<text class="quiet" x="${x}" y="${TOP - 12}" text-anchor="middle">${name}</text>`
    );
  });
  const rows = bars.map(({ result, times }, at) => barOf(result, { times, xOf, y: TOP + at * ROW_HEIGHT }));
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img">`,
    `<title>${escapeXml(title)}</title>`,
    `<style>${STYLE}</style>`,
    `<text class="title" x="0" y="20">${escapeXml(title)}</text>`,
    ...lines,
    ...rows,
    ...foot.map(
      (line, at) =>
        `<text class="quiet" x="0" y="${bottom + FOOT_GAP + at * FOOT_LINE}">${escapeXml(line)}</text>`,
    ),
    "</svg>\n",
  ].join("\n");
}

interface Bar {
  readonly times: number;
  readonly y: number;
  xOf(times: number): number;
}

function barOf(result: RowResult, { times, y, xOf }: Bar): string {
  const end = xOf(times);
  const middle = y + ROW_HEIGHT / 2;
  const top = y + (ROW_HEIGHT - BAR_HEIGHT) / 2;
  const goal = goalTimes(result);
  const by = result.basis === "cpu" ? ", by CPU" : "";
  const mark =
    goal === undefined
      ? ""
      : `<line class="goal" x1="${number(xOf(goal))}" x2="${number(xOf(goal))}" y1="${top - 2}" y2="${top + BAR_HEIGHT + 2}"/>`;
  return (
    `<text x="${LABEL_WIDTH}" y="${middle + 4}" text-anchor="end">${escapeXml(`${result.title}${by}`)}</text>` +
    `<rect class="${result.met === false ? "short" : "bar"}" x="${BAR_LEFT}" y="${top}" width="${number(end - BAR_LEFT)}" height="${BAR_HEIGHT}" rx="2"/>` +
    `${mark}<text x="${number(Math.max(end, xOf(goal ?? 1)) + 8)}" y="${middle + 4}">${timesText(times)}x</text>`
  );
}

function timesText(times: number): string {
  return times >= 10 ? times.toFixed(0) : times.toFixed(1);
}

function number(value: number): string {
  return String(Math.round(value * 10) / 10);
}

function escapeXml(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll('"', "&quot;");
}
