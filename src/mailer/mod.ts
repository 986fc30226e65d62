/** Sending mail. What is here keeps it in a folder; other ways have the same face. */
export * from "./folder_mailer.ts";
export * from "./mailer.ts";
