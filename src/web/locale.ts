/** The languages that pages are written in; the first is for everybody whose own is not among them. */
export const LOCALES = ["en", "de"] as const;
export type Locale = (typeof LOCALES)[number];

/** Languages of one header that are looked at. */
const RANGES_MAX = 32;

/** What a browser or an app says about languages. */
export interface LocaleWishes {
  /** What the person has chosen on a page. */
  readonly chosen?: string | null | undefined;
  /** The `ui_locales` of an authorization request: tags in order, a space between. */
  readonly uiLocales?: string | null | undefined;
  /** The header. */
  readonly acceptLanguage?: string | null | undefined;
}

/** The language of a page: the person's own choice, else what the app asks for, else what the browser prefers. */
export function chooseLocale(wishes: LocaleWishes): Locale {
  return wishedLocale(wishes) ?? LOCALES[0];
}

/** The same; undefined where no language is wished for that pages are written in. */
export function wishedLocale({ chosen, uiLocales, acceptLanguage }: LocaleWishes): Locale | undefined {
  const tags = [
    ...(chosen ? [chosen] : []),
    ...(uiLocales ?? "").split(" ").slice(0, RANGES_MAX),
    ...rangesOf(acceptLanguage ?? ""),
  ];
  for (const tag of tags) {
    const language = tag.toLowerCase().split("-", 1)[0];
    const found = LOCALES.find((locale) => locale === language);
    if (found) return found;
    if (language === "*") break;
  }
  return undefined;
}

/** The languages of an Accept-Language header, the most wanted first; those that are refused are left out. */
function rangesOf(header: string): string[] {
  return header
    .split(",", RANGES_MAX)
    .map((range) => {
      const [tag = "", ...params] = range.split(";").map((part) => part.trim());
      const quality = params.find((param) => param.startsWith("q="))?.slice(2);
      return { tag, quality: quality === undefined ? 1 : Number(quality) || 0 };
    })
    .filter(({ tag, quality }) => tag !== "" && quality > 0)
    .sort((a, b) => b.quality - a.quality)
    .map(({ tag }) => tag);
}

/** A title or detail that a publisher wrote in several languages (key "": no language said), in the reader's. */
export function pickText(
  texts: ReadonlyMap<string, string>,
  { locale }: { locale: Locale },
): string | undefined {
  const inLanguage = [...texts].find(([tag]) => tag.toLowerCase().split("-", 1)[0] === locale)?.[1];
  return inLanguage ?? texts.get("") ?? texts.get("en") ?? texts.values().next().value;
}

/** A day, as it is written in the language. */
export function formatDay(date: Date, locale: Locale): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeZone: "UTC" }).format(date);
}

/** A time to the minute, as it is written in the language; everywhere that of UTC. */
export function formatTime(date: Date, locale: Locale): string {
  const options = { dateStyle: "medium", timeStyle: "short", timeZone: "UTC" } as const;
  return `${new Intl.DateTimeFormat(locale === "en" ? "en-GB" : locale, options).format(date)} UTC`;
}

const BYTE_UNITS = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"] as const;

/** A number of bytes, rounded, in the largest unit that it fills. */
export function formatBytes(bytes: number, locale: Locale): string {
  let unit = 0;
  let value = bytes;
  for (; value >= 1_000 && unit < BYTE_UNITS.length - 1; unit++) value /= 1_000;
  return new Intl.NumberFormat(locale, {
    ...{ style: "unit", unit: BYTE_UNITS[unit] ?? "byte", maximumFractionDigits: 1 },
  }).format(value);
}

const SPANS = [
  ["day", 86_400_000],
  ["hour", 3_600_000],
  ["minute", 60_000],
  ["second", 1_000],
] as const;

/** How long something takes or has taken: rounded, in the largest unit that it fills; a second at least. */
export function formatSpan(ms: number, locale: Locale): string {
  const [unit, size] = SPANS.find(([, one]) => ms >= one) ?? ["second", Math.max(ms, 1)];
  const options = { style: "unit", unit, unitDisplay: "long", maximumFractionDigits: 0 } as const;
  return new Intl.NumberFormat(locale, options).format(ms / size);
}
