/** The languages that mails are written in; the first is for whoever has told of none. */
export const MAIL_LANGUAGES = ["en", "de"] as const;
export type MailLanguage = (typeof MAIL_LANGUAGES)[number];

export function isMailLanguage(text: string | undefined): text is MailLanguage {
  return MAIL_LANGUAGES.some((language) => language === text);
}
