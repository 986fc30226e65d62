/** The HTTP server's two hands: `fetch` for requests and `websocket` for the firehose. */
import { randomBytes } from "node:crypto";
import type { Authenticator } from "../auth/mod.ts";
import { KithError } from "../errors.ts";
import type { PlainSite } from "./_plain_site.ts";
import { compressJson, REQUEST_ID, stamp } from "./answers.ts";
import { clientIp } from "./client_ip.ts";
import { preflightResponse } from "./cors.ts";
import {
  type Firehose,
  FirehoseEndpoint,
  type FirehoseSocket,
  SUBSCRIBE_REPOS,
  type Upgrader,
} from "./firehose_socket.ts";
import type { LexiconCheck } from "./lexicon_check.ts";
import type { LimitBypass } from "./limits/limit_bypass.ts";
import type { RateLimits } from "./limits/rate_limits.ts";
import type { Method } from "./method.ts";
import { type Log, logRequest } from "./request_log.ts";
import { errorResponse, type MethodProxy, type RequestContext, Router } from "./router.ts";
import { health, ready, type SiteOptions } from "./well_known.ts";

/**
 * The address of nearly every call: no URL parser finds anything else in it. The method's name is the first group, what stands
 * behind the question mark the second.
 */
const PLAIN_CALL =
  /^https?:\/\/(?:(?!xn--)[a-z0-9-]+\.)*(?!xn--)[a-z][a-z0-9-]*(?::\d{1,4})?\/xrpc\/([A-Za-z][A-Za-z0-9.-]*)(?:\?([!-"$-~]*))?$/;
/** The path of any call. */
const CALL_PATH = /^\/xrpc\/([^/]+)\/?$/;
const HEALTH_PATH = /^\/xrpc\/_health\/?$/;

/** What supervisors and load balancers look at, every few seconds. */
const LOOKS: ReadonlyMap<string, (site: SiteOptions) => Response> = new Map([
  ["/health", health],
  ["/ready", ready],
  ["/xrpc/_health", health],
]);

/** Request ids that are made at a time. */
const REQUEST_IDS_MADE = 256;
const REQUEST_ID_BYTES = 8;

export interface HttpOptions {
  readonly methods: readonly Method[];
  readonly authenticator: Authenticator;
  /** Without it a method that is not served here is not implemented. */
  readonly proxy?: MethodProxy | undefined;
  readonly firehose: Firehose;
  /** Holds every answer against its lexicon: in dev mode. */
  readonly lexiconCheck?: LexiconCheck | undefined;
  /** Without them nothing is limited. */
  readonly limits?: RateLimits | undefined;
  /** Addresses whose X-Forwarded-For is believed, and which may have any number of subscriptions. */
  readonly bypass: LimitBypass;
  /** Answers what is not XRPC and not ours; undefined leaves it to us. Never rejects. */
  readonly aside?: ((request: Request, context: RequestContext) => Promise<Response | undefined>) | undefined;
  /** Pages that people see. What they answer, and what is answered in their place, no other origin may read. */
  readonly pages?:
    | {
        owns(path: string): boolean;
        fetch(request: Request, context: RequestContext): Promise<Response | undefined>;
      }
    | undefined;
  /** Subscriptions to the firehose that one network may have at a time. */
  readonly networkSubscribersMax: number;
  readonly site: SiteOptions;
  readonly log: Log;
  /** Told of every request that was answered, in its way: it must cost nothing. */
  readonly requests?: RequestCounter | undefined;
  /** Aborted when a stopping server waits no longer for bodies that have not arrived. */
  readonly stopping?: AbortSignal;
}

export interface RequestCounter {
  count(answered: { nsid: string | undefined; isPage: boolean; status: number; ms: number }): void;
}

/** The part of `Bun.Server` that a request needs. */
export interface HttpServer extends Upgrader {
  requestIP(request: Request): { readonly address: string } | null;
}

export interface Http {
  /** Answers a request; undefined where it has become a WebSocket. Never rejects. */
  fetch(request: Request, server: HttpServer): Promise<Response | undefined>;
  /** What Bun asks when sending an answer fails after `fetch` gave it: logged, and never told to the caller. */
  error(error: unknown): Response;
  readonly websocket: Bun.WebSocketHandler<FirehoseSocket>;
}

/**
 * The edge over `methods`. Give all parts to `Bun.serve`, with a `maxRequestBodySize` above every bound of ours, so
 * that it is we who refuse a large body and say why.
 */
export function createHttp(options: HttpOptions): Http {
  const edge = new Edge(options);
  return {
    websocket: edge.websocket,
    error: (failure) => edge.error(failure),
    fetch: (request, server) => edge.fetch(request, server),
  };
}

class Edge implements Http {
  readonly websocket: Http["websocket"];
  readonly #options: HttpOptions;
  readonly #router: Router;
  readonly #firehose: FirehoseEndpoint;
  /** Loaded with the first request for it: those who only look whether the server is well do not wait for it. */
  #site: Promise<PlainSite> | undefined;
  readonly #contexts = new WeakMap<Request, RequestContext>();
  readonly #trusts: (address: string) => boolean;

  constructor(options: HttpOptions) {
    this.#options = options;
    this.#router = new Router(options);
    this.#firehose = new FirehoseEndpoint(options);
    this.#trusts = (address) => options.bypass.names(address);
    this.websocket = this.#firehose.websocket;
  }

  error(failure: unknown): Response {
    const requestId = newRequestId();
    // Of a blob Bun opens the file once it has the answer: it has gone since it was looked at.
    if ((failure as { code?: unknown } | null)?.code === "ENOENT") {
      const gone = new KithError("blob_not_found", "Could not find the blob: it was removed a moment ago");
      return stamp(errorResponse(gone, { requestId }), requestId);
    }
    this.#options.log.error("Could not send an answer", { requestId, failure });
    return stamp(errorResponse(undefined, { requestId }), requestId);
  }

  async fetch(request: Request, server: HttpServer): Promise<Response | undefined> {
    const startedMs = performance.now();
    const context = this.#newContext(request, server);
    const address = addressOf(request);
    let response: Response | undefined;
    try {
      response = await this.#answer(request, { address, context, server });
    } catch (thrown) {
      context.failure = thrown;
      response = errorResponse(thrown, context);
      if (address && this.#isPage(address)) response.headers.set(REQUEST_ID, context.requestId);
      else stamp(response, context.requestId);
    }
    const length = response?.headers.get("content-length");
    const outcome = {
      method: request.method,
      path: address?.path ?? "",
      status: response?.status ?? 101,
      bytes: length ? Number(length) : undefined,
      ms: performance.now() - startedMs,
    };
    this.#options.requests?.count({
      nsid: address?.nsid,
      isPage: address !== undefined && this.#isPage(address),
      status: outcome.status,
      ms: outcome.ms,
    });
    logRequest(this.#options.log, { context, outcome });
    return response;
  }

  async #answer(request: Request, { address, context, server }: Arrival): Promise<Response | undefined> {
    if (!address) throw new KithError("invalid_request", "Could not read the URL or the Host header");
    const { nsid, query } = address;
    const { requestId } = context;
    if (this.#isPage(address)) {
      const page = await this.#options.pages?.fetch(request, context);
      page?.headers.set(REQUEST_ID, requestId);
      return page;
    }
    if (request.method === "OPTIONS") return stamp(preflightResponse(request), requestId);
    if (nsid === SUBSCRIBE_REPOS) {
      this.#options.limits?.countRequest({ request, ip: context.ip });
      this.#firehose.upgrade(request, { server, context });
      return undefined;
    }
    if (nsid !== undefined) return this.#router.handle(request, { nsid, query, context });
    return stamp(await this.#beside(request, { path: address.path, context }), requestId);
  }

  /** Answers what is neither a page nor a call. */
  async #beside(
    request: Request,
    { path, context }: { path: string; context: RequestContext },
  ): Promise<Response> {
    const answered = path.startsWith("/xrpc/") ? undefined : await this.#options.aside?.(request, context);
    if (answered) return answered;
    const look = request.method === "GET" ? LOOKS.get(path) : undefined;
    if (look) return compressJson(request, look(this.#options.site));
    const routed = routable(request);
    this.#contexts.set(routed, context);
    this.#site ??= this.#loadSite();
    return compressJson(routed, await (await this.#site).fetch(routed));
  }

  async #loadSite(): Promise<PlainSite> {
    const { createSite } = await import("./_plain_site.ts");
    return createSite(this.#options.site, this.#contexts);
  }

  /** No page is a call. */
  #isPage({ path, nsid }: Address): boolean {
    return nsid === undefined && this.#options.pages?.owns(path) === true;
  }

  #newContext(request: Request, server: HttpServer): RequestContext {
    const socket = server.requestIP(request)?.address;
    const forwardedFor = request.headers.get("x-forwarded-for");
    return { requestId: newRequestId(), ip: clientIp({ socket, forwardedFor, trusts: this.#trusts }) };
  }
}

/** Where a request goes. */
interface Address {
  readonly path: string;
  /** What a call names as its method. */
  readonly nsid?: string;
  /** What stands behind the question mark, where that is read already. */
  readonly query?: string;
}

interface Arrival {
  /** Undefined where it cannot be read. */
  readonly address: Address | undefined;
  readonly context: RequestContext;
  readonly server: HttpServer;
}

function addressOf({ url, method }: Request): Address | undefined {
  const [, name, query = ""] = PLAIN_CALL.exec(url) ?? [];
  if (name !== undefined) return { path: `/xrpc/${name}`, nsid: name, query };
  const path = URL.parse(url)?.pathname;
  if (path === undefined) return undefined;
  const isLook = HEALTH_PATH.test(path) && (method === "GET" || method === "HEAD");
  const called = isLook ? undefined : CALL_PATH.exec(path)?.[1];
  return called === undefined ? { path } : { path, nsid: decoded(called) };
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The router finds the path by counting the letters of "http://". */
function routable(request: Request): Request {
  const { url } = request;
  return url.startsWith("https:") ? new Request(`http${url.slice("https".length)}`, request) : request;
}

/** The answer while there is nobody to ask: at the start, and while the server drains. */
export function notReadyResponse(message: string): Response {
  const requestId = newRequestId();
  const body = { error: "NotReady", message, requestId };
  const headers = { "Retry-After": "1", Connection: "close" };
  return stamp(Response.json(body, { status: 503, headers }), requestId);
}

let requestIds = "";

function newRequestId(): string {
  if (requestIds === "") requestIds = randomBytes(REQUEST_ID_BYTES * REQUEST_IDS_MADE).toString("hex");
  const id = requestIds.slice(0, 2 * REQUEST_ID_BYTES);
  requestIds = requestIds.slice(2 * REQUEST_ID_BYTES);
  return id;
}
