/** The words of the mails that tell members what was changed about their accounts: whoever did it. */
import { compose } from "./_compose.ts";
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
}

interface Words {
  readonly subject: string;
  readonly what: string;
}

/** A mail that brings no code and asks for nothing. */
export function noticeMail(notice: Notice, facts: NoticeFacts): Mail {
  const { to, handle, host, accountUrl, contact } = facts;
  const { subject, what } = wordsFor(notice);
  const whom = contact === undefined ? `the operators of ${host}` : `the operators of ${host} (${contact})`;
  const paragraphs = [
    `Hello @${handle},`,
    what,
    "If that was you, there is nothing to do.",
    `If it was not, somebody else is in your account: reset your password at ${accountUrl}, look at what is listed there under Security, Devices and Apps, and tell ${whom}.`,
    host,
  ];
  return compose({ to, subject: `${subject} (${host})`, paragraphs });
}

function wordsFor(notice: Notice): Words {
  switch (notice.kind) {
    case "password_changed":
      return {
        subject: "Your password was changed",
        what: "The password of your account was changed, and all sessions, devices and apps from before were signed out.",
      };
    case "totp_added":
      return {
        subject: "Authenticator app set up",
        what: "An authenticator app was set up: its codes are asked for when you sign in.",
      };
    case "totp_removed":
      return {
        subject: "Authenticator app removed",
        what: "The authenticator app of your account was removed.",
      };
    case "backup_codes_renewed":
      return {
        subject: "New backup codes",
        what: "New backup codes were made for your account; older ones do not work any more.",
      };
    case "email_codes_on":
      return {
        subject: "Codes by e-mail turned on",
        what: "From now on a code comes to this address when you sign in.",
      };
    case "email_codes_off":
      return {
        subject: "Codes by e-mail turned off",
        what: "No codes come to this address any more when you sign in.",
      };
    case "passkey_required":
      return {
        subject: "Passkey required",
        what: "From now on the password alone does not sign in to your account: a passkey or another second factor is asked for.",
      };
    case "passkey_not_required":
      return {
        subject: "Passkey not required any more",
        what: "A passkey is not asked for any more after the password of your account.",
      };
    case "passkey_added":
      return {
        subject: "Passkey added",
        what: `The passkey "${notice.name}" was added: it signs in to your account.`,
      };
    case "passkey_removed":
      return {
        subject: "Passkey removed",
        what: `The passkey "${notice.name}" of your account was removed.`,
      };
    case "app_password_added":
      return {
        subject: "App password made",
        what: `The app password "${notice.name}" was made: an app that has it can use your account.`,
      };
    case "handle_changed":
      return {
        subject: "Your handle was changed",
        what: `The handle of your account is @${notice.name} now.`,
      };
    case "email_changed":
      return {
        subject: "Your e-mail address was changed",
        what: `The e-mail address of your account was changed to ${notice.name}. Nothing more about the account comes to this one.`,
      };
  }
}
