#!/usr/bin/env bun
import { main } from "./cli/mod.ts";

// @ts-expect-error src/server.ts
process.exit(await main(process.argv.slice(2), { loadServer: () => import("./server.ts") }));
