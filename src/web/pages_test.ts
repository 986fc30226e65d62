import { describe, expect, test } from "bun:test";
import { faultsOf, readPage } from "./_html_check.ts";
import { PLAIN_WORDS, type SampleWords, samplePages } from "./_samples.ts";
import { createAssets } from "./assets.ts";
import { LOCALES, type Locale } from "./locale.ts";
import { textsOf } from "./texts_of.ts";
import type { View } from "./view.ts";

const { paths } = createAssets({ folder: "/assets" });
const NONCE = "c2FtcGxlLW5vbmNlLTAx";
const NAMES = Object.keys(samplePages());

function viewOf(locale: Locale, site: Partial<View["site"]> = {}): View {
  return {
    locale,
    t: textsOf(locale),
    site: {
      name: "Cottage",
      host: "pds.example.com",
      homeUrl: "https://example.com",
      supportUrl: "https://example.com/help",
      privacyPolicyUrl: "https://example.com/privacy",
      termsOfServiceUrl: "https://example.com/terms",
      contactEmail: "hello@example.com",
      ...site,
    },
    assets: paths,
    csrf: "the-csrf-token",
    nonce: NONCE,
    languages: { en: "?lang=en", de: "?lang=de" },
  };
}

function render(name: string, view: View, words: SampleWords = PLAIN_WORDS): string {
  const page = samplePages(words)[name];
  if (!page) throw new TypeError(`No sample "${name}"`);
  return page(view);
}

const around = (body: string) =>
  `<html lang="en"><head><title>T</title></head><body><header></header><main><h1>T</h1>${body}</main><footer></footer></body></html>`;
const LABEL = '<label for="a">A</label>';

test.each([
  ["", undefined],
  ['<input id="a" name="code" autocomplete="one-time-code">', "without a label"],
  [`${LABEL}<input id="a" name="code">`, 'autocomplete=""'],
  [`${LABEL}<input id="a" type="password" name="password" autocomplete="off">`, 'autocomplete="off"'],
  [`${LABEL}<input id="a" aria-invalid="true">`, "without a summary"],
  [`<div role="alert" autofocus>No</div>${LABEL}<input id="a" aria-invalid="true">`, "takes no focus"],
  [`${LABEL}<input id="a" autofocus><div role="alert" tabindex="-1" autofocus>No</div>`, "want the focus"],
  ["<button type=button>Copy</button>", "does nothing without a script"],
  ["<form method=post action=/><button disabled>Go</button></form>", "disabled for good"],
  ["<form method=post action=/ data-passkey><button disabled>Go</button></form>", "what it needs"],
  ["<h1>Again</h1>", "2 times <h1>"],
  ['<a href="#b">B</a>', "leads to #b"],
])("faultsOf() finds what is wrong with %j: %p", async (body, fault) => {
  const found = faultsOf(await readPage(around(body))).join("\n");
  if (fault === undefined) expect(found).toBe("");
  else expect(found).toContain(fault);
});

for (const locale of LOCALES) {
  describe(`pages in ${locale}`, () => {
    for (const name of NAMES) {
      test(`${name} can be used by everybody`, async () => {
        const page = await readPage(render(name, viewOf(locale)));
        expect(faultsOf(page)).toEqual([]);
        expect(page.elements[0]?.attributes.get("lang")).toBe(locale);
        const [title = "", heading = ""] = ["title", "h1"].map(
          (tag) => page.elements.find((element) => element.tag === tag)?.text,
        );
        expect(heading.trim().length).toBeGreaterThan(3);
        expect(title).toStartWith(heading);
        expect(title).toContain("Cottage");
        expect(page.text).not.toMatch(/undefined|\[object|NaN|=>/);
      });
    }
  });
}

test("every form carries the CSRF token, but the one that leaves this server", async () => {
  for (const name of NAMES) {
    const page = render(name, viewOf("en"));
    const forms = page
      .split("<form")
      .slice(1)
      .map((part) => part.split("</form>")[0] ?? "");
    for (const form of forms) {
      const isOwn = !form.includes('action="https://');
      expect(form.includes('name="csrf" value="the-csrf-token"')).toBe(isOwn);
    }
  }
});

test("nothing of a page is of another site, and what runs has the nonce", async () => {
  for (const name of NAMES) {
    const { elements } = await readPage(render(name, viewOf("en")));
    for (const { tag, attributes, text } of elements) {
      const source = attributes.get("src") ?? (tag === "link" ? attributes.get("href") : undefined);
      if (source !== undefined) expect(source).toMatch(/^\/assets\//);
      if (tag === "script") expect([text, attributes.get("nonce")]).toEqual(["", NONCE]);
      expect(tag).not.toBe("style");
    }
  }
});

/** Words that break out of whatever does not escape them. */
const HOSTILE = `"'><img src=x onerror=alert(1)></title></textarea></script><script>alert(1)</script><!--&amp;\u2028`;

test("hostile words stay words, in every field of every page", async () => {
  const words: SampleWords = {
    handle: `h${HOSTILE}`,
    email: `e${HOSTILE}`,
    app: `a${HOSTILE}`,
    host: `x.example/${HOSTILE}`,
    name: `n${HOSTILE}`,
  };
  for (const locale of LOCALES) {
    const plain = viewOf(locale);
    const hostile = viewOf(locale, { name: `s${HOSTILE}`, host: `h${HOSTILE}`, contactEmail: `c${HOSTILE}` });
    for (const name of NAMES) {
      const [calm, wild] = await Promise.all([
        readPage(render(name, plain)),
        readPage(render(name, { ...hostile, csrf: HOSTILE }, words)),
      ]);
      // `wbr` and `code` come and go with the dots and the names in a text
      const tagsOf = ({ elements }: typeof calm) =>
        elements.map(({ tag }) => tag).filter((tag) => !["wbr"].includes(tag));
      expect([name, tagsOf(wild)]).toEqual([name, tagsOf(calm)]);
      const names = new Set(wild.elements.flatMap(({ attributes }) => [...attributes.keys()]));
      expect([...names].filter((attribute) => attribute.startsWith("on"))).toEqual([]);
    }
  }
});

test("an error has the focus, on every page that shows one when it comes", async () => {
  let found = 0;
  for (const name of NAMES) {
    const { elements } = await readPage(render(name, viewOf("en")));
    const alerts = elements.filter(({ attributes }) => attributes.get("role") === "alert");
    // what the script shows later is announced by itself
    const shown = alerts.filter(({ text }) => text.trim() !== textsOf("en").errors.passkeyCancelled);
    const focused = elements.filter(({ attributes }) => attributes.has("autofocus"));
    if (shown.length > 0) expect([name, focused[0]?.attributes.get("role")]).toEqual([name, "alert"]);
    found += shown.length;
  }
  expect(found).toBeGreaterThan(10);
});

test("hostile links lead nowhere", () => {
  const page = render(
    "sign-in",
    viewOf("en", { homeUrl: "javascript:alert(1)", supportUrl: " JAVASCRIPT:alert(1)" }),
  );
  expect(page.toLowerCase()).not.toContain("javascript:");
});

test("an app's own name and logo are shown of a trusted one only", () => {
  expect(render("consent", viewOf("en"))).not.toContain("Sunrise</h1>");
  expect(render("consent-trusted", viewOf("en"))).toContain("<h1>Sunrise asks for access</h1>");
  expect(render("consent-trusted", viewOf("en"))).toContain(
    "https://sunrise.example/oauth/client-metadata.json",
  );
});

test("what is asked for is sent back as it was asked, and what is unknown is not offered", async () => {
  const { elements } = await readPage(render("consent-everything", viewOf("en")));
  const scopes = elements.filter(({ attributes }) => attributes.get("name") === "scope");
  const values = scopes.map(({ attributes }) => attributes.get("value"));
  expect(values).toContain(
    "rpc?lxm=chat.bsky.convo.getLog&lxm=chat.bsky.convo.sendMessage&aud=did:web:api.bsky.chat%23bsky_chat",
  );
  expect(values).not.toContain("nonsense:thing");
  const fixed = scopes.filter(({ attributes }) => attributes.get("type") === "hidden");
  expect(fixed.map(({ attributes }) => attributes.get("value"))).toEqual(["atproto"]);
});

/** Texts that other parts put in (`t.errors`, what was done), or that are for what no sample shows, by their paths. */
/** By who fills the pages: what is wrong, and what was done. */
const CHOSEN_ELSEWHERE = [
  /^errors\./,
  /^language$/,
  /^account\.security\.(?:\w+(?:Added|Renamed|Removed)|saved)$/,
  /^account\.status\.\w+activated$/,
  /^communities\.(?:errors|health\.states)\./,
  /^communities\.one\.(?:saved|out|revoked|reauthed|handedOver)$/,
];

test("every text is used, and none is empty but where nothing is to be said", async () => {
  for (const locale of LOCALES) {
    const used = new Set<string>();
    const t = watched(textsOf(locale), "", used);
    for (const name of NAMES) render(name, { ...viewOf(locale), t });
    const unused = pathsOf(textsOf(locale)).filter((path) => !used.has(path));
    const unexplained = unused.filter((path) => !CHOSEN_ELSEWHERE.some((pattern) => pattern.test(path)));
    expect(unexplained).toEqual([]);
  }
});

function pathsOf(texts: object, prefix = ""): string[] {
  return Object.entries(texts).flatMap(([name, value]: [string, unknown]) =>
    typeof value === "object" && value !== null && !Array.isArray(value)
      ? pathsOf(value, `${prefix}${name}.`)
      : [`${prefix}${name}`],
  );
}

/** The texts, noting which are read. */
function watched<T extends object>(texts: T, prefix: string, used: Set<string>): T {
  return new Proxy(texts, {
    get(target, name, receiver) {
      const value: unknown = Reflect.get(target, name, receiver);
      if (typeof name !== "string") return value;
      if (typeof value === "object" && value !== null && !Array.isArray(value))
        return watched(value, `${prefix}${name}.`, used);
      used.add(`${prefix}${name}`);
      return value;
    },
  });
}
