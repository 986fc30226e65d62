import { type Locale, wishedLocale } from "../web/mod.ts";

/** The language that a client asks for, for what is mailed because of its call. */
export function wishedLanguage(request: Request): { readonly language: Locale | undefined } {
  return { language: wishedLocale({ acceptLanguage: request.headers.get("accept-language") }) };
}
