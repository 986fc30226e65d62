import { expect, test } from "bun:test";
import { parseEnvFile } from "./env_file.ts";

test.each([
  ["A=1", { A: "1" }],
  ["export A=1", { A: "1" }],
  ["  A = 1  ", { A: "1" }],
  ["\uFEFFA=1\r\nB=2\r\n", { A: "1", B: "2" }],
  ["# comment\n\nA=1 # comment", { A: "1" }],
  ["A=a#b", { A: "a#b" }],
  ["A=", { A: "" }],
  ["A= # nothing", { A: "" }],
  ["A=x=y==", { A: "x=y==" }],
  ["A='a # $b \\n'", { A: "a # $b \\n" }],
  ['A="a # b" # c', { A: "a # b" }],
  ['A="line\\none \\"two\\" \\\\ \\$x \\q"', { A: 'line\none "two" \\ $x \\q' }],
  ["A=1\nA=2", { A: "2" }],
  ["A=it's", { A: "it's" }],
  ["A=$HOME", { A: "$HOME" }],
  ["__proto__=1", { __proto: undefined }],
] as [string, Record<string, string>][])("parseEnvFile(%j)", (text, expected) => {
  const { entries, problems } = parseEnvFile(text);
  expect(problems).toEqual([]);
  if (text.startsWith("__proto__")) expect(entries[0]?.name).toBe("__proto__");
  else expect(Object.fromEntries(entries.map(({ name, value }) => [name, value]))).toEqual(expected);
});

test.each([
  ["A=1\nnonsense", "line 2 is not of the form NAME=VALUE"],
  ["1A=x", "line 1 is not of the form NAME=VALUE"],
  ['A="open', "line 1 (A) has a quote that does not end"],
  ["A='x' y", "line 1 (A) has a quote that does not end"],
])("parseEnvFile(%j) names the line and not the value", (text, problem) => {
  expect(parseEnvFile(text).problems).toEqual([problem]);
});
