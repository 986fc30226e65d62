import { expect, test } from "bun:test";
import { nearestName } from "./nearest.ts";

const NAMES = ["PDS_HOSTNAME", "PDS_PORT", "serve", "config"];
test.each([
  ["PDS_HOST_NAME", "PDS_HOSTNAME"],
  ["PDS_POTR", "PDS_PORT"],
  ["sevre", "serve"],
  ["CONFIG", "config"],
  ["frobnicate", undefined],
  ["x".repeat(1000), undefined],
])("nearestName(%p) is %p", (name, expected) => {
  expect(nearestName(name, NAMES)).toBe(expected);
});
