import { expect, test } from "bun:test";
import { COUNT_MARK } from "./jobs.ts";
import { HOST, prepareRequest, stamp } from "./request_bytes.ts";

test("a GET has a host, a token where it is given, and no body", () => {
  const { bytes, countsAt } = prepareRequest({ method: "GET", path: "/xrpc/a.b.c?d=e", token: "t" });
  expect(bytes.toString()).toBe(
    `GET /xrpc/a.b.c?d=e HTTP/1.1\r\nhost: ${HOST}\r\nauthorization: Bearer t\r\n\r\n`,
  );
  expect(countsAt).toEqual([]);
});

test("each mark in JSON becomes the number", () => {
  const request = prepareRequest({
    method: "POST",
    path: "/",
    json: `{"a":"${COUNT_MARK}","b":"${COUNT_MARK}"}`,
  });
  stamp(request, 0xabc);
  const text = request.bytes.toString();
  expect(text).toEndWith('{"a":"000000000abc","b":"000000000abc"}');
  expect(text).toContain("\r\ncontent-type: application/json\r\ncontent-length: 39\r\n\r\n");
});

test("an image begins as a PNG does and differs each time", () => {
  const request = prepareRequest({ method: "POST", path: "/", imageBytes: 1_000 });
  const body = () => Buffer.from(request.bytes.subarray(-1_000));
  stamp(request, 1);
  const first = body();
  stamp(request, 2);
  expect(first.subarray(1, 4).toString()).toBe("PNG");
  expect(body().equals(first)).toBe(false);
});
