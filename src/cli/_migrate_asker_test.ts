import { expect, test } from "bun:test";
import { createAsker } from "./_migrate_asker.ts";

/** An asker whose person gives these answers, and then has gone. */
function asker(answers: readonly string[], options: Record<string, string | true> = {}) {
  const left = [...answers];
  const shown: string[] = [];
  const next = async () => left.shift() ?? Promise.reject(new Error("nobody is there"));
  const made = createAsker({
    options,
    io: { env: {} },
    prompt: { line: next, secret: next },
    show: (text) => shown.push(text),
  });
  return { made, shown, left };
}

const HOST = "https://pds.example.com";
const HANDLE = { host: HOST, proposal: "maria.example.com", isOwn: false, domain: ".example.com" };

test.each([
  ["nothing", [""], "maria.example.com"],
  ["a name", ["anna"], "anna.example.com"],
  ["a name with blanks, capitals and an @", [" @Anna "], "anna.example.com"],
  ["a whole handle", ["anna.example.org"], "anna.example.org"],
  ["no handle, then one", ["an na", "anna"], "anna.example.com"],
  ["no handle, then nothing", ["anna_b", ""], "maria.example.com"],
])("the handle of a person who types %s", async (_, answers, handle) => {
  const { made, left } = asker(answers);
  expect(await made.handle(HANDLE)).toBe(handle);
  expect(left).toEqual([]);
});

test("the handle of an option is completed too, and asked for where it is none", async () => {
  expect(await asker([], { handle: "anna" }).made.handle(HANDLE)).toBe("anna.example.com");
  const { made, shown } = asker(["anna"], { handle: "a!" });
  expect(await made.handle(HANDLE)).toBe("anna.example.com");
  expect(shown).toEqual([expect.stringContaining('"a!.example.com" cannot be a handle')]);
});

test("somebody who types no handle again and again is told so", async () => {
  const { made } = asker(["!", "?", ";"]);
  expect(made.handle(HANDLE)).rejects.toThrow("No handle was chosen");
});

test.each([
  [["one", "one"], "one"],
  [["one", "two", "three", "three"], "three"],
  [["", "", "one", "one"], "one"],
])("a new password typed as %j", async (answers, password) => {
  const { made, left } = asker(answers);
  expect(await made.targetPassword({ host: HOST, isNew: true })).toBe(password);
  expect(left).toEqual([]);
});

test("three passwords that are not the same twice end it", async () => {
  const { made } = asker(["1", "2", "3", "4", "5", "6"]);
  expect(made.targetPassword({ host: HOST, isNew: true })).rejects.toThrow("No password was chosen");
});
