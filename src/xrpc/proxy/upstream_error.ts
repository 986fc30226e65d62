/** What another service refused, told to our caller as the service told it. */
import { KithError } from "../../errors.ts";

const MESSAGE_CHARS_MAX = 2_000;
const NAME = /^[\x21-\x7e]{1,128}$/;

/** Names for services that give none. */
const NAME_BY_STATUS: Readonly<Record<number, string>> = {
  400: "InvalidRequest",
  401: "AuthenticationRequired",
  403: "Forbidden",
  404: "XRPCNotSupported",
  406: "NotAcceptable",
  413: "PayloadTooLarge",
  415: "UnsupportedMediaType",
  429: "RateLimitExceeded",
  501: "MethodNotImplemented",
  503: "NotEnoughResources",
  504: "UpstreamTimeout",
};

export class UpstreamError extends KithError {
  readonly status: number;
  /** The name of the error, the service's own where it gave one. */
  readonly error: string;
  /** Those of the service's headers that are passed on. */
  readonly headers: Headers;

  /** `json` is the body, where it is a JSON object. A failure inside of the service is not one of ours: 500 becomes 502. */
  constructor({
    status,
    json,
    headers,
  }: {
    status: number;
    json: Readonly<Record<string, unknown>> | undefined;
    headers: Headers;
  }) {
    const { error, message } = json ?? {};
    const words = typeof message === "string" && message !== "" ? message : `The service answered ${status}`;
    super("upstream_failure", words.slice(0, MESSAGE_CHARS_MAX));
    this.status = status === 500 ? 502 : status;
    this.error =
      typeof error === "string" && NAME.test(error)
        ? error
        : (NAME_BY_STATUS[this.status] ?? (status >= 500 ? "UpstreamFailure" : "InvalidRequest"));
    this.headers = headers;
  }
}
