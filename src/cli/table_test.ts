import { expect, test } from "bun:test";
import { facts, Table } from "./table.ts";

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
