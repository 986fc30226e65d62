/** Longest name of a browser that is shown as it came, in characters. */
const NAME_CHARS_MAX = 60;

/** The first that fits, so the more special ones stand first: nearly all of them name Safari as well. */
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdgA?\//, "Edge"],
  [/\bOPR\//, "Opera"],
  [/\bSamsungBrowser\//, "Samsung Internet"],
  [/\bVivaldi\//, "Vivaldi"],
  [/\b(?:Firefox|FxiOS)\//, "Firefox"],
  [/\b(?:Chrome|CriOS)\//, "Chrome"],
  [/\bSafari\//, "Safari"],
];
const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\biPhone\b/, "iPhone"],
  [/\biPad\b/, "iPad"],
  [/\bAndroid\b/, "Android"],
  [/\bCrOS\b/, "ChromeOS"],
  [/\bMac OS X\b/, "macOS"],
  [/\bWindows\b/, "Windows"],
  [/\bLinux\b/, "Linux"],
];

/** A browser by its User-Agent header, in words; what is no browser by its own first word; undefined for nothing. */
export function describeBrowser(
  userAgent: string | undefined,
  { on }: { on: (browser: string, system: string) => string },
): string | undefined {
  const text = userAgent?.trim() ?? "";
  if (text === "") return undefined;
  const browser = BROWSERS.find(([pattern]) => pattern.test(text))?.[1];
  const system = SYSTEMS.find(([pattern]) => pattern.test(text))?.[1];
  if (browser && system) return on(browser, system);
  return browser ?? text.split(/[/;(]/, 1)[0]?.trim().slice(0, NAME_CHARS_MAX) ?? undefined;
}
