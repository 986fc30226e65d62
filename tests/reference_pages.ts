/** The pages of the reference PDS, without a browser: the calls that its own script makes. */
const API = "/@atproto/oauth-provider/~api";
const NAVIGATION = {
  accept: "text/html",
  "sec-fetch-mode": "navigate",
  "sec-fetch-dest": "document",
  "sec-fetch-site": "cross-site",
};

export class ReferencePages {
  readonly #cookies = new Map<string, string>();
  readonly #origin: string;

  constructor(url: string) {
    this.#origin = new URL(url).origin;
  }

  /** Signs in, and allows what an app asks for; where the browser is sent then. */
  async allow(authorizeUrl: string, given: { identifier: string; password: string }): Promise<URL> {
    await this.#open(authorizeUrl);
    const { did, token } = await this.#signIn(authorizeUrl, given);
    const { url } = await this.#call("/consent", { page: authorizeUrl, body: { did }, token });
    return await this.#away(String(url), authorizeUrl);
  }

  async deny(authorizeUrl: string): Promise<URL> {
    await this.#open(authorizeUrl);
    const { url } = await this.#call("/reject", { page: authorizeUrl, body: {} });
    return await this.#away(String(url), authorizeUrl);
  }

  /** Takes back what apps were allowed; how many those were. */
  async revokeAll(given: { identifier: string; password: string }): Promise<number> {
    const page = `${this.#origin}/account`;
    await this.#open(page);
    const { did } = await this.#signIn(page, given);
    const sessions = (await this.#call("/oauth-sessions", { page, query: { did } })) as unknown;
    const found = sessions as { tokenId: string }[];
    for (const { tokenId } of found)
      await this.#call("/revoke-oauth-session", { page, body: { did, tokenId } });
    return found.length;
  }

  async #open(url: string): Promise<void> {
    const answer = await fetch(url, {
      headers: { ...NAVIGATION, cookie: this.#cookie() },
      redirect: "manual",
    });
    this.#keep(answer);
    await answer.text();
    if (answer.status !== 200) throw new Error(`The reference answers ${answer.status} for "${url}"`);
  }

  async #signIn(page: string, { identifier, password }: { identifier: string; password: string }) {
    const body = { locale: "en", username: identifier, password, remember: page.endsWith("/account") };
    const { account, ephemeralToken } = await this.#call("/sign-in", { page, body });
    const did = String((account as { did?: unknown; sub?: unknown }).did ?? "");
    return { did, token: ephemeralToken === undefined ? undefined : String(ephemeralToken) };
  }

  async #call(
    endpoint: string,
    {
      page,
      query,
      body,
      token,
    }: { page: string; query?: Record<string, string>; body?: object; token?: string | undefined },
  ): Promise<Record<string, unknown>> {
    const search = query === undefined ? "" : `?${new URLSearchParams(query)}`;
    const answer = await fetch(this.#origin + API + endpoint + search, {
      method: body === undefined ? "GET" : "POST",
      headers: {
        cookie: this.#cookie(),
        origin: this.#origin,
        referer: page,
        "sec-fetch-mode": "same-origin",
        "sec-fetch-site": "same-origin",
        "x-csrf-token": this.#cookies.get("csrf-token") ?? "",
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    this.#keep(answer);
    const json = (await answer.json()) as Record<string, unknown>;
    if (answer.ok) return json;
    throw new Error(`The reference answers ${answer.status} to ${endpoint}: ${JSON.stringify(json)}`);
  }

  /** The page that sends the browser back to the app. */
  async #away(url: string, page: string): Promise<URL> {
    const answer = await fetch(url, {
      headers: { ...NAVIGATION, "sec-fetch-site": "same-origin", referer: page, cookie: this.#cookie() },
      redirect: "manual",
    });
    await answer.text();
    return new URL(answer.headers.get("location") ?? `missing:${answer.status}`);
  }

  #cookie(): string {
    return [...this.#cookies].map(([name, value]) => `${name}=${value}`).join("; ");
  }

  #keep(answer: Response): void {
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name = "", value = ""] = /^([^=]+)=([^;]*)/.exec(cookie) ?? [];
      this.#cookies.set(name, value);
    }
  }
}
