/** The words of an HTML message, for those who read text. It is for reading, not for making HTML safe. */
const ENTITIES: Readonly<Record<string, string>> = {
  amp: "&",
  lt: "<",
  gt: ">",
  quot: '"',
  apos: "'",
  nbsp: " ",
  hellip: "…",
  mdash: "—",
  ndash: "–",
};

/** True where a text has a tag in it. */
export function isHtml(text: string): boolean {
  return /<\/?[a-z][a-z0-9]*(?:\s[^<>]*)?\/?>|<!doctype/i.test(text);
}

export function plainText(html: string): string {
  const words = html
    .replace(/<!--[\s\S]*?-->/g, "")
    .replace(/<(script|style|head|title)\b[^>]*>[\s\S]*?<\/\1\s*>/gi, "")
    .replace(/\s+/g, " ")
    .replace(
      /<a\b[^>]*?\bhref\s*=\s*(?:"([^"]*)"|'([^']*)')[^>]*>([^<]*)<\/a\s*>/gi,
      (_, one, two, label: string) => withAddress(label, one ?? two ?? ""),
    )
    .replace(/ ?<br\s*\/?> ?/gi, "\n")
    .replace(/ ?<li\b[^>]*> ?/gi, "\n- ")
    .replace(/ ?<\/?(?:p|div|ul|ol|table|tr|h[1-6]|blockquote|pre|hr|section|article)\b[^>]*> ?/gi, "\n\n")
    .replace(/<[^>]*>/g, "");
  return `${decodeEntities(words)
    .replace(/\n{3,}/g, "\n\n")
    .trim()}\n`;
}

function withAddress(label: string, address: string): string {
  const bare = address.replace(/^mailto:/i, "");
  return label.trim() === bare || bare === "" ? label : `${label} (${bare})`;
}

function decodeEntities(text: string): string {
  return text.replace(/&(?:#(\d{1,7})|#x([0-9a-f]{1,6})|([a-z]{2,8}));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[String(name).toLowerCase()] ?? whole;
    const point = decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal);
    return point > 31 && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff)
      ? String.fromCodePoint(point)
      : whole;
  });
}
