import { expect, test } from "bun:test";
import { PageSite, type PageSiteOptions, PICTURE_RETRY_MS } from "./page_site.ts";

const PNG = new Uint8Array([0x89, 0x50, 0x4e, 0x47]);
const VIEW = { locale: "en", csrf: "c", nonce: "n" } as const;

function siteOf(options: Partial<PageSiteOptions>): {
  site: PageSite;
  missing: string[];
  clock: { ms: number };
} {
  const missing: string[] = [];
  const clock = { ms: 1_000_000 };
  const site = new PageSite({
    site: { name: "Cottage", host: "pds.example.com" },
    colors: {},
    pictures: {},
    assetFolder: "/oauth/assets",
    fetchPicture: () => Promise.reject(new TypeError("Nothing may be fetched")),
    onMissingPicture: ({ name }) => void missing.push(name),
    now: () => clock.ms,
    ...options,
  });
  return { site, missing, clock };
}

const fileOf = (site: PageSite, path: string | undefined) => site.file(path?.split("/").at(-1) ?? "");

test("PageSite serves a picture of the web as its own", async () => {
  const { site } = siteOf({
    pictures: { logo: "https://example.com/logo.png" },
    fetchPicture: async () => ({ mediaType: "image/png; x=y", bytes: PNG }),
  });
  expect(site.view(VIEW).assets.logo).toBeUndefined();
  const before = site.view(VIEW).assets.styles;
  await site.settled();
  const { logo } = site.view(VIEW).assets;
  expect(logo).toMatch(/^\/oauth\/assets\/logo-[\w-]{16}\.png$/);
  expect(fileOf(site, logo)?.body).toEqual(PNG);
  expect(fileOf(site, before)).toBeDefined();
});

test("PageSite reads a picture that stands in its setting", async () => {
  const url = `data:image/png;base64,${btoa(String.fromCharCode(...PNG))}`;
  const { site, missing } = siteOf({ pictures: { logo: url, backgroundDark: url } });
  await site.settled();
  expect([missing, fileOf(site, site.view(VIEW).assets.logo)?.body]).toEqual([[], PNG]);
  expect(String(fileOf(site, site.view(VIEW).assets.styles)?.body)).toContain("--background-image:url(");
});

test("PageSite tells of what is no picture, does without it, and tries again later", async () => {
  const answers = ["text/html", "image/png"];
  const { site, missing, clock } = siteOf({
    pictures: { logo: "https://example.com/logo.png" },
    fetchPicture: async () => ({ mediaType: answers.shift() ?? "", bytes: PNG }),
  });
  await site.settled();
  expect([missing, site.view(VIEW).assets.logo]).toEqual([["logo"], undefined]);
  await site.settled();
  expect(answers).toHaveLength(1);
  clock.ms += PICTURE_RETRY_MS;
  site.view(VIEW);
  await site.settled();
  expect(site.view(VIEW).assets.logo).toBeDefined();
});

test("PageSite keeps one picture for each name, and none that pages cannot show", () => {
  const { site } = siteOf({});
  const first = site.keep("one", { mediaType: "image/png", bytes: PNG });
  const second = site.keep("one", { mediaType: "image/PNG; q=1", bytes: new Uint8Array([...PNG, 1]) });
  expect([first, second].every((path) => /^\/oauth\/assets\/app-[\w-]{16}\.png$/.test(path))).toBe(true);
  expect([fileOf(site, first), fileOf(site, second)?.headers["Content-Type"]]).toEqual([
    undefined,
    "image/png",
  ]);
  for (const mediaType of ["text/html", "", "image/png2"])
    expect(() => site.keep("one", { mediaType, bytes: PNG })).toThrow("no picture that pages can show");
  expect(fileOf(site, second)).toBeDefined();
});
