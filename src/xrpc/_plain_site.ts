/** The plain routes beside pages and calls: few ask for them, and a start does without. */
import { Elysia } from "elysia";
import { errorResponse, type RequestContext } from "./router.ts";
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

export interface PlainSite {
  fetch(request: Request): Response | Promise<Response>;
}

/** Contexts are found by the request that is handed to `fetch`. */
export function createSite(site: SiteOptions, contexts: WeakMap<Request, RequestContext>): PlainSite {
  return new Elysia({ handler: { standardHostname: false } })
    .onError(({ error, request }) => errorResponse(error, contextOf(contexts, request)))
    .get("/", ({ request }) => front(site, request))
    .get(
      "/oauth/assets/:name",
      async ({ request, params }) =>
        (await site.pages.file(String(params.name))) ?? notFound(contexts, request),
    )
    .get("/robots.txt", () => robots())
    .get("/health", () => health(site))
    .get("/ready", () => ready(site))
    .get("/xrpc/_health", () => health(site))
    .get("/tls-check", async ({ request }) => (await tlsCheck(site, request)) ?? notFound(contexts, request))
    .get("/.well-known/atproto-did", ({ request }) => atprotoDid(site, request))
    .get("/.well-known/did.json", ({ request }) => serviceDid(site, request) ?? notFound(contexts, request))
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
