import { createHash } from "node:crypto";
import pageScript from "./assets/page.js" with { type: "text" };
import styles from "./assets/styles.css" with { type: "text" };
import moreStyles from "./assets/styles_more.css" with { type: "text" };
import { type BrandColors, colorStyles } from "./colors.ts";
import { MARK_FILE } from "./icons.ts";
import type { AssetPaths } from "./view.ts";

/** One file that pages are made of. Its name changes with its content, so browsers may keep it for good. */
export interface Asset {
  readonly body: string | Uint8Array<ArrayBuffer>;
  readonly headers: Readonly<Record<string, string>>;
}

/** A picture of the operator's. */
export interface BrandImage {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly mediaType: ImageType;
}

export interface AssetsOptions {
  /** Where they are to be had: `/oauth/assets`. */
  readonly folder: string;
  readonly colors?: BrandColors;
  readonly logo?: BrandImage | undefined;
  readonly backgroundLight?: BrandImage | undefined;
  readonly backgroundDark?: BrandImage | undefined;
}

export interface Assets {
  readonly paths: AssetPaths;
  /** By the last part of their paths. */
  readonly files: ReadonlyMap<string, Asset>;
}

const EXTENSIONS = {
  "image/png": "png",
  "image/jpeg": "jpg",
  "image/webp": "webp",
  "image/gif": "gif",
  "image/avif": "avif",
  "image/svg+xml": "svg",
  "image/x-icon": "ico",
} as const;
export type ImageType = keyof typeof EXTENSIONS;

export function isImageType(mediaType: string): mediaType is ImageType {
  return Object.hasOwn(EXTENSIONS, mediaType);
}

/** A year, in seconds. */
const KEEP_S = 31_536_000;
const NAME_CHARS = 16;

/** Every file that pages ask for. */
export function createAssets(options: AssetsOptions): Assets {
  const files = new Map<string, Asset>();
  const add = (stem: string, content: Content): string => {
    const { name, file } = assetOf(stem, content);
    files.set(name, file);
    return `${options.folder}/${name}`;
  };
  const addImage = (stem: string, image: BrandImage | undefined) => image && add(stem, contentOf(image));
  const light = addImage("background-light", options.backgroundLight);
  const dark = addImage("background-dark", options.backgroundDark);
  const css = [colorStyles(options.colors ?? {}), backgroundStyles({ light, dark }), styles, moreStyles];
  const paths = {
    styles: add("page", { body: css.join(""), type: "text/css; charset=utf-8", extension: "css" }),
    script: add("page", { body: pageScript, type: "text/javascript; charset=utf-8", extension: "js" }),
    icon: add("icon", { body: MARK_FILE, type: "image/svg+xml", extension: "svg" }),
    logo: addImage("logo", options.logo),
  };
  return { paths, files };
}

/** A picture as a file of its own, by the last part of its path. */
export function imageAsset(stem: string, image: BrandImage): { readonly name: string; readonly file: Asset } {
  return assetOf(stem, contentOf(image));
}

function contentOf({ bytes: body, mediaType: type }: BrandImage): Content {
  return { body, type, extension: EXTENSIONS[type] };
}

function assetOf(stem: string, { body, type, extension }: Content): { name: string; file: Asset } {
  const hash = createHash("sha256").update(body).digest("base64url").slice(0, NAME_CHARS);
  return { name: `${stem}-${hash}.${extension}`, file: { body, headers: headersOf(type) } };
}

interface Content {
  readonly body: string | Uint8Array<ArrayBuffer>;
  readonly type: string;
  readonly extension: string;
}

function headersOf(type: string): Record<string, string> {
  return {
    "Content-Type": type,
    "Cache-Control": `public, max-age=${KEEP_S}, immutable`,
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    // a picture that is opened by itself runs nothing, even an SVG
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
  };
}

function backgroundStyles({
  light,
  dark,
}: {
  light?: string | undefined;
  dark?: string | undefined;
}): string {
  const image = (path: string | undefined) => (path === undefined ? "none" : `url("${path}")`);
  if (light === undefined && dark === undefined) return "";
  return `:root{--background-image:${image(light)}}@media (prefers-color-scheme:dark){:root{--background-image:${image(dark)}}}\n`;
}
