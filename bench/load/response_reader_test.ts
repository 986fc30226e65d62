import { expect, test } from "bun:test";
import { ResponseReader } from "./response_reader.ts";

const ANSWERS = [
  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5\r\n\r\nhello",
  "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nmore\r\na\r\n-and-more-\r\n0\r\n\r\n",
  "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
  "HTTP/1.1 400 Bad Request\r\ncontent-length: 3\r\n\r\nbad",
].join("");

function read(pieces: readonly string[], keepBodies = true): string[] {
  const seen: string[] = [];
  const reader = new ResponseReader({
    keepBodies,
    onEnd: ({ status, bodyBytes, body }) => seen.push(`${status} ${bodyBytes} ${body}`),
  });
  for (const piece of pieces) reader.feed(Buffer.from(piece));
  return seen;
}

test.each([1, 2, 3, 7, 64, 1_000])("reads kept connections in pieces of %p bytes", (size) => {
  const pieces = ANSWERS.match(new RegExp(`[^]{1,${size}}`, "g")) ?? [];
  expect(read(pieces)).toEqual(["200 5 hello", "200 14 more-and-more-", "204 0 ", "400 3 bad"]);
});

test("keeps no bodies, unless they tell of an error", () => {
  expect(read([ANSWERS], false)).toEqual(["200 5 ", "200 14 ", "204 0 ", "400 3 bad"]);
});

test.each([
  ["another protocol", "SSH-2.0-x\r\n\r\n"],
  ["a body that ends with the connection", "HTTP/1.1 200 OK\r\n\r\n"],
  ["a chunk without a size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n"],
])("refuses %s", (_what, text) => {
  expect(() => read([text])).toThrow();
});
