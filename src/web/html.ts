/**
 * HTML that is escaped by construction: what is put into a template is text unless `html` has made it, attributes are always
 * quoted, and what goes into a link attribute is a link that runs nothing. There is no way to put in raw markup.
 */

/** What may stand in a template. Nothing is shown for undefined, null and false. */
export type Content = Html | string | number | false | null | undefined | readonly Content[];

/** Only this module makes markup out of text. */
let make: (markup: string) => Html;

/** Markup that is safe to send. */
export class Html {
  readonly #markup: string;

  private constructor(markup: string) {
    this.#markup = markup;
  }

  static {
    make = (markup) => new Html(markup);
  }

  toString(): string {
    return this.#markup;
  }
}

/** Where a value stands, as the text before it shows. */
type Place = "text" | "attribute" | "link";

const LINK_ATTRIBUTE = /\s(?:href|src|action|formaction)="$/;
const UNQUOTED = /=\s*$/;
const RAW_TEXT = /<(?:script|style)\b[^>]*>[^<]*$/i;
const OPEN_TAG = /<[^>]*$/;
const OPEN_QUOTE = /="[^"]*$/;

const placesOf = new WeakMap<TemplateStringsArray, readonly Place[]>();

/** A piece of a page. Throws TypeError for a template that leaves a value where it cannot be made safe. */
export function html(parts: TemplateStringsArray, ...values: readonly Content[]): Html {
  let places = placesOf.get(parts);
  if (places === undefined) {
    places = findPlaces(parts);
    placesOf.set(parts, places);
  }
  let markup = parts[0] ?? "";
  for (const [index, value] of values.entries()) {
    markup += places[index] === "link" ? escapeText(safeLink(textOf(value))) : markupOf(value, places[index]);
    markup += parts[index + 1] ?? "";
  }
  return make(markup);
}

function findPlaces(parts: readonly string[]): Place[] {
  let before = "";
  return parts.slice(0, -1).map((part) => {
    before += part;
    const place = placeAfter(before);
    before += "x";
    return place;
  });
}

function placeAfter(before: string): Place {
  if (RAW_TEXT.test(before)) throw new TypeError(`A value inside of a script or style: ${before.slice(-60)}`);
  const tag = OPEN_TAG.exec(before)?.[0];
  if (tag === undefined) return "text";
  if (LINK_ATTRIBUTE.test(tag)) return "link";
  const isQuoted = OPEN_QUOTE.test(tag) && (tag.match(/"/g)?.length ?? 0) % 2 === 1;
  if (isQuoted) return "attribute";
  // an attribute as a whole, made by `html`: html`<input ${isRequired && html` required`}>`
  if (UNQUOTED.test(tag)) throw new TypeError(`A value in an attribute without quotes: ${before.slice(-60)}`);
  return "text";
}

function markupOf(value: Content, place: Place | undefined): string {
  if (value instanceof Html) {
    if (place === "attribute") throw new TypeError("Markup in an attribute");
    return value.toString();
  }
  if (Array.isArray(value)) return value.map((one: Content) => markupOf(one, place)).join("");
  return escapeText(textOf(value));
}

function textOf(value: Content): string {
  if (value === undefined || value === null || value === false) return "";
  if (typeof value === "string" || typeof value === "number") return String(value);
  throw new TypeError("Markup or a list in a link");
}

const ESCAPES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

function escapeText(text: string): string {
  return text.replace(/[&<>"']/g, (char) => ESCAPES[char] ?? "");
}

/** Schemes that a browser runs, or that show a page of somebody's making as if it were of this server. */
const RUNS = /^(?:javascript|data|vbscript|blob|file|about|filesystem|view-source)$/;

/** The link itself; "#" for one that would run something. Native apps have schemes of their own, so they are not listed. */
export function safeLink(link: string): string {
  // as a browser reads it, which passes over blanks before it, and tabs and line ends anywhere
  const scheme = URL.parse(link)?.protocol.slice(0, -1);
  return scheme !== undefined && RUNS.test(scheme) ? "#" : link;
}
