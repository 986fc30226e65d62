/** Somebody with a browser that has no JavaScript: keeps cookies, follows links, fills forms in and sends them. */

const REDIRECTS_MAX = 10;

/** A form of a page, as it stands. */
export interface PageForm {
  /** A path; a whole URL where it goes to another site. */
  readonly action: string;
  /** What it sends by itself, buttons left out. */
  readonly fields: readonly (readonly [name: string, value: string])[];
  /** Everything that it can send. */
  readonly names: readonly string[];
}

/** What came back, after redirects. */
export interface Page {
  readonly status: number;
  /** Path and query. */
  readonly path: string;
  readonly headers: Headers;
  /** Without the marks of where a long name may break. */
  readonly html: string;
  /** What a person reads, each run of blanks as one. */
  readonly text: string;
  /** Its main heading. */
  readonly title: string;
  readonly forms: readonly PageForm[];
  /** Where links lead. */
  readonly links: readonly string[];
  /** Where it was sent that is not this server: nothing is asked there. */
  readonly away: URL | undefined;
}

type Fields = Readonly<Record<string, string | readonly string[]>>;
type HeaderChanges = Readonly<Record<string, string | undefined>>;

export interface Sending {
  /** In the place of the form's own of these names. */
  readonly fields?: Fields;
  /** Others than a browser's, or none of this name. */
  readonly headers?: HeaderChanges;
}

const BROWSER = {
  "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
  Accept: "text/html",
};

export class PageVisitor {
  readonly url: string;
  readonly cookies = new Map<string, string>();
  readonly #own: HeaderChanges;

  /** `own`: what the browser sends besides with everything. */
  constructor(url: string, own: HeaderChanges = {}) {
    this.url = new URL(url).origin;
    this.#own = own;
  }

  get(path: string): Promise<Page> {
    return this.#go("GET", path);
  }

  /** Sends a form as it is, with what the person has typed. */
  send(form: PageForm, { fields = {}, headers = {} }: Sending = {}): Promise<Page> {
    const kept = form.fields.filter(([name]) => !Object.hasOwn(fields, name));
    const typed = Object.entries(fields).flatMap(([name, values]) =>
      [values].flat().map((value): [string, string] => [name, value]),
    );
    return this.post(form.action, formBody([...kept, ...typed]), headers);
  }

  /** Fills in the form of the page that goes to `path`, and sends it. */
  submit(page: Page, path: string, fields: Fields = {}): Promise<Page> {
    return this.send(formTo(page, path), { fields });
  }

  post(path: string, body: string, headers: HeaderChanges = {}): Promise<Page> {
    return this.#go("POST", path, { body, headers });
  }

  async #go(
    method: string,
    path: string,
    { body, headers }: { body?: string; headers?: HeaderChanges } = {},
  ): Promise<Page> {
    let to = new URL(path, this.url);
    let request: RequestInit = {
      method,
      ...(body === undefined ? {} : { body }),
      headers: this.#headers(method, headers),
    };
    for (let hop = 0; hop < REDIRECTS_MAX; hop += 1) {
      if (to.origin !== this.url) return readPage(new Response(null), { url: to, away: to });
      const response = await fetch(to, { ...request, redirect: "manual" });
      this.#keepCookies(response);
      const location = response.headers.get("location");
      if (location === null) return readPage(response, { url: to });
      await response.arrayBuffer();
      to = new URL(location, to);
      request = { method: "GET", headers: this.#headers("GET") };
    }
    throw new Error(`Too many redirects, the last to ${to}`);
  }

  #headers(method: string, others: HeaderChanges = {}): Headers {
    const headers = new Headers(BROWSER);
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    if (cookie !== "") headers.set("Cookie", cookie);
    if (method === "POST") {
      headers.set("Content-Type", "application/x-www-form-urlencoded");
      headers.set("Origin", this.url);
      headers.set("Sec-Fetch-Site", "same-origin");
    }
    for (const [name, value] of Object.entries({ ...this.#own, ...others })) {
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

/** The form whose path has `path` at its end (its query does not matter); with `fields` that which carries them. */
export function formTo(page: Page, path: string, fields: Readonly<Record<string, string>> = {}): PageForm {
  const found = page.forms.find(
    (form) =>
      form.action.split("?", 1)[0]?.endsWith(path) &&
      Object.entries(fields).every(([name, value]) => fieldOf(form, name) === value),
  );
  if (found) return found;
  const there = page.forms.map(({ action }) => action).join(", ");
  throw new Error(`No form to "${path}" on "${page.title}" (${page.path}), but: ${there}\n${page.text}`);
}

/** What a form sends by itself under a name; "" where that is nothing. */
export function fieldOf(form: PageForm | undefined, name: string): string {
  return form?.fields.find(([one]) => one === name)?.[1] ?? "";
}

/** Fields as a form sends them. */
export function formBody(fields: PageForm["fields"]): string {
  return new URLSearchParams(fields.map(([name, value]) => [name, value])).toString();
}

async function readPage(
  response: Response,
  { url, away }: { url: URL; away?: URL | undefined },
): Promise<Page> {
  const html = (await response.text()).replaceAll("<wbr>", "");
  return {
    status: response.status,
    path: url.pathname + url.search,
    headers: response.headers,
    html,
    text: textOf(html),
    ...(await partsOf(html, url)),
    away,
  };
}

async function partsOf(html: string, url: URL): Promise<Pick<Page, "title" | "forms" | "links">> {
  const forms: { action: string; fields: [string, string][]; names: string[] }[] = [];
  const links: string[] = [];
  let title = "";
  const rewriter = new HTMLRewriter()
    .on("form", {
      element: (form) => {
        const to = new URL(unescaped(form.getAttribute("action") ?? ""), url);
        const action = to.origin === url.origin ? to.pathname + to.search : to.href;
        forms.push({ action, fields: [], names: [] });
      },
    })
    .on("form input, form select, form button", {
      element: (input) => {
        const name = input.getAttribute("name");
        const form = forms.at(-1);
        if (name === null || !form) return;
        form.names.push(unescaped(name));
        const isOff = input.getAttribute("type") === "checkbox" && !input.hasAttribute("checked");
        if (input.tagName !== "input" || isOff) return;
        form.fields.push([unescaped(name), unescaped(input.getAttribute("value") ?? "")]);
      },
    })
    .on("a", { element: (link) => void links.push(unescaped(link.getAttribute("href") ?? "")) })
    .on("h1", {
      text: ({ text }) => {
        title += text;
      },
    });
  await rewriter.transform(new Response(html)).text();
  return { title: unescaped(title), forms, links };
}

function textOf(html: string): string {
  const body = html.replace(/^[\s\S]*<body[^>]*>/, "").replace(/<(script|style|svg)\b[\s\S]*?<\/\1>/g, " ");
  const inline = body.replace(/<\/?(?:code|strong|span|a)\b[^>]*>/g, "");
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
