/** One log line per request: who asked for what, and what came of it. Never a query, a header or a body. */
import { isKithError } from "../errors.ts";
import type { RequestContext } from "./router.ts";

/** What the edge needs of the logger. */
export interface Log {
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** How much of a path is logged, in characters. */
const PATH_CHARS_MAX = 200;

export interface RequestOutcome {
  readonly method: string;
  readonly path: string;
  readonly status: number;
  /** Body bytes where they are known in advance. */
  readonly bytes?: number;
  /** Until the headers of the answer were ready, in milliseconds. */
  readonly ms: number;
}

/** Logs a request: a failure of ours in full, one of what we depend on as a warning, all else as information. */
export function logRequest(
  log: Log,
  { context, outcome }: { context: RequestContext; outcome: RequestOutcome },
): void {
  const { nsid, did, ip, requestId, failure } = context;
  const fields = {
    method: outcome.method,
    path: nsid === undefined ? outcome.path.slice(0, PATH_CHARS_MAX) : undefined,
    nsid,
    status: outcome.status,
    ms: Math.round(outcome.ms * 10) / 10,
    bytes: outcome.bytes,
    did,
    ip,
    requestId,
    error: isKithError(failure) ? failure.code : undefined,
  };
  if (outcome.status < 500 || outcome.status === 501) log.info("request", fields);
  else if (outcome.status === 500) log.error("request failed", { ...fields, failure });
  else log.warn("request failed", { ...fields, failure });
}
