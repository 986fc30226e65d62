import { expect, test } from "bun:test";
import type { AuthKind, Principal } from "./principal.ts";
import { SocketAuthenticator } from "./socket_authenticator.ts";

const ALICE: Principal = { kind: "user", did: "did:plc:alice", scope: "com.atproto.access" };
const authenticator = new SocketAuthenticator({ authenticate: async () => ALICE });

test.each([
  ["admin", {}, "admin"],
  ["moderator", {}, "admin"],
  ["moderator", { authorization: "Bearer x" }, "by the header"],
  ["optional", {}, "admin"],
  ["optionalService", {}, "admin"],
  ["admin", { authorization: "" }, "admin"],
  ["admin", { authorization: "Basic eA==" }, "by the header"],
  ["optional", { authorization: "Bearer x" }, "by the header"],
  ["none", {}, "by the header"],
  ["access", {}, "by the header"],
  ["full", {}, "by the header"],
  ["anySession", {}, "by the header"],
  ["refresh", {}, "by the header"],
  ["service", {}, "by the header"],
  ["accessOrService", {}, "by the header"],
] as [AuthKind, Record<string, string>, string][])(
  "SocketAuthenticator.authenticate for %p with %j: %s",
  async (kind, headers, who) => {
    const request = new Request("http://localhost/", { headers });
    const principal = await authenticator.authenticate(request, kind, { nsid: "dev.kith.test.x" });
    expect(principal).toEqual(who === "admin" ? { kind: "admin" } : ALICE);
  },
);
