import { expect, test } from "bun:test";
import { decodeQR } from "qr/decode.js";
import { createAssets } from "./assets.ts";
import { qrCode } from "./qr_code.ts";
import { describeBrowser } from "./user_agent.ts";

test("createAssets: a name changes with the content, and each path leads to its file", () => {
  const own = createAssets({ folder: "/oauth/assets" });
  const branded = createAssets({ folder: "/oauth/assets", colors: { primary: "#123456" } });
  expect(own.paths.styles).not.toBe(branded.paths.styles);
  expect(own.paths.script).toBe(branded.paths.script);
  for (const path of [own.paths.styles, own.paths.script, own.paths.icon]) {
    expect(path).toMatch(/^\/oauth\/assets\/[a-z]+-[\w-]{16}\.(css|js|svg)$/);
    const file = own.files.get(path.slice("/oauth/assets/".length));
    expect(file?.headers["Cache-Control"]).toContain("immutable");
    expect(file?.body.length).toBeGreaterThan(100);
  }
});

test("createAssets: the operator's pictures are files of this server, and run nothing", () => {
  const bytes = new TextEncoder().encode("<svg xmlns='http://www.w3.org/2000/svg'/>");
  const image = { bytes, mediaType: "image/svg+xml" as const };
  const { paths, files } = createAssets({ folder: "/a", logo: image, backgroundDark: image });
  const logo = files.get(paths.logo?.slice(3) ?? "");
  expect(logo?.headers["Content-Security-Policy"]).toContain("sandbox");
  const css = String(files.get(paths.styles.slice(3))?.body);
  expect(css).toMatch(/--background-image:url\("\/a\/background-dark-[\w-]{16}\.svg"\)/);
});

test("the embedded styles and script ask no other site for anything", () => {
  for (const { body } of createAssets({ folder: "/a" }).files.values()) {
    const text = String(body).replaceAll("http://www.w3.org/2000/svg", "");
    expect(text).not.toMatch(/https?:\/\/|@import|url\(/);
  }
});

test("qrCode draws what a reader reads", () => {
  const uri = "otpauth://totp/kith:alice.example.com?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=kith";
  const svg = qrCode(uri, { label: "QR" }).toString();
  const size = Number(/viewBox="0 0 (\d+) /.exec(svg)?.[1]);
  const scale = 4;
  const side = size * scale;
  const data = new Uint8Array(side * side * 4).fill(255);
  for (const [, x, y, width] of svg.matchAll(/M(\d+) (\d+)h(\d+)v1h-\d+z/g)) {
    for (let row = Number(y) * scale; row < (Number(y) + 1) * scale; row++) {
      const from = (row * side + Number(x) * scale) * 4;
      for (let at = from; at < from + Number(width) * scale * 4; at += 4) data.fill(0, at, at + 3);
    }
  }
  expect(decodeQR({ width: side, height: side, data })).toBe(uri);
});

const AGENTS: readonly [string | undefined, string | undefined][] = [
  ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"],
  [
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
    "Edge on Windows",
  ],
  [
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    "Chrome on Android",
  ],
  [
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15",
    "Safari on macOS",
  ],
  [
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/141.0 Mobile/15E148 Safari/604.1",
    "Chrome on iPhone",
  ],
  ["goat/0.2.1", "goat"],
  ["", undefined],
  [undefined, undefined],
];
for (const [agent, name] of AGENTS) {
  test(`describeBrowser: ${name}`, () => {
    expect(describeBrowser(agent, { on: (browser, system) => `${browser} on ${system}` })).toBe(name);
  });
}
