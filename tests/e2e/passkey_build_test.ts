/** What verifies passkeys, compiled as the executable is: its library has parts that only work in the order of their sources. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "../..");

test("an executable adds a passkey and signs in with it, with nothing beside it", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-passkey-"));
  const run = async (command: string[], cwd: string) => {
    const child = Bun.spawn(command, { cwd, stdout: "pipe", stderr: "pipe" });
    const [output, errors] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
    ]);
    if ((await child.exited) !== 0) throw new Error(`"${command.join(" ")}" failed: ${errors}`);
    return output;
  };
  try {
    const outfile = join(folder, "probe");
    const flags = ["--compile", "--bytecode", "--format=esm", `--outfile=${outfile}`];
    await run([process.execPath, "build", ...flags, "tests/passkey_probe.ts"], ROOT);
    expect(await run([outfile], folder)).toBe("signed in as did:plc:probe\n");
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
