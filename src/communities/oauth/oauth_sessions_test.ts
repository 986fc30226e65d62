import { describe, expect, test } from "bun:test";
import { HostError, type HostToken } from "../../identity/mod.ts";
import type { CommunityOAuth } from "../../storage/mod.ts";
import { RENEW_BEFORE_MS, type StockCommunity } from "../sessions.ts";
import { OAuthRefused } from "./authorization_server.ts";
import { DID, ISSUER, NOW, PDS } from "./authorization_server_fixture.ts";
import { newKey } from "./client_documents.ts";
import { ConsentEnded, OAuthSessions } from "./oauth_sessions.ts";

const COMMUNITY: StockCommunity = { did: DID, kind: "remote", pdsEndpoint: PDS };
const dpopKey = (await newKey()) as Record<string, unknown>;
const sessionOf = (name: string, ms = 3_600_000): CommunityOAuth => ({
  issuer: ISSUER,
  clientId: "client",
  dpopKey,
  accessToken: `${name}-access`,
  refreshToken: `${name}-refresh`,
  expiresAt: NOW + ms,
});
const refused = (error: string) =>
  new OAuthRefused({ issuer: ISSUER, action: "to renew", error, description: "", cause: undefined });
const hostError = (status: number) =>
  new HostError({ host: PDS, nsid: "x", status, error: "invalid_token", reason: "" });
const caught = (promise: Promise<unknown>) => promise.catch((error: unknown) => error);

function makeSessions({
  kept = sessionOf("first") as CommunityOAuth | undefined,
  refresh = async (): Promise<CommunityOAuth> => sessionOf("next"),
} = {}) {
  const journal: string[] = [];
  const state = { kept };
  const store = {
    session: () => state.kept,
    replaceSession: async (_: string, { of, by }: { of: CommunityOAuth; by: CommunityOAuth | null }) => {
      if (state.kept?.refreshToken !== of.refreshToken) return false;
      await Bun.sleep(0);
      state.kept = by ?? undefined;
      journal.push(`kept ${by?.accessToken ?? "nothing"}`);
      return true;
    },
  };
  const servers = {
    refresh: async (session: CommunityOAuth) => {
      journal.push(`renews ${session.refreshToken}`);
      return await refresh();
    },
    revoke: async (session: CommunityOAuth) => {
      journal.push(`revokes ${session.refreshToken}`);
      return true;
    },
  };
  const sessions = new OAuthSessions({ store, servers, now: () => NOW });
  /** A call that is refused with these tokens. */
  const calling =
    (...names: string[]) =>
    async (token: HostToken) => {
      if (typeof token === "string") throw new TypeError("a bearer token");
      const { authorization = "" } = await token.headers({ method: "GET", url: `${PDS}/xrpc/x` });
      journal.push(`calls with ${authorization}`);
      if (names.some((name) => authorization === `DPoP ${name}-access`)) throw hostError(401);
      return authorization;
    };
  return { sessions, state, journal, calling };
}

describe("OAuthSessions.use()", () => {
  test("calls with the session that is kept", async () => {
    const { sessions, journal, calling } = makeSessions();
    expect(await sessions.use(COMMUNITY, calling())).toBe("DPoP first-access");
    expect(journal).toHaveLength(1);
  });

  test("renews one that ends soon, once for all who wait, and keeps it before it is used", async () => {
    const { sessions, journal, calling } = makeSessions({ kept: sessionOf("old", RENEW_BEFORE_MS - 1) });
    const calls = Array.from({ length: 20 }, () => sessions.use(COMMUNITY, calling()));
    expect(new Set(await Promise.all(calls))).toEqual(new Set(["DPoP next-access"]));
    expect(journal.slice(0, 3)).toEqual([
      "renews old-refresh",
      "kept next-access",
      "calls with DPoP next-access",
    ]);
    expect(journal.filter((entry) => entry.startsWith("renews"))).toHaveLength(1);
  });

  test("renews one that the server takes no more, and calls once again", async () => {
    const { sessions, journal, calling } = makeSessions();
    expect(await sessions.use(COMMUNITY, calling("first"))).toBe("DPoP next-access");
    expect(await caught(sessions.use(COMMUNITY, calling("next")))).toBeInstanceOf(HostError);
    expect(journal.filter((entry) => entry.startsWith("calls"))).toHaveLength(4);
  });

  test("hands on what else a server says", async () => {
    const { sessions, journal } = makeSessions();
    const error = hostError(403);
    const answer = caught(
      sessions.use(COMMUNITY, async () => {
        throw error;
      }),
    );
    expect(await answer).toBe(error);
    expect(journal).toEqual([]);
  });

  test("a consent that was taken back has ended, and its tokens are forgotten", async () => {
    const { sessions, state, calling } = makeSessions({
      refresh: () => Promise.reject(refused("invalid_grant")),
    });
    expect(await caught(sessions.use(COMMUNITY, calling("first")))).toBeInstanceOf(ConsentEnded);
    expect(state.kept).toBeUndefined();
    expect(await caught(sessions.use(COMMUNITY, calling()))).toBeInstanceOf(ConsentEnded);
  });

  test.each([["invalid_client"], ["temporarily_unavailable"]])(
    "%s says nothing about the consent: it is kept",
    async (error) => {
      const { sessions, state, calling } = makeSessions({ refresh: () => Promise.reject(refused(error)) });
      expect(await caught(sessions.use(COMMUNITY, calling("first")))).toBeInstanceOf(OAuthRefused);
      expect(state.kept).toEqual(sessionOf("first"));
    },
  );

  test("a session that an owner has put in its place meanwhile is the one to go on with", async () => {
    const { promise, resolve } = Promise.withResolvers<CommunityOAuth>();
    const { sessions, state, journal, calling } = makeSessions({ refresh: () => promise });
    const answer = sessions.use(COMMUNITY, calling("first"));
    while (!journal.includes("renews first-refresh")) await Bun.sleep(0);
    state.kept = sessionOf("anew");
    resolve(sessionOf("late"));
    expect(await answer).toBe("DPoP anew-access");
    expect(journal).toContain("revokes late-refresh");
  });
});

describe("OAuthSessions", () => {
  test("check() asks anew, however long the token is good for", async () => {
    const { sessions, journal } = makeSessions();
    await sessions.check(COMMUNITY);
    expect(journal).toEqual(["renews first-refresh", "kept next-access"]);
  });

  test("end() forgets the session, and gives it back", async () => {
    const { sessions, state, journal } = makeSessions();
    expect(await sessions.end(COMMUNITY)).toBe(true);
    expect([state.kept, journal]).toEqual([undefined, ["kept nothing", "revokes first-refresh"]]);
    expect(await sessions.end(COMMUNITY)).toBe(false);
  });
});
