import { expect, test } from "bun:test";
import {
  colorStyles,
  contrastOf,
  readable,
  SHAPE_CONTRAST_MIN,
  SURFACES,
  TEXT_CONTRAST_MIN,
  textOn,
} from "./colors.ts";

/** The custom properties of both schemes. */
function schemes(css: string): { surface: string; values: Record<string, string> }[] {
  const blocks = [...css.matchAll(/:root\{([^}]*)\}/g)].map((match) => match[1] ?? "");
  expect(blocks).toHaveLength(2);
  return blocks.map((block, index) => ({
    surface: index === 0 ? SURFACES.light : SURFACES.dark,
    values: Object.fromEntries(block.split(";").map((pair) => pair.split(":") as [string, string])),
  }));
}

const GIVEN = [
  "#000000",
  "#ffffff",
  "#ffff00",
  "#ff0000",
  "#0000ff",
  "#777777",
  "#1d6a54",
  "#ffd400",
  "#0a0a2a",
  "#00ff00",
];

for (const color of [undefined, ...GIVEN]) {
  test(`colorStyles: ${color ?? "kith's own"} stays readable, in light and in dark`, () => {
    const css = colorStyles({ primary: color, error: color, warning: color, info: color, success: color });
    for (const { surface, values } of schemes(css)) {
      const of = (name: string) => values[name] ?? "";
      expect(contrastOf(of("--on-primary"), of("--primary"))).toBeGreaterThanOrEqual(TEXT_CONTRAST_MIN);
      expect(contrastOf(of("--on-error"), of("--error"))).toBeGreaterThanOrEqual(TEXT_CONTRAST_MIN);
      for (const name of ["--primary-text", "--error"])
        expect(contrastOf(of(name), surface)).toBeGreaterThanOrEqual(TEXT_CONTRAST_MIN);
      for (const name of ["--primary-edge", "--warning", "--info", "--success"])
        expect(contrastOf(of(name), surface)).toBeGreaterThanOrEqual(SHAPE_CONTRAST_MIN);
    }
  });
}

test("readable leaves a colour alone that is readable already", () => {
  expect(readable("#1d6a54", { on: "#ffffff", min: 4.5 })).toBe("#1d6a54");
});

test("textOn takes black or white", () => {
  expect([textOn("#ffff00"), textOn("#00008b")]).toEqual(["#000000", "#ffffff"]);
});

test("the greys of styles.css are readable on their grounds", async () => {
  const css = await Bun.file(new URL("./assets/styles.css", import.meta.url)).text();
  const blocks = [...css.matchAll(/:root \{([^}]*)\}/g)].map((match) => match[1] ?? "");
  for (const block of blocks) {
    const of = (name: string) => new RegExp(`${name}: (#[0-9a-f]{6})`).exec(block)?.[1] ?? "";
    for (const ground of ["--ground", "--surface", "--field"]) {
      expect(contrastOf(of("--ink"), of(ground))).toBeGreaterThanOrEqual(7);
      expect(contrastOf(of("--muted"), of(ground))).toBeGreaterThanOrEqual(TEXT_CONTRAST_MIN);
    }
    expect(contrastOf(of("--edge"), of("--surface"))).toBeGreaterThanOrEqual(SHAPE_CONTRAST_MIN);
  }
  expect(blocks).toHaveLength(2);
  expect(css).toContain(`--surface: ${SURFACES.light}`);
  expect(css).toContain(`--surface: ${SURFACES.dark}`);
});
