import { expect, test } from "bun:test";
import { ClientLogos, LOGO_FRESH_MS, LOGO_RETRY_MS, type Picture } from "./client_logos.ts";

const APP = "https://app.example/client.json";
const LOGO = "https://app.example/logo.png";
const OTHER = "https://cdn.example/other.png";
const PICTURE: Picture = { mediaType: "image/png", bytes: new Uint8Array([1]) };

function make(fetchPicture: (url: string) => Promise<Picture> = async () => PICTURE) {
  const clock = { now: 1_000 };
  const [fetched, missing, kept]: [string[], string[], string[]] = [[], [], []];
  const logos = new ClientLogos({
    trusted: [APP],
    fetchPicture: (url) => {
      fetched.push(url);
      return fetchPicture(url);
    },
    keep: (name) => {
      kept.push(name);
      return `/assets/app-${kept.length}.png`;
    },
    onMissing: ({ url }) => void missing.push(url),
    now: () => clock.now,
    wait: async () => {},
  });
  return { logos, clock, fetched, missing, kept };
}

test.each([
  ["of an app that nobody vouches for", { id: "https://evil.example/client.json", logoUri: LOGO }],
  ["of an app that has none", { id: APP }],
])("nothing is fetched %s", async (_, client) => {
  const { logos, fetched } = make();
  expect([await logos.pathOf(client), fetched]).toEqual([undefined, []]);
});

test("a logo is fetched once a day, and again where the app names another", async () => {
  const { logos, clock, fetched } = make();
  const client = { id: APP, logoUri: LOGO };
  // The wait of this test is over at once.
  await logos.pathOf(client);
  expect(await logos.pathOf(client)).toBe("/assets/app-1.png");
  clock.now += LOGO_FRESH_MS - 1;
  await logos.pathOf(client);
  expect(fetched).toEqual([LOGO]);
  clock.now += 1;
  expect(await logos.pathOf(client)).toBe("/assets/app-1.png");
  await Promise.resolve();
  expect(fetched).toEqual([LOGO, LOGO]);
  await logos.pathOf({ id: APP, logoUri: OTHER });
  expect(await logos.pathOf({ id: APP, logoUri: OTHER })).toBe("/assets/app-3.png");
  expect(fetched).toEqual([LOGO, LOGO, OTHER]);
});

test("a page does not wait for a slow logo, and has it the next time", async () => {
  const { promise, resolve } = Promise.withResolvers<Picture>();
  const { logos, fetched } = make(() => promise);
  const client = { id: APP, logoUri: LOGO };
  expect([await logos.pathOf(client), await logos.pathOf(client)]).toEqual([undefined, undefined]);
  resolve(PICTURE);
  await promise;
  await Promise.resolve();
  expect([await logos.pathOf(client), fetched]).toEqual(["/assets/app-1.png", [LOGO]]);
});

test("one that cannot be had is told of, left alone for a while, and asked for again", async () => {
  let isThere = false;
  const { logos, clock, fetched, missing } = make(async () => {
    if (!isThere) throw new TypeError("It is no picture");
    return PICTURE;
  });
  const client = { id: APP, logoUri: LOGO };
  await logos.pathOf(client);
  expect([await logos.pathOf(client), missing, fetched]).toEqual([undefined, [LOGO], [LOGO]]);
  isThere = true;
  clock.now += LOGO_RETRY_MS;
  await logos.pathOf(client);
  expect(await logos.pathOf(client)).toBe("/assets/app-1.png");
});
