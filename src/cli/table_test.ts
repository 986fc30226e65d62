import { expect, test } from "bun:test";
import { described, facts, Table, wrapped } from "./table.ts";

test("Table prints its head once, and columns under each other", () => {
  let text = "";
  const table = new Table(["A", "B"], (more) => {
    text += more;
  });
  table.add([["long", "x"]]);
  table.add([["s", "y"]]);
  expect(text).toBe("A     B\nlong  x\ns     y\n");
});

test("Table lets no control character reach the terminal", () => {
  let text = "";
  new Table(["A"], (more) => {
    text += more;
  }).add([["a\u001b[31m\u202eb"]]);
  expect(text).toBe("A\na\u{fffd}[31m\u{fffd}b\n");
});

test("facts() leaves out what is undefined", () => {
  expect(
    facts([
      ["a", "1"],
      ["long", undefined],
      ["bc", "2"],
    ]),
  ).toBe("a   1\nbc  2\n");
});

const WORDS = "word ".repeat(30).trim();

test("wrapped() breaks between words at 80 columns, under the indent", () => {
  const lines = wrapped(WORDS, { indent: 10 }).split("\n");
  expect(lines.map((line) => line.length)).toEqual([69, 79, 19]);
  expect(lines.join(" ").replaceAll(/ +/g, " ")).toBe(WORDS);
  expect(wrapped("x".repeat(100), { indent: 10 })).toBe("x".repeat(100));
});

test("described() puts what is said beside the name, and below one that is too long", () => {
  expect(
    described([
      ["a", "one"],
      ["long", WORDS],
      ["x".repeat(40), "two"],
    ]),
  ).toBe(`  a     one\n  long  ${wrapped(WORDS, { indent: 8 })}\n  ${"x".repeat(40)}\n        two\n`);
});

test("Table breaks sentences in its last column where asked to", () => {
  let text = "";
  const out = (more: string) => {
    text += more;
  };
  new Table(["A", "B"], out, { wrapped: true }).add([["long", WORDS]]);
  expect(text).toBe(`A     B\nlong  ${wrapped(WORDS, { indent: 6 })}\n`);
});
