import { expect, test } from "bun:test";
import type { Logger } from "../logger.ts";
import { MemberLanguages } from "./member_languages.ts";

const DID = "did:plc:alice";
const QUIET: Logger = { debug() {}, info() {}, warn() {}, error() {}, child: () => QUIET };

function make(rows: Map<string, string>, { isFull = false } = {}) {
  const setLanguage = async (did: string, language: string) => {
    if (isFull) throw new Error("full");
    rows.set(did, language);
  };
  return new MemberLanguages({ rows: { languageOf: (did) => rows.get(did), setLanguage }, logger: QUIET });
}

test.each([
  [undefined, undefined, "en"],
  [undefined, "de", "de"],
  ["de", undefined, "de"],
  ["de", "en", "de"],
  ["fr", "de", "de"],
] as const)("MemberLanguages.of(): known %j, wished %j: %s", (known, wished, language) => {
  const rows = new Map(known === undefined ? [] : [[DID, known]]);
  expect(make(rows).of(DID, wished)).toBe(language);
});

test("MemberLanguages: pages change what is known, an app's word does only where nothing is", async () => {
  const rows = new Map<string, string>();
  const languages = make(rows);
  await languages.guess(DID, undefined);
  expect(rows.size).toBe(0);
  await languages.guess(DID, "de");
  await languages.guess(DID, "en");
  expect(languages.of(DID)).toBe("de");
  await languages.read(DID, "en");
  expect(languages.of(DID)).toBe("en");
});

test("MemberLanguages: nothing fails because a language could not be noted", async () => {
  await make(new Map(), { isFull: true }).read(DID, "de");
});
