import { describe, expect, test } from "bun:test";
import { ALICE, BOB, COMMUNITY, GROUP, openCommunityStores } from "./_community_fixture.ts";
import { type CommunityConsent, type CommunityOAuth, CommunityOAuthStore } from "./community_oauth_store.ts";

const OAUTH: CommunityOAuth = {
  issuer: "https://login.test",
  clientId: "client",
  dpopKey: { kty: "EC", d: "private-part" },
  accessToken: "access-1",
  refreshToken: "refresh-1",
  expiresAt: 1_000,
};
const NEXT = { ...OAUTH, accessToken: "access-2", refreshToken: "refresh-2" };
const code = (value: string) => expect.objectContaining({ code: value });
const consent = (name: string, change: Partial<CommunityConsent> = {}): CommunityConsent => ({
  stateHash: name,
  caller: ALICE,
  did: GROUP,
  purpose: "adopt",
  secrets: { verifier: `verifier of ${name}` },
  createdAt: 10,
  expiresAt: 100,
  ...change,
});
const BOUNDS = { perCallerMax: 2, max: 4 };

async function openStores() {
  const stores = await openCommunityStores();
  return { ...stores, oauth: new CommunityOAuthStore(stores.hub, stores.keyring) };
}

describe("CommunityOAuthStore", () => {
  test("a consent is told until it ends, and taken once", async () => {
    await using stores = await openStores();
    const { oauth, hub } = stores;
    await oauth.begin(consent("one"), BOUNDS);
    expect([oauth.consent("one", 99), oauth.consent("one", 100)]).toEqual([consent("one"), undefined]);
    const row = hub.readOne<{ secrets: Uint8Array }>("SELECT secrets FROM community_consent");
    expect(Buffer.from(row?.secrets ?? []).includes("verifier")).toBe(false);
    const taken = await Promise.all([oauth.takeConsent("one", 50), oauth.takeConsent("one", 50)]);
    expect(taken).toEqual([consent("one"), undefined]);
    expect(oauth.consent("one", 50)).toBeUndefined();
  });

  test("a caller's oldest consents go past a bound, those that have ended at once; all together are bounded", async () => {
    await using stores = await openStores();
    const { oauth } = stores;
    const there = () => ["a", "b", "c", "d", "e"].filter((name) => oauth.consent(name, 11) !== undefined);
    for (const [at, name] of ["a", "b", "c"].entries())
      await oauth.begin(consent(name, { createdAt: at }), BOUNDS);
    expect(there()).toEqual(["b", "c"]);
    for (const name of ["d", "e"]) await oauth.begin(consent(name, { caller: BOB }), BOUNDS);
    expect(there()).toEqual(["b", "c", "d", "e"]);
    const more = oauth.begin(consent("f", { caller: "did:plc:carol" }), BOUNDS);
    await expect(more).rejects.toThrow(code("busy"));
    await oauth.begin(consent("g", { createdAt: 100, expiresAt: 200 }), BOUNDS);
    expect([there(), oauth.consent("g", 101)?.stateHash]).toEqual([[], "g"]);
  });

  test("a session comes with its community, is replaced by who has the one before, and goes with it", async () => {
    await using stores = await openStores();
    const { oauth, communities, hub } = stores;
    await communities.add({ ...COMMUNITY, oauth: OAUTH, now: 1 });
    expect(oauth.session(GROUP)).toEqual(OAUTH);
    const row = hub.readOne<{ session: Uint8Array }>("SELECT session FROM community_oauth");
    expect(/refresh-1|private-part/.test(Buffer.from(row?.session ?? []).toString("latin1"))).toBe(false);
    expect(await oauth.replaceSession(GROUP, { of: NEXT, by: OAUTH })).toBe(false);
    expect(await oauth.replaceSession(GROUP, { of: OAUTH, by: NEXT })).toBe(true);
    expect(oauth.session(GROUP)).toEqual(NEXT);
    expect(await oauth.replaceSession(GROUP, { of: NEXT, by: null })).toBe(true);
    expect(oauth.session(GROUP)).toBeUndefined();
    await oauth.setSession(GROUP, OAUTH);
    expect(await communities.remove(GROUP)).toBe(true);
    expect(oauth.session(GROUP)).toBeUndefined();
    await expect(oauth.setSession(GROUP, OAUTH)).rejects.toThrow(code("community_not_found"));
  });

  test("an app password takes the place of a session, and a session that of an app password", async () => {
    await using stores = await openStores();
    const { oauth, communities } = stores;
    await communities.add({ ...COMMUNITY, appPassword: "app", now: 1 });
    await communities.saveSession(GROUP, { accessJwt: "a", refreshJwt: "b" });
    await oauth.setSession(GROUP, OAUTH);
    expect(communities.secrets(GROUP)).toMatchObject({ appPassword: null, session: null });
    await communities.setAppPassword(GROUP, "anew");
    expect(oauth.session(GROUP)).toBeUndefined();
  });

  test("our key as a client is made once, and everything can be sealed anew", async () => {
    await using stores = await openStores();
    const { oauth, communities, keyring } = stores;
    expect(oauth.clientKey()).toBeUndefined();
    const kept = await Promise.all([oauth.keepClientKey("key-1"), oauth.keepClientKey("key-2")]);
    expect([kept, oauth.clientKey()]).toEqual([["key-1", "key-1"], "key-1"]);
    await communities.add({ ...COMMUNITY, oauth: OAUTH, now: 1 });
    await oauth.begin(consent("one"), BOUNDS);
    keyring.rotate();
    expect(await oauth.resealSecrets()).toBe(3);
    expect([oauth.clientKey(), oauth.session(GROUP), oauth.consent("one", 11)]).toEqual([
      "key-1",
      OAUTH,
      consent("one"),
    ]);
  });
});
