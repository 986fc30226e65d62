/** Who is here: passwords, sessions, handles, invites. */
export * from "./account.ts";
export * from "./email_address.ts";
export * from "./handle_rules.ts";
export * from "./invites.ts";
export * from "./passwords.ts";
export * from "./sessions.ts";
