import { expect, test } from "bun:test";
import { parseQuery } from "./_params.ts";

const PARTS = [
  "a",
  "b",
  "did%3Aplc",
  "=",
  "&",
  "%",
  "+",
  "%20",
  "%c3%bc",
  "%ff",
  "%zz",
  "%",
  "__proto__",
  "%00",
  "%ef%bb%bf",
  "é",
  ";",
  "?",
];

function asForm(query: string): Map<string, string[]> {
  const given = new Map<string, string[]>();
  for (const [name, text] of new URLSearchParams(query)) given.set(name, [...(given.get(name) ?? []), text]);
  return given;
}

test.each([
  "",
  "&",
  "&&a=1&&",
  "a",
  "a=",
  "=a",
  "a=1&a=2",
  "a=b=c",
  "a&b=1",
  "uri=at%3A%2F%2Fdid%3Aplc%3Aabc%2Fapp.bsky.feed.post%2F3k&depth=6",
  "q=one+two%2Bthree",
  "q=%ed%a0%80&r=%f0%9f%98%80",
  "%61=1&a=2",
])("parseQuery() reads %j as a form", (query) => {
  expect([...parseQuery(query)]).toEqual([...asForm(query)]);
});

test("parseQuery() reads whatever there is as a form", () => {
  let seed = 1;
  const next = (below: number): number => {
    seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let round = 0; round < 5_000; round += 1) {
    const query = Array.from({ length: next(12) }, () => PARTS[next(PARTS.length)]).join("");
    // URLSearchParams drops a question mark at the beginning: an address has none there.
    if (query.startsWith("?")) continue;
    expect({ query, given: [...parseQuery(query)] }).toEqual({ query, given: [...asForm(query)] });
  }
});
