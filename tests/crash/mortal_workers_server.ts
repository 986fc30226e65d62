/**
 * `kith serve`, but for one thing: its workers die as the file of KITH_TEST_WORKER_DEATH says (mortal_worker.ts). A process of its own.
 */
import { join } from "node:path";

const Immortal = globalThis.Worker;

globalThis.Worker = class extends Immortal {
  constructor(url: string | URL, options: WorkerOptions = {}) {
    const name = /_(\w+)_worker\./.exec(String(url))?.[1] ?? "";
    const env = { ...process.env, KITH_TEST_WORKER: name };
    super(url, { ...options, env, preload: [join(import.meta.dir, "mortal_worker.ts")] } as WorkerOptions);
  }
} as typeof Worker;

const { main } = await import("../../src/cli/mod.ts");
process.exit(await main(process.argv.slice(2), { loadServer: () => import("../../src/server.ts") }));
