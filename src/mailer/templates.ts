/** The words of the mails, as text and as HTML. Data in, message out. */
import { compose } from "./_compose.ts";
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
  const paragraphs = [
    `Hello @${handle},`,
    `Use this code to ${use}:`,
    { code },
    `It is valid for ${minutes} minutes.`,
    ...(warning === undefined ? [] : [warning]),
    unasked,
    host,
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
    host,
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
