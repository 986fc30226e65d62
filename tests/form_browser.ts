/** A browser without JavaScript: it keeps cookies, follows redirects within the server, and sends forms as they stand. */

export interface PageForm {
  readonly action: string;
  /** Fields as they would be sent, buttons left out. */
  readonly fields: readonly (readonly [string, string])[];
}

export interface Page {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  readonly html: string;
  readonly title: string;
  readonly forms: readonly PageForm[];
  /** Where it was sent that is not this server. */
  readonly away: URL | undefined;
}

const REDIRECTS_MAX = 10;

export class FormBrowser {
  readonly origin: string;
  readonly cookies = new Map<string, string>();
  readonly headers: Record<string, string>;

  constructor(origin: string, headers: Record<string, string> = {}) {
    this.origin = new URL(origin).origin;
    this.headers = { accept: "text/html", "user-agent": "FormBrowser/1", ...headers };
  }

  open(url: string): Promise<Page> {
    return this.send(url, { method: "GET" });
  }

  /** Sends the form of the page whose action has `step` at its end, with these fields set over its own. */
  submit(page: Page, step: string, fields: Record<string, string | readonly string[]> = {}): Promise<Page> {
    const form = page.forms.find(({ action }) => new URL(action, page.url).pathname.endsWith(step));
    if (!form) throw new Error(`No form for "${step}" on "${page.title}":\n${page.html}`);
    const body = new URLSearchParams(
      form.fields.filter(([name]) => !Object.hasOwn(fields, name)).map(([name, value]) => [name, value]),
    );
    for (const [name, values] of Object.entries(fields)) {
      for (const value of [values].flat()) body.append(name, value);
    }
    return this.post(new URL(form.action, page.url).href, body.toString());
  }

  post(url: string, body: string, headers: Record<string, string> = {}): Promise<Page> {
    const type = { "content-type": "application/x-www-form-urlencoded", origin: this.origin };
    return this.send(url, { method: "POST", body, headers: { ...type, ...headers } });
  }

  async send(url: string, init: RequestInit & { headers?: Record<string, string> }): Promise<Page> {
    let [at, request] = [new URL(url, this.origin), init];
    for (let hop = 0; hop < REDIRECTS_MAX; hop++) {
      if (at.origin !== this.origin) return pageOf(at, new Response(null), at);
      const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join("; ");
      const headers = { ...this.headers, ...(cookie ? { cookie } : {}), ...request.headers };
      const answer = await fetch(at, { ...request, headers, redirect: "manual" });
      for (const line of answer.headers.getSetCookie()) {
        const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(line) ?? [];
        this.cookies.set(name, value);
      }
      const location = answer.headers.get("location");
      if (location === null) return pageOf(at, answer);
      [at, request] = [new URL(location, at), { method: "GET" }];
    }
    throw new Error(`More than ${REDIRECTS_MAX} redirects from "${url}"`);
  }
}

async function pageOf(url: URL, answer: Response, away?: URL): Promise<Page> {
  // Where a long name may break is no part of it.
  const html = (await answer.text()).replaceAll("<wbr>", "");
  const forms: { action: string; fields: [string, string][] }[] = [];
  let title = "";
  const rewriter = new HTMLRewriter()
    .on("form", {
      element: (form) => void forms.push({ action: decode(form.getAttribute("action") ?? ""), fields: [] }),
    })
    .on("form input", {
      element: (input) => {
        const [name, type] = [input.getAttribute("name"), input.getAttribute("type")];
        const isOff = type === "checkbox" && !input.hasAttribute("checked");
        if (!name || isOff) return;
        forms.at(-1)?.fields.push([decode(name), decode(input.getAttribute("value") ?? "")]);
      },
    })
    .on("h1", {
      text: ({ text }) => {
        title += text;
      },
    });
  await rewriter.transform(new Response(html)).text();
  return { url, status: answer.status, headers: answer.headers, html, title: decode(title), forms, away };
}

function decode(text: string): string {
  const names: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', "#39": "'" };
  return text.replace(/&(amp|lt|gt|quot|#39);/g, (all, name: string) => names[name] ?? all);
}
