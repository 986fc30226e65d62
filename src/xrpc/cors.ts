/**
 * CORS: any web page may call any method, since authorization never rides on cookies here.
 * https://fetch.spec.whatwg.org/#http-cors-protocol
 */

/** How long a browser may keep a preflight answer, in seconds. */
const PREFLIGHT_MAX_AGE_S = 86_400;

const EXPOSED = [
  "Atproto-Content-Labelers",
  "Atproto-Repo-Rev",
  "Content-Disposition",
  "DPoP-Nonce",
  "RateLimit-Limit",
  "RateLimit-Policy",
  "RateLimit-Remaining",
  "RateLimit-Reset",
  "Retry-After",
  "WWW-Authenticate",
  "X-Request-Id",
].join(", ");

/** Spelled out, because the `*` wildcard does not cover Authorization. */
const ALLOWED = [
  "accept-language",
  "atproto-accept-labelers",
  "atproto-proxy",
  "authorization",
  "content-encoding",
  "content-type",
  "dpop",
  "range",
  "x-bsky-topics",
];

/** A header name as browsers ask for it; bounds what is echoed. */
const ATPROTO_HEADER = /^(?:x-)?atproto-[a-z0-9-]{1,64}$/;
const REQUESTED_HEADERS_MAX = 64;

/** Sets on any answer what lets a page read it. */
export function setCorsHeaders(headers: Headers): void {
  headers.set("Access-Control-Allow-Origin", "*");
  headers.set("Access-Control-Expose-Headers", EXPOSED);
}

/** The answer to a preflight: our list, and every `atproto-*` header that was asked for. */
export function preflightResponse(request: Request): Response {
  const asked = (request.headers.get("Access-Control-Request-Headers") ?? "")
    .toLowerCase()
    .split(",", REQUESTED_HEADERS_MAX)
    .map((name) => name.trim())
    .filter((name) => ATPROTO_HEADER.test(name));
  return new Response(null, {
    status: 204,
    headers: {
      "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
      "Access-Control-Allow-Headers": [...new Set([...ALLOWED, ...asked])].join(", "),
      "Access-Control-Max-Age": String(PREFLIGHT_MAX_AGE_S),
      Vary: "Access-Control-Request-Headers",
    },
  });
}
