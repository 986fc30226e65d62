/**
 * The logos of apps that the operator vouches for. They are fetched by this server and served by it: a browser that asked the app for
 * its logo would tell it who is about to sign in. Where one cannot be had, pages do without.
 */
import type { Client } from "./client_metadata.ts";

export const LOGO_FRESH_MS = 24 * 3_600_000;
export const LOGO_RETRY_MS = 10 * 60_000;
/** So long a page waits for a logo that is not here yet. */
export const LOGO_WAIT_MS = 1_500;

export interface Picture {
  readonly mediaType: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export interface ClientLogosOptions {
  /** By client_id. No other app's logo is asked for. */
  readonly trusted: readonly string[];
  /** Rejects where there is none to be had, or too much of it. */
  fetchPicture(url: string): Promise<Picture>;
  /** Puts it, in the place of the one before of this name, among the files of pages; its path. Throws on what pages cannot show. */
  keep(name: string, picture: Picture): string;
  /** What could not be had is told to the operator. */
  onMissing(logo: { clientId: string; url: string; failure: unknown }): void;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** For tests. */
  readonly wait?: (ms: number) => Promise<unknown>;
}

interface Logo {
  readonly url: string;
  path: string | undefined;
  nextAt: number;
  fetching: Promise<void> | undefined;
}

export class ClientLogos {
  readonly #options: ClientLogosOptions;
  readonly #logos = new Map<string, Logo>();

  constructor(options: ClientLogosOptions) {
    this.#options = options;
  }

  /** Where the logo of an app is, on this server; undefined where it has none, is not vouched for, or its logo cannot be had soon. */
  async pathOf({ id, logoUri: url }: Pick<Client, "id" | "logoUri">): Promise<string | undefined> {
    const { trusted, now, wait = Bun.sleep } = this.#options;
    if (url === undefined || !trusted.includes(id)) return undefined;
    const known = this.#logos.get(id);
    const logo: Logo = known?.url === url ? known : { url, path: undefined, nextAt: 0, fetching: undefined };
    this.#logos.set(id, logo);
    if (logo.fetching === undefined && now() >= logo.nextAt) {
      logo.fetching = this.#fetch(id, logo).finally(() => {
        logo.fetching = undefined;
      });
    }
    if (logo.path === undefined && logo.fetching) await Promise.race([logo.fetching, wait(LOGO_WAIT_MS)]);
    return logo.path;
  }

  /** Never rejects. */
  async #fetch(id: string, logo: Logo): Promise<void> {
    const { fetchPicture, keep, onMissing, now } = this.#options;
    try {
      const picture = await fetchPicture(logo.url);
      // The app has named another one meanwhile.
      if (this.#logos.get(id) !== logo) return;
      logo.path = keep(`app ${id}`, picture);
      logo.nextAt = now() + LOGO_FRESH_MS;
    } catch (failure) {
      logo.nextAt = now() + LOGO_RETRY_MS;
      onMissing({ clientId: id, url: logo.url, failure });
    }
  }
}
