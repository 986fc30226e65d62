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

/**
 * While a start runs everything once, compiling it would only take time: code is run as often before it is compiled. Each thread
 * sets it back when it has come up (Bun.unsafe.setJITPolicy).
 */
const JIT_POLICY_AT_START = 100;

interface Compiled {
  readonly outfile: string;
  readonly target?: string;
  /** What a start has run, from a build before: it stands together in the file, so that a start reads no more. */
  readonly order?: string;
}

/** Bundles and compiles; throws with the bundler's words when that fails. */
function compile({ outfile, target, order }: Compiled): void {
  const run = Bun.spawnSync(
    [
      process.execPath,
      "build",
      "--compile",
      "--bytecode",
      "--format=esm",
      // what a start does not need is loaded when it is needed
      "--splitting",
      "--minify-syntax",
      '--define=process.env.NODE_ENV="production"',
      "--conditions=production",
      `--compile-jit-policy=${JIT_POLICY_AT_START}`,
      ...(order ? [`--bytecode-order=${order}`] : []),
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

/** Starts the executable in a folder that holds nothing else and waits for its health answer. What it runs is written to `order`. */
async function smokeTest(executable: string, { order }: { order?: string } = {}): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kith-build-"));
  copyFileSync(executable, join(folder, "kith"));
  const server = Bun.spawn([join(folder, "kith"), "serve"], {
    cwd: folder,
    env: {
      ...{ PATH: process.env.PATH ?? "", HOME: folder, PDS_PORT: "0" },
      ...(order ? { BUN_BYTECODE_ORDER_OUT: order } : {}),
    },
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
const trial = mkdtempSync(join(tmpdir(), "kith-trial-"));
try {
  const order = join(trial, "order");
  compile({ outfile: join(trial, "kith") });
  await smokeTest(join(trial, "kith"), { order });
  if (process.argv.includes("--all")) {
    for (const target of PLATFORMS) compile({ outfile: join(to, `kith-${target}`), target, order });
  } else {
    const executable = join(to, "kith");
    // a running copy of it goes on with the old file
    rmSync(executable, { force: true });
    compile({ outfile: executable, order });
    await smokeTest(executable);
  }
} finally {
  rmSync(trial, { recursive: true, force: true });
}
