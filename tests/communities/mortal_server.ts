/**
 * `kith serve`, but for one thing: it kills itself as `kill -9` does, around a call that the file of KITH_TEST_DEATH names. What it
 * calls is written to that file's neighbour, so that a test knows where it can die. A process of its own.
 */
import { appendFileSync, readFileSync } from "node:fs";
import { main } from "../../src/cli/mod.ts";
import { XrpcHost } from "../../src/identity/mod.ts";
import { AttemptArchive, AttemptStore, CommunityStore } from "../../src/storage/mod.ts";

const ORDER = process.env.KITH_TEST_DEATH ?? "";

/** What is called, with the word that tells it from other calls of the same method. */
const CALLS: readonly [prototype: object, method: string, name: (args: unknown[]) => string][] = [
  [AttemptStore.prototype, "begin", () => "begin"],
  [AttemptStore.prototype, "keep", ([, , change]) => `keep ${(change as { state: string }).state}`],
  [AttemptStore.prototype, "graduate", () => "graduate"],
  [AttemptStore.prototype, "takePassword", () => "takePassword"],
  [AttemptArchive.prototype, "archive", () => "archive"],
  [CommunityStore.prototype, "remove", () => "remove"],
  [XrpcHost.prototype, "json", ([nsid]) => `call ${String(nsid).split(".").at(-1)}`],
];

let numbers = new Map<string, number>();
let wanted = "";

/** Ends everything here and now where this is the place. */
function pass(place: string): void {
  let order = "";
  try {
    order = readFileSync(ORDER, "utf8");
  } catch {
    // Nothing is ordered.
  }
  if (order !== wanted) numbers = new Map();
  wanted = order;
  const number = (numbers.get(place) ?? 0) + 1;
  numbers.set(place, number);
  appendFileSync(`${ORDER}.places`, `${place} ${number}\n`);
  if (order === `${place} ${number}`) process.kill(process.pid, "SIGKILL");
}

for (const [prototype, method, name] of CALLS) {
  const call = Reflect.get(prototype, method) as (...args: unknown[]) => Promise<unknown>;
  Reflect.set(prototype, method, async function (this: unknown, ...args: unknown[]) {
    const place = name(args);
    pass(`before ${place}`);
    const result = await call.apply(this, args);
    pass(`after ${place}`);
    return result;
  });
}

process.exit(await main(process.argv.slice(2), { loadServer: () => import("../../src/server.ts") }));
