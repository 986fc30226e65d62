/** The words of the mails, as text and as HTML. Data in, message out. */
import { compose, type Paragraph } from "./_compose.ts";
import type { CodePurpose } from "./_mail_words.ts";
import { wordsOf } from "./_words.ts";
import type { MailLanguage } from "./language.ts";
import type { Mail } from "./mailer.ts";
import { isHtml, plainText } from "./plain_text.ts";

export type { CodePurpose };

export interface CodeMailFacts {
  readonly to: string;
  readonly handle: string;
  /** The server's host name. */
  readonly host: string;
  readonly code: string;
  readonly minutes: number;
  /** English where it is not said. */
  readonly language?: MailLanguage;
}

/** The mail that brings a code. */
export function codeMail(purpose: CodePurpose, facts: CodeMailFacts): Mail {
  const { to, handle, host, code, minutes, language = "en" } = facts;
  const words = wordsOf(language);
  const { subject, use, warning, unasked } = words.codes[purpose];
  const paragraphs: Paragraph[] = [
    words.hello(handle),
    use,
    { code },
    words.validFor(minutes),
    ...(warning === undefined ? [] : [warning]),
    unasked,
    { sender: host },
  ];
  return compose({ to, subject: `${subject} (${host})`, paragraphs, language });
}

/** The mail after an account has been made. */
export function welcomeMail({
  to,
  handle,
  host,
  language = "en",
}: Omit<CodeMailFacts, "code" | "minutes">): Mail {
  const { hello, welcome } = wordsOf(language);
  const paragraphs = [hello(handle), ...welcome.paragraphs({ handle, host }), { sender: host }];
  return compose({ to, subject: welcome.subject(host), paragraphs, language });
}

/** The mail by which an operator sees that mail goes out. */
export function testMail({ to, host }: Pick<CodeMailFacts, "to" | "host">): Mail {
  const paragraphs = [`This is a test message of ${host}.`, "Mail that it sends arrives here."];
  return compose({ to, subject: `Test message of ${host}`, paragraphs, language: "en" });
}

/** What a moderator writes to a member, in HTML or as text. */
export function moderatorMail(mail: { to: string; subject: string; content: string }): Mail {
  const { to, subject, content } = mail;
  const via = "moderation";
  if (isHtml(content)) return { to, subject, text: plainText(content), html: content, via };
  const paragraphs = content.trim().split(/(?:\r?\n){2,}/);
  return { ...compose({ to, subject, paragraphs }), via };
}
