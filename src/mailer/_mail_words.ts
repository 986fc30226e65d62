/** What mails are put together from, in one language. Where a thing has a name, its words are given it. */

/** What a mailed code is for. */
export type CodePurpose =
  | "confirm_email"
  | "update_email"
  | "reset_password"
  | "delete_account"
  | "plc_operation"
  | "second_factor";

/** What was changed about an account. */
export type NoticeKind =
  | "password_changed"
  | "totp_added"
  | "totp_removed"
  | "backup_codes_renewed"
  | "email_codes_on"
  | "email_codes_off"
  | "passkey_required"
  | "passkey_not_required"
  | "passkey_added"
  | "passkey_removed"
  | "app_password_added"
  | "handle_changed"
  | "email_changed";

export interface CodeWords {
  readonly subject: string;
  /** What the code does; it stands below. */
  readonly use: string;
  /** What to know before it is used. */
  readonly warning?: string;
  /** What to do who has not asked for it. */
  readonly unasked: string;
}

export interface NoticeWords {
  readonly subject: string;
  what(name: string): string;
}

export interface MailWords {
  hello(handle: string): string;
  validFor(minutes: number): string;
  readonly codes: Readonly<Record<CodePurpose, CodeWords>>;
  readonly notices: Readonly<Record<NoticeKind, NoticeWords>>;
  readonly wasYou: string;
  wasNotYou(of: { accountUrl: string; operators: string }): string;
  operators(of: { host: string; contact: string | undefined }): string;
  readonly welcome: {
    subject(host: string): string;
    paragraphs(of: { handle: string; host: string }): readonly string[];
  };
}
