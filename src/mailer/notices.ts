/** The words of the mails that tell members what was changed about their accounts: whoever did it. */
import { compose } from "./_compose.ts";
import { wordsOf } from "./_words.ts";
import type { MailLanguage } from "./language.ts";
import type { Mail } from "./mailer.ts";

/** What was changed. `name` is what a passkey or an app password is called, the new handle, or the new address. */
export type Notice =
  | { readonly kind: "password_changed" | "totp_added" | "totp_removed" | "backup_codes_renewed" }
  | { readonly kind: "email_codes_on" | "email_codes_off" | "passkey_required" | "passkey_not_required" }
  | {
      readonly kind: "passkey_added" | "passkey_removed" | "app_password_added" | "handle_changed";
      readonly name: string;
    }
  /** To the address of before. */
  | { readonly kind: "email_changed"; readonly name: string };

export interface NoticeFacts {
  readonly to: string;
  readonly handle: string;
  /** The server's host name. */
  readonly host: string;
  /** Where the account is looked after. */
  readonly accountUrl: string;
  /** The operator's address. */
  readonly contact?: string | undefined;
  /** English where it is not said. */
  readonly language?: MailLanguage;
}

/** A mail that brings no code and asks for nothing. */
export function noticeMail(notice: Notice, facts: NoticeFacts): Mail {
  const { to, handle, host, accountUrl, contact, language = "en" } = facts;
  const words = wordsOf(language);
  const { subject, what } = words.notices[notice.kind];
  const operators = words.operators({ host, contact });
  const paragraphs = [
    words.hello(handle),
    what("name" in notice ? notice.name : ""),
    words.wasYou,
    words.wasNotYou({ accountUrl, operators }),
    { sender: host },
  ];
  return compose({ to, subject: `${subject} (${host})`, paragraphs, language });
}
