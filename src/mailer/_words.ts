import type { MailWords } from "./_mail_words.ts";
import { de } from "./_words_de.ts";
import { en } from "./_words_en.ts";
import type { MailLanguage } from "./language.ts";

const WORDS: Readonly<Record<MailLanguage, MailWords>> = { en, de };

export function wordsOf(language: MailLanguage): MailWords {
  return WORDS[language];
}
