import { expect, test } from "bun:test";
import { join } from "node:path";
import { within } from "../../tests/wait.ts";

const SCRIPT = `
import { untilInterrupted } from "${join(import.meta.dir, "_interruption.ts")}";
const hangs = process.argv[1] === "hangs";
const close = () => {
  process.stdout.write("closing");
  return hangs ? new Promise(() => {}) : undefined;
};
using _ = untilInterrupted({ name: "restore", io: { err: (text) => process.stderr.write(text) }, left: "Run it again.", close });
setInterval(() => {}, 1_000);
process.stdout.write("ready");
await new Promise(() => {});
`;

async function start(mode: "hangs" | "closes") {
  const child = Bun.spawn([process.execPath, "-e", SCRIPT, mode], { stdout: "pipe", stderr: "pipe" });
  const out = child.stdout.getReader();
  const says = async (word: string) => {
    let text = "";
    while (!text.includes(word)) text += new TextDecoder().decode((await within(word, out.read())).value);
  };
  await says("ready");
  return { child, says };
}

test.each([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
] as const)("%s ends a command with what is left of its work", async (signal, code) => {
  const { child } = await start("closes");
  child.kill(signal);
  expect([await within("the end", child.exited), await new Response(child.stderr).text()]).toEqual([
    code,
    "\nkith restore: Stopped\nRun it again.\n",
  ]);
});

test("a second signal ends it at once, whatever is still being closed", async () => {
  const { child, says } = await start("hangs");
  child.kill("SIGINT");
  await says("closing");
  child.kill("SIGINT");
  expect([await within("the end", child.exited), await new Response(child.stderr).text()]).toEqual([130, ""]);
});
