#!/usr/bin/env bun
import { dlopen } from "bun:ffi";

/** File operations at once: as many users may await a slow disk side by side. Threads are made as they are needed. */
const DISK_THREADS = 24;
const THREADS_NAME = "UV_THREADPOOL_SIZE";

/**
 * Bun runs as many blocking file operations at once as there are cores, so that on a small box a third fdatasync waits
 * for the first two. Its number is read from the environment of the C library, of which `process.env` is a copy, before
 * the first of them; loading modules from disk is one, hence no imports above. Left alone where the environment says it.
 */
function widenDiskPool(): void {
  if (process.env[THREADS_NAME] !== undefined) return;
  const cpu = process.arch === "arm64" ? "aarch64" : "x86_64";
  const libraries =
    process.platform === "darwin" ? ["libSystem.B.dylib"] : ["libc.so.6", `libc.musl-${cpu}.so.1`];
  for (const library of libraries) {
    try {
      const { symbols, close } = dlopen(library, {
        setenv: { args: ["cstring", "cstring", "int"], returns: "int" },
      });
      symbols.setenv(cString(THREADS_NAME), cString(String(DISK_THREADS)), 0);
      close();
      return;
    } catch {
      // Not the C library of this system: the pool stays as it is.
    }
  }
}

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

widenDiskPool();
const { main } = await import("./cli/mod.ts");
process.exit(await main(process.argv.slice(2), { loadServer: () => import("./server.ts") }));
