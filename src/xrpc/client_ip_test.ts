import { expect, test } from "bun:test";
import { clientIp, isLocalAddress } from "./client_ip.ts";

test.each([
  ["127.0.0.1", true],
  ["::1", true],
  ["::ffff:10.1.2.3", true],
  ["172.16.0.1", true],
  ["172.32.0.1", false],
  ["192.168.4.4", true],
  ["fd00::1", true],
  ["fe80::1", true],
  ["203.0.113.9", false],
  ["2001:db8::1", false],
])("isLocalAddress() of %s is %p", (address, expected) => {
  expect(isLocalAddress(address)).toBe(expected);
});

test.each([
  ["a public peer is not asked for its claims", "203.0.113.9", "198.51.100.1", "203.0.113.9"],
  ["a local proxy is believed", "127.0.0.1", "198.51.100.1", "198.51.100.1"],
  ["a chain of local proxies is followed", "::ffff:10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"],
  ["what the client claims itself is not", "10.0.0.1", "1.2.3.4, 198.51.100.1", "198.51.100.1"],
  ["rubbish is not an address", "10.0.0.1", "evil\\n", "10.0.0.1"],
  ["nothing forwarded", "10.0.0.1", null, "10.0.0.1"],
  ["a unix socket", undefined, null, "::1"],
])("clientIp(): %s", (_name, socket, forwardedFor, expected) => {
  expect(clientIp({ socket, forwardedFor })).toBe(expected);
});

test.each([
  ["a trusted proxy is believed", "192.0.2.1", "198.51.100.1", "198.51.100.1"],
  ["behind a local one, too", "10.0.0.1", "198.51.100.1, 192.0.2.1", "198.51.100.1"],
  ["a client that claims to be one is not", "203.0.113.9", "192.0.2.1", "203.0.113.9"],
  [
    "nor one that claims to have come through one",
    "10.0.0.1",
    "1.2.3.4, 192.0.2.1, 203.0.113.9",
    "203.0.113.9",
  ],
])("clientIp() with a trusted address: %s", (_name, socket, forwardedFor, expected) => {
  expect(clientIp({ socket, forwardedFor, trusts: (address) => address === "192.0.2.1" })).toBe(expected);
});
