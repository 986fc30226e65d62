import { expect, test } from "bun:test";
import { KithError } from "./errors.ts";
import { createLogger, LINE_CHARS_MAX, type LoggerOptions, redact } from "./logger.ts";

function capture(options: LoggerOptions = {}) {
  const lines: string[] = [];
  const log = createLogger({ write: (line) => lines.push(line), now: () => 0, ...options });
  return { log, lines };
}

test("Logger writes one JSON line an entry, with its fields and those of its child", () => {
  const { log, lines } = capture();
  log.child({ requestId: "r1" }).info("Answered", { status: 200 });
  expect(lines).toEqual([
    '{"time":"1970-01-01T00:00:00.000Z","level":"info","msg":"Answered","requestId":"r1","status":200}\n',
  ]);
});

test("Logger writes a readable line on a terminal, without control characters", () => {
  const { log, lines } = capture({ format: "text" });
  log.warn("two\nlines \u001b[31mred", { path: "/a/b", note: "with space", n: 3, gone: undefined });
  expect(lines).toEqual(['00:00:00.000 WARN  two lines  [31mred path=/a/b note="with space" n=3\n']);
});

test("Logger leaves stacks out where somebody at a terminal reads", () => {
  const { log, lines } = capture({ format: "text", stacks: false });
  log.error("no", { error: new KithError("internal", "first", { cause: new Error("second") }) });
  expect(lines[0]).toMatch(/first.*second/);
  expect(lines[0]).not.toMatch(/stack|logger_test/);
});

test.each([
  [{ level: "warn" }, 2],
  [{ level: "trace" }, 4],
  [{ level: "fatal" }, 0],
  [{ enabled: false }, 0],
] as [LoggerOptions, number][])("Logger with %p writes %d of four levels", (options, count) => {
  const { log, lines } = capture(options);
  log.debug("a");
  log.info("b");
  log.warn("c");
  log.error("d");
  expect(lines.length).toBe(count);
});

test("Logger hides values by the name of their key, at any depth", () => {
  const { log, lines } = capture();
  log.info("x", {
    password: "pw-1",
    headers: { Authorization: "abc-2", cookie: "c-3", accept: "all" },
    list: [{ refreshToken: "t-4", privateKey: new Uint8Array(3), inviteCode: "i-5" }],
  });
  expect(lines[0]).not.toMatch(/pw-1|abc-2|c-3|t-4|i-5/);
  expect(lines[0]).toContain('"accept":"all"');
});

test("Logger hides the secrets it was told of, in messages, fields and errors", () => {
  const { log, lines } = capture();
  log.hide("f00ba4");
  log.hide("a");
  log.error("key f00ba4 a", {
    error: new KithError("internal", "got f00ba4", { cause: new Error("f00ba4") }),
  });
  expect(lines[0]).not.toContain("f00ba4");
  expect(lines[0]).toContain('"msg":"key [hidden] a"');
  expect(lines[0]).toContain('"code":"internal"');
});

const JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJkaWQifQ.c2lnbmF0dXJl";
test.each([
  [`Authorization: Bearer ${JWT}`, "Authorization: Bearer [hidden]"],
  [`DPoP ${JWT}`, "DPoP [hidden]"],
  ["Basic YWRtaW46c2VjcmV0", "Basic [hidden]"],
  [`the token ${JWT} is old`, "the token [hidden] is old"],
  ["smtps://user:pa55@mail.example.com", "smtps://[hidden]@mail.example.com"],
  ["/x?token=abcd&b=1", "/x?token=[hidden]&b=1"],
  ["b=1&CODE=abcd", "b=1&CODE=[hidden]"],
  ["BEARER abcdef", "BEARER [hidden]"],
  ["login with abcd-efgh-2345-wxyz", "login with [hidden]"],
  [
    "did:plc:ewvi7nxzyoun6zhxrhs64oiz app.bsky.feed.post",
    "did:plc:ewvi7nxzyoun6zhxrhs64oiz app.bsky.feed.post",
  ],
  ["basic rules", "basic [hidden]"],
])("redact(%p)", (text, expected) => {
  expect(redact(text)).toBe(expected);
});

test("Logger bounds a line, whatever it is given", () => {
  const { log, lines } = capture();
  const loop: Record<string, unknown> = { big: "x".repeat(100_000) };
  loop.self = loop;
  log.info("y".repeat(100_000), { many: Array.from({ length: 1000 }, () => "z".repeat(5_000)), loop });
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(LINE_CHARS_MAX);
  expect(JSON.parse(lines[0] ?? "").level).toBe("info");
});
