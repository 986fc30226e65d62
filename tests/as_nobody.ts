/** Runs the command line as a user who owns nothing, where this process may become one: root alone can. */
import "@atcute/atproto";
import { main } from "../src/cli/mod.ts";

const NOBODY_UID = 65_534;

if (process.getuid?.() === 0) process.setuid?.(NOBODY_UID);
process.exit(await main(process.argv.slice(2), { loadServer: () => import("../src/server.ts") }));
