/** Who is here: passwords, sessions, handles, invites, and the birth of accounts. */
export * from "./account.ts";
export * from "./account_mail.ts";
export * from "./account_status.ts";
export * from "./app_passwords.ts";
export * from "./create_account.ts";
export * from "./credentials.ts";
export * from "./deletion_sweep.ts";
export * from "./email_address.ts";
export * from "./email_tokens.ts";
export * from "./finish_creation.ts";
export * from "./handle_availability.ts";
export * from "./handle_rules.ts";
export * from "./invites.ts";
export * from "./login_lock.ts";
export * from "./move_in.ts";
export * from "./passwords.ts";
export * from "./sessions.ts";
