/** All words of the pages, by language. Apart from locale.ts, because who only asks for a language needs none of them. */
import type { Locale } from "./locale.ts";
import { de } from "./texts/de.ts";
import { en } from "./texts/en.ts";
import type { Texts } from "./texts/texts.ts";

const TEXTS: Readonly<Record<Locale, Texts>> = { en, de };

export function textsOf(locale: Locale): Texts {
  return TEXTS[locale];
}
