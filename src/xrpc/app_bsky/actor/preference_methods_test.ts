import { expect, test } from "bun:test";
import type { SessionScope } from "../../../auth/mod.ts";
import { callerOf } from "../../calls_fixture.ts";
import { ProxyTargets } from "../../proxy/proxy_targets.ts";
import { type PreferenceMethodsOptions, preferenceMethods } from "./preference_methods.ts";

const NOW = Date.parse("2026-06-15T12:00:00Z");
const DID = "did:plc:ewvi7nxzyoun6zhxrhs64oiz";
const APP_VIEW = { url: "https://app.test", did: "did:web:app.test" };
const GET = "app.bsky.actor.getPreferences";
const PUT = "app.bsky.actor.putPreferences";
const PERSONAL = "app.bsky.actor.defs#personalDetailsPref";
const AGE = "app.bsky.actor.defs#declaredAgePref";
const tags = { $type: "app.bsky.actor.defs#interestsPref", tags: ["a"] };
const adult = { $type: "app.bsky.actor.defs#adultContentPref", enabled: true };
const born = (birthDate: string) => ({ $type: PERSONAL, birthDate });

type Rows = { name: string; value: string }[];

/** The methods over rows in memory, and what was sent to other services. */
function makeServer({ appView }: { appView?: typeof APP_VIEW | undefined } = { appView: APP_VIEW }) {
  let rows: Rows = [];
  const sent: string[] = [];
  const dids = { resolve: () => Promise.reject(new Error("nobody is asked")) };
  const proxy: PreferenceMethodsOptions["proxy"] = {
    targets: new ProxyTargets({ appView, dids, allowHttp: false }),
    passOn: async (_request, { to }) => {
      sent.push(`get ${to.did}#${to.serviceId}`);
      return { status: 200, headers: new Headers(), body: null };
    },
    answer: () => Response.json({ preferences: [] }),
    ask: async ({ to, json }) => {
      sent.push(`put ${to.did}#${to.serviceId} ${JSON.stringify(json)}`);
      return { json: {}, headers: new Headers() };
    },
  };
  const repos: PreferenceMethodsOptions["repos"] = {
    read: async (_did, read) => read({ preferences: () => rows }),
    putPreferences: async (_did, { kept, preferences }) => {
      rows = [...rows.filter(({ name }) => kept.includes(name)), ...preferences];
    },
  };
  const call = callerOf(preferenceMethods({ repos, proxy, now: () => NOW }));
  const put = (preferences: unknown, scope?: SessionScope, headers?: Record<string, string>) =>
    call({ nsid: PUT, as: DID, json: { preferences }, scope, headers });
  const get = async (scope?: SessionScope, headers?: Record<string, string>) => {
    const { status, body } = await call({ nsid: GET, as: DID, scope, headers });
    return status === 200 ? (body as { preferences: Record<string, unknown>[] }).preferences : status;
  };
  return { put, get, sent };
}

test("getPreferences gives what putPreferences was given last, in its order, unknown kinds and fields too", async () => {
  const { put, get } = makeServer();
  expect(await get()).toEqual([]);
  const all = [adult, { ...tags, extra: { deep: [1, null] } }, { $type: "app.bsky.future#pref", x: 1 }];
  expect((await put(all)).status).toBe(200);
  expect(await get()).toEqual(all);
  await put([tags]);
  expect(await get()).toEqual([tags]);
});

test.each<[string, unknown]>([
  ["another namespace", [{ $type: "com.example.pref" }]],
  ["a namespace that only looks like it", [{ $type: "app.bskyx.pref" }]],
  ["no $type", [{ enabled: true }]],
  ["a $type that is no text", [{ $type: 1 }]],
  ["no object", ["x"]],
  ["no list", "x"],
  ["a known kind that is malformed", [{ $type: adult.$type, enabled: "yes" }]],
])("putPreferences refuses %s, and changes nothing", async (_title, preferences) => {
  const { put, get } = makeServer();
  await put([tags]);
  const { status, body } = await put(preferences);
  expect([status, (body as { error: string }).error]).toEqual([400, "InvalidRequest"]);
  expect(await get()).toEqual([tags]);
});

test("app passwords neither see nor change the personal details, privileged or not", async () => {
  for (const scope of ["com.atproto.appPass", "com.atproto.appPassPrivileged"] as const) {
    const { put, get } = makeServer();
    await put([born("1990-01-01T00:00:00Z"), tags]);
    const seen = (await get(scope)) as Record<string, unknown>[];
    expect(seen.map(({ $type }) => $type)).toEqual([tags.$type, AGE]);
    expect((await put([born("2020-01-01T00:00:00Z")], scope)).status).toBe(400);
    expect((await put([adult], scope)).status).toBe(200);
    const kept = (await get()) as Record<string, unknown>[];
    expect(kept.slice(0, 2)).toEqual([born("1990-01-01T00:00:00Z"), adult]);
  }
});

test.each([
  ["2013-06-16T00:00:00Z", [false, false, false]],
  ["2013-06-15T00:00:00Z", [true, false, false]],
  ["2010-06-15T00:00:00Z", [true, true, false]],
  ["2008-06-15T00:00:00Z", [true, true, true]],
  ["2008-07-01T00:00:00Z", [true, true, false]],
])("getPreferences declares the age of somebody born on %s", async (birthDate, [over13, over16, over18]) => {
  const { put, get } = makeServer();
  await put([born(birthDate), { $type: AGE, isOverAge18: true }]);
  expect(await get()).toEqual([
    born(birthDate),
    { $type: AGE, isOverAge13: over13, isOverAge16: over16, isOverAge18: over18 },
  ]);
});

test("getPreferences declares no age without a birth date", async () => {
  const { put, get } = makeServer();
  await put([{ $type: PERSONAL }, { $type: AGE, isOverAge18: true }]);
  expect(await get()).toEqual([{ $type: PERSONAL }]);
});

test("an account that is taken down sees its preferences, to carry them away", async () => {
  const { put, get } = makeServer();
  await put([tags]);
  expect(await get("com.atproto.takendown")).toEqual([tags]);
});

test("a call that names the account's own AppView is answered here, one for another service there", async () => {
  const own = { "atproto-proxy": `${APP_VIEW.did}#bsky_appview` };
  const other = { "atproto-proxy": "did:web:other.test#bsky_appview" };
  const { put, get, sent } = makeServer();
  await put([tags], undefined, own);
  expect(await get(undefined, own)).toEqual([tags]);
  expect(sent).toEqual([]);
  await put([adult], undefined, other);
  await get(undefined, other);
  expect(sent).toEqual([
    `put did:web:other.test#bsky_appview ${JSON.stringify({ preferences: [adult] })}`,
    "get did:web:other.test#bsky_appview",
  ]);
  expect(await get()).toEqual([tags]);
  expect(await get("com.atproto.takendown", other)).toBe(400);
});

test("without a default AppView any AppView that an app names is the account's own", async () => {
  const { get, put, sent } = makeServer({ appView: undefined });
  const named = { "atproto-proxy": "did:web:api.bsky.app#bsky_appview" };
  await put([tags], undefined, named);
  expect(await get(undefined, named)).toEqual([tags]);
  expect(sent).toEqual([]);
  await get(undefined, { "atproto-proxy": "did:web:other.test#svc" });
  expect(sent).toEqual(["get did:web:other.test#svc"]);
});
