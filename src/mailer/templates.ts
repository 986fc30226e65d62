/** The words of the mails, as text and as HTML. Data in, message out. */
import type { Mail } from "./mailer.ts";
import { isHtml, plainText } from "./plain_text.ts";

/** What a mailed code is for. */
export type CodePurpose =
  | "confirm_email"
  | "update_email"
  | "reset_password"
  | "delete_account"
  | "plc_operation"
  | "second_factor";

export interface CodeMailFacts {
  readonly to: string;
  readonly handle: string;
  /** The server's host name. */
  readonly host: string;
  readonly code: string;
  readonly minutes: number;
}

interface Words {
  readonly subject: string;
  /** What the code does, as the end of "Use this code to ...". */
  readonly use: string;
  /** What to know before it is used. */
  readonly warning?: string;
  readonly unasked: string;
}

const IGNORE = "If you did not ask for this, ignore this mail: nothing has changed.";
const ALARM =
  "If you did not ask for this, somebody else is signed in to your account. Give the code to nobody, and change your password.";

const LEAK =
  "If you are not signing in at this moment, somebody else knows your password. Give the code to nobody, and change your password.";

const WORDS: Readonly<Record<CodePurpose, Words>> = {
  confirm_email: {
    subject: "Confirm your e-mail address",
    use: "confirm that this address is yours",
    unasked: IGNORE,
  },
  update_email: {
    subject: "Change of your e-mail address",
    use: "give your account another e-mail address",
    unasked: ALARM,
  },
  reset_password: {
    subject: "Reset your password",
    use: "set a new password",
    warning: "All sessions will be signed out.",
    unasked: IGNORE,
  },
  delete_account: {
    subject: "Deletion of your account",
    use: "delete your account",
    warning: "Everything in the account will be gone, and cannot be brought back.",
    unasked: ALARM,
  },
  plc_operation: {
    subject: "Change of your identity",
    use: "sign a change of your identity (a PLC operation)",
    warning:
      "Whoever has this code can move your account to another server, or take it from you. Enter it only in a tool that you have started yourself to move your account.",
    unasked: ALARM,
  },
  second_factor: {
    subject: "Your sign-in code",
    use: "sign in to your account",
    warning: "It works once. Nobody who helps you will ever ask for it.",
    unasked: LEAK,
  },
};

/** The mail that brings a code. */
export function codeMail(purpose: CodePurpose, facts: CodeMailFacts): Mail {
  const { to, handle, host, code, minutes } = facts;
  const { subject, use, warning, unasked } = WORDS[purpose];
  const paragraphs: Paragraph[] = [
    `Hello @${handle},`,
    `Use this code to ${use}:`,
    { code },
    `It is valid for ${minutes} minutes.`,
    ...(warning === undefined ? [] : [warning]),
    unasked,
    { sender: host },
  ];
  return compose({ to, subject: `${subject} (${host})`, paragraphs });
}

/** The mail after an account has been made. */
export function welcomeMail({ to, handle, host }: Omit<CodeMailFacts, "code" | "minutes">): Mail {
  const paragraphs = [
    `Hello @${handle},`,
    `Welcome to ${host}. Your account is ready: sign in with any AT Protocol app as ${handle}.`,
    `Where an app asks for your hosting provider, it is ${host}.`,
    "With this address you can reset your password, so keep it up to date.",
    { sender: host },
  ];
  return compose({ to, subject: `Welcome to ${host}`, paragraphs });
}

/** The mail by which an operator sees that mail goes out. */
export function testMail({ to, host }: Pick<CodeMailFacts, "to" | "host">): Mail {
  const paragraphs = [`This is a test message of ${host}.`, "Mail that it sends arrives here."];
  return compose({ to, subject: `Test message of ${host}`, paragraphs });
}

/** What a moderator writes to a member, in HTML or as text. */
export function moderatorMail(mail: { to: string; subject: string; content: string }): Mail {
  const { to, subject, content } = mail;
  const via = "moderation";
  if (isHtml(content)) return { to, subject, text: plainText(content), html: content, via };
  const paragraphs = content.trim().split(/(?:\r?\n){2,}/);
  return { ...compose({ to, subject, paragraphs }), via };
}

type Paragraph = string | { readonly code: string } | { readonly sender: string };

/** Styles stand at each element, since not every mail program takes a style sheet; the sheet is only for dark ones. */
const FONT = "-apple-system,BlinkMacSystemFont,'Segoe UI',Roboto,Helvetica,Arial,sans-serif";
const MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,monospace";
const PAGE = `margin:0;padding:24px 16px;background-color:#f4f5f7;color:#1c1e21;font:16px/1.5 ${FONT}`;
const CARD =
  "max-width:560px;margin:0 auto;padding:24px;background-color:#ffffff;border:1px solid #dfe2e6;border-radius:8px;overflow-wrap:anywhere";
const CODE = `margin:20px 0;padding:16px 8px;background-color:#eef1f5;border-radius:6px;text-align:center;font:600 26px/1.2 ${MONO};letter-spacing:2px`;
const SENDER = "margin:24px 0 0;padding-top:16px;border-top:1px solid #dfe2e6;color:#5c636b;font-size:14px";
const SHEET = `:root{color-scheme:light dark}
@media (prefers-color-scheme:dark){
body{background-color:#121417!important;color:#e7e9ec!important}
.card{background-color:#1c1f24!important;border-color:#363b42!important}
.code{background-color:#2a2f37!important}
.sender{border-color:#363b42!important;color:#a3abb5!important}
}`;

function compose(mail: { to: string; subject: string; paragraphs: readonly Paragraph[] }): Mail {
  const { to, subject, paragraphs } = mail;
  const text = paragraphs.map(textOf).join("\n\n");
  const head = [
    `<meta charset="utf-8">`,
    `<meta name="viewport" content="width=device-width,initial-scale=1">`,
    `<meta name="color-scheme" content="light dark">`,
    `<title>${escapeHtml(subject)}</title>`,
    `<style>${SHEET}</style>`,
  ].join("\n");
  const body = `<div class="card" style="${CARD}">\n${paragraphs.map(htmlOf).join("\n")}\n</div>`;
  const html = `<!doctype html>\n<html lang="en">\n<head>\n${head}\n</head>\n<body style="${PAGE}">\n${body}\n</body>\n</html>\n`;
  return { to, subject, text: `${text}\n`, html };
}

function textOf(one: Paragraph): string {
  if (typeof one === "string") return one;
  return "code" in one ? `    ${one.code}` : one.sender;
}

function htmlOf(one: Paragraph): string {
  if (typeof one === "string")
    return `<p style="margin:0 0 16px">${escapeHtml(one).replaceAll(/\r?\n/g, "<br>\n")}</p>`;
  if ("code" in one) return `<p class="code" style="${CODE}">${escapeHtml(one.code)}</p>`;
  return `<p class="sender" style="${SENDER}">${escapeHtml(one.sender)}</p>`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;")
    .replaceAll("'", "&#39;");
}
