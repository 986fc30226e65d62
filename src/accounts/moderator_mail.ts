import { KithError } from "../errors.ts";
import { moderatorMail } from "../mailer/mod.ts";
import type { Account } from "./account.ts";
import type { MailSender } from "./account_mail.ts";

/** A message that has not been taken after so long is dropped. */
export const MODERATOR_MAIL_LIFETIME_MS = 3 * 24 * 3_600_000;
export const DEFAULT_SUBJECT = "Message via your PDS";
/** The longest message, and the longest subject, in characters. */
export const CONTENT_CHARS_MAX = 50_000;
export const SUBJECT_CHARS_MAX = 300;

export interface ModeratorMailOptions {
  /** Absent where the server can send no mail. */
  readonly sender?: MailSender | undefined;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
}

/** Sends members what moderators write to them. */
export class ModeratorMail {
  readonly #options: ModeratorMailOptions;

  constructor(options: ModeratorMailOptions) {
    this.#options = options;
  }

  /**
   * `content` is HTML, or text. Resolves when it is in the queue. Throws KithError invalid_request (no mail set up, no address,
   * no content, a subject that is none), busy.
   */
  async send(
    { did, email: to }: Pick<Account, "did" | "email">,
    { subject = DEFAULT_SUBJECT, content }: { subject?: string | undefined; content: string },
  ): Promise<void> {
    const { sender, now = Date.now } = this.#options;
    const refuse = (why: string) =>
      new KithError("invalid_request", `Could not send a mail to "${did}": ${why}`, {
        hint: "Set PDS_EMAIL_SMTP_URL and PDS_EMAIL_FROM_ADDRESS, or PDS_MODERATION_EMAIL_SMTP_URL and PDS_MODERATION_EMAIL_ADDRESS.",
      });
    if (!sender) throw refuse("this server has no mail set up");
    if (to === null) throw refuse("the account does not have an email address");
    if (content.trim() === "") throw refuse("it has no content");
    if (content.length > CONTENT_CHARS_MAX) {
      throw refuse(`its content has more than ${CONTENT_CHARS_MAX} characters`);
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
    if (subject.length > SUBJECT_CHARS_MAX || /[\u0000-\u001f\u007f]/.test(subject)) {
      throw refuse("its subject is too long, or has control characters");
    }
    const mail = moderatorMail({ to, subject: subject || DEFAULT_SUBJECT, content });
    await sender.enqueue(mail, { expiresAt: now() + MODERATOR_MAIL_LIFETIME_MS });
  }
}
