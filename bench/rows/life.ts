/** A server's life: how fast it starts, and how much memory it takes. */
import { type RowSet, USERS } from "../bench.ts";
import { createAccounts } from "../calls.ts";
import type { Peer } from "../peers.ts";
import { residentMb } from "../proc.ts";
import type { RowInfo } from "../rows.ts";
import { createRecordSpec } from "./writes.ts";

const A_QUARTER = { kind: "times", atLeast: 4 } as const;
const ACCOUNTS = 100;
const WRITES = 2_000;
/** Memory is looked at once nothing has happened for so long. */
const REST_MS = 2_000;

const START: RowInfo = {
  id: "start",
  title: "start to first healthy answer",
  unit: "ms",
  better: "lower",
  goal: { kind: "times", atLeast: 20 },
};

function memoryRow(id: string, when: string): RowInfo {
  return { id, title: `memory ${when}`, unit: "MB", better: "lower", goal: A_QUARTER };
}

const IDLE = memoryRow("memory-idle", "idle");
const AFTER_ACCOUNTS = memoryRow("memory-accounts", `after ${ACCOUNTS} accounts`);
const AFTER_WRITES = memoryRow("memory-writes", `after ${WRITES.toLocaleString("en-US")} writes over them`);

/** On a folder that it has been stopped on; its secrets are made. */
const start: RowSet = {
  rows: [START],
  measure: async (bench, name) => {
    const folder = await bench.once(`start ${name}`, async () => {
      const path = bench.folder(name);
      const first = await bench.launch(name, { folder: path });
      await createAccounts(first.url, "user", USERS);
      await first.stop();
      return path;
    });
    const peer = await bench.launch(name, { folder });
    const { startMs } = peer;
    await peer.stop();
    return { [START.id]: { value: startMs } };
  },
};

async function restedMb(peer: Peer): Promise<number> {
  await Bun.sleep(REST_MS);
  return residentMb(peer.pid);
}

const memory: RowSet = {
  rows: [IDLE, AFTER_ACCOUNTS, AFTER_WRITES],
  roundsMax: 3,
  warms: false,
  measure: async (bench, name) => {
    await using peer = await bench.launch(name);
    const idle = await restedMb(peer);
    const accounts = await createAccounts(peer.url, "member", ACCOUNTS);
    const afterAccounts = await restedMb(peer);
    // Each connection writes to its part of the accounts in turn.
    const lanes = Array.from({ length: USERS }, (_, lane) =>
      accounts.filter((_account, at) => at % USERS === lane).map((account) => createRecordSpec(account)),
    );
    const { port } = peer;
    await bench.load.ask({ kind: "load", port, lanes, seconds: 600, requestsMax: WRITES });
    return {
      [IDLE.id]: { value: idle },
      [AFTER_ACCOUNTS.id]: { value: afterAccounts },
      [AFTER_WRITES.id]: { value: await restedMb(peer) },
    };
  },
};

export const LIFE: readonly RowSet[] = [start, memory];
