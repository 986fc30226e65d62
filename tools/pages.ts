/**
 * `bun tools/pages.ts FOLDER [TEXT] [--html] [--long] [--brand]`: renders every page with sample data into the folder, and pictures
 * of each by Chromium, in light and dark, on a phone and on a desk, in every language. TEXT picks pages by name. `--html`: no pictures.
 * `--long`: with long names and words. `--brand`: with an operator's colours and logo. CHROMIUM names the browser.
 */
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { chromium } from "playwright-core";
import { PLAIN_WORDS, type SampleWords, samplePages } from "../src/web/_samples.ts";
import {
  type Assets,
  createAssets,
  LOCALES,
  type Locale,
  pageHeaders,
  textsOf,
  type View,
} from "../src/web/mod.ts";
import { CHROMIUM } from "./chromium.ts";

const NONCE = "c2FtcGxlLW5vbmNlLTAx";
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 900 } } as const;
const SCHEMES = ["light", "dark"] as const;
const LONG_WORDS: SampleWords = {
  handle: "bartholomew-featherstonehaugh-the-third.cottages.example.com",
  email: "bartholomew.featherstonehaugh.the.third@mail.of-a-long-name.example.com",
  app: "The Extraordinarily Comprehensive Social Reader for Everybody",
  host: "reader.extraordinarily-comprehensive-applications.example.org",
  name: "The old telephone from the kitchen drawer",
};

const words = process.argv.slice(2).filter((arg) => !arg.startsWith("--"));
const options = new Set(process.argv.slice(2).filter((arg) => arg.startsWith("--")));
const [to = "", pick = ""] = words;
if (to === "") {
  console.error("Could not render: give the folder to put the pages into");
  process.exit(1);
}

const folder = resolve(to);
const assets = createAssets({
  folder: "/assets",
  ...(options.has("--brand")
    ? {
        colors: { primary: "#ffd400", error: "#ff3b30" },
        logo: {
          mediaType: "image/svg+xml" as const,
          bytes: new TextEncoder().encode(
            '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><circle cx="4.5" cy="4.5" r="4.5" fill="#06c"/></svg>',
          ),
        },
      }
    : {}),
});
const samples = Object.entries(samplePages(options.has("--long") ? LONG_WORDS : PLAIN_WORDS)).filter(
  ([name]) => name.includes(pick),
);
for (const locale of LOCALES) {
  mkdirSync(join(folder, locale), { recursive: true });
  for (const [name, render] of samples)
    await Bun.write(join(folder, locale, `${name}.html`), render(viewOf(locale, assets)));
}
console.log(`${samples.length} pages in ${LOCALES.length} languages in ${folder}`);
if (!options.has("--html")) await takePictures();

function viewOf(locale: Locale, { paths }: Assets): View {
  return {
    locale,
    t: textsOf(locale),
    site: {
      name: options.has("--long") ? "The Cottages at the End of the Long Lane" : "Cottage",
      host: "pds.example.com",
      homeUrl: "https://example.com",
      supportUrl: "https://example.com/help",
      privacyPolicyUrl: "https://example.com/privacy",
      termsOfServiceUrl: "https://example.com/terms",
      contactEmail: "hello@example.com",
    },
    assets: paths,
    csrf: "sample",
    nonce: NONCE,
    languages: { en: "?lang=en", de: "?lang=de" },
  };
}

/** Serves what was rendered with its real headers, so that what the policy forbids is missing in the pictures too. */
async function takePictures(): Promise<void> {
  using server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: (request) => {
      const path = new URL(request.url).pathname;
      const asset = assets.files.get(path.replace("/assets/", ""));
      if (asset) return new Response(asset.body, { headers: asset.headers });
      const headers = pageHeaders({ nonce: NONCE, isHttps: false });
      return new Response(Bun.file(join(folder, path)), { headers });
    },
  });
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox"],
  });
  const complaints = new Set<string>();
  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of SCHEMES) {
      const context = await browser.newContext({ viewport, colorScheme });
      const page = await context.newPage();
      page.on("console", (message) => complaints.add(`${page.url()}: ${message.text()}`));
      page.on("request", (request) => {
        if (!request.url().startsWith(server.url.origin))
          complaints.add(`${page.url()} asks ${request.url()}`);
      });
      for (const locale of LOCALES) {
        for (const [name] of samples) {
          // its form goes off by itself, to another site
          if (name === "form-post") await page.route("https://**", (route) => route.abort());
          await page.goto(new URL(`/${locale}/${name}.html`, server.url).href, { waitUntil: "commit" });
          if (name !== "form-post") await page.waitForLoadState("load");
          const wide = await page
            .evaluate("document.documentElement.scrollWidth > window.innerWidth")
            .catch(() => false);
          if (wide) complaints.add(`${locale}/${name} is wider than the ${size}`);
          await page.screenshot({
            path: join(folder, locale, `${name}-${size}-${colorScheme}.png`),
            fullPage: true,
          });
        }
      }
      await context.close();
    }
  }
  await browser.close();
  for (const complaint of complaints) console.log(complaint);
}
