import { expect, test } from "bun:test";
import * as net from "node:net";
import { isIP, isIPv6 } from "./ip.ts";

test.each([
  ["127.0.0.1", 4],
  ["255.255.255.255", 4],
  ["256.0.0.1", 0],
  ["01.2.3.4", 0],
  ["1.2.3", 0],
  ["1.2.3.4.5", 0],
  ["1.2.3.4\n", 0],
  ["::", 6],
  ["::1", 6],
  ["fe80::1%eth0", 6],
  ["fe80::1%", 0],
  ["::ffff:1.2.3.4", 6],
  ["1:2:3:4:5:6:1.2.3.4", 6],
  ["1:2:3:4:5:6:7:8", 6],
  ["1:2:3:4:5:6:7::", 6],
  ["1:2:3:4:5:6:7:8:9", 0],
  ["1::2::3", 0],
  [":::", 0],
  ["[::1]", 0],
  ["g::1", 0],
  ["12345::", 0],
  ["", 0],
] as const)('isIP("%s") is %d, as node:net says', (text, version) => {
  expect([isIP(text), net.isIP(text)]).toEqual([version, version]);
});

test("isIP() agrees with node:net on addresses that are put together at random", () => {
  const pieces = ["0", "1", "9", "25", "255", "256", "ffff", "A", ":", ":", "::", ".", ".", "1.2.3.4", "%1"];
  for (let round = 0; round < 30_000; round++) {
    const length = 1 + Math.floor(Math.random() * 16);
    const text = Array.from({ length }, () => pieces[Math.floor(Math.random() * pieces.length)]).join("");
    if (isIP(text) !== net.isIP(text) || isIPv6(text) !== net.isIPv6(text)) expect(text).toBe("judged alike");
  }
  for (let round = 0; round < 5_000; round++) {
    const groups = Array.from({ length: 8 }, () => Math.floor(Math.random() * 65_536).toString(16));
    const from = Math.floor(Math.random() * 9);
    groups.splice(from, Math.floor(Math.random() * 9), "");
    const text = groups.join(":");
    if (isIP(text) !== net.isIP(text)) expect(text).toBe("judged alike");
  }
});
