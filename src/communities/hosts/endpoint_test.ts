import { describe, expect, test } from "bun:test";
import { isKithError, KithError } from "../../errors.ts";
import {
  ALLOWED_ENDPOINTS_MAX,
  ENDPOINT_CHARS_MAX,
  EndpointAllowlist,
  normalizeEndpoint,
} from "./endpoint.ts";

const STRICT = { devMode: false };
const DEV = { devMode: true };

/** The origin, or what is wrong with the address. */
function outcome(text: string, rules = STRICT): string {
  try {
    return normalizeEndpoint(text, rules);
  } catch (error) {
    if (!isKithError(error, "invalid_request")) throw error;
    return error.message.replace(/^Could not use the server ".*": /s, "! ");
  }
}

const FORM = '! its address must be of the form "https://pds.example.com"';
const HTTP = "! it is not https";
const IP = "! its host is an IP address";
const NAME = "! its host is not a host name";
const PRIVATE = "! its host is not a name of the public internet";
const PORT = "! it names a port";

describe("normalizeEndpoint()", () => {
  const rows: readonly (readonly [text: string, strict: string, dev?: string])[] = [
    // One server, spelt in many ways.
    ["https://pds.example.com", "https://pds.example.com"],
    ["https://pds.example.com/", "https://pds.example.com"],
    ["HTTPS://PDS.Example.COM", "https://pds.example.com"],
    ["https://pds.example.com:443", "https://pds.example.com"],
    ["https://pds.example.com:0443/", "https://pds.example.com"],
    ["https://pds.example.com.", "https://pds.example.com"],
    ["https://pds.example.com.:443/", "https://pds.example.com"],
    ["https://pds\u3002example.com", "https://pds.example.com"],
    ["https://\uff50\uff44\uff53.example.com", "https://pds.example.com"],
    ["https://bücher.example.com", "https://xn--bcher-kva.example.com"],
    ["https://BÜCHER.example.com", "https://xn--bcher-kva.example.com"],
    ["https://xn--bcher-kva.example.com", "https://xn--bcher-kva.example.com"],
    // No origin, or more than one.
    ["", FORM],
    ["pds.example.com", FORM],
    ["//pds.example.com", FORM],
    ["https:pds.example.com", FORM],
    ["https:/pds.example.com", FORM],
    ["https:///pds.example.com", FORM],
    ["https:\\\\pds.example.com", FORM],
    ["https://pds.example.com//", FORM],
    ["https://pds.example.com/xrpc", FORM],
    ["https://pds.example.com/.", FORM],
    ["https://pds.example.com/x/..", FORM],
    ["https://pds.example.com/%2e", FORM],
    ["https://pds.example.com?", FORM],
    ["https://pds.example.com?a=b", FORM],
    ["https://pds.example.com#", FORM],
    ["https://pds.example.com#@evil.example.org", FORM],
    ["https://user@pds.example.com", FORM],
    ["https://user:pass@pds.example.com", FORM],
    ["https://@pds.example.com", FORM],
    ["https://pds.example.com\\@evil.example.org", FORM],
    ["https://pds.example.com@evil.example.org", FORM],
    ["https://pds%2eexample.com", FORM],
    ["https://%70ds.example.com", FORM],
    [" https://pds.example.com", FORM],
    ["https://pds.example.com ", FORM],
    ["\thttps://pds.example.com", FORM],
    ["https://pds.exa\nmple.com", FORM],
    ["https://pds.exa\rmple.com", FORM],
    ["https://pds.\u0000example.com", FORM],
    ["https://pds.exa mple.com", FORM],
    ["https://", FORM],
    ["https://:443", FORM],
    ["https://pds.example.com:", FORM],
    ["https://pds.example.com:443:443", FORM],
    ["https://pds.example.com:99999", FORM],
    ["https://pds.example.com:-1", FORM],
    ["https://xn--a.example.com", FORM],
    ["https://a<b>.example.com", FORM],
    // Schemes, of which some have the origin "null".
    ["http://pds.example.com", HTTP],
    ["ftp://pds.example.com", FORM],
    ["ws://pds.example.com", FORM],
    ["wss://pds.example.com", FORM],
    ["file:///etc/passwd", FORM],
    ["foo://pds.example.com", FORM],
    ["javascript:alert(1)", FORM],
    ["data:text/plain,x", FORM],
    ["blob:https://pds.example.com/1", FORM],
    ["about:blank", FORM],
    ["null", FORM],
    // Addresses, in all their spellings.
    ["https://127.0.0.1", IP, "https://127.0.0.1"],
    ["https://127.0.0.1.", IP, "https://127.0.0.1"],
    ["https://127.1", IP],
    ["https://127.0.1", IP],
    ["https://2130706433", IP],
    ["https://0x7f000001", IP],
    ["https://0x7f.1", IP],
    ["https://0177.0.0.1", IP],
    ["https://017700000001", IP],
    ["https://0x7f.0.0.0x1", IP],
    ["https://\u2460\u2461\u2466.0.0.1", IP],
    ["https://\uff11\uff12\uff17.0.0.1", IP],
    ["https://127\u30020\u30020\u30021", IP],
    ["https://0", IP],
    ["https://0.0.0.0", IP],
    ["https://10.0.0.1", IP],
    ["https://169.254.169.254", IP],
    ["https://192.168.1.1:443", IP],
    ["https://1.1.1.1", IP],
    ["https://[::1]", IP, "https://[::1]"],
    ["https://[0:0:0:0:0:0:0:1]", IP],
    ["https://[::]", IP],
    ["https://[::ffff:127.0.0.1]", IP],
    ["https://[::ffff:7f00:1]", IP],
    ["https://[2606:4700:4700::1111]", IP],
    ["https://[fe80::1%25eth0]", FORM],
    ["https://[::1", FORM],
    ["https://256.0.0.1", FORM],
    ["https://1.2.3.4.5", FORM],
    ["https://example.0x1", FORM],
    // Names that are not of the public DNS.
    ["https://localhost", PRIVATE, "https://localhost"],
    ["https://localhost.", PRIVATE, "https://localhost"],
    ["https://LOCALHOST", PRIVATE, "https://localhost"],
    ["https://loc\u00adalhost", PRIVATE],
    ["https://\uff4cocalhost", PRIVATE],
    ["https://pds.localhost", PRIVATE],
    ["https://pds", PRIVATE],
    ["https://metadata", PRIVATE],
    ["https://metadata.google.internal", PRIVATE],
    ["https://nas.local", PRIVATE],
    ["https://router.arpa", PRIVATE],
    ["https://pds.invalid", PRIVATE],
    ["https://abcdefghij.onion", PRIVATE],
    // No host names.
    ["https://pds..example.com", NAME],
    ["https://.example.com", NAME],
    ["https://pds.example.com..", NAME],
    ["https://a_b.example.com", NAME],
    ["https://-pds.example.com", NAME],
    ["https://pds-.example.com", NAME],
    ["https://*.example.com", NAME],
    [`https://${"a".repeat(64)}.example.com`, NAME],
    [`https://${"a.".repeat(126)}com`, NAME],
    // Ports.
    ["https://pds.example.com:8443", PORT, "https://pds.example.com:8443"],
    ["https://pds.example.com:80", PORT, "https://pds.example.com:80"],
    ["https://pds.example.com:0", PORT, "https://pds.example.com:0"],
    // This machine, which only dev mode may use, and only by its plain names.
    ["http://localhost:2583", HTTP, "http://localhost:2583"],
    ["http://localhost:80/", HTTP, "http://localhost"],
    ["http://localhost.:2583", HTTP, "http://localhost:2583"],
    ["http://127.0.0.1:2583", HTTP, "http://127.0.0.1:2583"],
    ["http://127.8.9.10:2583", HTTP, "http://127.8.9.10:2583"],
    ["http://[::1]:2583", HTTP, "http://[::1]:2583"],
    ["http://2130706433:2583", HTTP],
    ["http://0x7f.1:2583", HTTP],
    ["http://loc\u00adalhost:2583", HTTP],
    ["http://[::ffff:127.0.0.1]:2583", HTTP],
    ["http://0.0.0.0:2583", HTTP],
    ["http://10.0.0.1:2583", HTTP],
    ["http://pds.localhost:2583", HTTP],
    ["http://localhost@evil.example.org", FORM],
    ["http://localhost:2583/path", FORM],
  ];
  for (const [text, strict, dev = strict] of rows) {
    test(JSON.stringify(text), () => {
      expect({ strict: outcome(text), dev: outcome(text, DEV) }).toEqual({ strict, dev });
    });
  }

  test("gives what stays as it is", () => {
    for (const [text, , dev] of rows) {
      const origin = outcome(text, DEV);
      if (!origin.startsWith("!")) expect(outcome(origin, DEV)).toBe(dev ?? origin);
    }
  });

  test("looks at no long address, and quotes little of it", () => {
    const long = `https://${"a".repeat(ENDPOINT_CHARS_MAX)}.com`;
    const error = (() => {
      try {
        return normalizeEndpoint(long, STRICT);
      } catch (thrown) {
        return thrown;
      }
    })();
    if (!(error instanceof KithError)) throw error;
    expect(error.message).toContain(`more than ${ENDPOINT_CHARS_MAX} characters`);
    expect(error.message.length).toBeLessThan(250);
  });
});

describe("EndpointAllowlist", () => {
  const pds = "https://pds.example.com";
  test.each<[string, readonly string[], string, boolean]>([
    ["nothing", [], pds, false],
    ["only blanks", ["", " "], pds, false],
    ["the server", [pds], pds, true],
    ["the server, spelt otherwise", [" HTTPS://PDS.example.com.:443/ "], pds, true],
    ["the server, in letters", ["https://bücher.example.com"], "https://xn--bcher-kva.example.com", true],
    ["another server", ["https://other.example.com"], pds, false],
    ["its parent", ["https://example.com"], pds, false],
    ["its child", ["https://a.pds.example.com"], pds, false],
    ["any", ["*"], pds, true],
    ["any, and one", [pds, "*"], "https://other.example.com", true],
  ])("that has %s", (_, entries, endpoint, allowed) => {
    const list = EndpointAllowlist.parse(entries, STRICT);
    expect(list.allows(endpoint)).toBe(allowed);
    if (allowed) list.check(endpoint);
    else expect(() => list.check(endpoint)).toThrow(KithError);
    expect(list.isEmpty).toBe(entries.every((entry) => entry.trim() === ""));
  });

  test.each([
    "pds.example.com",
    "http://pds.example.com",
    "https://*.example.com",
    "**",
    "https://pds.example.com/xrpc",
    "https://10.0.0.1",
    "https://pds.example.com:8443",
    "null",
    "https://localhost",
  ])("is not made of %j: the start is refused", (entry) => {
    const refused = () => EndpointAllowlist.parse([pds, entry], STRICT);
    expect(refused).toThrow(/^Could not use KITH_COMMUNITY_PDS_ALLOWLIST: /);
    expect(refused).toThrow(expect.objectContaining({ code: "config_invalid" }));
  });

  test("may have this machine in dev mode", () => {
    const list = EndpointAllowlist.parse(["http://localhost:2583"], DEV);
    expect([list.allows("http://localhost:2583"), list.allows("http://localhost:2584")]).toEqual([
      true,
      false,
    ]);
  });

  test("has a bound", () => {
    const many = Array.from({ length: ALLOWED_ENDPOINTS_MAX + 1 }, (_, n) => `https://a${n}.example.com`);
    expect(() => EndpointAllowlist.parse(many, STRICT)).toThrow(/more than 1000 entries/);
  });
});
