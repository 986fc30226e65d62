import type { Transporter } from "nodemailer";
import { KithError } from "../errors.ts";
import type { Mail, Mailer } from "./mailer.ts";

/** Until a server has taken the connection, has greeted, and between two of its answers. */
const CONNECT_TIMEOUT_MS = 10_000;
const SILENCE_TIMEOUT_MS = 30_000;
/** For one message as a whole, whichever way it goes. */
export const SEND_TIMEOUT_MS = 60_000;

export interface SmtpMailerOptions {
  /** smtp://USER:PASSWORD@HOST:PORT, smtps://..., or smtp:///?sendmail=true for the machine's own sendmail. */
  readonly url: string;
  /** An address, or `Name <address>`. */
  readonly from: string;
  readonly timeoutMs?: number;
}

/** A mailer that hands each message to an SMTP server, or to sendmail. */
export function createSmtpMailer({ url, from, timeoutMs = SEND_TIMEOUT_MS }: SmtpMailerOptions): Mailer {
  let transport: Promise<Transporter> | undefined;
  return {
    send: async ({ to, subject, text, html }: Mail) => {
      const { promise: late, reject } = Promise.withResolvers<never>();
      const timer = setTimeout(
        () => reject(new Error(`no answer within ${timeoutMs / 1000} seconds`)),
        timeoutMs,
      );
      try {
        // As an object, so that no text in it can be a second recipient.
        const recipient = { name: "", address: to };
        const headers = { "Auto-Submitted": "auto-generated" };
        transport ??= transportOf(url);
        const sent = (await transport).sendMail({ from, to: recipient, subject, text, html, headers });
        await Promise.race([sent, late]);
      } catch (cause) {
        throw failureOf(cause);
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** With the first mail: a server that sends none does without the library. */
async function transportOf(url: string): Promise<Transporter> {
  const { createTransport } = await import("nodemailer");
  return createTransport({
    url,
    connectionTimeout: CONNECT_TIMEOUT_MS,
    greetingTimeout: CONNECT_TIMEOUT_MS,
    socketTimeout: SILENCE_TIMEOUT_MS,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
}

/** What the server says of the recipient or the message with a 5xx is final; all else may pass. */
function failureOf(cause: unknown): KithError {
  const { code, responseCode, message } = cause as { code?: string; responseCode?: number; message?: string };
  const isAboutMail = code === "EENVELOPE" || code === "EMESSAGE";
  const isFinal = isAboutMail && (responseCode === undefined || responseCode >= 500);
  return new KithError(
    isFinal ? "invalid_request" : "upstream_failure",
    `Could not send a mail: ${message ?? String(cause)}`,
    { cause, hint: "Look at PDS_EMAIL_SMTP_URL and PDS_EMAIL_FROM_ADDRESS" },
  );
}
