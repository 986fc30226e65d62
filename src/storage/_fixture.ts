/** For tests of this folder: a temporary folder with a maintenance worker; fatal errors are collected. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Maintenance } from "./maintenance.ts";

export class Fixture implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), "kith-storage-"));
  readonly fatal: unknown[] = [];
  readonly onFatal = (error: unknown): void => void this.fatal.push(error);
  readonly maintenance = Maintenance.start({ onFatal: this.onFatal });

  file(name: string): string {
    return join(this.path, name);
  }

  get options(): { maintenance: Maintenance; onFatal: (error: unknown) => void } {
    return { maintenance: this.maintenance, onFatal: this.onFatal };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.maintenance.stop();
    rmSync(this.path, { recursive: true, force: true });
  }
}
