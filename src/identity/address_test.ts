import { expect, test } from "bun:test";
import { isPublicAddress } from "./_address.ts";

test.each([
  "0.0.0.0",
  "0.1.2.3",
  "10.0.0.1",
  "10.255.255.255",
  "100.64.0.1",
  "100.127.255.255",
  "127.0.0.1",
  "127.255.255.254",
  "169.254.169.254",
  "172.16.0.1",
  "172.31.255.255",
  "192.0.0.8",
  "192.0.2.1",
  "192.88.99.1",
  "192.168.1.1",
  "198.18.0.1",
  "198.19.255.255",
  "198.51.100.7",
  "203.0.113.7",
  "224.0.0.1",
  "239.255.255.255",
  "240.0.0.1",
  "255.255.255.255",
  "::",
  "::1",
  "::127.0.0.1",
  "::ffff:127.0.0.1",
  "::ffff:7f00:1",
  "::ffff:0:127.0.0.1",
  "::ffff:8.8.8.8",
  "0:0:0:0:0:ffff:10.0.0.1",
  "64:ff9b::10.0.0.1",
  "64:ff9b::7f00:1",
  "64:ff9b:1::8.8.8.8",
  "100::1",
  "2001::1",
  "2001:10::1",
  "2001:db8::1",
  "2002:7f00:1::1",
  "2002:0808:0808::1",
  "3fff::1",
  "4000::1",
  "5f00::1",
  "fc00::1",
  "fd12:3456::1",
  "fe80::1",
  "fe80::1%eth0",
  "2606:4700::1111%eth0",
  "fec0::1",
  "ff02::1",
  "",
  "localhost",
  "1.2.3",
  "0x7f000001",
  "2130706433",
  "[::1]",
])("isPublicAddress(%p) is false", (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

test.each([
  "1.1.1.1",
  "8.8.8.8",
  "9.255.255.255",
  "11.0.0.1",
  "100.63.255.255",
  "100.128.0.1",
  "126.255.255.255",
  "128.0.0.1",
  "172.15.255.255",
  "172.32.0.1",
  "192.169.0.1",
  "198.20.0.1",
  "223.255.255.255",
  "2001:200::1",
  "2001:4860:4860::8888",
  "2606:4700:4700::1111",
  "2a00:1450:4001:800::200e",
  "64:ff9b::8.8.8.8",
])("isPublicAddress(%p) is true", (address) => {
  expect(isPublicAddress(address)).toBe(true);
});

test("isPublicAddress() judges an embedded IPv4 address by itself, or refuses its form", () => {
  for (let n = 0; n < 5_000; n++) {
    const address = Array.from(crypto.getRandomValues(new Uint8Array(4))).join(".");
    expect(isPublicAddress(`64:ff9b::${address}`)).toBe(isPublicAddress(address));
    for (const prefix of ["::", "::ffff:", "::ffff:0:", "fe80::", "2002::"])
      expect(isPublicAddress(`${prefix}${address}`)).toBe(false);
  }
});
