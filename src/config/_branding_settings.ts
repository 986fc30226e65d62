/** How the pages of this server look and where they lead: rows of the table in settings.ts. */
import * as as from "./_schemas.ts";
import { type Setting, setting } from "./_setting.ts";

export const BRANDING_SETTINGS = {
  PDS_SERVICE_NAME: setting({
    group: "Branding",
    help: "What people call this server; its pages say so.",
    fallback: "the host name",
    example: "The Cottage",
    schema: as.serviceName,
  }),
  PDS_HOME_URL: setting({
    group: "Branding",
    help: "Where the name at the top of each page leads.",
    fallback: "none",
    example: "https://example.com",
    schema: as.httpUrl,
  }),
  PDS_LOGO_URL: setting({
    group: "Branding",
    help: "A logo for the pages, in place of the mark of kith. It is fetched by this server and served by it, so browsers ask no other site; PNG, JPEG, WebP, GIF, AVIF, SVG or ICO, up to 512 KiB. It may be a data: URL.",
    fallback: "the mark of kith",
    example: "https://example.com/logo.png",
    schema: as.imageUrl,
  }),
  PDS_SUPPORT_URL: setting({
    group: "Branding",
    help: "Where people find help.",
    fallback: "none",
    example: "https://example.com/help",
    schema: as.httpUrl,
  }),
  PDS_PRIMARY_COLOR: setting({
    group: "Branding",
    help: "The colour of buttons and links, as #rrggbb or rgb(R, G, B). Each colour is made darker or lighter where it stands for text and could not be read.",
    fallback: "a dark green",
    example: "#1d6a54",
    schema: as.color,
  }),
  PDS_ERROR_COLOR: setting({
    group: "Branding",
    help: "The colour of what is wrong or dangerous.",
    fallback: "a red",
    example: "#b3261e",
    schema: as.color,
  }),
  PDS_WARNING_COLOR: setting({
    group: "Branding",
    help: "The colour of what wants care.",
    fallback: "an amber",
    example: "#8f5b00",
    schema: as.color,
  }),
  PDS_INFO_COLOR: setting({
    group: "Branding",
    help: "The colour of what is good to know.",
    fallback: "a blue",
    example: "#1f5f99",
    schema: as.color,
  }),
  PDS_SUCCESS_COLOR: setting({
    group: "Branding",
    help: "The colour of what has gone well.",
    fallback: "a green",
    example: "#2b6f40",
    schema: as.color,
  }),
  PDS_BACKGROUND_LIGHT_URL: setting({
    group: "Branding",
    help: "A picture behind the pages of wide screens, in light mode; fetched as the logo is.",
    fallback: "none",
    example: "https://example.com/light.jpg",
    schema: as.imageUrl,
  }),
  PDS_BACKGROUND_DARK_URL: setting({
    group: "Branding",
    help: "The same in dark mode.",
    fallback: "none",
    example: "https://example.com/dark.jpg",
    schema: as.imageUrl,
  }),
} as const satisfies Readonly<Record<string, Setting>>;
