import { KithError } from "../errors.ts";
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

/** The part of the configuration that says how moderators' mail goes; undefined: as all other. */
export interface ModerationMailConfig extends MailConfig {
  readonly moderationMail: { readonly smtpUrl: string; readonly from: string } | undefined;
}

/** Through SMTP or sendmail where that is set up, else in dev mode into a folder; undefined: no mail. */
export function createMailer({ mail, mode, hostname, mailFolder }: MailConfig): Mailer | undefined {
  if (mail !== undefined) return createSmtpMailer({ url: mail.smtpUrl, from: mail.from });
  return mode === "dev" ? createFolderMailer({ folder: mailFolder, from: `kith@${hostname}` }) : undefined;
}

/**
 * What all mail goes through, moderators' by their own server where they have one; undefined: no mail at all. `sendsAll` is
 * false where moderators alone have one.
 */
export function createMailers(
  config: ModerationMailConfig,
): { mailer: Mailer; sendsAll: boolean } | undefined {
  const { moderationMail: own } = config;
  const normal = createMailer(config);
  const moderation = own && createSmtpMailer({ url: own.smtpUrl, from: own.from });
  if (moderation === undefined) return normal && { mailer: normal, sendsAll: true };
  const send: Mailer["send"] = async (mail) => {
    const way = mail.via === "moderation" ? moderation : normal;
    if (way === undefined)
      throw new KithError("upstream_failure", "Could not send a mail: only moderators' mail is set up");
    return way.send(mail);
  };
  return { mailer: { send }, sendsAll: normal !== undefined };
}
