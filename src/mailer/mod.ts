/** Sending mail: through SMTP or sendmail, or into a folder; and the words of the mails. */
export * from "./create_mailer.ts";
export * from "./folder_mailer.ts";
export * from "./language.ts";
export * from "./mailer.ts";
export * from "./notices.ts";
export * from "./plain_text.ts";
export * from "./smtp_mailer.ts";
export * from "./templates.ts";
