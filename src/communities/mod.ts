/** Communities: identities of groups, provisioned here or on another server, their members, and publishing as them. */
export * from "./invites.ts";
export * from "./members.ts";
export * from "./roles.ts";
