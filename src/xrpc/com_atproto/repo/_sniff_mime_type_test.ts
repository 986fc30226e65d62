import { expect, test } from "bun:test";
import { sniffMimeType } from "./_sniff_mime_type.ts";

const MP4 = "\0\0\0\x20ftypisom";

test.each([
  ["\xff\xd8\xff\xe0..JFIF", "*/*", "image/jpeg"],
  ["\xff\xd8\xff\xe0..JFIF", "image/png", "image/jpeg"],
  ["\x89PNG\r\n\x1a\n....", null, "image/png"],
  ["RIFF....WEBPVP8 ", "image/jpeg", "image/webp"],
  ["RIFF....WAVEfmt ", null, "audio/wav"],
  ["\0\0\0\x1cftypavif", "*/*", "image/avif"],
  [MP4, "*/*", "video/mp4"],
  [MP4, "audio/mp4", "audio/mp4"],
  [MP4, "text/html", "video/mp4"],
  ["\x1aE\xdf\xa3....webm", "audio/webm", "audio/webm"],
  ["%PDF-1.7", "application/octet-stream", "application/pdf"],
  ["PK\x03\x04", "application/epub+zip", "application/epub+zip"],
  ["PK\x03\x04", "*/*", "application/zip"],
  ["<svg xmlns=", "image/svg+xml", "image/svg+xml"],
  ["hello", "text/plain; charset=utf-8", "text/plain"],
  ["hello", "Text/VTT", "text/vtt"],
  ["hello", "*/*", "application/octet-stream"],
  ["hello", "image/*", "application/octet-stream"],
  ["hello", "nonsense", "application/octet-stream"],
  ["", null, "application/octet-stream"],
])("sniffMimeType() of %j declared %p is %s", (bytes, declared, expected) => {
  expect(sniffMimeType(Buffer.from(bytes, "latin1"), declared)).toBe(expected);
});
