/**
 * A service such as an AppView, on loopback: it says in its DID document where its services are, verifies the tokens that it
 * gets as real ones do, with the reference's own verifier, and answers as a test tells it to.
 */
import { verifyJwt } from "@atproto/xrpc-server";
import { keyLookup } from "./stage.ts";

export interface AppViewCall {
  readonly method: string;
  /** The method's NSID. */
  readonly nsid: string;
  readonly params: URLSearchParams;
  readonly headers: Headers;
  readonly body: Uint8Array;
  /** The claims of the token, verified; undefined where there was none. */
  readonly claims: { readonly iss: string; readonly aud: string; readonly lxm?: string } | undefined;
}

export type Answerer = (call: AppViewCall, request: Request) => Response | Promise<Response>;

export class AppView implements AsyncDisposable {
  readonly calls: AppViewCall[] = [];
  /** By NSID; what is not here is answered with what was asked. */
  readonly answers = new Map<string, Answerer>();
  /** NSIDs whose body the answerer reads itself. */
  readonly streamed = new Set<string>();
  readonly #server: Bun.Server<undefined>;
  #keyOf: ((did: string) => Promise<string>) | undefined;

  private constructor() {
    this.#server = Bun.serve({
      port: 0,
      hostname: "localhost",
      idleTimeout: 0,
      fetch: (request) => this.#answer(request),
    });
  }

  static start(): AppView {
    return new AppView();
  }

  /** Where the keys of accounts are found. */
  trust(plc: Parameters<typeof keyLookup>[0]): void {
    this.#keyOf = keyLookup(plc);
  }

  get url(): string {
    return `http://localhost:${this.#server.port}`;
  }

  get did(): string {
    return `did:web:localhost%3A${this.#server.port}`;
  }

  /** The settings that make it the default AppView of a server. */
  get env(): Record<string, string> {
    return { PDS_BSKY_APP_VIEW_URL: this.url, PDS_BSKY_APP_VIEW_DID: this.did };
  }

  get last(): AppViewCall {
    const call = this.calls.at(-1);
    if (!call) throw new Error("The AppView was not called");
    return call;
  }

  /** Calls of one method, oldest first. */
  callsOf(nsid: string): AppViewCall[] {
    return this.calls.filter((call) => call.nsid === nsid);
  }

  on(nsid: string, answer: Answerer): void {
    this.answers.set(nsid, answer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    if (url.pathname === "/.well-known/did.json") return Response.json(this.#document());
    const nsid = url.pathname.slice("/xrpc/".length);
    const { method, headers } = request;
    const bearer = headers.get("authorization")?.slice("Bearer ".length);
    let claims: AppViewCall["claims"];
    try {
      claims = bearer ? await verifyJwt(bearer, null, null, (did) => this.#key(did)) : undefined;
    } catch (error) {
      return Response.json({ error: "BadJwt", message: String(error) }, { status: 401 });
    }
    const body = this.streamed.has(nsid) ? new Uint8Array() : await request.bytes();
    const call = { method, nsid, params: url.searchParams, headers, body, claims };
    this.calls.push(call);
    const answer = this.answers.get(nsid);
    if (answer) return answer(call, request);
    return Response.json({ nsid, params: url.search, claims, text: new TextDecoder().decode(body) });
  }

  async #key(did: string): Promise<string> {
    if (!this.#keyOf) throw new Error("The AppView was told of no directory");
    return this.#keyOf(did);
  }

  #document(): object {
    const service = (id: string, type: string) => ({ id: `#${id}`, type, serviceEndpoint: this.url });
    return {
      id: this.did,
      service: [
        service("bsky_appview", "BskyAppView"),
        service("bsky_chat", "BskyChatService"),
        service("bsky_notif", "BskyNotificationService"),
        service("atproto_labeler", "AtprotoLabeler"),
      ],
    };
  }
}
