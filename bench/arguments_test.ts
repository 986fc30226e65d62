import { expect, test } from "bun:test";
import { parseArguments } from "./arguments.ts";

test("without words everything is measured in full", () => {
  expect(parseArguments([])).toEqual({
    help: false,
    filters: [],
    quick: false,
    smoke: false,
    rounds: undefined,
    json: undefined,
    svg: undefined,
    binary: undefined,
    profile: undefined,
  });
});

test("rows, flags and options, in any order", () => {
  const words = ["getRecord", "--quick", "--rounds", "3", "--json=a.json", "limit", "--svg", "b.svg"];
  expect(parseArguments(words)).toMatchObject({
    filters: ["getRecord", "limit"],
    quick: true,
    rounds: 3,
    json: "a.json",
    svg: "b.svg",
  });
});

test.each([[["--fast"]], [["--json"]], [["--rounds", "0"]], [["--rounds=x"]], [["--quick=1"]]])(
  "%p is refused with the usage",
  (words) => {
    expect(() => parseArguments(words)).toThrow("bun run bench");
  },
);
