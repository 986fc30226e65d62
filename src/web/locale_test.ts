import { expect, test } from "bun:test";
import {
  chooseLocale,
  formatBytes,
  formatDay,
  formatSpan,
  formatTime,
  LOCALES,
  type LocaleWishes,
  pickText,
} from "./locale.ts";
import { textsOf } from "./texts_of.ts";

const ROWS: readonly [string, LocaleWishes, string][] = [
  ["nothing is said", {}, "en"],
  ["the browser prefers", { acceptLanguage: "de-AT,de;q=0.9,en;q=0.5" }, "de"],
  ["the weights decide, not the order", { acceptLanguage: "en;q=0.3, de;q=0.8" }, "de"],
  ["a refused language is none", { acceptLanguage: "de;q=0, fr" }, "en"],
  ["unknown ones are passed over", { acceptLanguage: "fr, tlh;q=0.9, de;q=0.1" }, "de"],
  ["anything will do", { acceptLanguage: "fr, *;q=0.5, de;q=0.1" }, "en"],
  ["the app asks", { uiLocales: "fr-CA de", acceptLanguage: "en" }, "de"],
  ["the app asks for none that is here", { uiLocales: "fr", acceptLanguage: "de" }, "de"],
  ["the person has chosen", { chosen: "en", uiLocales: "de", acceptLanguage: "de" }, "en"],
  ["the choice is nonsense", { chosen: "../etc", acceptLanguage: "de" }, "de"],
  ["nonsense", { acceptLanguage: ";;;q=x,,,de;q=abc,=" }, "en"],
  ["a header without an end", { acceptLanguage: `${"fr,".repeat(10_000)}de` }, "en"],
];

for (const [title, wishes, locale] of ROWS) {
  test(`chooseLocale: ${title}`, () => expect(chooseLocale(wishes)).toBe(locale as "en"));
}

test("pickText: the reader's language, else the one without a name, else any", () => {
  const texts = new Map([
    ["", "plain"],
    ["de-AT", "deutsch"],
  ]);
  expect(pickText(texts, { locale: "de" })).toBe("deutsch");
  expect(pickText(texts, { locale: "en" })).toBe("plain");
  expect(pickText(new Map([["fr", "francais"]]), { locale: "de" })).toBe("francais");
  expect(pickText(new Map(), { locale: "de" })).toBeUndefined();
});

test("formatDay writes a day as the language does", () => {
  const day = new Date("2026-03-14T23:59:59Z");
  expect(LOCALES.map((locale) => formatDay(day, locale))).toEqual(["Mar 14, 2026", "14.03.2026"]);
});

test("each language names itself", () => {
  expect(LOCALES.map((locale) => textsOf(locale).language)).toEqual(["English", "Deutsch"]);
});

test.each([
  [0, "0 byte", "0 Byte"],
  [999, "999 byte", "999 Byte"],
  [1_500, "1.5 kB", "1,5 kB"],
  [2_340_000_000, "2.3 GB", "2,3 GB"],
  [5_000_000_000_000_000, "5,000 TB", "5.000 TB"],
])("formatBytes(%d)", (bytes, en, de) => {
  expect([formatBytes(bytes, "en"), formatBytes(bytes, "de").replace("\u00a0", " ")]).toEqual([en, de]);
});

test.each([
  [0, "0 seconds", "0 Sekunden"],
  [20, "1 second", "1 Sekunde"],
  [90_000, "2 minutes", "2 Minuten"],
  [3_600_000, "1 hour", "1 Stunde"],
  [200_000_000, "2 days", "2 Tage"],
])("formatSpan(%d)", (ms, en, de) => {
  expect([formatSpan(ms, "en"), formatSpan(ms, "de")]).toEqual([en, de]);
});

test("formatTime() says whose time it is", () => {
  const date = new Date("2026-03-14T23:26:53Z");
  expect([formatTime(date, "en"), formatTime(date, "de")]).toEqual([
    "14 Mar 2026, 23:26 UTC",
    "14.03.2026, 23:26 UTC",
  ]);
});
