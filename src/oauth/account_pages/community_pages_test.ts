import { expect, test } from "bun:test";
import { STEP_UP_MS } from "../../accounts/mod.ts";
import { type ErrorCode, KithError } from "../../errors.ts";
import type { Community, Member } from "../../storage/mod.ts";
import { createAssets, type Locale, textsOf } from "../../web/mod.ts";
import { Form } from "../pages/form.ts";
import { PageCall } from "../pages/page_call.ts";
import { AccountPages, type AccountPagesOptions } from "./account_pages.ts";

const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const OTHER = "did:plc:z72i7hdynmk6r22z27h6tvur";
const CLUB = "did:plc:ragtjsm2j2vknwkz3zp4oxrd";
const NOW = Date.UTC(2026, 2, 14);
const HOME = `/account/${DID}/communities`;
const ONE = `${HOME}/one?${new URLSearchParams({ community: CLUB })}`;
const KEY = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169";

interface Has {
  readonly role?: Member["role"];
  readonly kind?: Community["kind"];
  readonly mode?: Community["mode"];
  readonly throws?: Partial<Record<string, KithError>>;
  readonly mayMake?: boolean;
  readonly hasOtherHosts?: boolean;
  /** How long ago the sign-in was. */
  readonly ageMs?: number;
}

const LINK = "https://pds.example/oauth/authorize?request_uri=urn:1";
const refused = (code: ErrorCode, message = "Words of elsewhere") => new KithError(code, message);

/** The pages over services that note what is asked of them. */
function make({ role = "owner", kind = "native", mode = "provisioned", throws = {}, ...has }: Has = {}) {
  const done: [string, ...unknown[]][] = [];
  const note =
    (name: string, answer: unknown = undefined) =>
    async (...asked: unknown[]) => {
      done.push([name, ...asked]);
      if (throws[name]) throw throws[name];
      return answer;
    };
  const community = {
    ...{ did: CLUB, mode, kind, handle: "club.test", pdsEndpoint: "https://pds.example", pdsDid: null },
    ...{ rotationKey: KEY, createdBy: DID, createdAt: NOW },
  };
  const me = { subject: DID, role, canPublish: true, grantedBy: DID, grantedAt: NOW };
  const them = { ...me, subject: OTHER, role: "member" as const, canPublish: false };
  const invite = { id: "invite-1", community: CLUB, role: "member", canPublish: true, uses: 5, used: 1 };
  const answer = { attemptId: "a", communityDid: CLUB, canDo: [], cannotDo: [] };
  const attempt = { id: "attempt-1", handle: "half.test" };
  const services = {
    attempts: {
      open: () => [attempt],
      provision: note("provision", {
        ...{ ...answer, status: "activated", handle: "club.test", pdsEndpoint: "https://pds.example" },
        ...(kind === "remote" ? { rootCredentials: { password: "told-once" } } : {}),
      }),
      mint: note("mint", answer),
      resume: note("resume", answer),
    },
    adoptions: { adopt: note("adopt", { ...community, mode: "adopted" }), reauth: note("reauth") },
    consents: { askToAdopt: note("askToAdopt", LINK), askAgain: note("askAgain", LINK) },
    healths: {
      of: note("health", {
        status: "moved",
        checks: [{ name: "identity", ok: false, message: "It has moved" }],
      }),
    },
    deletions: { delete: note("delete", { done: [], remains: [] }) },
    members: {
      require: (did: string, { caller, right }: { caller: string; right: string }) => {
        if (did !== CLUB) throw refused("community_not_found");
        const member = caller === DID ? me : them;
        if (right === "own" && member.role !== "owner") throw refused("role_too_low");
        return { community, member };
      },
      list: () => ({ members: [me, them], cursor: "next-member" }),
      listOf: () => ({ communities: [{ ...community, role, canPublish: true }], cursor: "next" }),
      grant: note("grant"),
      revoke: note("revoke"),
    },
    invites: {
      create: note("invite", { token: "kith-invite-1", invite }),
      list: () => ({
        invites: [
          { ...invite, valid: true, expiresAt: NOW },
          { ...invite, id: "gone", valid: false },
        ],
      }),
      look: () => {
        if (throws.look) throw throws.look;
        return { invite, isMember: false };
      },
      redeem: note("redeem", { community: CLUB }),
      revoke: note("revokeInvite"),
    },
    find: (did: string) => (did === CLUB ? community : undefined),
    names: {
      didOf: note("didOf", OTHER),
      handleOf: (did: string) => (did === DID ? "alice.test" : undefined),
    },
    mayMake: () => has.mayMake ?? true,
    hasOtherHosts: has.hasOtherHosts ?? false,
  };
  const account = { did: DID, handle: "alice.test", email: null, emailConfirmedAt: null, state: "active" };
  const signedInAt = NOW - (has.ageMs ?? 0);
  const device = {
    ...{ id: "device", secretHash: "", cookieId: "" },
    accounts: [{ did: DID, authenticatedAt: signedInAt, remember: true, needsPassword: false }],
  };
  const ofDevice = () => {
    if (signedInAt > NOW - STEP_UP_MS) return { did: DID };
    throw refused("step_up_required");
  };
  const pages = new AccountPages({
    accounts: { account: () => account },
    ...{ stepUps: { ofDevice }, languages: { read: async () => {} }, factors: {}, credentials: {} },
    ...{ communities: services, handleDomains: [".test"], publicUrl: "https://pds.test", now: () => NOW },
  } as unknown as AccountPagesOptions);
  const assets = createAssets({ folder: "/oauth/assets" }).paths;
  const view = (of: { locale: Locale; csrf: string; nonce: string }) => ({
    ...of,
    ...{ t: textsOf(of.locale), site: { name: "pds.test", host: "pds.test" }, assets },
  });
  const setting = { publicUrl: "https://pds.test", csrfKey: new Uint8Array(32), pages: { view } };
  const go = async (method: "GET" | "POST", path: string, fields: Record<string, string> = {}) => {
    const url = new URL(path, "https://pds.test");
    const opened = { device, setCookie: undefined };
    const context = { requestId: "r", ip: "203.0.113.7" };
    const call = new PageCall(new Request(url, { method }), { url, context, opened, setting });
    if (method === "POST") call.form = new Form(fields);
    const route = pages.find(url.pathname);
    const response = await (method === "POST" ? route?.post : route?.get)?.(call);
    if (!response) throw new Error(`No ${method} of ${path}`);
    const to = response.headers.get("location");
    return {
      status: response.status,
      to,
      text: to === null ? (await response.text()).replaceAll("<wbr>", "").replaceAll("&#39;", "'") : "",
      act: route?.act,
    };
  };
  return { done, go };
}

const NEW = { idempotencyKey: "0123456789abcdef", handle: "club", domain: ".test" };
const WITH_KEY = { ...NEW, rotationKey: KEY, saved: "on" };
const AWAY = {
  ...WITH_KEY,
  ...{ handle: "club.example", endpoint: "https://pds.example", email: "a@b.example", invite: "code" },
};
const one = (name: string) => `${HOME}/${name}?${new URLSearchParams({ community: CLUB })}`;

test.each([
  ["provisioning_failed", "PLC was away"],
  ["lease_lost", "Another call works on it"],
] as const)("after %s the same form is offered again, with all that it needs", async (code, message) => {
  const has = { throws: { provision: refused(code, message) }, hasOtherHosts: true, kind: "remote" } as const;
  const page = await make(has).go("POST", `${HOME}/new-elsewhere`, AWAY);
  expect([page.status, page.text]).toEqual([502, expect.stringContaining(message)]);
  for (const [name, value] of Object.entries(AWAY).filter(([name]) => name !== "domain")) {
    expect(page.text).toContain(`<input type="hidden" name="${name}" value="${value}">`);
  }
  const { done, go } = make({ ...has, throws: {} });
  const made = await go("POST", `${HOME}/new-elsewhere`, AWAY);
  expect([made.status, made.text]).toEqual([200, expect.stringContaining("told-once")]);
  expect(done).toEqual([
    [
      "provision",
      DID,
      {
        ...{ idempotencyKey: AWAY.idempotencyKey, rotationKey: KEY, handle: AWAY.handle },
        ...{ pdsEndpoint: AWAY.endpoint, email: AWAY.email, inviteCode: "code" },
      },
    ],
  ]);
});

test.each([
  ["invalid_handle", "handle", "This handle cannot be used"],
  ["unsupported_domain", "handle", "This handle cannot be used"],
  ["handle_not_available", "handle", "This handle is taken"],
  ["invalid_invite_code", "invite", "This invite code is not valid"],
  ["invalid_email", "email", "This is not an e-mail address"],
  ["host_not_allowed", "endpoint", "do not allow communities on that server"],
  ["community_quota", "", "as many communities as you may"],
  ["communities_disabled", "", "You cannot make communities"],
  ["idempotency_conflict", "", "used for another community"],
  ["invalid_request", "", "It said: Words of elsewhere"],
  ["upstream_failure", "", "It said: Words of elsewhere"],
  ["timeout", "", "It said: Words of elsewhere"],
  ["busy", "", "The server is busy"],
] as const)("%s is told at the field %j", async (code, field, text) => {
  const { go } = make({ throws: { provision: refused(code) }, hasOtherHosts: true });
  const page = await go("POST", `${HOME}/new-elsewhere`, AWAY);
  expect([page.status, page.text]).toEqual([400, expect.stringContaining(text)]);
  expect(page.text.includes(`id="${field}-error"`)).toBe(field !== "");
  expect(page.text.includes(`value="${NEW.idempotencyKey}"`)).toBe(code !== "idempotency_conflict");
  expect(page.text).toContain(`value="${KEY}"`);
});

test("what nobody has words for is thrown on", async () => {
  const { go } = make({ throws: { provision: refused("storage_damaged") } });
  await expect(go("POST", `${HOME}/new`, WITH_KEY)).rejects.toMatchObject({ code: "storage_damaged" });
});

test("an attempt that has stopped is listed, gone on with, and stays where it fails again", async () => {
  const list = await make().go("GET", HOME);
  expect(list.text).toContain("Go on with @half.test");
  const { done, go } = make();
  const fields = { attempt: "attempt-1" };
  expect((await go("POST", `${HOME}/resume`, fields)).text).toContain("@club.test is there");
  expect((await go("POST", `${HOME}/resume`, { attempt: "others" })).to).toBe(HOME);
  expect(done).toEqual([["resume", DID, "attempt-1"]]);
  for (const code of ["provisioning_failed", "upstream_failure", "handle_not_available"] as const) {
    const again = make({ throws: { resume: refused(code) } });
    const page = await again.go("POST", `${HOME}/resume`, fields);
    expect([page.status, page.text]).toEqual([502, expect.stringContaining('value="attempt-1"')]);
  }
});

test.each([
  [`${HOME}/ask`, { account: " @there.test " }, ["askToAdopt", { caller: DID, identifier: "there.test" }]],
  [one("ask-again"), {}, ["askAgain", expect.objectContaining({ did: CLUB }), { caller: DID }]],
] as const)(
  "%s answers a link for the owner of the account, which nothing leads to by itself",
  async (path, fields, asked) => {
    const { done, go } = make({ kind: "remote" });
    const page = await go("POST", path, fields as Record<string, string>);
    expect([page.status, page.to, page.act]).toEqual([200, null, "community_password"]);
    expect(done).toEqual([[...asked]] as typeof done);
    for (const mark of [`<code>${LINK}</code>`, `data-copy="${LINK}"`, `href="${LINK}"`])
      expect(page.text).toContain(mark);
  },
);

test.each([
  ["ask", "", undefined, "Please fill this in"],
  ["ask", "there.test", refused("handle_not_found"), "Nobody is found"],
  ["ask", "there.test", refused("host_not_allowed"), "do not allow communities on that server"],
  ["ask", "there.test", refused("already_exists"), "is a community here already"],
  ["ask", "there.test", refused("community_quota"), "as many communities as you may"],
  ["ask", "there.test", refused("not_supported"), "Try it with an app password"],
  ["ask", "there.test", refused("invalid_request"), "It said: Words of elsewhere"],
  ["ask", "there.test", refused("upstream_failure"), "It said: Words of elsewhere"],
  ["ask", "there.test", refused("busy"), "The server is busy"],
  ["adopt", "there.test", undefined, "Please fill this in"],
] as const)("%s of %j is refused with words beside its own form", async (name, account, error, text) => {
  const { go } = make(error ? { throws: { askToAdopt: error } } : {});
  const page = await go("POST", `${HOME}/${name}`, { account });
  expect([page.status, page.text]).toEqual([400, expect.stringContaining(text)]);
  expect(page.text.includes('id="account-error"')).toBe(name === "ask");
  expect(page.text.includes("<details open>")).toBe(name === "adopt");
  expect(page.text).toContain(`value="${account}"`);
});

test("who may make none is offered none", async () => {
  const { go } = make({ mayMake: false });
  expect((await go("GET", HOME)).text).toContain("You cannot make communities on this server.");
  for (const rest of ["new", "new-elsewhere", "mint", "ways"]) {
    expect((await go("GET", `${HOME}/${rest}`)).to).toBe(HOME);
  }
});

test.each([
  ["delete", { name: "club.test" }],
  ["hand-over", { subject: "bob.test", self: "stay" }],
])("%s asks for a fresh sign-in, and goes on there", async (name, fields) => {
  const stale = make({ ageMs: STEP_UP_MS });
  for (const method of ["GET", "POST"] as const) {
    const { to } = await stale.go(method, one(name), fields as Record<string, string>);
    expect(to).toBe(`/account/${DID}/confirm?${new URLSearchParams({ to: one(name) })}`);
  }
  expect(stale.done).toEqual([]);
  const fresh = make();
  expect((await fresh.go("POST", one(name), fields as Record<string, string>)).to).toContain("done=");
  const member = make({ role: "admin" });
  for (const method of ["GET", "POST"] as const) {
    expect((await member.go(method, one(name), fields as Record<string, string>)).to).toBe(ONE);
  }
  expect(member.done).toEqual([]);
});

test.each([
  ["stay", []],
  ["admin", [["grant", CLUB, { caller: DID, subject: DID, role: "admin" }]]],
  ["leave", [["revoke", CLUB, { caller: DID, subject: DID }]]],
] as const)("handing over, and then to %s", async (self, then) => {
  const { done, go } = make();
  await go("POST", one("hand-over"), { subject: "@bob.test", self });
  const first = ["grant", CLUB, { caller: DID, subject: OTHER, role: "owner" }];
  expect(done).toEqual([["didOf", "bob.test"], first, ...then] as typeof done);
});

test("nobody becomes an owner without a fresh sign-in", async () => {
  const { done, go } = make();
  const fields = { subject: OTHER, role: "owner", canPublish: "on" };
  for (const name of ["add", "change", "invite"]) await go("POST", one(name), fields);
  const roles = done.filter(([name]) => name !== "didOf").map((call) => call.at(-1));
  expect(roles).toMatchObject([{ role: "admin" }, { role: "admin" }, { role: "admin" }]);
  expect((await go("POST", one("change"), { ...fields, subject: DID })).to).toContain("done=saved");
  expect(done.at(-1)).toEqual([
    "grant",
    CLUB,
    { caller: DID, subject: DID, role: "owner", canPublish: true },
  ]);
});

test.each([
  ["member", [], ["add", "invite", "change", "remove", "hand-over", "delete", "reauth", "ask-again"]],
  ["manager", ["add", "invite", "change", "remove"], ["hand-over", "delete", "reauth", "ask-again"]],
  ["owner", ["add", "invite", "change", "remove", "hand-over", "delete", "reauth", "ask-again"], []],
] as const)("a %s is shown what they may do", async (role, shown, hidden) => {
  const { text } = await make({ role, kind: "remote" }).go("GET", ONE);
  const has = (name: string) => text.includes(`/communities/${name}?`);
  expect([shown.filter((name) => !has(name)), hidden.filter(has)]).toEqual([[], []]);
  expect(has("leave") && has("check")).toBe(true);
});

test.each([
  ["add", { subject: "" }, {}, "Please fill this in"],
  ["add", { subject: "x.test" }, { didOf: refused("handle_not_found") }, "Nobody is found"],
  ["add", { subject: "x y" }, { didOf: refused("invalid_handle") }, "Nobody is found"],
  ["add", { subject: "x.test" }, { grant: refused("role_too_low") }, "Your role does not allow that"],
  ["change", { subject: OTHER }, { grant: refused("last_owner") }, "cannot be without an owner"],
  ["remove", { subject: OTHER }, { revoke: refused("last_owner") }, "cannot be without an owner"],
  ["leave", {}, { revoke: refused("last_owner") }, "cannot be without an owner"],
  ["invite", {}, { invite: refused("invalid_request") }, "too many open invites"],
  ["revoke", {}, { revokeInvite: refused("role_too_low") }, "Your role does not allow that"],
  ["reauth", {}, {}, "Please fill this in"],
  ["reauth", { appPassword: "a" }, { reauth: refused("invalid_credentials") }, "does not take this app"],
  ["reauth", { appPassword: "a" }, { reauth: refused("not_supported") }, "cannot be done with this"],
  ["ask-again", {}, { askAgain: refused("not_supported") }, "Try it with an app password"],
  ["ask-again", {}, { askAgain: refused("timeout") }, "It said: Words of elsewhere"],
  ["hand-over", { subject: "" }, {}, "Please fill this in"],
  ["hand-over", { subject: "x" }, { grant: refused("role_too_low") }, "Your role does not allow that"],
  ["delete", { name: "other.test" }, {}, "That is not the name"],
  ["delete", { name: "club.test" }, { delete: refused("busy") }, "The server is busy"],
] as const)("%s %j is refused with words", async (name, fields, throws, text) => {
  const { go } = make({ kind: "remote", throws });
  const page = await go("POST", one(name), fields);
  expect([page.status, page.text]).toEqual([400, expect.stringContaining(text)]);
});

test.each([
  ["invite", { uses: "25", days: "30" }, { uses: 25, expiresAt: NOW + 30 * 86_400_000 }],
  ["invite", { uses: "0", days: "-1" }, { uses: 1, expiresAt: NOW + 7 * 86_400_000 }],
  ["invite", { uses: "9999", days: "9999" }, { uses: 1000, expiresAt: NOW + 365 * 86_400_000 }],
  ["invite", { uses: "1e3", days: "ten" }, { uses: 1, expiresAt: NOW + 7 * 86_400_000 }],
] as const)("%s with %j asks for %j", async (name, fields, asked) => {
  const { done, go } = make();
  const page = await go("POST", one(name), fields);
  expect(page.text).toContain("https://pds.test/account/communities/join?token=kith-invite-1");
  expect(done[0]?.at(-1)).toMatchObject(asked);
});

test("an invite is looked at by a link, and used by a form alone", async () => {
  const { done, go } = make();
  const page = await go("GET", `${HOME}/join?token=kith-invite-1`);
  expect([page.status, page.text]).toEqual([200, expect.stringContaining("Join @club.test")]);
  expect(done).toEqual([]);
  const joined = await go("POST", `${HOME}/join`, { token: "kith-invite-1" });
  expect([joined.to, done]).toEqual([`${ONE}&done=joined`, [["redeem", "kith-invite-1", DID]]]);
  const gone = { look: refused("invalid_invite"), redeem: refused("invalid_invite") };
  for (const method of ["GET", "POST"] as const) {
    const late = await make({ throws: gone }).go(method, `${HOME}/join?token=x`);
    expect([late.status, late.text]).toEqual([400, expect.stringContaining("This invite cannot be used")]);
  }
});

test("what one does not belong to leads to what one does", async () => {
  const { done, go } = make();
  const others = `?${new URLSearchParams({ community: OTHER })}`;
  expect((await go("GET", `${HOME}/one${others}`)).to).toBe(HOME);
  for (const name of [
    "add",
    "change",
    "remove",
    "invite",
    "revoke",
    "reauth",
    "ask-again",
    "leave",
    "delete",
    "check",
  ]) {
    expect((await go("POST", `${HOME}/${name}${others}`, { subject: OTHER })).to).toBe(HOME);
  }
  expect(done).toEqual([]);
});

test("how it is is asked by a form, told with the server's words, and counted", async () => {
  const { done, go } = make();
  const page = await go("POST", one("check"));
  expect(page.text).toContain("Has moved to another server");
  expect(page.text).toContain('lang="en">It has moved');
  expect([page.act, done.length]).toEqual(["community", 1]);
  expect((await go("GET", one("check"))).to).toBe(ONE);
  expect((await go("POST", one("reauth"), { appPassword: "a" })).act).toBe("community_password");
});
