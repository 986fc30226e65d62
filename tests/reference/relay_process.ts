/**
 * A consumer of the firehose as its authors wrote it, `@atproto/sync`, a process of its own under Node: it verifies every commit by the key in the
 * DID document, and keeps its cursor in a file. Prints a line of JSON for each event, once that is handled, and for each problem.
 * Arguments: the server's URL, the PLC directory's, the file.
 */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { IdResolver, MemoryCache } from "@atproto/identity";
import { Firehose } from "@atproto/sync";

const [service = "", plcUrl = "", file = ""] = process.argv.slice(2);
/** Problems of the connection are to be expected: the server dies. */
const RECONNECT_MS = 100;

let cursor = 0;
try {
  cursor = Number(readFileSync(file, "utf8"));
} catch {
  // The first time it begins at the beginning.
}
let handled: Promise<void> = Promise.resolve();
let told: Record<string, unknown>[] = [];

function say(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function handle(did: string, seq: number, handler: () => Promise<void>): Promise<void> {
  told = [];
  await handler();
  say({ seq, did, told });
  cursor = seq;
  writeFileSync(`${file}.part`, String(seq));
  renameSync(`${file}.part`, file);
}

const firehose = new Firehose({
  service: service.replace(/^http/, "ws"),
  // By the plain fetch: everything here is on loopback.
  idResolver: new IdResolver({ plcUrl, fetch, didCache: new MemoryCache(), timeout: 60_000 }),
  unauthenticatedHandles: true,
  maxReconnectSeconds: 1,
  subscriptionReconnectDelay: RECONNECT_MS,
  runner: {
    // What has come is handled first, so that nothing comes again.
    getCursor: async () => {
      await handled;
      return cursor;
    },
    trackEvent: async (did, seq, handler) => {
      handled = handled.then(() => handle(did, seq, handler));
      await handled;
    },
  },
  handleEvent: (event) => {
    const { event: kind, did } = event;
    if (!("collection" in event)) {
      told.push({ kind, did, ...("active" in event ? { active: event.active, status: event.status } : {}) });
      return;
    }
    const cid = "cid" in event ? event.cid.toString() : null;
    told.push({ kind, did, rev: event.rev, path: `${event.collection}/${event.rkey}`, cid });
  },
  onError: ({ name, message, cause }) => {
    const isCutOff = message === "error on firehose subscription";
    say({ [isCutOff ? "cutOff" : "problem"]: `${name}: ${message}: ${String(cause)}` });
  },
});

process.on("SIGTERM", () => {
  void firehose.destroy().then(async () => {
    await handled;
    process.exit(0);
  });
});
await firehose.start();
