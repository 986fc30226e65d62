/** The language that somebody has chosen on a page of this server, for all other pages. */
import type { Locale } from "../../web/mod.ts";

const NAME = "kith-language";
const MAX_AGE_S = 365 * 24 * 3_600;

/** What was chosen: by this request's own `lang`, else before. */
export function chosenLanguage({ url, headers }: Pick<Request, "url" | "headers">): string | undefined {
  const now = new URL(url).searchParams.get("lang");
  if (now !== null) return now;
  const parts = (headers.get("cookie") ?? "").split(";").map((part) => part.trim());
  return parts.find((part) => part.startsWith(`${NAME}=`))?.slice(NAME.length + 1);
}

/** Keeps what this request has chosen, where it is a language that pages are written in; undefined where it has chosen none. */
export function languageCookie(
  { url }: Pick<Request, "url">,
  { locale, isSecure }: { locale: Locale; isSecure: boolean },
): string | undefined {
  if (new URL(url).searchParams.get("lang") !== locale) return undefined;
  const attributes = `Path=/; Max-Age=${MAX_AGE_S}; HttpOnly; SameSite=Lax${isSecure ? "; Secure" : ""}`;
  return `${NAME}=${locale}; ${attributes}`;
}
