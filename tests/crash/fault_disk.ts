/** A disk that can lose power, be full or fail, below the real server: `fault_disk.c`, compiled and loaded into it. */
import { mkdtempSync, readFileSync, realpathSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestServer } from "../harness.ts";

/** What `fault_disk.c` calls an operation. */
export type DiskOperation = "write" | "truncate" | "sync" | "rename" | "unlink" | "create";

export interface DiskError {
  readonly error: "ENOSPC" | "EIO" | "SHORT";
  /** The number of the first operation that fails, counted from 1 when this is armed, and how many do. */
  readonly at: number;
  readonly count: number;
  readonly operations: readonly DiskOperation[];
}

export interface DiskStep {
  readonly operation: DiskOperation;
  /** Relative to the data folder. */
  readonly path: string;
}

export class FaultDisk implements Disposable {
  readonly #scratch: string;
  readonly #folder: string;
  readonly #library: string;
  readonly #plan: string;
  readonly #trace: string;
  #plans = 0;

  private constructor(scratch: string, folder: string) {
    this.#scratch = scratch;
    this.#folder = folder;
    this.#library = join(scratch, "fault_disk.so");
    this.#plan = join(scratch, "plan");
    this.#trace = join(scratch, "trace");
  }

  /** Compiles it, for a data folder: `env` puts it below the process that gets it. */
  static below(folder: string): FaultDisk {
    const disk = new FaultDisk(mkdtempSync(join(tmpdir(), "kith-disk-")), realpathSync(folder));
    const source = join(import.meta.dir, "fault_disk.c");
    const compiled = Bun.spawnSync(["cc", "-shared", "-fPIC", "-O1", "-o", disk.#library, source, "-ldl"]);
    if (!compiled.success) throw new Error(`Could not compile fault_disk.c: ${compiled.stderr}`);
    disk.disarm();
    return disk;
  }

  /** Below a server that has not been started. */
  static under(server: TestServer): FaultDisk {
    const disk = FaultDisk.below(server.folder);
    for (const [name, value] of Object.entries(disk.env)) server.set(name, value);
    return disk;
  }

  get env(): Readonly<Record<string, string>> {
    return {
      LD_PRELOAD: this.#library,
      FAULT_FOLDER: this.#folder,
      FAULT_PLAN: this.#plan,
      FAULT_TRACE: this.#trace,
    };
  }

  /**
   * Cuts the power at the `at`-th operation from now, or from the next start. `deaf`: until then syncs of write-ahead logs keep
   * nothing.
   */
  cutAt(at: number, { seed, deaf = false }: { seed: number; deaf?: boolean }): void {
    this.#write(`${seed} ${at} ${deaf ? 1 : 0} NONE 0 0 -`);
  }

  failAt({ error, at, count, operations }: DiskError): void {
    this.#write(`0 0 0 ${error} ${at} ${count} ${operations.join("|")}`);
  }

  disarm(): void {
    this.#write("0 0 0 NONE 0 0 -");
  }

  /** Written whole under another name: the server looks for a new file. */
  #write(line: string): void {
    this.#plans += 1;
    const next = `${this.#plan}.${this.#plans}`;
    writeFileSync(next, `${line}\n`);
    renameSync(next, this.#plan);
    writeFileSync(this.#trace, "");
  }

  /** What the server has done to the disk since the last plan, in order. */
  steps(): DiskStep[] {
    const lines = readFileSync(this.#trace, "utf8").split("\n").filter(Boolean);
    return lines.map((line) => {
      const [, operation, ...path] = line.split(" ");
      return { operation: operation as DiskOperation, path: path.join(" ") };
    });
  }

  [Symbol.dispose](): void {
    rmSync(this.#scratch, { recursive: true, force: true });
  }
}

/** Of so many steps, counted from 1, `stepsMax` that lie evenly, at random: all of them where that is 0. */
export function chosenSteps(
  count: number,
  { stepsMax, random }: { stepsMax: number; random: () => number },
): number[] {
  const all = Array.from({ length: count }, (_, index) => index + 1);
  if (stepsMax === 0 || count <= stepsMax) return all;
  const width = count / stepsMax;
  return Array.from({ length: stepsMax }, (_, i) => 1 + Math.floor(i * width + random() * width));
}
