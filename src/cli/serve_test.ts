import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

let folder: string;
const running: Bun.Subprocess[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "kith-serve-"));
});
afterEach(() => {
  for (const child of running.splice(0)) child.kill("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

function serve(args: readonly string[], env: Record<string, string> = {}) {
  const script = join(import.meta.dir, "_serve_fixture.ts");
  const child = Bun.spawn([process.execPath, script, "serve", ...args], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
  running.push(child);
  return child;
}

/** Reads until the text has what is waited for. */
async function until(stream: ReadableStream<Uint8Array>, wanted: string): Promise<string> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let text = "";
  while (!text.includes(wanted)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += decoder.decode(value, { stream: true });
  }
  reader.releaseLock();
  return text;
}

const jsonLines = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

test("serve says where everything is, logs JSON lines, and ends on SIGTERM with 0", async () => {
  const child = serve(["--port", "0"], { PDS_JWT_SECRET: "a-secret-of-the-operator" });
  const out = await until(child.stdout, "3. Read it back");
  const port = /http:\/\/localhost:(\d+)/.exec(out)?.[1];
  expect(out).toMatch(/^kith \d+\.\d+\.\d+\n\n/);
  expect(out).toContain(`data folder    ${folder}/data\n`);
  expect(out).toContain("dev: not visible to the network, because PDS_HOSTNAME is not set\n");
  expect(out).toContain("made           the accounts database\n");
  expect(out).toContain(`curl http://localhost:${port}/xrpc/com.atproto.server.createAccount`);
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe("ok");
  child.kill("SIGHUP");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
  const log = await new Response(child.stderr).text();
  expect(log).not.toContain("a-secret-of-the-operator");
  const messages = jsonLines(log).map(({ msg }) => msg);
  expect(messages).toEqual(expect.arrayContaining(["Started", "Listening", "Stopping", "Stopped"]));
});

test("serve ends at once on a second signal", async () => {
  const child = serve(["--port", "0"], { FIXTURE: "hang" });
  await until(child.stdout, "3. Read");
  child.kill("SIGINT");
  await until(child.stderr, "Stopping");
  child.kill("SIGINT");
  expect(await child.exited).toBe(1);
});

test("serve logs a rejection that nobody handles, and goes on", async () => {
  const child = serve(["--port", "0"], { FIXTURE: "reject" });
  await until(child.stderr, "nobody listens");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

test("serve survives a reader of its output that goes away", async () => {
  const child = serve(["--port", "0"]);
  await until(child.stdout, "kith");
  await child.stdout.cancel();
  await until(child.stderr, "Listening");
  await child.stderr.cancel();
  child.kill("SIGHUP");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(0);
});

test.each([
  [
    { PDS_PORT: "x", PDS_HOSTNAME: "!" },
    78,
    /^kith cannot use this configuration:\n {2}PDS_HOSTNAME.*\n {2}PDS_PORT/,
  ],
  [{ FIXTURE: "refuse" }, 1, /^kith: Could not open the data folder\nTake another\.\n$/],
  [
    { FIXTURE: "defect" },
    1,
    /^kith: Could not start: undefined is not a function\nWith LOG_LEVEL=debug the log has the details\.\n$/,
  ],
] as [Record<string, string>, number, RegExp][])(
  "serve with %j explains and exits %d",
  async (env, code, words) => {
    const child = serve([], { PDS_PORT: "0", ...env });
    const text = await new Response(child.stderr).text();
    expect(await child.exited).toBe(code);
    expect(text).toMatch(words);
    expect(text).not.toMatch(/\n\s+at /);
  },
);

test("serve says that the port is in use", async () => {
  const other = Bun.serve({ port: 0, hostname: "127.0.0.1", fetch: () => new Response() });
  const child = serve(["--port", String(other.port)]);
  const text = await new Response(child.stderr).text();
  expect(await child.exited).toBe(1);
  expect(text).toBe(
    `kith: Could not listen on port ${other.port}: another program uses it\n` +
      "Stop that program, or take another port with --port or PDS_PORT.\n",
  );
  await other.stop(true);
});

test("serve exits 1 where not everything could be closed", async () => {
  const child = serve(["--port", "0"], { FIXTURE: "fail" });
  await until(child.stdout, "3. Read");
  child.kill("SIGTERM");
  expect(await child.exited).toBe(1);
  expect(await new Response(child.stderr).text()).toContain("Not everything could be closed");
});
