/**
 * The executable: built, it starts in a folder that holds nothing else, and makes an account that can write, and
 * lets an app in by its pages. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createAccount, createRecord, post, repoCar } from "../client.ts";
import { judgeRepo } from "../judges.ts";
import { signInWholly } from "../whole_sign_in.ts";

const ROOT = join(import.meta.dir, "../..");

/** What a command of the executable prints, beside its running server. */
async function command(folder: string, args: string[]): Promise<string> {
  const child = Bun.spawn([join(folder, "kith"), ...args], {
    cwd: folder,
    env: { PATH: "/usr/bin:/bin", HOME: folder },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
  ]);
  expect({ code: await child.exited, err }).toEqual({ code: 0, err });
  return out;
}

test("bun run build makes an executable that needs nothing beside it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-built-"));
  try {
    const build = Bun.spawn([process.execPath, join(ROOT, "tools/build.ts"), `--to=${folder}`], {
      stdout: "pipe",
      stderr: "pipe",
    });
    const output = await new Response(build.stdout).text();
    expect(await build.exited).toBe(0);
    expect(output).toContain("starts in an empty folder");
    const child = Bun.spawn([join(folder, "kith"), "serve"], {
      cwd: folder,
      env: { PATH: "/usr/bin:/bin", HOME: folder, PDS_PORT: "0" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "ignore",
    });
    try {
      let text = "";
      for await (const chunk of child.stdout) {
        text += new TextDecoder().decode(chunk);
        if (/http:\/\/localhost:\d+\s/.test(text)) break;
      }
      const url = /http:\/\/localhost:\d+/.exec(text)?.[0] ?? "";
      const page = await (await fetch(url, { headers: { Accept: "text/html" } })).text();
      const files = page.match(/\/oauth\/assets\/[\w.-]+/g) ?? [];
      const statuses = await Promise.all(files.map(async (path) => (await fetch(url + path)).status));
      expect(statuses).toEqual([200, 200, 200]);
      const alice = await createAccount(url, "alice");
      const { uri, cid } = await createRecord(url, alice, { record: post("from the executable") });
      const repo = await judgeRepo(await repoCar(url, alice.did), alice.did, alice.didKey);
      expect(repo.records.get(uri.replace(`at://${alice.did}/`, ""))).toBe(cid);
      await signInWholly(url, alice);
      const made = await command(folder, ["account", "create", "bobby@example.com", "bobby", "--json"]);
      const bobby = JSON.parse(made) as { did: string };
      const listed = await command(folder, ["account", "list"]);
      for (const did of [alice.did, bobby.did]) expect(listed).toContain(did);
    } finally {
      child.kill("SIGTERM");
      expect(await child.exited).toBe(0);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
