/** The HTTP server's two hands: `fetch` for requests and `websocket` for the firehose. */
import { randomBytes } from "node:crypto";
import { Elysia } from "elysia";
import type { Authenticator } from "../auth/mod.ts";
import { KithError } from "../errors.ts";
import { clientIp } from "./client_ip.ts";
import { compressJson } from "./compress.ts";
import { preflightResponse, setCorsHeaders } from "./cors.ts";
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
import {
  atprotoDid,
  front,
  health,
  ready,
  robots,
  type SiteOptions,
  serviceDid,
  tlsCheck,
} from "./well_known.ts";

const REQUEST_ID = "X-Request-Id";

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
  /** Aborted when a stopping server waits no longer for bodies that have not arrived. */
  readonly stopping?: AbortSignal;
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
  const firehose = new FirehoseEndpoint(options);
  const contexts = new WeakMap<Request, RequestContext>();
  const app = createApp(options, contexts);
  const answer = async (request: Request, at: Arrival): Promise<Response | undefined> => {
    if (options.pages?.owns(at.path)) return options.pages.fetch(request, at.context);
    if (request.method === "OPTIONS") return preflightResponse(request);
    if (at.path === `/xrpc/${SUBSCRIBE_REPOS}`) {
      options.limits?.countRequest({ request, ip: at.context.ip });
      firehose.upgrade(request, { server: at.server, context: at.context });
      return undefined;
    }
    const answered = at.path.startsWith("/xrpc/") ? undefined : await options.aside?.(request, at.context);
    if (answered) return answered;
    const routed = routable(request);
    contexts.set(routed, at.context);
    return compressJson(routed, await app.fetch(routed));
  };
  return {
    websocket: firehose.websocket,
    error: (failure) => {
      const requestId = newRequestId();
      options.log.error("Could not send an answer", { requestId, failure });
      return stamp(errorResponse(undefined, { requestId }), requestId);
    },
    fetch: async (request, server) => {
      const startedMs = performance.now();
      const context = newContext(request, { server, bypass: options.bypass });
      const path = pathOf(request.url);
      let response: Response | undefined;
      try {
        if (path === undefined)
          throw new KithError("invalid_request", "Could not read the URL or the Host header");
        response = await answer(request, { path, context, server });
      } catch (thrown) {
        context.failure = thrown;
        response = errorResponse(thrown, context);
      }
      const isPage = path !== undefined && options.pages?.owns(path) === true;
      if (response && isPage) response.headers.set(REQUEST_ID, context.requestId);
      else if (response) stamp(response, context.requestId);
      const length = response?.headers.get("content-length");
      const outcome = {
        method: request.method,
        path: path ?? "",
        status: response?.status ?? 101,
        bytes: length ? Number(length) : undefined,
        ms: performance.now() - startedMs,
      };
      logRequest(options.log, { context, outcome });
      return response;
    },
  };
}

/** The router finds the path by counting the letters of "http://". */
function routable(request: Request): Request {
  const { url } = request;
  return url.startsWith("https:") ? new Request(`http${url.slice("https".length)}`, request) : request;
}

/** Sets what every answer has. */
function stamp(response: Response, requestId: string): Response {
  setCorsHeaders(response.headers);
  response.headers.set(REQUEST_ID, requestId);
  return response;
}

/** The answer while there is nobody to ask: at the start, and while the server drains. */
export function notReadyResponse(message: string): Response {
  const requestId = newRequestId();
  const body = { error: "NotReady", message, requestId };
  const headers = { "Retry-After": "1", Connection: "close" };
  return stamp(Response.json(body, { status: 503, headers }), requestId);
}

interface Arrival {
  readonly path: string;
  readonly context: RequestContext;
  readonly server: HttpServer;
}

function createApp({ site, ...options }: HttpOptions, contexts: WeakMap<Request, RequestContext>) {
  const router = new Router(options);
  return new Elysia({ handler: { standardHostname: false } })
    .onError(({ error, request }) => errorResponse(error, contextOf(contexts, request)))
    .get("/", ({ request }) => front(site, request))
    .get(
      "/oauth/assets/:name",
      ({ request, params }) => site.pages.file(String(params.name)) ?? notFound(contexts, request),
    )
    .get("/robots.txt", () => robots())
    .get("/health", () => health(site))
    .get("/ready", () => ready(site))
    .get("/xrpc/_health", () => health(site))
    .get("/tls-check", async ({ request }) => (await tlsCheck(site, request)) ?? notFound(contexts, request))
    .get("/.well-known/atproto-did", ({ request }) => atprotoDid(site, request))
    .get("/.well-known/did.json", ({ request }) => serviceDid(site, request) ?? notFound(contexts, request))
    .all(
      "/xrpc/:nsid",
      ({ request, params }) =>
        router.handle(request, { nsid: String(params.nsid), context: contextOf(contexts, request) }),
      { parse: "none" },
    )
    .all("*", ({ request }) => notFound(contexts, request), { parse: "none" });
}

function notFound(contexts: WeakMap<Request, RequestContext>, request: Request): Response {
  const { requestId } = contextOf(contexts, request);
  return Response.json({ error: "NotFound", message: "There is nothing here", requestId }, { status: 404 });
}

function contextOf(contexts: WeakMap<Request, RequestContext>, request: Request): RequestContext {
  const context = contexts.get(request);
  if (!context) throw new TypeError("A request without a context: Elysia handed on another object");
  return context;
}

function newContext(
  request: Request,
  { server, bypass }: { server: HttpServer; bypass: LimitBypass },
): RequestContext {
  const socket = server.requestIP(request)?.address;
  const forwardedFor = request.headers.get("x-forwarded-for");
  return {
    requestId: newRequestId(),
    ip: clientIp({ socket, forwardedFor, trusts: (address) => bypass.names(address) }),
  };
}

function newRequestId(): string {
  return randomBytes(8).toString("hex");
}

function pathOf(url: string): string | undefined {
  return URL.canParse(url) ? new URL(url).pathname : undefined;
}
