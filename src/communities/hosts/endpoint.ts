/** Which servers a community may be made at: the one spelling of an address, and the operator's list of them. */

import { isReservedHandle } from "../../atproto/mod.ts";
import { KithError } from "../../errors.ts";
import { isIP } from "../../ip.ts";

/** Past these nothing is looked at. */
export const ENDPOINT_CHARS_MAX = 300;
export const ALLOWED_ENDPOINTS_MAX = 1_000;
const QUOTED_CHARS_MAX = 100;

export interface EndpointRules {
  /** Dev mode: also http, ports, and this machine. */
  readonly devMode: boolean;
}

/** Scheme, host, port, and at most one slash: no user name, path, query, fragment, backslash, escape or space. */
const FORM = /^(https?):\/\/(\[[\da-f:.]+\]|[^/?#@\\%:[\]\s\p{Cc}]+)(?::\d{1,5})?\/?$/iu;
const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const HOST_CHARS_MAX = 253;
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/;

/**
 * The origin that the text means, in the one spelling that is stored and compared: lower case, punycode, without the default port,
 * a dot at its end or a slash. KithError invalid_request on anything that a stock PDS cannot be reached at: another scheme, an IP
 * address however it is written, a name that is not of the public DNS, a port.
 */
export function normalizeEndpoint(text: string, { devMode }: EndpointRules): string {
  const refuse = (why: string) =>
    new KithError("invalid_request", `Could not use the server "${text.slice(0, QUOTED_CHARS_MAX)}": ${why}`);
  if (text.length > ENDPOINT_CHARS_MAX)
    throw refuse(`its address has more than ${ENDPOINT_CHARS_MAX} characters`);
  const form = FORM.exec(text);
  const url = form && URL.parse(text);
  if (!form || !url) throw refuse('its address must be of the form "https://pds.example.com"');
  const host = url.hostname.replace(/\.$/, "");
  // What reads as an address of this machine must be written as one: nothing that only a parser takes for it.
  const isLoopback = LOOPBACK.test(host) && host === form[2]?.toLowerCase().replace(/\.$/, "");
  if (devMode && isLoopback) return `${url.protocol}//${host}${url.port === "" ? "" : `:${url.port}`}`;
  if (url.protocol !== "https:") throw refuse("it is not https");
  const problem = problemOf(host, devMode);
  if (problem !== undefined) throw refuse(problem);
  if (url.port !== "" && !devMode) throw refuse("it names a port");
  return `https://${host}${url.port === "" ? "" : `:${url.port}`}`;
}

/** Why a host is none of the public DNS. */
function problemOf(host: string, devMode: boolean): string | undefined {
  if (isIP(host.replace(/^\[|\]$/g, "")) !== 0) return "its host is an IP address";
  const labels = host.split(".");
  if (host.length > HOST_CHARS_MAX || !labels.every((label) => LABEL.test(label)))
    return "its host is not a host name";
  if (labels.length < 2 || isReservedHandle(host, { allowTest: devMode }))
    return "its host is not a name of the public internet";
  return undefined;
}

/** The servers of others that communities may be made at. Empty, it allows none. */
export class EndpointAllowlist {
  readonly #origins: ReadonlySet<string> | "any";

  private constructor(origins: ReadonlySet<string> | "any") {
    this.#origins = origins;
  }

  /** From KITH_COMMUNITY_PDS_ALLOWLIST: origins, or "*" for any public one. Throws KithError config_invalid. */
  static parse(entries: readonly string[], rules: EndpointRules): EndpointAllowlist {
    const invalid = (why: string, cause?: unknown) =>
      new KithError("config_invalid", `Could not use KITH_COMMUNITY_PDS_ALLOWLIST: ${why}`, {
        hint: 'It is a list of origins such as "https://pds.example.com", or "*" for any public server.',
        cause,
      });
    if (entries.length > ALLOWED_ENDPOINTS_MAX)
      throw invalid(`it has more than ${ALLOWED_ENDPOINTS_MAX} entries`);
    const names = entries.map((entry) => entry.trim()).filter((entry) => entry !== "");
    const origins = new Set<string>();
    for (const name of names.filter((entry) => entry !== "*")) {
      try {
        origins.add(normalizeEndpoint(name, rules));
      } catch (error) {
        if (!(error instanceof KithError)) throw error;
        throw invalid(error.message, error);
      }
    }
    return new EndpointAllowlist(names.includes("*") ? "any" : origins);
  }

  /** Whether any server may be used at all. */
  get isEmpty(): boolean {
    return this.#origins !== "any" && this.#origins.size === 0;
  }

  /** `endpoint` as `normalizeEndpoint` gives it. */
  allows(endpoint: string): boolean {
    return this.#origins === "any" || this.#origins.has(endpoint);
  }

  /** Throws KithError host_not_allowed. */
  check(endpoint: string): void {
    if (this.allows(endpoint)) return;
    const why = this.isEmpty
      ? "this server makes no communities at other servers"
      : "it is not among the servers that the operator allows";
    throw new KithError("host_not_allowed", `Could not use the server "${endpoint}": ${why}`, {
      hint: "KITH_COMMUNITY_PDS_ALLOWLIST names the servers that may be used.",
    });
  }
}
