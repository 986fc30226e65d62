/** The pages of this server with its own name, colours and pictures, and those of them that need nobody to be signed in. */
import { type Config, VERSION } from "./config/mod.ts";
import type { SafeFetch } from "./identity/mod.ts";
import type { RootLogger } from "./logger.ts";
import { ACCOUNT_PATH, ClientLogos, chosenLanguage, languageCookie } from "./oauth/mod.ts";
import { chooseLocale, newNonce, PageSite, pageHeaders, welcomePage } from "./web/mod.ts";
import type { FrontPages } from "./xrpc/mod.ts";

const ASSET_FOLDER = "/oauth/assets";
const DESCRIBE_PATH = "/xrpc/com.atproto.server.describeServer";
const PICTURE_BYTES_MAX = 524_288;

/** What all pages are given, from the configuration. */
export function pageSiteOf({
  config,
  safeFetch,
  log,
}: {
  config: Config;
  safeFetch: SafeFetch;
  log: RootLogger;
}): PageSite {
  const { branding } = config;
  const host = new URL(config.publicUrl).host;
  return new PageSite({
    site: {
      name: branding.serviceName ?? host,
      host,
      homeUrl: branding.homeUrl,
      supportUrl: branding.supportUrl,
      privacyPolicyUrl: config.privacyPolicyUrl,
      termsOfServiceUrl: config.termsOfServiceUrl,
      contactEmail: config.contactEmail,
    },
    colors: branding.colors,
    pictures: {
      logo: branding.logoUrl,
      backgroundLight: branding.backgroundLightUrl,
      backgroundDark: branding.backgroundDarkUrl,
    },
    assetFolder: ASSET_FOLDER,
    fetchPicture: pictureFetcher(safeFetch),
    onMissingPicture: ({ name, url, failure }) =>
      log.warn("Could not get a picture for the pages; they do without it", {
        picture: name,
        url: url.slice(0, 200),
        failure,
      }),
    now: Date.now,
  });
}

function pictureFetcher(safeFetch: SafeFetch) {
  return async (url: string) => {
    const { status, headers, body } = await safeFetch(url, { bytesMax: PICTURE_BYTES_MAX });
    if (status !== 200) throw new TypeError(`The answer has the status ${status}`);
    return { mediaType: headers.get("content-type") ?? "", bytes: new Uint8Array(body) };
  };
}

/** The logos of apps that the operator vouches for, which become files of our pages. */
export function clientLogosOf({
  config,
  pages,
  safeFetch,
  log,
}: {
  config: Config;
  pages: PageSite;
  safeFetch: SafeFetch;
  log: RootLogger;
}): ClientLogos {
  return new ClientLogos({
    trusted: config.oauthTrustedClients,
    fetchPicture: pictureFetcher(safeFetch),
    keep: (name, picture) => pages.keep(name, picture),
    onMissing: ({ clientId, url, failure }) =>
      log.warn("Could not get the logo of a trusted app; pages do without it", {
        clientId,
        url: url.slice(0, 200),
        failure,
      }),
    now: Date.now,
  });
}

export function frontPages({ config, pages }: { config: Config; pages: PageSite }): FrontPages {
  return {
    welcome: (request) => {
      const acceptLanguage = request.headers.get("accept-language");
      const locale = chooseLocale({ chosen: chosenLanguage(request), acceptLanguage });
      const nonce = newNonce();
      const view = pages.view({
        locale,
        csrf: "",
        nonce,
        languages: { en: "/?lang=en", de: "/?lang=de" },
      });
      const body = welcomePage(view, {
        version: VERSION,
        publicUrl: config.publicUrl,
        accountUrl: ACCOUNT_PATH,
        signUpUrl: config.handleDomains.length > 0 ? `${ACCOUNT_PATH}/sign-up` : undefined,
        isInviteRequired: config.inviteRequired,
        describeUrl: DESCRIBE_PATH,
      });
      const isHttps = config.mode === "public";
      const cookie = languageCookie(request, { locale, isSecure: isHttps });
      const headers = pageHeaders({ nonce, isHttps });
      return new Response(body, {
        headers: cookie === undefined ? headers : { ...headers, "Set-Cookie": cookie },
      });
    },
    file: (name) => {
      const file = pages.file(name);
      return file && new Response(file.body, { headers: file.headers });
    },
  };
}
