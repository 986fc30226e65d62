/** `GET /metrics`: for whoever knows the admin's password, and on the admin socket. */
import type { Authenticator } from "../auth/mod.ts";
import { METRICS_TYPE } from "../watch/mod.ts";
import type { RateLimits } from "./limits/rate_limits.ts";
import { errorResponse, type RequestContext } from "./router.ts";

const PATH = /^[^:]+:\/\/[^/]+\/metrics\/?(?:\?|$)/;

export interface MetricsSiteOptions {
  readonly authenticator: Authenticator;
  /** Counts as a call does. */
  readonly limits: Pick<RateLimits, "countRequest"> | undefined;
  readonly render: () => Promise<string>;
}

export type MetricsSite = (request: Request, context: RequestContext) => Promise<Response | undefined>;

/** Answers what is for the metrics, and undefined to all else. Never rejects but for a defect. */
export function metricsSite({ authenticator, limits, render }: MetricsSiteOptions): MetricsSite {
  return async (request, context) => {
    if (!PATH.test(request.url) || (request.method !== "GET" && request.method !== "HEAD")) return undefined;
    try {
      limits?.countRequest({ request, ip: context.ip });
      await authenticator.authenticate(request, "admin", { nsid: "metrics" });
    } catch (error) {
      context.failure = error;
      const headers = new Headers({ "WWW-Authenticate": 'Basic realm="kith", charset="UTF-8"' });
      const refused = errorResponse(error, { requestId: context.requestId, headers });
      if (refused.status !== 401) refused.headers.delete("WWW-Authenticate");
      return refused;
    }
    const text = await render();
    const headers = { "Content-Type": METRICS_TYPE, "Cache-Control": "no-store" };
    return new Response(request.method === "HEAD" ? null : text, { headers });
  };
}
