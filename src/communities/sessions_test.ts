import { describe, expect, test } from "bun:test";
import { KithError } from "../errors.ts";
import { isHostError } from "../identity/mod.ts";
import {
  type Answerer,
  DID,
  fakeHost,
  OTHER_DID,
  PDS,
  refusal,
  unreachable,
} from "./hosts/stock_pds_fixture.ts";
import {
  AppPasswordRefused,
  REFUSED_REST_MS,
  RENEW_BEFORE_MS,
  RENEWALS_MAX,
  type StockCommunity,
  StockSessions,
  type StockTokens,
} from "./sessions.ts";

const NOW = 1_700_000_000_000;
const COMMUNITY: StockCommunity = { did: DID, kind: "remote", pdsEndpoint: PDS };

/** An access token by name that ends so many milliseconds from now. */
const jwt = (name: string, ms = 3_600_000) => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ name })}.${part({ exp: (NOW + ms) / 1_000 })}.sig`;
};
const nameOf = (token: string) =>
  token.includes(".")
    ? (JSON.parse(Buffer.from(token.split(".")[0]!, "base64url").toString()).name as string)
    : token;
const tokens = (name: string, ms?: number): StockTokens => ({
  accessJwt: jwt(name, ms),
  refreshJwt: `${name}-refresh`,
});

function makeSessions({
  session = null,
  appPassword = "app-password",
  answers = {},
}: {
  session?: StockTokens | null;
  appPassword?: string | null;
  answers?: Record<string, Answerer>;
} = {}) {
  const secrets = { appPassword, session };
  const saved: (string | null)[] = [];
  let opened = 0;
  const { host, calls, asked } = fakeHost({
    createSession: ({ given }) =>
      given.password === "app-password"
        ? { did: DID, ...tokens(`opened${++opened}`) }
        : refusal(401, "AuthenticationRequired"),
    refreshSession: () => ({ did: DID, ...tokens("refreshed") }),
    deleteSession: {},
    ...answers,
  });
  const store = {
    secrets: () => ({ ...secrets }),
    saveSession: async (_: string, next: StockTokens | null) => {
      secrets.session = next;
      saved.push(next && nameOf(next.accessJwt));
    },
  };
  const clock = { ms: NOW };
  const sessions = new StockSessions({ store, hostOf: () => host, now: () => clock.ms });
  return { sessions, secrets, saved, calls, asked, clock };
}

const hostError = async (status: number, error: string) =>
  await fakeHost({ x: refusal(status, error) })
    .host.json("dev.kith.test.x")
    .catch((thrown: unknown) => thrown);
/** A call that refuses the tokens of these names. */
const refusing =
  (names: readonly string[], status = 401, error = "AuthenticationRequired") =>
  async (token: string) => {
    if (names.includes(nameOf(token))) throw await hostError(status, error);
    return nameOf(token);
  };
const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

describe("check()", () => {
  test("renews a session that would still serve, and keeps what comes of it", async () => {
    const { sessions, secrets, asked } = makeSessions({ session: tokens("old") });
    await sessions.check(COMMUNITY);
    expect(asked()).toEqual(["refreshSession"]);
    expect(nameOf(secrets.session?.accessJwt ?? "")).toBe("refreshed");
  });

  test("drops the session of an app password that was revoked", async () => {
    const { sessions, secrets } = makeSessions({
      session: tokens("old"),
      appPassword: "revoked",
      answers: { refreshSession: refusal(400, "ExpiredToken") },
    });
    await expect(sessions.check(COMMUNITY)).rejects.toBeInstanceOf(AppPasswordRefused);
    expect(secrets.session).toBeNull();
  });

  test("drops nothing while the host is not to be reached", async () => {
    const { sessions, secrets } = makeSessions({
      session: tokens("old"),
      answers: { refreshSession: unreachable },
    });
    await expect(sessions.check(COMMUNITY)).rejects.toMatchObject({ code: "upstream_failure" });
    expect(nameOf(secrets.session?.accessJwt ?? "")).toBe("old");
  });
});

describe("StockSessions.use()", () => {
  test("signs in with the app password, by the DID, and keeps the session", async () => {
    const { sessions, calls, saved, asked } = makeSessions();
    expect(await sessions.use(COMMUNITY, refusing([]))).toBe("opened1");
    expect(calls[0]?.given).toEqual({ identifier: DID, password: "app-password" });
    expect(await sessions.use(COMMUNITY, refusing([]))).toBe("opened1");
    expect([asked(), saved]).toEqual([["createSession"], ["opened1"]]);
  });

  type Kept = [
    title: string,
    session: StockTokens,
    answers: Record<string, Answerer>,
    asked: string[],
    used: string,
  ];
  const near = tokens("old", RENEW_BEFORE_MS - 1);
  test.each<Kept>([
    ["one that goes on", tokens("old", RENEW_BEFORE_MS), {}, [], "old"],
    ["one whose end cannot be read", { accessJwt: "opaque", refreshJwt: "r" }, {}, [], "opaque"],
    ["one near its end", near, {}, ["refreshSession"], "refreshed"],
    ["one that ended long ago", tokens("old", -1e12), {}, ["refreshSession"], "refreshed"],
    [
      "one that cannot be renewed",
      near,
      { refreshSession: refusal(400, "ExpiredToken") },
      ["refreshSession", "createSession"],
      "opened1",
    ],
  ])("goes on with %s", async (_, session, answers, expected, used) => {
    const { sessions, asked, calls } = makeSessions({ session, answers });
    expect(await sessions.use(COMMUNITY, refusing([]))).toBe(used);
    expect(asked()).toEqual(expected);
    if (expected[0] === "refreshSession") expect(calls[0]?.token).toBe("old-refresh");
  });

  test.each([
    [401, "AuthenticationRequired"],
    [401, "InvalidToken"],
    [400, "ExpiredToken"],
    [400, "InvalidToken"],
  ])("drops a session that ends with %i %s, and calls once again", async (status, error) => {
    const { sessions, saved, asked } = makeSessions({ session: tokens("old") });
    expect(await sessions.use(COMMUNITY, refusing(["old"], status, error))).toBe("opened1");
    expect([saved, asked()]).toEqual([[null, "opened1"], ["createSession"]]);
  });

  test("calls no third time", async () => {
    const { sessions, saved, secrets } = makeSessions({ session: tokens("old") });
    let calls = 0;
    const error = await caught(
      sessions.use(COMMUNITY, (token) => {
        calls += 1;
        return refusing(["old", "opened1"])(token);
      }),
    );
    expect(isHostError(error)).toBe(true);
    expect([calls, saved, secrets.session]).toEqual([2, [null, "opened1", null], null]);
  });

  test.each([
    [400, "InvalidSwap"],
    [403, "Forbidden"],
    [500, "InternalServerError"],
  ])("keeps the session where the call fails with %i %s", async (status, error) => {
    const { sessions, saved } = makeSessions({ session: tokens("old") });
    expect(isHostError(await caught(sessions.use(COMMUNITY, refusing(["old"], status, error))))).toBe(true);
    expect(saved).toEqual([]);
  });

  test("fault 11: renews once for all who wait, and burns no refresh token", async () => {
    const gate = Promise.withResolvers<void>();
    const { sessions, asked } = makeSessions({
      session: tokens("old", 0),
      answers: {
        refreshSession: async () => {
          await gate.promise;
          return { did: DID, ...tokens("refreshed") };
        },
      },
    });
    const uses = Array.from({ length: 50 }, () => sessions.use(COMMUNITY, refusing([])));
    gate.resolve();
    expect(new Set(await Promise.all(uses))).toEqual(new Set(["refreshed"]));
    expect(asked()).toEqual(["refreshSession"]);
  });

  test("signs in once for all whose session has ended at the same moment", async () => {
    const { sessions, asked } = makeSessions({ session: tokens("old") });
    const uses = Array.from({ length: 20 }, () => sessions.use(COMMUNITY, refusing(["old"])));
    expect(new Set(await Promise.all(uses))).toEqual(new Set(["opened1"]));
    expect(asked()).toEqual(["createSession"]);
  });

  test("tries again after a renewal that failed", async () => {
    let isUp = false;
    const answers = { createSession: () => (isUp ? { did: DID, ...tokens("new") } : unreachable) };
    const { sessions, saved } = makeSessions({ answers });
    expect(await caught(sessions.use(COMMUNITY, refusing([])))).toMatchObject({ code: "upstream_failure" });
    isUp = true;
    expect(await sessions.use(COMMUNITY, refusing([]))).toBe("new");
    expect(saved).toEqual(["new"]);
  });

  test("keeps a refresh token whose use has no answer", async () => {
    const { sessions, secrets, asked } = makeSessions({
      session: tokens("old", 0),
      answers: { refreshSession: refusal(503) },
    });
    expect(isHostError(await caught(sessions.use(COMMUNITY, refusing([]))))).toBe(true);
    expect([secrets.session?.refreshJwt, asked()]).toEqual(["old-refresh", ["refreshSession"]]);
  });

  test.each<[string, string | null]>([
    ["is refused", "revoked"],
    ["is absent", null],
  ])("says so where the app password %s", async (_, appPassword) => {
    const { sessions, saved } = makeSessions({ appPassword });
    const error = await caught(sessions.use(COMMUNITY, refusing([])));
    expect(error).toBeInstanceOf(AppPasswordRefused);
    expect(String(error)).not.toContain('revoked"');
    expect([(error as KithError).code, saved]).toEqual(["upstream_failure", []]);
  });

  test.each<[string, Answerer, string]>([
    ["takes the account down", refusal(401, "AccountTakedown"), "AccountTakedown"],
    ["answers for another DID", { did: OTHER_DID, ...tokens("x") }, `for "${OTHER_DID}", not for`],
    ["answers half", { did: DID, accessJwt: "x" }, "wrongly"],
    [
      "answers a token of a megabyte",
      { did: DID, accessJwt: "x".repeat(20_000), refreshJwt: "r" },
      "larger|wrongly",
    ],
    ["wants no more calls", refusal(429), "takes no more|429|called"],
  ])("keeps nothing of a host that %s", async (_, createSession, words) => {
    const { sessions, saved } = makeSessions({ answers: { createSession } });
    const error = await caught(sessions.use(COMMUNITY, refusing([])));
    expect(error).toBeInstanceOf(KithError);
    expect(error).not.toBeInstanceOf(AppPasswordRefused);
    expect((error as Error).message).toMatch(new RegExp(words));
    expect(saved).toEqual([]);
  });

  test("rests before it tries a refused app password again, and tries a new one at once", async () => {
    const { sessions, secrets, asked, clock } = makeSessions({ appPassword: "revoked" });
    const use = () => caught(sessions.use(COMMUNITY, refusing([])));
    for (let n = 0; n < 3; n++) expect(await use()).toBeInstanceOf(AppPasswordRefused);
    expect(asked()).toHaveLength(1);
    clock.ms += REFUSED_REST_MS;
    expect(await use()).toBeInstanceOf(AppPasswordRefused);
    expect(asked()).toHaveLength(2);
    secrets.appPassword = "app-password";
    expect(await use()).toBe("opened1");
  });

  test("does not keep the session of an app password that was replaced meanwhile", async () => {
    const made = makeSessions({
      answers: {
        createSession: () => {
          made.secrets.appPassword = "another";
          return { did: DID, ...tokens("of the one before") };
        },
      },
    });
    expect(await made.sessions.use(COMMUNITY, refusing([]))).toBe("of the one before");
    expect(made.saved).toEqual([]);
  });

  test("renews a bounded number at a time", async () => {
    const { sessions } = makeSessions({ answers: { createSession: () => new Promise<never>(() => {}) } });
    for (let n = 0; n < RENEWALS_MAX; n++) {
      void sessions.use({ ...COMMUNITY, did: `did:web:a${n}.example.com` }, refusing([]));
    }
    expect(await caught(sessions.use(COMMUNITY, refusing([])))).toMatchObject({ code: "busy" });
  });
});

test("StockSessions.end() ends it at the host, and forgets it whatever the host says", async () => {
  const ended = makeSessions({ session: tokens("old") });
  await ended.sessions.end(COMMUNITY);
  expect(ended.calls).toEqual([{ method: "deleteSession", token: "old-refresh", given: {} }]);
  expect(ended.secrets.session).toBeNull();
  await ended.sessions.end(COMMUNITY);
  expect(ended.calls).toHaveLength(1);
  const away = makeSessions({ session: tokens("old"), answers: { deleteSession: unreachable } });
  await away.sessions.end(COMMUNITY);
  expect(away.secrets.session).toBeNull();
});
