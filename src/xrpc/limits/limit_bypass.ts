/** Who is not limited: callers that know the operator's key, and those at addresses that the operator has named. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { BlockList } from "node:net";
import { isIP, isIPv6 } from "../../ip.ts";
import { OWN_ADDRESS } from "../client_ip.ts";

const BYPASS_HEADER = "x-ratelimit-bypass";

export interface Caller {
  readonly request: Request;
  /** After trusted proxies. */
  readonly ip: string;
}

export interface LimitBypassOptions {
  /** PDS_RATE_LIMIT_BYPASS_KEY. */
  readonly key: string | undefined;
  /** PDS_RATE_LIMIT_BYPASS_IPS: addresses, and networks as ADDRESS/BITS. */
  readonly addresses: readonly string[];
}

export class LimitBypass {
  readonly #digest: Buffer | undefined;
  readonly #addresses: BlockList | undefined;

  constructor({ key, addresses }: LimitBypassOptions) {
    this.#digest = key === undefined ? undefined : digestOf(key);
    this.#addresses = addresses.length === 0 ? undefined : listOf(addresses);
  }

  /**
   * True where the caller is not limited. This server itself is not: whoever it calls for was counted before, and those who come
   * through it must not use up one budget together.
   */
  covers({ request, ip }: Caller): boolean {
    if (ip === OWN_ADDRESS || this.names(ip)) return true;
    if (this.#digest === undefined) return false;
    const given = request.headers.get(BYPASS_HEADER);
    return given !== null && timingSafeEqual(digestOf(given), this.#digest);
  }

  /** True for an address among those that were named: such a proxy's word is taken, too. */
  names(ip: string): boolean {
    if (this.#addresses === undefined || isIP(ip) === 0) return false;
    return this.#addresses.check(ip, isIPv6(ip) ? "ipv6" : "ipv4");
  }
}

function listOf(addresses: readonly string[]): BlockList {
  const net = require("node:net") as typeof import("node:net");
  const list = new net.BlockList();
  for (const entry of addresses) {
    const [address = "", bits] = entry.split("/");
    const family = isIPv6(address) ? "ipv6" : "ipv4";
    if (bits === undefined) list.addAddress(address, family);
    else list.addSubnet(address, Number(bits), family);
  }
  return list;
}

/** Equal length, whatever was sent, so that the comparison can be constant-time. */
function digestOf(text: string): Buffer {
  return createHash("sha256").update(text).digest();
}
