/** Colours that an operator may choose, made readable: text on them, and they on the page, in light and in dark. */

/** `#rrggbb` each; what is missing is kith's own. */
export interface BrandColors {
  readonly primary?: string | undefined;
  readonly error?: string | undefined;
  readonly warning?: string | undefined;
  readonly info?: string | undefined;
  readonly success?: string | undefined;
}

type Rgb = readonly [number, number, number];

const OWN_LIGHT = {
  primary: "#1d6a54",
  error: "#b3261e",
  warning: "#8f5b00",
  info: "#1f5f99",
  success: "#2b6f40",
};
const OWN_DARK = {
  primary: "#7ccbb0",
  error: "#f2908a",
  warning: "#e2b25c",
  info: "#8abdf0",
  success: "#86cc9a",
};
/** `--surface` of styles.css in either scheme. */
export const SURFACES = { light: "#ffffff", dark: "#1a1e1b" } as const;
const BLACK: Rgb = [0, 0, 0];
const WHITE: Rgb = [255, 255, 255];

/** WCAG 2: text needs 4.5, and what is no text but has to be seen 3. */
export const TEXT_CONTRAST_MIN = 4.5;
export const SHAPE_CONTRAST_MIN = 3;
/** Colours stand on the ground and on tinted notes too, which take away up to a tenth of what they have on the surface. */
const TINTED = 1.15;

/** The custom properties that styles.css draws with. */
export function colorStyles(colors: BrandColors): string {
  const light = schemeOf(colors, "light");
  const dark = schemeOf(colors, "dark");
  return `:root{${light}}@media (prefers-color-scheme:dark){:root{${dark}}}\n`;
}

function schemeOf(colors: BrandColors, scheme: "light" | "dark"): string {
  const surface = SURFACES[scheme];
  const own = scheme === "light" ? OWN_LIGHT : OWN_DARK;
  // a button is filled with the very colour, and has an edge where that is hard to tell from the page
  const primary = colors.primary ?? own.primary;
  const error = readable(colors.error ?? own.error, { on: surface, min: TEXT_CONTRAST_MIN * TINTED });
  return [
    `--primary:${primary}`,
    `--on-primary:${textOn(primary)}`,
    `--primary-edge:${readable(primary, { on: surface, min: SHAPE_CONTRAST_MIN * TINTED })}`,
    `--primary-text:${readable(primary, { on: surface, min: TEXT_CONTRAST_MIN * TINTED })}`,
    `--error:${error}`,
    `--on-error:${textOn(error)}`,
    ...(["warning", "info", "success"] as const).map(
      (name) =>
        `--${name}:${readable(colors[name] ?? own[name], { on: surface, min: SHAPE_CONTRAST_MIN * TINTED })}`,
    ),
  ].join(";");
}

/** Black or white, whichever is read better. */
export function textOn(color: string): string {
  const rgb = parse(color);
  return format(contrast(rgb, WHITE) >= contrast(rgb, BLACK) ? WHITE : BLACK);
}

/** The colour, made darker or lighter as far as it must be to stand out from what it is on. */
export function readable(color: string, { on, min }: { on: string; min: number }): string {
  const [rgb, ground] = [parse(color), parse(on)];
  const towards = luminance(ground) > 0.4 ? ([0, 0, 0] as const) : WHITE;
  for (let percent = 0; percent <= 100; percent += 2) {
    const mixed = mix(rgb, towards, percent / 100);
    if (contrast(mixed, ground) >= min) return format(mixed);
  }
  return format(towards);
}

/** How well two colours are told apart: 1 to 21. */
export function contrastOf(one: string, other: string): number {
  return contrast(parse(one), parse(other));
}

function contrast(one: Rgb, other: Rgb): number {
  const [low = 0, high = 0] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (high + 0.05) / (low + 0.05);
}

function luminance([red, green, blue]: Rgb): number {
  const linear = (channel: number) => {
    const share = channel / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue);
}

function mix(from: Rgb, to: Rgb, share: number): Rgb {
  const [red, green, blue] = from.map((channel, index) =>
    Math.round(channel + ((to[index] ?? 0) - channel) * share),
  );
  return [red ?? 0, green ?? 0, blue ?? 0];
}

function parse(color: string): Rgb {
  if (!/^#[0-9a-f]{6}$/i.test(color)) throw new TypeError(`Not a colour as #rrggbb: "${color}"`);
  const number = Number.parseInt(color.slice(1), 16);
  return [number >> 16, (number >> 8) & 255, number & 255];
}

function format(rgb: Rgb): string {
  return `#${rgb.map((channel) => channel.toString(16).padStart(2, "0")).join("")}`;
}
