import { expect, test } from "bun:test";
import type { Principal, SessionScope } from "../../auth/mod.ts";
import { isDeciding, isProtectedMethod, mayCall } from "./guarded_methods.ts";

const session = (scope: SessionScope): Principal => ({ kind: "user", did: "did:plc:a", scope });

const DECIDING = ["provision", "mint", "adopt", "reauth", "delete", "grant", "revoke", "invite.create"];
const PLAIN = ["list", "get", "createRecord", "applyWrites", "invite.redeem", "invite.list", "listMembers"];

test.each(DECIDING)("%s is for sessions that may decide", (name) => {
  for (const nsid of [`dev.kith.community.${name}`, `DEV.Kith.Community.${name.toUpperCase()}`]) {
    expect(isDeciding(nsid)).toBe(true);
    expect(mayCall(session("com.atproto.appPass"), nsid)).toBe(false);
    expect(mayCall(session("com.atproto.appPassPrivileged"), nsid)).toBe(true);
    expect(mayCall(session("com.atproto.access"), nsid)).toBe(true);
    expect(mayCall(null, nsid)).toBe(false);
    expect(isProtectedMethod(nsid)).toBe(false);
  }
});

test.each(PLAIN)("%s is for app passwords too", (name) => {
  const nsid = `dev.kith.community.${name}`;
  expect(isDeciding(nsid)).toBe(false);
  expect(mayCall(session("com.atproto.appPass"), nsid)).toBe(true);
});

test("moving an account asks for a privileged session, and is no decision about a community", () => {
  expect(mayCall(session("com.atproto.appPass"), "com.atproto.server.createAccount")).toBe(false);
  expect(isDeciding("com.atproto.server.createAccount")).toBe(false);
});
