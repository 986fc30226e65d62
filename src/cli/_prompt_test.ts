import { expect, test } from "bun:test";
import { EventEmitter } from "node:events";
import { barOf, createDisplay } from "./_migrate_display.ts";
import { createPrompt, type Keyboard, PromptEnded } from "./_prompt.ts";

class FakeKeyboard extends EventEmitter {
  isTTY = true;
  raw: boolean[] = [];
  setRawMode(raw: boolean) {
    this.raw.push(raw);
  }
  resume() {}
  pause() {}
}

function open() {
  const keyboard = new FakeKeyboard();
  let shown = "";
  const prompt = createPrompt(keyboard as unknown as Keyboard, (text) => {
    shown += text;
  });
  if (prompt === undefined) throw new Error("There is a terminal");
  const type = (text: string) => keyboard.emit("data", new TextEncoder().encode(text));
  return { keyboard, prompt, type, shown: () => shown };
}

test.each([
  ["line", "ab\u007fc\r", "ac", "Q: ab\b \bc\n"],
  ["line", "wrong\u0015right\n", "right", `Q: wrong${"\b \b".repeat(5)}right\n`],
  ["secret", "pass wörd\r", "pass wörd", "Q: \n"],
  ["secret", "\r", "", "Q: \n"],
] as const)("a prompt reads a %s from %j", async (kind, typed, answer, shown) => {
  const it = open();
  const asked = it.prompt[kind]("Q: ");
  for (const char of typed) it.type(char);
  expect(await asked).toBe(answer);
  expect([it.shown(), it.keyboard.raw, it.keyboard.listenerCount("data")]).toEqual([shown, [true, false], 0]);
});

test("the terminal shows nothing by itself from when the question is there", async () => {
  const keyboard = new FakeKeyboard();
  const seen: [text: string, isRaw: boolean | undefined][] = [];
  const prompt = createPrompt(keyboard as unknown as Keyboard, (text) => {
    seen.push([text, keyboard.raw.at(-1)]);
  });
  const asked = prompt?.secret("Q: ");
  keyboard.emit("data", new TextEncoder().encode("x\r"));
  await asked;
  expect(seen).toEqual([
    ["Q: ", true],
    ["\n", false],
  ]);
});

test.each([["\u0003"], ["\u0004"]])("a prompt ends at %j, and leaves the terminal as it was", async (key) => {
  const it = open();
  const asked = it.prompt.secret("Q: ");
  it.type(`half${key}`);
  expect(asked).rejects.toThrow(PromptEnded);
  await asked.catch(() => undefined);
  expect(it.keyboard.raw).toEqual([true, false]);
});

test("there is no prompt without a terminal", () => {
  const keyboard = Object.assign(new FakeKeyboard(), { isTTY: false });
  expect(createPrompt(keyboard as unknown as Keyboard, () => undefined)).toBeUndefined();
});

test.each([
  [
    { what: "blobs", done: 6, total: 12, bytes: 1_500_000 } as const,
    `[${"#".repeat(12)}${".".repeat(12)}] 6 of 12, 1.5 MB`,
  ],
  [{ what: "blobs", done: 0, total: 0, bytes: 0 } as const, `[${"#".repeat(24)}] 0 of 0, 0 B`],
  [{ what: "repo", done: 12, bytes: 12 } as const, "12 B"],
  [
    { what: "repo", done: 500, total: 1_000, bytes: 500 } as const,
    `[${"#".repeat(12)}${".".repeat(12)}] 500 B of 1.0 kB`,
  ],
])("barOf(%j)", (progress, bar) => {
  expect(barOf(progress)).toBe(bar);
});

test("what another server says about a move reaches the terminal without its control characters", async () => {
  const lines: string[] = [];
  const io = {
    env: {},
    cwd: "/",
    isTerminal: true,
    out: (text: string) => void lines.push(text),
    err: () => {},
  };
  const display = createDisplay(io, { json: false });
  display.say("one\u001b]0;title\u0007\ntwo");
  display.note("three\u009b2J\r");
  expect(lines.join("")).toBe("one\u{fffd}]0;title\u{fffd}\ntwo\n    three\u{fffd}2J\u{fffd}\n");
  const it = open();
  const asked = it.prompt.line("Code of \u001b[2J: ");
  it.type("1\r");
  await asked;
  expect(it.shown()).toBe("Code of \u{fffd}[2J: 1\n");
});
