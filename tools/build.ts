/**
 * `bun run build`: one executable for this machine, dist/kith, with the runtime and everything it needs inside.
 * `bun run build --all`: the released platforms, dist/kith-<os>-<cpu>, each from this one machine.
 * `--to=FOLDER` puts them elsewhere than into dist.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");
const PLATFORMS = ["linux-x64", "linux-arm64", "darwin-arm64"] as const;
const START_TIMEOUT_MS = 10_000;

/** A Worker is an entry of its own: the bundler does not follow `new URL("./_x_worker.ts", import.meta.url)`. */
function workerEntries(): string[] {
  return [...new Bun.Glob("src/**/*_worker.ts").scanSync({ cwd: ROOT })].sort();
}

/** Bundles and compiles into `outfile`; throws with the bundler's words when that fails. */
function compile(outfile: string, target?: string): void {
  const run = Bun.spawnSync(
    [
      process.execPath,
      "build",
      "--compile",
      "--bytecode",
      "--format=esm",
      "--no-compile-autoload-dotenv",
      "--no-compile-autoload-bunfig",
      // flat names: beside the main file is where a compiled program looks for its workers
      "--entry-naming=[name].[ext]",
      ...(target ? [`--target=bun-${target}`] : []),
      `--outfile=${outfile}`,
      "src/main.ts",
      ...workerEntries(),
    ],
    { cwd: ROOT, stdout: "pipe", stderr: "pipe" },
  );
  if (run.exitCode !== 0) throw new Error(`Could not build "${outfile}": ${run.stderr.toString().trim()}`);
  console.log(`${outfile} ${(statSync(outfile).size / 1_000_000).toFixed(1)} MB`);
}

/** Starts the executable in a folder that holds nothing else and waits for its health answer. */
async function smokeTest(executable: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kith-build-"));
  copyFileSync(executable, join(folder, "kith"));
  const server = Bun.spawn([join(folder, "kith"), "serve"], {
    cwd: folder,
    env: { PATH: process.env.PATH ?? "", HOME: folder, PDS_PORT: "0" },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
    timeout: START_TIMEOUT_MS,
  });
  try {
    const started = performance.now();
    const url = await firstUrl(server.stdout);
    const health = await fetch(`${url}/xrpc/_health`);
    if (!health.ok) throw new Error(`"${url}/xrpc/_health" answers ${health.status}`);
    console.log(`starts in an empty folder in ${Math.round(performance.now() - started)} ms`);
  } finally {
    server.kill("SIGTERM");
    await server.exited;
    console.log(`exit code ${server.exitCode}; it made: ${readdirSync(folder).sort().join(" ")}`);
    rmSync(folder, { recursive: true, force: true });
  }
}

async function firstUrl(output: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of output) {
    text += decoder.decode(chunk, { stream: true });
    const url = /http:\/\/localhost:\d+(?=\D)/.exec(text)?.[0];
    if (url) return url;
  }
  throw new Error(`The executable ended without printing its URL: ${text}`);
}

process.chdir(ROOT);
const to = process.argv.find((arg) => arg.startsWith("--to="))?.slice("--to=".length) ?? "dist";
mkdirSync(to, { recursive: true });
if (process.argv.includes("--all")) {
  for (const platform of PLATFORMS) compile(join(to, `kith-${platform}`), platform);
} else {
  const executable = join(to, "kith");
  // a running copy of it goes on with the old file
  rmSync(executable, { force: true });
  compile(executable);
  await smokeTest(executable);
}
