/** That the benchmark runs: a few of its rows, on kith alone. Its figures are looked at by people, on a quiet machine. */
import { expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { SMOKE_ROWS } from "../../bench/rows/mod.ts";
import type { RowResult } from "../../bench/rows.ts";

const ROOT = join(import.meta.dir, "../..");
const LIMIT_MS = 120_000;

test(
  "bun run bench --smoke measures and writes its files",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "kith-bench-test-"));
    try {
      const [json, svg] = [join(folder, "bench.json"), join(folder, "bench.svg")];
      const command = [process.execPath, "bench/main.ts", "--smoke", "--json", json, "--svg", svg];
      const run = Bun.spawn(command, { cwd: ROOT, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
      const [output, errors] = await Promise.all([
        new Response(run.stdout).text(),
        new Response(run.stderr).text(),
      ]);
      expect({ code: await run.exited, errors: errors.includes("FAILED") ? errors : "" }).toEqual({
        code: 0,
        errors: "",
      });
      const { rows, failures } = JSON.parse(readFileSync(json, "utf8")) as {
        rows: RowResult[];
        failures: string[];
      };
      expect(failures).toEqual([]);
      expect(rows.map(({ id }) => id).sort()).toEqual([...SMOKE_ROWS].sort());
      for (const { series } of rows) expect(series.kith?.value.median).toBeGreaterThan(0);
      expect(output).toContain("does not fsync");
      expect(readFileSync(svg, "utf8")).toStartWith("<svg ");
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
  LIMIT_MS,
);
