import { expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import { AUTHORIZATION_CHARS_MAX, HeaderAuthenticator } from "./authenticator.ts";
import type { AuthKind, SessionScope } from "./principal.ts";
import { SessionTokens } from "./session_tokens.ts";

const ADMIN_PASSWORD = "pässword:with colons";
const tokens = new SessionTokens({ secret: "secret", serviceDid: "did:web:pds.test" });
const states = ["active", "deactivated", "takendown", "suspended", "deleting", "deleted", "creating"];
/** A token that says only what it is; its verification is the ServiceTokens' own business. */
const SERVICE = `${Buffer.from(JSON.stringify({ alg: "ES256K" })).toString("base64url")}.e30.x`;
const serviceTokens = {
  verify: async (token: string, { lxm, issuers }: { lxm: string; issuers?: readonly string[] }) => {
    if (issuers && !issuers.includes("did:plc:far")) throw new KithError("untrusted_issuer", "untrusted");
    if (token !== SERVICE) throw new KithError("bad_service_token", "Could not accept the service token");
    return { kind: "service" as const, did: "did:plc:far", lxm, release: () => {} };
  },
};
const authenticator = new HeaderAuthenticator({
  tokens,
  serviceTokens,
  adminPassword: ADMIN_PASSWORD,
  accounts: {
    account: (did) => {
      const state = did.replace("did:plc:", "");
      return states.includes(state) ? { state } : undefined;
    },
  },
});

const moderated = (modServiceDid?: string) =>
  new HeaderAuthenticator({
    tokens,
    serviceTokens,
    modServiceDid,
    adminPassword: ADMIN_PASSWORD,
    accounts: { account: () => ({ state: "active" }) },
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
  [
    await access("takendown"),
    "anySession",
    { kind: "user", did: "did:plc:takendown", scope: "com.atproto.takendown" },
  ],
  [
    await access("suspended", "com.atproto.takendown"),
    "anySession",
    { kind: "user", did: "did:plc:suspended", scope: "com.atproto.takendown" },
  ],
  [
    await access("active", "com.atproto.appPass"),
    "anySession",
    { kind: "user", did: "did:plc:active", scope: "com.atproto.appPass" },
  ],
  [await access("deleted"), "anySession", "account_not_found"],
  [await access("takendown", "com.atproto.appPassPrivileged"), "anySession", "account_takendown"],
  [undefined, "fullOrTakendown", "auth_missing"],
  [
    await access("active"),
    "fullOrTakendown",
    { kind: "user", did: "did:plc:active", scope: "com.atproto.access" },
  ],
  [
    await access("takendown"),
    "fullOrTakendown",
    { kind: "user", did: "did:plc:takendown", scope: "com.atproto.takendown" },
  ],
  [
    await access("takendown", "com.atproto.takendown"),
    "fullOrTakendown",
    { kind: "user", did: "did:plc:takendown", scope: "com.atproto.takendown" },
  ],
  [await access("active", "com.atproto.appPassPrivileged"), "fullOrTakendown", "invalid_token"],
  [await access("takendown", "com.atproto.appPass"), "fullOrTakendown", "invalid_token"],
  [await access("deleted"), "fullOrTakendown", "account_not_found"],
  [undefined, "moderator", "auth_missing"],
  [ADMIN, "moderator", { kind: "admin" }],
  [basic("admin", "wrong"), "moderator", "auth_required"],
  [`Bearer ${SERVICE}`, "moderator", "untrusted_issuer"],
  [undefined, "service", "auth_missing"],
  [ADMIN, "service", "invalid_token"],
  [`Bearer ${SERVICE}`, "service", { kind: "service", did: "did:plc:far", lxm: "x.y.z" }],
  [`Bearer ${SERVICE}`, "accessOrService", { kind: "service", did: "did:plc:far" }],
  [`Bearer ${SERVICE}`, "optionalService", { kind: "service", did: "did:plc:far" }],
  [`Bearer ${SERVICE}`, "access", "invalid_token"],
  [`Bearer ${SERVICE}`, "optional", "invalid_token"],
  [`Bearer ${SERVICE}y`, "accessOrService", "bad_service_token"],
  [await access("active"), "service", "bad_service_token"],
  [await access("active"), "accessOrService", { kind: "user", did: "did:plc:active" }],
  [await access("takendown"), "accessOrService", "account_takendown"],
  [await access("active"), "optionalService", null],
  ["Bearer nonsense", "optionalService", null],
  [undefined, "optionalService", null],
  [undefined, "accessOrService", "auth_missing"],
  [ADMIN, "optionalService", { kind: "admin" }],
  [basic("admin", "wrong"), "optionalService", "auth_required"],
];

const TITLED = ROWS.map(([header, kind, expected], row) => {
  const scheme = (header ?? "no header").split(" ")[0] ?? "";
  return [row, kind, scheme.slice(0, 10), JSON.stringify(expected), header, expected] as const;
});

test.each(TITLED)(
  "HeaderAuthenticator.authenticate row %d: kind %s, %s: %s",
  async (_row, kind, _scheme, _title, header, expected) => {
    const answered = authenticator.authenticate(request(header), kind, { nsid: "x.y.z" });
    if (typeof expected === "string") await expect(answered).rejects.toMatchObject({ code: expected });
    else if (expected === null) expect(await answered).toBeNull();
    else expect(await answered).toMatchObject(expected as never);
  },
);

test.each([
  ["active", undefined],
  ["deactivated", undefined],
  ["deleted", undefined],
  ["elsewhere", undefined],
  ["takendown", "account_takendown"],
  ["suspended", "account_suspended"],
])("HeaderAuthenticator.authenticate, of a service token for an account that is %s", async (state, code) => {
  const did = `did:plc:${state}`;
  const ours = new HeaderAuthenticator({
    tokens,
    serviceTokens: {
      verify: async (_, { lxm }) => ({ kind: "service" as const, did, lxm, release: () => {} }),
    },
    adminPassword: ADMIN_PASSWORD,
    accounts: { account: () => (states.includes(state) ? { state } : undefined) },
  });
  const asked = ours.authenticate(request(`Bearer ${SERVICE}`), "accessOrService", { nsid: "x.y.z" });
  if (code === undefined) expect(await asked).toMatchObject({ kind: "service", did });
  else await expect(asked).rejects.toMatchObject({ code });
});

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
  const options = { tokens, serviceTokens, accounts: { account: () => undefined }, adminPassword: "" };
  expect(() => new HeaderAuthenticator(options)).toThrow(expect.objectContaining({ code: "config_invalid" }));
});

test("HeaderAuthenticator takes no access token from before the sessions of an account were ended", async () => {
  const CALL = { nsid: "x.y.z" };
  let sessionsFrom: number | null = null;
  const strict = new HeaderAuthenticator({
    tokens,
    serviceTokens,
    adminPassword: ADMIN_PASSWORD,
    accounts: { account: () => ({ state: "active", sessionsFrom }) },
  });
  const asked = request(await access("active"));
  expect(await strict.authenticate(asked, "access", CALL)).toMatchObject({ did: "did:plc:active" });
  // Tokens tell whole seconds: those of the same one count on.
  sessionsFrom = Date.now();
  expect(await strict.authenticate(request(await access("active")), "access", CALL)).not.toBeNull();
  sessionsFrom = Date.now() + 2_000;
  for (const kind of ["access", "full", "optional"] as const) {
    await expect(strict.authenticate(asked, kind, CALL)).rejects.toMatchObject({ code: "expired_token" });
  }
});

test("HeaderAuthenticator takes the moderation service's token as a moderator's, and nobody else's", async () => {
  const ask = (did: string | undefined, header: string, kind: AuthKind = "moderator") =>
    moderated(did).authenticate(request(header), kind, { nsid: "x.y.z" });
  expect(await ask("did:plc:far", `Bearer ${SERVICE}`)).toMatchObject({
    kind: "service",
    did: "did:plc:far",
  });
  expect(await ask("did:plc:far", ADMIN)).toEqual({ kind: "admin" });
  await expect(ask("did:plc:near", `Bearer ${SERVICE}`)).rejects.toMatchObject({ code: "untrusted_issuer" });
  await expect(ask("did:plc:far", await access("active"))).rejects.toMatchObject({
    code: "bad_service_token",
  });
  await expect(ask("did:plc:far", `Bearer ${SERVICE}`, "admin")).rejects.toMatchObject({
    code: "auth_required",
  });
});
