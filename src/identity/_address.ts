import { isIP } from "../ip.ts";

/** Blocks of IPv4 that are not public: IANA's special-purpose registry, multicast and the reserved top. */
const V4_BLOCKED = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.31.196.0/24",
  "192.52.193.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "192.175.48.0/24",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/3",
].map(parseBlock);

/** What of 2000::/3 is not public, or leads to an embedded IPv4 address (Teredo, 6to4). The rest of IPv6 is not public. */
const V6_GLOBAL = parseBlock("2000::/3");
const V6_BLOCKED = ["2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"].map(
  parseBlock,
);
/** NAT64: the last four bytes are the IPv4 address that is reached. RFC 6052 */
const V6_NAT64 = parseBlock("64:ff9b::/96");

/**
 * True for an IP address, as text, that belongs to the public internet. Mapped, compatible, translated and tunnelled forms of
 * private IPv4 addresses are not public, nor is anything that is not an IP address.
 */
export function isPublicAddress(address: string): boolean {
  const bytes = addressBytes(address);
  if (bytes === undefined) return false;
  if (bytes.length === 4) return !V4_BLOCKED.some((block) => contains(block, bytes));
  if (contains(V6_NAT64, bytes)) return !V4_BLOCKED.some((block) => contains(block, bytes.slice(12)));
  return contains(V6_GLOBAL, bytes) && !V6_BLOCKED.some((block) => contains(block, bytes));
}

interface AddressBlock {
  readonly bytes: Uint8Array;
  readonly bits: number;
}

function parseBlock(text: string): AddressBlock {
  const [address = "", bits = ""] = text.split("/");
  return { bytes: addressBytes(address) ?? new Uint8Array(), bits: Number(bits) };
}

function contains(block: AddressBlock, bytes: Uint8Array): boolean {
  if (block.bytes.length !== bytes.length) return false;
  for (let bit = 0; bit < block.bits; bit += 8) {
    const mask = (0xff00 >> Math.min(8, block.bits - bit)) & 0xff;
    if (((block.bytes[bit / 8] ?? 0) ^ (bytes[bit / 8] ?? 0)) & mask) return false;
  }
  return true;
}

/** 4 or 16 bytes, or undefined for what is not an IP address (a zone such as %eth0 is not part of one). */
function addressBytes(address: string): Uint8Array | undefined {
  const kind = address.includes("%") ? 0 : isIP(address);
  if (kind === 4) return Uint8Array.from(address.split(".").map(Number));
  if (kind !== 6) return undefined;
  const groups = withoutDots(address).split("::");
  const head = groupsOf(groups[0] ?? "");
  const tail = groupsOf(groups[1] ?? "");
  const zeros = new Array<number>(Math.max(0, 8 - head.length - tail.length)).fill(0);
  return Uint8Array.from([...head, ...zeros, ...tail].flatMap((group) => [group >> 8, group & 0xff]));
}

function groupsOf(text: string): number[] {
  return text === "" ? [] : text.split(":").map((group) => Number.parseInt(group, 16));
}

/** Rewrites an IPv4 ending, as in ::ffff:127.0.0.1, to two groups. */
function withoutDots(address: string): string {
  return address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, a, b, c, d) => {
    const group = (high: string, low: string) => ((Number(high) << 8) | Number(low)).toString(16);
    return `${group(a, b)}:${group(c, d)}`;
  });
}
