import type { Locale } from "./locale.ts";
import type { Texts } from "./texts/texts.ts";

/** Whose server it is, as every page shows it. */
export interface Site {
  /** What people call this server; its host name where it has no other. */
  readonly name: string;
  readonly host: string;
  readonly homeUrl?: string | undefined;
  readonly supportUrl?: string | undefined;
  readonly privacyPolicyUrl?: string | undefined;
  readonly termsOfServiceUrl?: string | undefined;
  readonly contactEmail?: string | undefined;
}

/** Paths of what pages are made of, on this server: see `createAssets`. */
export interface AssetPaths {
  readonly styles: string;
  readonly script: string;
  /** Makes the key of a new community. */
  readonly communityKeyScript: string;
  readonly icon: string;
  /** The operator's own logo. */
  readonly logo?: string | undefined;
}

/** What every page is given beside its own data. */
export interface View {
  readonly locale: Locale;
  readonly t: Texts;
  readonly site: Site;
  readonly assets: AssetPaths;
  /** Goes with every form. */
  readonly csrf: string;
  /** Fresh for each answer; the same goes to `pageHeaders`. */
  readonly nonce: string;
  /** Where this page is to be had in each language; without it none is offered. */
  readonly languages?: Readonly<Record<Locale, string>> | undefined;
}

/** Where a form goes. `csrf` is added to it by itself. */
export interface FormTarget {
  readonly action: string;
  readonly hidden?: Readonly<Record<string, string>> | undefined;
}

/** What is wrong: for each field, and for the form as a whole. Texts from `t.errors`. */
export type FormErrors<Field extends string> = { readonly [F in Field | "form"]?: string | undefined };

/** An account, as pages name it. */
export interface AccountName {
  readonly did: string;
  readonly handle: string;
}

/** The app that somebody signs in to. */
export interface ClientName {
  readonly clientId: string;
  /** Only of a client that the operator trusts: anybody can give any name. */
  readonly name?: string | undefined;
  /** The same; a path on this server. */
  readonly logo?: string | undefined;
}

/** How an app is called in a sentence: the name of a trusted one, else the host of its client_id. */
export function clientTitle({ clientId, name }: ClientName): string {
  if (name !== undefined && name !== "") return name;
  const url = URL.parse(clientId);
  return url === null || url.host === "" ? clientId : url.host;
}
