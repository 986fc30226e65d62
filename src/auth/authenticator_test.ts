import { expect, test } from "bun:test";
import { AUTHORIZATION_CHARS_MAX, HeaderAuthenticator } from "./authenticator.ts";
import type { AuthKind, SessionScope } from "./principal.ts";
import { SessionTokens } from "./session_tokens.ts";

const ADMIN_PASSWORD = "pässword:with colons";
const tokens = new SessionTokens({ secret: "secret", serviceDid: "did:web:pds.test" });
const states = ["active", "deactivated", "takendown", "suspended", "deleting", "deleted", "creating"];
const authenticator = new HeaderAuthenticator({
  tokens,
  adminPassword: ADMIN_PASSWORD,
  accounts: {
    account: (did) => {
      const state = did.replace("did:plc:", "");
      return states.includes(state) ? { state } : undefined;
    },
  },
});

const request = (authorization?: string) =>
  new Request("http://pds.test/xrpc/x.y.z", authorization ? { headers: { authorization } } : {});
const basic = (user: string, password: string) =>
  `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`;
const pair = (state: string, scope: SessionScope = "com.atproto.access") =>
  tokens.issue({
    did: `did:plc:${state}`,
    scope,
    refreshId: "row 1",
    refreshExpiresAt: Date.now() + 60_000,
    refreshIssuedAt: 0,
  });
const access = async (state: string, scope?: SessionScope) =>
  `Bearer ${(await pair(state, scope)).accessJwt}`;
const ADMIN = basic("admin", ADMIN_PASSWORD);

/** Who each header is, by kind of authentication: a Principal, null, or the code of the error. */
const ROWS: [header: string | undefined, kind: AuthKind, expected: unknown][] = [
  [undefined, "none", null],
  ["Bearer nonsense", "none", null],
  [ADMIN, "none", null],
  [undefined, "optional", null],
  [undefined, "access", "auth_missing"],
  [undefined, "full", "auth_missing"],
  [undefined, "refresh", "auth_missing"],
  [undefined, "admin", "auth_missing"],
  [ADMIN, "admin", { kind: "admin" }],
  [ADMIN.replace("Basic", "bASIC"), "admin", { kind: "admin" }],
  [ADMIN, "optional", { kind: "admin" }],
  [ADMIN, "access", "invalid_token"],
  [ADMIN, "refresh", "invalid_token"],
  [basic("admin", "wrong"), "admin", "auth_required"],
  [basic("admin", ""), "admin", "auth_required"],
  [basic("admin", `${ADMIN_PASSWORD} `), "admin", "auth_required"],
  [basic("root", ADMIN_PASSWORD), "admin", "auth_required"],
  [basic("admin", "wrong"), "optional", "auth_required"],
  ["Basic !!!", "admin", "auth_required"],
  ["Basic", "admin", "invalid_token"],
  ["Bearer", "access", "invalid_token"],
  ["Bearer  ", "access", "invalid_token"],
  ["Bearer nonsense", "access", "invalid_token"],
  ["Bearer nonsense", "optional", "invalid_token"],
  ["Bearer a b", "access", "invalid_token"],
  ["Digest abc", "access", "invalid_token"],
  ["DPoP abc", "access", "invalid_token"],
  ["nonsense", "access", "invalid_token"],
  [`Bearer ${"x".repeat(AUTHORIZATION_CHARS_MAX)}`, "access", "invalid_token"],
  [await access("active"), "admin", "auth_required"],
  [await access("active"), "refresh", "invalid_token"],
  [`Bearer ${(await pair("active")).refreshJwt}`, "access", "invalid_token"],
  [`Bearer ${(await pair("active")).refreshJwt}`, "optional", "invalid_token"],
  [
    `Bearer ${(await pair("active")).refreshJwt}`,
    "refresh",
    { kind: "refresh", did: "did:plc:active", tokenId: "row 1" },
  ],
  [await access("active"), "access", { kind: "user", did: "did:plc:active", scope: "com.atproto.access" }],
  [
    (await access("active")).replace("Bearer", "bearer"),
    "full",
    { kind: "user", did: "did:plc:active", scope: "com.atproto.access" },
  ],
  [
    await access("deactivated"),
    "access",
    { kind: "user", did: "did:plc:deactivated", scope: "com.atproto.access" },
  ],
  [
    await access("active", "com.atproto.appPass"),
    "access",
    { kind: "user", did: "did:plc:active", scope: "com.atproto.appPass" },
  ],
  [
    await access("active", "com.atproto.appPassPrivileged"),
    "optional",
    { kind: "user", did: "did:plc:active", scope: "com.atproto.appPassPrivileged" },
  ],
  [await access("active", "com.atproto.appPass"), "full", "invalid_token"],
  [await access("active", "com.atproto.appPassPrivileged"), "full", "invalid_token"],
  [await access("takendown", "com.atproto.takendown"), "access", "invalid_token"],
  [await access("takendown", "com.atproto.takendown"), "full", "invalid_token"],
  [
    await access("takendown", "com.atproto.takendown"),
    "optional",
    { kind: "user", did: "did:plc:takendown", scope: "com.atproto.takendown" },
  ],
  [await access("takendown"), "access", "account_takendown"],
  [await access("suspended"), "full", "account_suspended"],
  [
    await access("takendown"),
    "optional",
    { kind: "user", did: "did:plc:takendown", scope: "com.atproto.access" },
  ],
  [await access("deleted"), "access", "account_not_found"],
  [await access("deleted"), "optional", "account_not_found"],
  [await access("deleting"), "access", "account_not_found"],
  [await access("creating"), "access", "account_not_found"],
  [await access("unheard-of"), "access", "account_not_found"],
];

const TITLED = ROWS.map(([header, kind, expected], row) => {
  const scheme = (header ?? "no header").split(" ")[0] ?? "";
  return [row, kind, scheme.slice(0, 10), JSON.stringify(expected), header, expected] as const;
});

test.each(TITLED)(
  "HeaderAuthenticator.authenticate row %d: kind %s, %s: %s",
  async (_row, kind, _scheme, _title, header, expected) => {
    const answered = authenticator.authenticate(request(header), kind);
    if (typeof expected === "string") await expect(answered).rejects.toMatchObject({ code: expected });
    else expect(await answered).toEqual(expected as never);
  },
);

test("HeaderAuthenticator.isAdmin is false without Basic credentials and throws on wrong ones", async () => {
  expect(authenticator.isAdmin(request())).toBe(false);
  expect(authenticator.isAdmin(request(await access("active")))).toBe(false);
  expect(authenticator.isAdmin(request(ADMIN))).toBe(true);
  expect(() => authenticator.isAdmin(request(basic("admin", "wrong")))).toThrow(
    expect.objectContaining({ code: "auth_required" }),
  );
});

test("HeaderAuthenticator.expiredOrNotRefresh reads a refresh token past its end, and nothing else", async () => {
  const { refreshJwt } = await tokens.issue({
    did: "did:plc:active",
    scope: "com.atproto.access",
    refreshId: "row 1",
    refreshExpiresAt: 1_000_000,
    refreshIssuedAt: 0,
  });
  expect(await authenticator.expiredOrNotRefresh(request(`Bearer ${refreshJwt}`))).toEqual({
    did: "did:plc:active",
    tokenId: "row 1",
  });
  for (const [header, code] of [
    [undefined, "auth_missing"],
    [ADMIN, "invalid_token"],
    [await access("active"), "invalid_token"],
  ] as const) {
    await expect(authenticator.expiredOrNotRefresh(request(header))).rejects.toMatchObject({ code });
  }
});

test("HeaderAuthenticator does not start with an empty admin password", () => {
  const options = { tokens, accounts: { account: () => undefined }, adminPassword: "" };
  expect(() => new HeaderAuthenticator(options)).toThrow(expect.objectContaining({ code: "config_invalid" }));
});
