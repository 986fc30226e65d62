#!/usr/bin/env bun
import { main } from "./cli/mod.ts";

process.exit(await main(process.argv.slice(2), { loadServer: () => import("./server.ts") }));
