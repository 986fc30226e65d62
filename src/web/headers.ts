import { randomBytes } from "node:crypto";

/** The headers of a page. */
export interface PageHeaderOptions {
  /** The one of the page's `View`. */
  readonly nonce: string;
  /** The redirect URI to which a form of this page leads in the end: Chromium holds redirects against form-action. */
  readonly redirectUri?: string | undefined;
  /** Whether this server is reached by https. */
  readonly isHttps: boolean;
}

/** Two years, in seconds. */
const HSTS_S = 63_072_000;

/** A nonce for one answer. */
export function newNonce(): string {
  return randomBytes(16).toString("base64url");
}

/** A page runs and shows only what this server has made, is framed by nobody, kept nowhere, and tells no other site where it was. */
export function pageHeaders({ nonce, redirectUri, isHttps }: PageHeaderOptions): Record<string, string> {
  if (!/^[A-Za-z0-9_-]{16,}$/.test(nonce))
    throw new TypeError("A nonce of a page has 16 base64url characters or more");
  const to = redirectUri === undefined ? undefined : formActionOf(redirectUri);
  const policy = [
    "default-src 'none'",
    `script-src 'nonce-${nonce}'`,
    `style-src 'nonce-${nonce}'`,
    "img-src 'self'",
    "base-uri 'none'",
    `form-action 'self'${to === undefined ? "" : ` ${to}`}`,
    "frame-ancestors 'none'",
  ];
  return {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": policy.join("; "),
    "Cache-Control": "no-store",
    // an address of ours may hold what only this browser should know; `same-origin` keeps Origin and Referer for our own checks
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy":
      "camera=(), microphone=(), geolocation=(), publickey-credentials-get=(self), publickey-credentials-create=(self)",
    ...(isHttps ? { "Strict-Transport-Security": `max-age=${HSTS_S}` } : {}),
  };
}

/** A redirect URI as a source of a policy: its origin, or the scheme of a native app. */
function formActionOf(redirectUri: string): string | undefined {
  const url = URL.parse(redirectUri);
  if (url === null) return undefined;
  if (url.protocol === "https:" || url.protocol === "http:") return url.origin;
  return /^[a-z][a-z0-9+.-]*:$/.test(url.protocol) ? url.protocol : undefined;
}
