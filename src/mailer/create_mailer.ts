import { createFolderMailer } from "./folder_mailer.ts";
import type { Mailer } from "./mailer.ts";
import { createSmtpMailer } from "./smtp_mailer.ts";

/** The part of the configuration that says how mail goes. */
export interface MailConfig {
  readonly mode: "dev" | "public";
  readonly hostname: string;
  readonly mail: { readonly smtpUrl: string; readonly from: string } | undefined;
  readonly mailFolder: string;
}

/** Through SMTP or sendmail where that is set up, else in dev mode into a folder; undefined: no mail. */
export function createMailer({ mail, mode, hostname, mailFolder }: MailConfig): Mailer | undefined {
  if (mail !== undefined) return createSmtpMailer({ url: mail.smtpUrl, from: mail.from });
  return mode === "dev" ? createFolderMailer({ folder: mailFolder, from: `kith@${hostname}` }) : undefined;
}
