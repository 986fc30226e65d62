import { KithError } from "../../errors.ts";
import { type EndpointAllowlist, type EndpointRules, normalizeEndpoint } from "./endpoint.ts";
import type { HostClient, HostFor, HostKind } from "./host.ts";
import type { NativeHost } from "./native_host.ts";
import { StockHost, type StockHostOptions } from "./stock_host.ts";
import type { Transports } from "./transports.ts";

export interface HostForOptions extends EndpointRules, Pick<StockHostOptions, "dids" | "now"> {
  readonly native: NativeHost;
  readonly transports: Transports;
  readonly serviceDid: string;
  /** An origin without a slash at its end. */
  readonly publicUrl: string;
}

/**
 * Finds the host of an account. Whether it is allowed is for `chooseHost`, before anything is made there: what was made while it
 * was allowed can still be taken back. Throws KithError invalid_request.
 */
export function createHostFor(options: HostForOptions): HostFor {
  const { native, transports, serviceDid, publicUrl, dids, now, devMode } = options;
  const stock = (kind: "loopback" | "remote", endpoint: string): HostClient => {
    const own = kind === "loopback" ? { serviceDid } : {};
    return new StockHost({ kind, host: transports.host(kind, endpoint), dids, now, devMode, ...own });
  };
  return (kind, endpoint) => {
    if (kind === "native") return native;
    if (kind === "loopback") return stock(kind, publicUrl);
    return stock(kind, normalizeEndpoint(endpoint, options));
  };
}

/** What a request for `hosting` at an endpoint means. Throws KithErrors invalid_request, host_not_allowed. */
export function chooseHost(
  wanted: { hosting?: "native" | "stock" | undefined; pdsEndpoint?: string | undefined },
  { publicUrl, allowlist, ...rules }: { publicUrl: string; allowlist: EndpointAllowlist } & EndpointRules,
): { kind: HostKind; endpoint: string } {
  const { hosting, pdsEndpoint } = wanted;
  const endpoint = endpointOf(pdsEndpoint, { publicUrl, ...rules });
  if (endpoint === publicUrl) return { kind: hosting === "stock" ? "loopback" : "native", endpoint };
  if (hosting === "native") {
    const why = `"${endpoint}" is another server`;
    throw new KithError("invalid_request", `Could not make a native account: ${why}`);
  }
  allowlist.check(endpoint);
  return { kind: "remote", endpoint };
}

function endpointOf(
  text: string | undefined,
  { publicUrl, ...rules }: { publicUrl: string; devMode: boolean },
): string {
  if (text === undefined || text === publicUrl || text === `${publicUrl}/`) return publicUrl;
  return normalizeEndpoint(text, rules);
}
