import { expect, test } from "bun:test";
import { BUCKETS_S, REQUEST_KINDS, RequestCounts, STATUS_LABELS } from "./request_counts.ts";

const LIST = "com.atproto.repo.listRecords";
const GET = "com.atproto.repo.getRecord";

const ROWS = [
  {
    title: "a call",
    request: { nsid: LIST, isPage: false, status: 200 },
    label: [LIST, "200"],
    kind: "call",
  },
  {
    title: "a refused call",
    request: { nsid: LIST, isPage: false, status: 429 },
    label: [LIST, "429"],
    kind: "call",
  },
  {
    title: "a call of a method that is not ours",
    request: { nsid: "app.bsky.feed.getTimeline", isPage: false, status: 200 },
    label: ["passed_on", "200"],
    kind: "passed_on",
  },
  {
    title: "a call of something that is no NSID",
    request: { nsid: '"}\nx 1', isPage: false, status: 400 },
    label: ["passed_on", "400"],
    kind: "passed_on",
  },
  {
    title: "a page",
    request: { nsid: undefined, isPage: true, status: 303 },
    label: ["page", "303"],
    kind: "page",
  },
  {
    title: "all else",
    request: { nsid: undefined, isPage: false, status: 404 },
    label: ["other", "404"],
    kind: "other",
  },
  {
    title: "a rare status",
    request: { nsid: GET, isPage: false, status: 451 },
    label: [GET, "4xx"],
    kind: "call",
  },
  {
    title: "a status of nobody",
    request: { nsid: GET, isPage: false, status: 999 },
    label: [GET, "other"],
    kind: "call",
  },
] as const;

test.each(ROWS)("RequestCounts counts $title", ({ request, label, kind }) => {
  const counts = new RequestCounts([LIST, GET]);
  counts.count({ ...request, ms: 3 });
  expect([...counts.all()]).toEqual([[label[0], label[1], 1]]);
  for (const one of REQUEST_KINDS) {
    const { counts: buckets, sumS } = counts.timings(one);
    expect(buckets.reduce((sum, count) => sum + count, 0)).toBe(one === kind ? 1 : 0);
    expect(sumS).toBe(one === kind ? 0.003 : 0);
  }
});

test("RequestCounts makes no label of what callers send, however much they send", () => {
  const counts = new RequestCounts([LIST, GET]);
  for (let at = 0; at < 5_000; at++) {
    counts.count({ nsid: `com.example.did${at}`, isPage: false, status: at % 1_200, ms: at });
    counts.count({ nsid: at % 2 === 0 ? LIST : GET, isPage: false, status: at % 1_200, ms: at });
    counts.count({ nsid: undefined, isPage: at % 3 === 0, status: at % 1_200, ms: at });
  }
  const all = [...counts.all()];
  const methods = new Set(all.map(([method]) => method));
  expect([...methods].sort()).toEqual([GET, LIST, "other", "page", "passed_on"]);
  for (const [, status] of all) expect(STATUS_LABELS).toContain(status);
  expect(all.length).toBeLessThanOrEqual(5 * STATUS_LABELS.length);
  expect(all.reduce((sum, [, , count]) => sum + count, 0)).toBe(15_000);
});

test.each([
  [0, 0],
  [1, 0],
  [1.1, 1],
  [10_000, BUCKETS_S.length - 1],
  [10_001, BUCKETS_S.length],
])("RequestCounts puts %d ms into the bucket %d", (ms, bucket) => {
  const counts = new RequestCounts([LIST]);
  counts.count({ nsid: LIST, isPage: false, status: 200, ms });
  expect(counts.timings("call").counts.indexOf(1)).toBe(bucket);
});
