/** What apps keep with an account: durable, the owner's alone, and no event of it. */
import { describe, expect, test } from "bun:test";
import { xrpc } from "../client.ts";
import { KEY_TYPES } from "../harness.ts";
import { type Row, testRows, useStage } from "../stage.ts";

const GET = "app.bsky.actor.getPreferences";
const PUT = "app.bsky.actor.putPreferences";
const FEEDS = {
  $type: "app.bsky.actor.defs#savedFeedsPrefV2",
  items: [{ id: "3k", type: "timeline", value: "following", pinned: true }],
};

const rows: Row[] = [
  { title: "asks for a session", to: GET, status: 401, error: "AuthMissing" },
  { title: "asks for a session too", to: PUT, call: () => ({ body: {} }), status: 401, error: "AuthMissing" },
  {
    title: "has none at first",
    to: GET,
    call: (s) => ({ token: s.alice.accessJwt }),
    status: 200,
    check: ({ json }) => expect(json).toEqual({ preferences: [] }),
  },
  {
    title: "puts some, without an event and without an answer",
    to: PUT,
    call: (s) => ({ token: s.alice.accessJwt, body: { preferences: [FEEDS] } }),
    status: 200,
    check: ({ bytes }) => expect(bytes.length).toBe(0),
  },
  {
    title: "refuses those of another namespace",
    to: PUT,
    call: (s) => ({ token: s.alice.accessJwt, body: { preferences: [{ $type: "com.example.x" }] } }),
    status: 400,
    error: "InvalidRequest",
  },
  {
    title: "gives them to an app that names its AppView",
    to: GET,
    call: (s) => ({
      token: s.alice.accessJwt,
      headers: { "atproto-proxy": "did:web:api.bsky.app#bsky_appview" },
    }),
    status: 200,
    check: ({ json }) => expect(json).toEqual({ preferences: [FEEDS] }),
  },
];

describe.each([...KEY_TYPES])("preferences (%s)", (keyType) => {
  const holder = useStage({ keyType });
  testRows(holder, rows);

  test("the official agent reads and writes them", async () => {
    const { agent } = holder.stage.alice;
    await agent.setAdultContentEnabled(true);
    await agent.setPersonalDetails({ birthDate: new Date("1990-01-01") });
    const preferences = await agent.getPreferences();
    expect(preferences.moderationPrefs.adultContentEnabled).toBe(true);
    expect(preferences.birthDate?.toISOString()).toBe("1990-01-01T00:00:00.000Z");
    expect(preferences.savedFeeds).toEqual(FEEDS.items);
  });

  test("they survive kill -9 once they are answered", async () => {
    const { stage } = holder;
    const { accessJwt: token } = stage.alice;
    for (let n = 1; n <= 3; n++) {
      const pref = { $type: "app.bsky.actor.defs#interestsPref", tags: [`round ${n}`] };
      expect((await xrpc(stage.url, PUT, { token, body: { preferences: [pref] } })).status).toBe(200);
      await stage.server.kill();
      await stage.server.start();
      expect((await xrpc(stage.url, GET, { token })).json).toEqual({ preferences: [pref] });
    }
  });
});
