/** One request for a page: the browser that it comes from, what its form has sent, and the ways to answer it. */
import { randomBytes } from "node:crypto";
import {
  CSRF_NONCE_BYTES,
  csrfToken,
  type Device,
  type DeviceRequest,
  type OpenedDevice,
} from "../../accounts/mod.ts";
import { chooseLocale, type Locale, newNonce, type PageSite, pageHeaders, type View } from "../../web/mod.ts";
import { Form } from "./form.ts";
import { chosenLanguage, languageCookie } from "./language_cookie.ts";

/** What the edge knows of a request. */
export interface PageContext {
  readonly requestId: string;
  /** The client's address, after trusted proxies. */
  readonly ip: string;
  /** What was thrown, for the log. */
  failure?: unknown;
}

/** What is the same for all requests. */
export interface PageSetting {
  /** The public origin. */
  readonly publicUrl: string;
  /** Of the tokens that forms carry. */
  readonly csrfKey: Uint8Array;
  readonly pages: Pick<PageSite, "view">;
}

export class PageCall {
  readonly request: Request;
  readonly url: URL;
  readonly context: PageContext;
  readonly #setting: PageSetting;
  readonly #nonce = newNonce();
  #device: Device;
  #setCookie: string | undefined;
  #form = new Form();
  /** Languages that the app wishes for; told before the page is made. */
  uiLocales: string | undefined;

  constructor(
    request: Request,
    parts: { url: URL; context: PageContext; opened: OpenedDevice; setting: PageSetting },
  ) {
    this.request = request;
    this.url = parts.url;
    this.context = parts.context;
    this.#setting = parts.setting;
    this.#device = parts.opened.device;
    this.#setCookie = parts.opened.setCookie;
  }

  /** The browser, as it is after what this request has done with it. */
  get device(): Device {
    return this.#device;
  }

  /** What `Devices` and `SignIns` are told of the browser. */
  get from(): DeviceRequest {
    return { userAgent: this.request.headers.get("user-agent") ?? "", ip: this.context.ip };
  }

  /** What a POST has sent. */
  get form(): Form {
    return this.#form;
  }

  set form(form: Form) {
    this.#form = form;
  }

  /** A parameter of the URL; "" where it is absent. */
  query(name: string): string {
    return this.url.searchParams.get(name) ?? "";
  }

  /** Takes over what a sign-in or sign-out has made of the browser; its cookie goes with the answer. */
  become({ device, setCookie }: OpenedDevice): void {
    this.#device = device;
    this.#setCookie = setCookie ?? this.#setCookie;
  }

  get locale(): Locale {
    return chooseLocale({
      chosen: chosenLanguage(this.request),
      uiLocales: this.uiLocales,
      acceptLanguage: this.request.headers.get("accept-language"),
    });
  }

  /** What every page is given. */
  get view(): View {
    const nonce = randomBytes(CSRF_NONCE_BYTES);
    const isPost = this.request.method !== "GET";
    return this.#setting.pages.view({
      locale: this.locale,
      csrf: csrfToken(this.#device, { key: this.#setting.csrfKey, nonce }),
      nonce: this.#nonce,
      // Of what a form has led to, a link would not lead there again.
      languages: isPost ? undefined : { en: this.#inLanguage("en"), de: this.#inLanguage("de") },
    });
  }

  /** A page. `redirectUri`: where its forms may lead in the end, beside this server. */
  page(
    body: string,
    { status = 200, redirectUri }: { status?: number; redirectUri?: string | undefined } = {},
  ): Response {
    const isHttps = this.#setting.publicUrl.startsWith("https:");
    const headers = new Headers(pageHeaders({ nonce: this.#nonce, redirectUri, isHttps }));
    return this.#finish(new Response(body, { status, headers }));
  }

  /** On to a page of this server, by GET. */
  redirect(path: string): Response {
    if (!/^\/(?![/\\])/.test(path)) throw new TypeError(`A redirect away from this server: "${path}"`);
    return this.#away(path);
  }

  /** Away from this server, to a URL that was checked. */
  leave(url: string): Response {
    return this.#away(url);
  }

  #away(location: string): Response {
    const headers = { Location: location, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer" };
    return this.#finish(new Response(null, { status: 303, headers }));
  }

  #finish(response: Response): Response {
    const isSecure = this.#setting.publicUrl.startsWith("https:");
    if (this.#setCookie !== undefined) response.headers.append("Set-Cookie", this.#setCookie);
    const chosen = languageCookie(this.request, { locale: this.locale, isSecure });
    if (chosen !== undefined) response.headers.append("Set-Cookie", chosen);
    return response;
  }

  #inLanguage(locale: Locale): string {
    const url = new URL(this.url);
    url.searchParams.set("lang", locale);
    return url.pathname + url.search;
  }
}
