/** A real browser, watched: what it complains about, and whom it asks for anything. */
import { expect } from "bun:test";
import { mkdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page,
} from "playwright-core";
import { CHROMIUM, chromiumProblem } from "../../tools/chromium.ts";

/** Where the pictures of the last run are. */
export const PICTURES = join(tmpdir(), "kith-pages");
const SIZES = { phone: { width: 390, height: 844 }, desk: { width: 1280, height: 900 } } as const;
const SCHEMES = ["light", "dark"] as const;
const STEP_LIMIT_MS = 60_000;

/** Throws where there is no Chromium, with how to get it. */
export function launch(): Promise<Browser> {
  const problem = chromiumProblem();
  if (problem !== undefined) throw new Error(`Could not start a browser: ${problem}`);
  mkdirSync(PICTURES, { recursive: true });
  return chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
}

/** One person's browser. */
export class Watched {
  readonly context: BrowserContext;
  readonly page: Page;
  readonly complaints: string[] = [];

  private constructor(context: BrowserContext, page: Page) {
    this.context = context;
    this.page = page;
  }

  static async open(
    browser: Browser,
    { origins, ...options }: BrowserContextOptions & { origins: readonly string[] },
  ): Promise<Watched> {
    const context = await browser.newContext({
      viewport: SIZES.desk,
      locale: "en-GB",
      reducedMotion: "reduce",
      ...options,
    });
    context.setDefaultTimeout(STEP_LIMIT_MS);
    const page = await context.newPage();
    const watched = new Watched(context, page);
    page.on("console", (message) => {
      if (message.type() !== "error" && message.type() !== "warning") return;
      // A page that says what is wrong has a status that says it too, and apps are told to use another nonce.
      const { url } = message.location();
      const isAnswer = /^Failed to load resource: .* status of 4\d\d/.test(message.text());
      if (isAnswer && !url.includes("/oauth/assets/")) return;
      watched.complaints.push(`${message.text()} (${url})`);
    });
    page.on("pageerror", (error) => watched.complaints.push(String(error)));
    page.on("request", (request) => {
      const { origin, protocol } = new URL(request.url());
      if (protocol === "data:" || protocol === "blob:" || origins.includes(origin)) return;
      watched.complaints.push(`asks "${request.url()}"`);
    });
    return watched;
  }

  /** Pictures of the page as it is: in light and dark, on a phone and on a desk. */
  async shoot(name: string): Promise<void> {
    for (const colorScheme of SCHEMES) {
      await this.page.emulateMedia({ colorScheme });
      for (const [size, viewport] of Object.entries(SIZES)) {
        await this.page.setViewportSize(viewport);
        await this.page.screenshot({
          animations: "disabled",
          path: join(PICTURES, `${name}-${size}-${colorScheme}.png`),
          fullPage: true,
        });
      }
    }
    await this.page.emulateMedia({ colorScheme: "light" });
  }

  async title(): Promise<string> {
    return (await this.page.locator("h1").textContent()) ?? "";
  }

  /** Lets a person do something. Throws where a page complained meanwhile, or anybody else was asked for anything. */
  static async during(
    browser: Browser,
    options: Parameters<typeof Watched.open>[1],
    act: (watched: Watched) => Promise<unknown>,
  ): Promise<void> {
    const watched = await Watched.open(browser, options);
    try {
      await act(watched);
      expect(watched.complaints).toEqual([]);
    } catch (error) {
      await watched.page.screenshot({ path: join(PICTURES, "failed.png") });
      throw new Error(`It failed at "${watched.page.url()}"`, { cause: error });
    } finally {
      await watched.context.close();
    }
  }
}
