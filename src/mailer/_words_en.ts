import type { MailWords } from "./_mail_words.ts";

const IGNORE = "If you did not ask for this, ignore this mail: nothing has changed.";
const ALARM =
  "If you did not ask for this, somebody else is signed in to your account. Give the code to nobody, and change your password.";
const LEAK =
  "If you are not signing in at this moment, somebody else knows your password. Give the code to nobody, and change your password.";

export const en: MailWords = {
  hello: (handle) => `Hello @${handle},`,
  validFor: (minutes) => `It is valid for ${minutes} minutes.`,
  codes: {
    confirm_email: {
      subject: "Confirm your e-mail address",
      use: "Use this code to confirm that this address is yours:",
      unasked: IGNORE,
    },
    update_email: {
      subject: "Change of your e-mail address",
      use: "Use this code to give your account another e-mail address:",
      unasked: ALARM,
    },
    reset_password: {
      subject: "Reset your password",
      use: "Use this code to set a new password:",
      warning: "All sessions will be signed out.",
      unasked: IGNORE,
    },
    delete_account: {
      subject: "Deletion of your account",
      use: "Use this code to delete your account:",
      warning: "Everything in the account will be gone, and cannot be brought back.",
      unasked: ALARM,
    },
    plc_operation: {
      subject: "Change of your identity",
      use: "Use this code to sign a change of your identity (a PLC operation):",
      warning:
        "Whoever has this code can move your account to another server, or take it from you. Enter it only in a tool that you have started yourself to move your account.",
      unasked: ALARM,
    },
    second_factor: {
      subject: "Your sign-in code",
      use: "Use this code to sign in to your account:",
      warning: "It works once. Nobody who helps you will ever ask for it.",
      unasked: LEAK,
    },
  },
  notices: {
    password_changed: {
      subject: "Your password was changed",
      what: () =>
        "The password of your account was changed, and all sessions, devices and apps from before were signed out.",
    },
    totp_added: {
      subject: "Authenticator app set up",
      what: () => "An authenticator app was set up: its codes are asked for when you sign in.",
    },
    totp_removed: {
      subject: "Authenticator app removed",
      what: () => "The authenticator app of your account was removed.",
    },
    backup_codes_renewed: {
      subject: "New backup codes",
      what: () => "New backup codes were made for your account; older ones do not work any more.",
    },
    email_codes_on: {
      subject: "Codes by e-mail turned on",
      what: () => "From now on a code comes to this address when you sign in.",
    },
    email_codes_off: {
      subject: "Codes by e-mail turned off",
      what: () => "No codes come to this address any more when you sign in.",
    },
    passkey_required: {
      subject: "Passkey required",
      what: () =>
        "From now on the password alone does not sign in to your account: a passkey or another second factor is asked for.",
    },
    passkey_not_required: {
      subject: "Passkey not required any more",
      what: () => "A passkey is not asked for any more after the password of your account.",
    },
    passkey_added: {
      subject: "Passkey added",
      what: (name) => `The passkey "${name}" was added: it signs in to your account.`,
    },
    passkey_removed: {
      subject: "Passkey removed",
      what: (name) => `The passkey "${name}" of your account was removed.`,
    },
    app_password_added: {
      subject: "App password made",
      what: (name) => `The app password "${name}" was made: an app that has it can use your account.`,
    },
    handle_changed: {
      subject: "Your handle was changed",
      what: (name) => `The handle of your account is @${name} now.`,
    },
    email_changed: {
      subject: "Your e-mail address was changed",
      what: (name) =>
        `The e-mail address of your account was changed to ${name}. Nothing more about the account comes to this one.`,
    },
  },
  wasYou: "If that was you, there is nothing to do.",
  wasNotYou: ({ accountUrl, operators }) =>
    `If it was not, somebody else is in your account: reset your password at ${accountUrl}, look at what is listed there under Security, Devices and Apps, and tell ${operators}.`,
  operators: ({ host, contact }) =>
    contact === undefined ? `the operators of ${host}` : `the operators of ${host} (${contact})`,
  welcome: {
    subject: (host) => `Welcome to ${host}`,
    paragraphs: ({ handle, host }) => [
      `Welcome to ${host}. Your account is ready: sign in with any AT Protocol app as ${handle}.`,
      `Where an app asks for your hosting provider, it is ${host}.`,
      "With this address you can reset your password, so keep it up to date.",
    ],
  },
};
