/** The floor: the same client against a bare Bun.serve. */
import { join } from "node:path";
import { type Bench, type RowSet, sampleOf } from "../bench.ts";
import { COLLECTION, postOf } from "../calls.ts";
import { COUNT_MARK, type RequestSpec } from "../load/mod.ts";
import type { RowInfo } from "../rows.ts";
import { CONNECTIONS } from "./reads.ts";

interface Floor {
  readonly pid: number;
  readonly port: number;
}

function start(bench: Bench): Promise<Floor> {
  return bench.once("floor", async () => {
    const child = Bun.spawn([process.execPath, join(import.meta.dir, "../floor_process.ts")], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    bench.atEnd(() => child.kill("SIGKILL"));
    const { value } = await child.stdout.getReader().read();
    return { pid: child.pid, port: Number(new TextDecoder().decode(value)) };
  });
}

const WRITE = JSON.stringify({ repo: "did:plc:someone", collection: COLLECTION, record: postOf(COUNT_MARK) });

function floor(
  id: string,
  title: string,
  {
    request,
    connections,
    unit = "1/s",
  }: { request: RequestSpec; connections: number; unit?: "1/s" | "MB/s" },
): RowSet {
  const row: RowInfo = {
    id: `floor-${id}`,
    title: `floor: bare Bun.serve, ${title}`,
    unit,
    better: "higher",
  };
  return {
    rows: [row],
    peers: ["kith"],
    roundsMax: 3,
    measure: async (bench) => {
      const { pid, port } = await start(bench);
      const { seconds } = bench;
      const lanes = Array.from({ length: connections }, () => [request]);
      const usage = await bench.using({ pid }, () => bench.load.ask({ kind: "load", port, lanes, seconds }));
      const { result } = usage;
      const rate = (unit === "MB/s" ? result.bodyBytes / 1_000_000 : result.requests) / result.seconds;
      return { [row.id]: sampleOf(rate, result.requests, usage) };
    },
  };
}

export const FLOORS: readonly RowSet[] = [
  floor("read", `0.4 kB of JSON, ${CONNECTIONS} connections`, {
    request: { method: "GET", path: "/small" },
    connections: CONNECTIONS,
  }),
  floor("page", `42 kB of JSON, ${CONNECTIONS} connections`, {
    request: { method: "GET", path: "/page" },
    connections: CONNECTIONS,
  }),
  floor("write", "a record in, 0.4 kB of JSON out, 16 connections", {
    request: { method: "POST", path: "/write", json: WRITE },
    connections: 16,
  }),
  floor("car", "3 MB out, one connection", {
    request: { method: "GET", path: "/car" },
    connections: 1,
    unit: "MB/s",
  }),
];
