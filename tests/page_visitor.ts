/** Somebody with a browser that has no JavaScript: keeps cookies, follows links, fills forms in and sends them. */
import { expect } from "bun:test";

const REDIRECTS_MAX = 10;

/** A form of a page, with what it carries unseen. */
export interface PageForm {
  /** A path. */
  readonly action: string;
  readonly fields: Readonly<Record<string, string>>;
  /** Everything that it can send. */
  readonly names: readonly string[];
}

/** What came back, after redirects. */
export interface Page {
  readonly status: number;
  /** Path and query. */
  readonly path: string;
  readonly headers: Headers;
  readonly html: string;
  /** What a person reads, each run of blanks as one. */
  readonly text: string;
  readonly title: string;
  readonly forms: readonly PageForm[];
  /** Where links lead. */
  readonly links: readonly string[];
}

export interface Sending {
  readonly fields?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

export class PageVisitor {
  readonly url: string;
  readonly cookies = new Map<string, string>();
  readonly #userAgent: string;

  constructor(
    url: string,
    { userAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0" } = {},
  ) {
    this.url = new URL(url).origin;
    this.#userAgent = userAgent;
  }

  get(path: string): Promise<Page> {
    return this.#go("GET", path, {});
  }

  /** Sends a form as it is, with what the person has typed; other headers than a browser's where they are given. */
  send(form: PageForm, { fields = {}, headers = {} }: Sending = {}): Promise<Page> {
    return this.post(form.action, new URLSearchParams({ ...form.fields, ...fields }).toString(), headers);
  }

  post(path: string, body: string, headers: Sending["headers"] = {}): Promise<Page> {
    return this.#go("POST", path, { body, headers });
  }

  async #go(
    method: string,
    path: string,
    { body, headers }: { body?: string; headers?: Sending["headers"] },
  ): Promise<Page> {
    let to = new URL(path, this.url);
    let request: RequestInit = {
      method,
      ...(body === undefined ? {} : { body }),
      headers: this.#headers(method, headers),
    };
    for (let hop = 0; hop < REDIRECTS_MAX; hop += 1) {
      const response = await fetch(to, { ...request, redirect: "manual" });
      this.#keepCookies(response);
      const location = response.headers.get("location");
      if (response.status !== 303 || location === null) return readPage(response, to);
      await response.arrayBuffer();
      to = new URL(location, to);
      expect(to.origin).toBe(this.url);
      request = { method: "GET", headers: this.#headers("GET") };
    }
    throw new Error(`Too many redirects, the last to ${to}`);
  }

  #headers(method: string, others: Sending["headers"] = {}): Headers {
    const headers = new Headers({ "User-Agent": this.#userAgent, Accept: "text/html" });
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    if (cookie !== "") headers.set("Cookie", cookie);
    if (method === "POST") {
      headers.set("Content-Type", "application/x-www-form-urlencoded");
      headers.set("Origin", this.url);
      headers.set("Sec-Fetch-Site", "same-origin");
    }
    for (const [name, value] of Object.entries(others)) {
      if (value === undefined) headers.delete(name);
      else headers.set(name, value);
    }
    return headers;
  }

  #keepCookies(response: Response): void {
    for (const cookie of response.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      this.cookies.set(name, value);
    }
  }
}

/** The form that goes to a path (its query does not matter); with `fields` that which carries them. */
export function formTo(page: Page, path: string, fields: Readonly<Record<string, string>> = {}): PageForm {
  const found = page.forms.find(
    (form) =>
      form.action.split("?", 1)[0] === path &&
      Object.entries(fields).every(([name, value]) => form.fields[name] === value),
  );
  if (found) return found;
  const there = page.forms.map(({ action }) => action).join(", ");
  throw new Error(`No form to "${path}" on "${page.title}" (${page.path}), but: ${there}\n${page.text}`);
}

async function readPage(response: Response, url: URL): Promise<Page> {
  const html = await response.text();
  const { forms, links } = await partsOf(html);
  return {
    status: response.status,
    path: url.pathname + url.search,
    headers: response.headers,
    html,
    text: textOf(html),
    title: unescaped(/<title>([^<]*)<\/title>/.exec(html)?.[1] ?? ""),
    forms,
    links,
  };
}

async function partsOf(html: string): Promise<{ forms: PageForm[]; links: string[] }> {
  const forms: { action: string; fields: Record<string, string>; names: string[] }[] = [];
  const links: string[] = [];
  const rewriter = new HTMLRewriter()
    .on("form", {
      element: (form) =>
        void forms.push({ action: unescaped(form.getAttribute("action") ?? ""), fields: {}, names: [] }),
    })
    .on("form input, form select, form button", {
      element: (input) => {
        const name = input.getAttribute("name");
        const form = forms.at(-1);
        if (name === null || !form) return;
        form.names.push(unescaped(name));
        const isUnseen = input.getAttribute("type") === "hidden";
        if (isUnseen) form.fields[unescaped(name)] = unescaped(input.getAttribute("value") ?? "");
      },
    })
    .on("a", { element: (link) => void links.push(unescaped(link.getAttribute("href") ?? "")) });
  await rewriter.transform(new Response(html)).text();
  return { forms, links };
}

function textOf(html: string): string {
  const body = html.replace(/^[\s\S]*<body[^>]*>/, "").replace(/<(script|style|svg)\b[\s\S]*?<\/\1>/g, " ");
  const inline = body.replace(/<\/?(?:wbr|code|strong|span|a)\b[^>]*>/g, "");
  return unescaped(inline.replace(/<[^>]*>/g, " "))
    .replace(/\s+/g, " ")
    .trim();
}

function unescaped(text: string): string {
  return text
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&");
}
