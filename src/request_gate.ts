/** What stands between the sockets and the edge: it answers while there is no edge yet, and when there is none any more. */
import type { Handlers } from "./listen.ts";
import { type Http, notReadyResponse, WEBSOCKET_LIMITS } from "./xrpc/mod.ts";

/** How long bodies of requests may still take to arrive once the server drains. */
const BODY_GRACE_MS = 300;

export interface Edge {
  readonly http: Http;
  /** What answers on the admin socket. */
  readonly admin: Http;
  /** Asked first, where there is one; undefined leaves the request to `http`. */
  aside?: ((request: Request) => Promise<Response | undefined>) | undefined;
}

export class RequestGate implements Handlers {
  #state: "starting" | "open" | "draining" = "starting";
  #underWay = 0;
  #answered = 0;
  readonly #stopping = new AbortController();
  #edge: Edge | undefined;

  get state(): "starting" | "open" | "draining" {
    return this.#state;
  }

  /** Requests that have no answer yet. */
  get underWay(): number {
    return this.#underWay;
  }

  /** Requests that were answered since the start. */
  get answered(): number {
    return this.#answered;
  }

  /** Aborted when a draining server waits no longer for bodies that have not arrived. */
  get stopping(): AbortSignal {
    return this.#stopping.signal;
  }

  /** From now on requests are answered. */
  open(edge: Edge): void {
    this.#edge = edge;
    this.#state = "open";
  }

  /** From now on they are refused; what is under way goes on, except a body that does not arrive. */
  drain(): void {
    this.#state = "draining";
    setTimeout(() => this.#stopping.abort(), BODY_GRACE_MS).unref();
  }

  readonly fetch: Handlers["fetch"] = (request, server) => this.#answer((edge) => edge.http, request, server);

  /** Bun's own answer would show our source. */
  readonly error: Handlers["error"] = (error) => this.#edge?.http.error(error) ?? this.#refuse();

  readonly websocket: Handlers["websocket"] = {
    ...WEBSOCKET_LIMITS,
    open: (socket) => this.#edge?.http.websocket.open?.(socket),
    drain: (socket) => this.#edge?.http.websocket.drain?.(socket),
    message: (socket, message) => this.#edge?.http.websocket.message?.(socket, message),
    close: (socket, code, reason) => this.#edge?.http.websocket.close?.(socket, code, reason),
  };

  /** What the admin socket is served with. */
  readonly admin: Handlers = {
    fetch: (request, server) => this.#answer((edge) => edge.admin, request, server),
    error: this.error,
    websocket: this.websocket,
  };

  async #answer(
    httpOf: (edge: Edge) => Http,
    ...[request, server]: Parameters<Handlers["fetch"]>
  ): Promise<Response | undefined> {
    const edge = this.#edge;
    if (!edge || (this.#state !== "open" && !isLook(request))) return this.#refuse();
    this.#underWay++;
    try {
      return (await edge.aside?.(request)) ?? (await httpOf(edge).fetch(request, server));
    } catch (error) {
      return httpOf(edge).error(error);
    } finally {
      this.#underWay--;
      this.#answered++;
    }
  }

  #refuse(): Response {
    return notReadyResponse(
      `The server is ${this.#state === "starting" ? "starting" : "stopping"}: try again in a moment`,
    );
  }
}

/** Supervisors may look while the server drains. */
function isLook(request: Request): boolean {
  const path = URL.parse(request.url)?.pathname;
  return path === "/ready" || path === "/health";
}
