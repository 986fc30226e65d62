/** Who is at the other end, behind the reverse proxy that nearly every server stands behind. */
import { isIP } from "../ip.ts";

/** Most entries of X-Forwarded-For that are looked at, from the right. */
const FORWARDED_ENTRIES_MAX = 16;

const PRIVATE_V4 = /^(?:127\.|10\.|192\.168\.|169\.254\.|172\.(?:1[6-9]|2\d|3[01])\.)/;
const PRIVATE_V6 = /^(?:::1$|f[cd]|fe[89ab])/i;

/** True for loopback, link-local and private addresses: a proxy of the operator's, whose word is taken. */
export function isLocalAddress(address: string): boolean {
  const plain = withoutMapping(address);
  return isIP(plain) === 4 ? PRIVATE_V4.test(plain) : PRIVATE_V6.test(plain);
}

/** Of calls that this server makes to itself: of the block whose packets are thrown away, so nobody else has it. RFC 6666 */
export const OWN_ADDRESS = "100::1";

export interface Peer {
  /** Absent on a unix socket. */
  readonly socket?: string;
  readonly forwardedFor: string | null;
  /** True for a proxy at a public address whose word is taken, too. */
  readonly trusts?: (address: string) => boolean;
}

/**
 * The client's address: the socket's, unless that is a proxy's, a local one or one that is trusted; then the rightmost entry
 * of X-Forwarded-For that is not, since everything left of it is the client's own claim.
 */
export function clientIp({ socket, forwardedFor, trusts = () => false }: Peer): string {
  let ip = withoutMapping(socket ?? "::1");
  if (forwardedFor === null) return ip;
  const entries = forwardedFor.split(",").slice(-FORWARDED_ENTRIES_MAX).reverse();
  for (const entry of entries) {
    const next = withoutMapping(entry.trim());
    if (isIP(next) === 0 || !(isLocalAddress(ip) || trusts(ip))) break;
    ip = next;
  }
  return ip;
}

/** An IPv4 client of a dual-stack socket shows as ::ffff:a.b.c.d. */
function withoutMapping(address: string): string {
  return address.toLowerCase().startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}
