/** Who is here: passwords, sessions, handles, invites, and the birth of accounts. */
export * from "./account.ts";
export * from "./create_account.ts";
export * from "./email_address.ts";
export * from "./finish_creation.ts";
export * from "./handle_rules.ts";
export * from "./invites.ts";
export * from "./move_in.ts";
export * from "./passwords.ts";
export * from "./sessions.ts";
