import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { KithError } from "../errors.ts";
import type { Mail, Mailer } from "./mailer.ts";

/** Beyond this the oldest messages go. */
export const MAILS_KEPT_MAX = 1_000;
const HEADER_CHARS_MAX = 998;

export interface FolderMailerOptions {
  readonly folder: string;
  readonly from: string;
  /** Milliseconds since 1970. */
  readonly now?: () => number;
  readonly mailsMax?: number;
}

/** A mailer that writes each message to a file `TIME-NUMBER.eml`, which mail programs and people can read. */
export function createFolderMailer(options: FolderMailerOptions): Mailer {
  const { folder, from, now = Date.now, mailsMax = MAILS_KEPT_MAX } = options;
  let count = 0;
  return {
    send: async (mail) => {
      const date = new Date(now());
      const stamp = date.toISOString().replace(/[:.]/g, "-");
      const name = `${stamp}-${String(++count).padStart(6, "0")}.eml`;
      const message = formatMail(mail, { from, date });
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        await writeFile(join(folder, name), message, { mode: 0o600, flag: "wx" });
        await dropOldest(folder, mailsMax);
      } catch (cause) {
        throw new KithError("upstream_failure", `Could not write the mail "${name}" to "${folder}"`, {
          cause,
        });
      }
    },
  };
}

async function dropOldest(folder: string, mailsMax: number): Promise<void> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(".eml")).sort();
  for (const name of names.slice(0, Math.max(0, names.length - mailsMax))) {
    await rm(join(folder, name), { force: true });
  }
}

/** The message as RFC 5322 has it, in UTF-8: readable as it is. With HTML it has two alternatives. */
function formatMail(mail: Mail, { from, date }: { from: string; date: Date }): string {
  const headers = [
    ["From", from],
    ["To", mail.to],
    ["Subject", mail.subject],
    ["Date", date.toUTCString().replace("GMT", "+0000")],
    ["MIME-Version", "1.0"],
  ] as const;
  const head = headers.map(([name, value]) => `${name}: ${headerValue(name, value)}\r\n`).join("");
  const text = part("text/plain", mail.text);
  if (mail.html === undefined) return head + text;
  const boundary = `=_${crypto.randomUUID()}`;
  const parts = [text, part("text/html", mail.html)].map((body) => `--${boundary}\r\n${body}\r\n`).join("");
  return `${head}Content-Type: multipart/alternative; boundary="${boundary}"\r\n\r\n${parts}--${boundary}--\r\n`;
}

function part(type: string, body: string): string {
  const lines = body.replace(/\r?\n/g, "\r\n");
  return `Content-Type: ${type}; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n${lines}\r\n`;
}

/** A line break in an address or a subject would add headers of somebody's choice. */
function headerValue(name: string, value: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  if (value.length > HEADER_CHARS_MAX || /[\u0000-\u001f\u007f]/.test(value))
    throw new KithError("invalid_request", `Could not send a mail: its header "${name}" is not valid`);
  return value;
}
