import { type Asset, type Assets, type BrandImage, createAssets, imageAsset, isImageType } from "./assets.ts";
import type { BrandColors } from "./colors.ts";
import type { Locale } from "./locale.ts";
import { textsOf } from "./texts_of.ts";
import type { Site, View } from "./view.ts";

/** The operator's pictures, by where their settings say that they are. */
export interface PictureUrls {
  readonly logo?: string | undefined;
  readonly backgroundLight?: string | undefined;
  readonly backgroundDark?: string | undefined;
}

export interface PageSiteOptions {
  readonly site: Site;
  readonly colors: BrandColors;
  readonly pictures: PictureUrls;
  /** Where the files of pages are to be had: `/oauth/assets`. */
  readonly assetFolder: string;
  /** Gets a picture from the web; rejects where it cannot be had. */
  fetchPicture(url: string): Promise<{ readonly mediaType: string; readonly bytes: Uint8Array<ArrayBuffer> }>;
  /** What could not be had is told to the operator. */
  onMissingPicture(picture: { name: keyof PictureUrls; url: string; failure: unknown }): void;
  /** The clock, in milliseconds. */
  now(): number;
}

/** How long a picture that could not be had is left alone. */
export const PICTURE_RETRY_MS = 600_000;
const PICTURES = ["logo", "backgroundLight", "backgroundDark"] as const;

/**
 * Everything that is the same for all pages of this server. The operator's pictures are fetched once, by the server, and served
 * by it: a browser that asked another site for them would tell it who signs in where. Until they are there, pages do without.
 */
export class PageSite {
  readonly #options: PageSiteOptions;
  readonly #found: { -readonly [Name in keyof PictureUrls]: BrandImage } = {};
  /** Names from before a picture came stay good for pages that are open. */
  readonly #files = new Map<string, Asset>();
  /** Pictures of others, by what they are called here. */
  readonly #kept = new Map<string, { readonly name: string; readonly file: Asset }>();
  #assets: Assets;
  #trying: Promise<void> | undefined;
  #triedAtMs = 0;

  constructor(options: PageSiteOptions) {
    this.#options = options;
    this.#assets = this.#build();
    this.#trying = this.#fetchMissing();
  }

  /** Ends when no picture is being fetched. */
  async settled(): Promise<void> {
    await this.#trying;
  }

  /** A file of the pages, by the last part of its path. */
  file(name: string): Asset | undefined {
    return this.#files.get(name) ?? [...this.#kept.values()].find((kept) => kept.name === name)?.file;
  }

  /** Serves a picture, in the place of the one before that was called so; its path. Throws TypeError on what pages cannot show. */
  keep(called: string, picture: { mediaType: string; bytes: Uint8Array<ArrayBuffer> }): string {
    const kept = imageAsset("app", readImage(picture));
    this.#kept.set(called, kept);
    return `${this.#options.assetFolder}/${kept.name}`;
  }

  /** What every page is given. */
  view(of: Pick<View, "locale" | "csrf" | "nonce" | "languages"> & { locale: Locale }): View {
    this.#retry();
    return { ...of, t: textsOf(of.locale), site: this.#options.site, assets: this.#assets.paths };
  }

  #build(): Assets {
    const { assetFolder, colors } = this.#options;
    const assets = createAssets({ folder: assetFolder, colors, ...this.#found });
    for (const [name, file] of assets.files) this.#files.set(name, file);
    return assets;
  }

  #retry(): void {
    if (this.#trying || this.#options.now() - this.#triedAtMs < PICTURE_RETRY_MS) return;
    this.#trying = this.#fetchMissing();
  }

  #missing(): (readonly [keyof PictureUrls, string])[] {
    const { pictures } = this.#options;
    return PICTURES.flatMap((name) => {
      const url = pictures[name];
      return url === undefined || this.#found[name] ? [] : [[name, url] as const];
    });
  }

  async #fetchMissing(): Promise<void> {
    this.#triedAtMs = this.#options.now();
    const missing = this.#missing();
    await Promise.all(missing.map(([name, url]) => this.#fetchOne(name, url)));
    if (missing.length > 0) this.#assets = this.#build();
    this.#trying = undefined;
  }

  async #fetchOne(name: keyof PictureUrls, url: string): Promise<void> {
    try {
      this.#found[name] = readImage(readDataUrl(url) ?? (await this.#options.fetchPicture(url)));
    } catch (failure) {
      this.#options.onMissingPicture({ name, url, failure });
    }
  }
}

/** Throws TypeError. */
function readImage({ mediaType, bytes }: { mediaType: string; bytes: Uint8Array<ArrayBuffer> }): BrandImage {
  const type = mediaType.split(";", 1)[0]?.trim().toLowerCase() ?? "";
  if (!isImageType(type)) throw new TypeError(`It is "${type}", which is no picture that pages can show`);
  return { mediaType: type, bytes };
}

function readDataUrl(url: string): { mediaType: string; bytes: Uint8Array<ArrayBuffer> } | undefined {
  const [, mediaType, data] = /^data:([^;,]+);base64,(.*)$/i.exec(url) ?? [];
  return mediaType === undefined || data === undefined
    ? undefined
    : { mediaType, bytes: Uint8Array.from(atob(data), (char) => char.charCodeAt(0)) };
}
