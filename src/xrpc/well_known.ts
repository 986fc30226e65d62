/** The plain routes beside XRPC: what this is, whether it is well, and the documents that identities are found by. */

import { KithError } from "../errors.ts";

export interface Readiness {
  readonly ready: boolean;
  /** In a few words, for the operator: "starting", "draining". */
  readonly state: string;
}

/** What the plain routes tell of this server; `server` hands it in. */
export interface SiteOptions {
  readonly version: string;
  /** `https://pds.example.com` */
  readonly publicUrl: string;
  /** Domains under which this server gives handles, each with its leading dot. */
  readonly handleDomains: readonly string[];
  readonly pages: FrontPages;
  readiness(): Readiness;
  /** The DID document of the service; undefined where the service DID is not a did:web of this host. */
  serviceDidDocument(): unknown;
  /** The DID of a visible account by its handle, in lower case. */
  didOfHandle(handle: string): Promise<string | undefined> | string | undefined;
}

/** The pages of this server that need nobody to be signed in. */
export interface FrontPages {
  /** The front page, for a browser. */
  welcome(request: Request): Response | Promise<Response>;
  /** A file that pages are made of, by its name. */
  file(name: string): Response | undefined | Promise<Response | undefined>;
}

const TEXT = { "Content-Type": "text/plain; charset=utf-8" };

/** What this is: as a page for browsers, in plain words for everything else. */
export async function front(site: SiteOptions, request: Request): Promise<Response> {
  const response = request.headers.get("accept")?.includes("text/html")
    ? await site.pages.welcome(request)
    : banner(site);
  response.headers.set("Vary", "Accept, Accept-Language");
  return response;
}

function banner({ version, publicUrl }: SiteOptions): Response {
  const text = `This is an AT Protocol Personal Data Server (PDS): kith ${version}, at ${publicUrl}

It holds accounts, their repositories and their blobs. There is nothing to browse here: applications talk to it
under /xrpc/.

  Protocol  https://atproto.com
  Server    ${publicUrl}/xrpc/com.atproto.server.describeServer
`;
  return new Response(text, { headers: TEXT });
}

/** Crawling is what the public data is for. */
export function robots(): Response {
  return new Response("# Public data may be crawled.\nUser-agent: *\nAllow: /\n", { headers: TEXT });
}

export function health({ version }: SiteOptions): Response {
  return Response.json({ version });
}

/** 200 while requests are taken, else 503: for load balancers and supervisors. */
export function ready(site: SiteOptions): Response {
  const { ready: isReady, state } = site.readiness();
  return Response.json({ ready: isReady, state, version: site.version }, { status: isReady ? 200 : 503 });
}

/**
 * The DID that the handle in the Host header stands for, as text; 404 for any other host.
 * https://atproto.com/specs/handle#handle-resolution
 */
export async function atprotoDid(site: SiteOptions, request: Request): Promise<Response> {
  const handle = hostOf(request);
  const did = mayBeHandle(site, handle) ? await site.didOfHandle(handle) : undefined;
  return did === undefined
    ? new Response("User not found\n", { status: 404, headers: TEXT })
    : new Response(did, { headers: TEXT });
}

/**
 * Whether a proxy may get a certificate for a domain: 200 for the server's own name and for the handle of an account, undefined for
 * a handle that nobody has. KithError invalid_request for anything else. Caddy's on-demand TLS asks so, under the reference's path.
 */
export async function tlsCheck(site: SiteOptions, request: Request): Promise<Response | undefined> {
  const domain = new URL(request.url).searchParams.get("domain")?.toLowerCase() ?? "";
  const isOwn = domain === new URL(site.publicUrl).hostname;
  if (!isOwn && !mayBeHandle(site, domain)) {
    throw new KithError("invalid_request", "Could not vouch for the domain: it is none of this server's");
  }
  const isThere = isOwn || (await site.didOfHandle(domain)) !== undefined;
  return isThere ? Response.json({ success: true }) : undefined;
}

/** The service's own DID document, on every host but those of handles. */
export function serviceDid(site: SiteOptions, request: Request): Response | undefined {
  const document = isHandleHost(site, hostOf(request)) ? undefined : site.serviceDidDocument();
  return document === undefined ? undefined : Response.json(document);
}

function isHandleHost(site: SiteOptions, host: string): boolean {
  return site.handleDomains.some((domain) => host.endsWith(domain));
}

/** True also for the server's own names, which may be the handle of an account. */
function mayBeHandle(site: SiteOptions, host: string): boolean {
  const isOwn = site.handleDomains.includes(`.${host}`) || host === new URL(site.publicUrl).hostname;
  return isOwn || isHandleHost(site, host);
}

/** The host without its port, in lower case. */
function hostOf(request: Request): string {
  const host = request.headers.get("host") ?? new URL(request.url).host;
  return host.replace(/:\d+$/, "").toLowerCase();
}
