import { expect, jest, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { KithError } from "../errors.ts";
import { BackupState } from "./backup_state.ts";
import { DrillService, type DrillServiceOptions } from "./drill_service.ts";
import type { DrillAnswer } from "./run_drill.ts";

const HOUR_MS = 3_600_000;

const check = {
  ...{ findings: [], problems: 0, harms: 0, mendable: 0 },
  ...{ accounts: 2, repos: 2, records: 5, blobs: 0, events: 9 },
};

function answer(more: Partial<DrillAnswer> = {}): DrillAnswer {
  return {
    ...{ where: "there", snapshot: "snapshots/x", at: "2026-01-31T00:00:00Z", seconds: 3 },
    ...{ accounts: 2, commits: 1, blobs: 0, blobsRead: 0, log: undefined, lost: [], notes: [], check },
    ...more,
  };
}

async function scene(
  use: (parts: {
    service: DrillService;
    state: BackupState;
    said: string[];
    worker: { runs: number; next: () => Promise<DrillAnswer> };
    clock: { now: number };
  }) => Promise<void>,
  settings: Partial<DrillServiceOptions["settings"]> = {},
): Promise<void> {
  const path = mkdtempSync(join(tmpdir(), "kith-drill-"));
  jest.useFakeTimers();
  const said: string[] = [];
  const say = (message: string) => void said.push(message);
  const logger = { debug: say, info: say, warn: say, error: say, child: () => logger };
  const worker = { runs: 0, next: async () => answer() };
  const clock = { now: Date.parse("2026-01-31T00:00:00Z") };
  const state = BackupState.open(path);
  const service = new DrillService({
    worker: {
      run: async () => {
        worker.runs += 1;
        return await worker.next();
      },
      stop: () => {},
    },
    settings: {
      ...{ destination: "there", key: "key", intervalMs: 24 * HOUR_MS, folder: path, blobBytes: 0 },
      access: {} as DrillServiceOptions["settings"]["access"],
      ...settings,
    },
    ...{ state, logger, isBusy: () => false, now: () => clock.now },
  });
  try {
    await use({ service, state, said, worker, clock });
  } finally {
    service.stop();
    jest.useRealTimers();
    // What came of the last drill is being written there.
    while (service.isRunning) await new Promise((resolve) => setImmediate(resolve));
    rmSync(path, { recursive: true, force: true });
  }
}

const backup = {
  ...{ at: "2026-01-30T00:00:00Z", snapshot: "s", destination: "there", seconds: 1 },
  ...{ bytes: 1, writtenBytes: 1, problems: 0 },
};

test("DrillService drills when it is due, and not before there is a backup", async () => {
  await scene(async ({ state, worker, clock }) => {
    jest.advanceTimersByTime(HOUR_MS);
    expect(worker.runs).toBe(0);
    await state.update({ lastBackup: backup });
    jest.advanceTimersByTime(60_000);
    expect(worker.runs).toBe(1);
    // One write after another: the drill has noted what came of it.
    for (let writes = 0; writes < 3; writes += 1) await state.update({});
    await state.update({ lastDrill: { at: new Date(clock.now).toISOString(), seconds: 1 } });
    jest.advanceTimersByTime(HOUR_MS);
    expect(worker.runs).toBe(1);
    clock.now += 24 * HOUR_MS;
    jest.advanceTimersByTime(60_000);
    expect(worker.runs).toBe(2);
  });
  await scene(
    async ({ state, worker }) => {
      await state.update({ lastBackup: backup });
      jest.advanceTimersByTime(48 * HOUR_MS);
      expect(worker.runs).toBe(0);
    },
    { intervalMs: 0 },
  );
});

test("DrillService remembers what was proven, and why it was not", async () => {
  await scene(async ({ service, state, said, worker }) => {
    await service.run();
    const proven = { at: "2026-01-31T00:00:00Z", snapshot: "snapshots/x" };
    expect([state.values.lastProven, state.values.lastDrill?.problem]).toEqual([proven, undefined]);
    expect(said.at(-1)).toBe("The backup is proven restorable");
    const lost = [{ did: "did:plc:a", handle: "a.test", what: "its repo is damaged", isLoss: true }];
    worker.next = async () => answer({ at: "2026-02-01T00:00:00Z", lost });
    await service.run();
    expect(state.values.lastDrill?.problem).toBe(
      "1 account would lose something, such as did:plc:a: its repo is damaged",
    );
    const fault = { code: "record_damaged", detail: "records are damaged (1): x", means: "It is lost." };
    const findings = [{ ...fault, did: "did:plc:b", isHarm: true }];
    worker.next = async () => answer({ check: { ...check, findings, problems: 1, harms: 1 } });
    await service.run();
    expect([state.values.lastProven, state.values.lastDrill?.problem]).toEqual([
      proven,
      "1 faults in what would be restored, such as record_damaged of did:plc:b: records are damaged (1): x",
    ]);
    // What takes room alone is told, and keeps nothing from being proven.
    const minor = [{ ...fault, code: "blob_stray", isHarm: false }];
    const later = "2026-02-02T00:00:00Z";
    worker.next = async () => answer({ at: later, check: { ...check, findings: minor, problems: 1 } });
    await service.run();
    expect(state.values.lastProven).toEqual({ ...proven, at: later });
    expect(said.filter((each) => each.startsWith("The drill has found"))).toHaveLength(2);
    worker.next = async () => {
      throw new KithError("storage_damaged", "an object is missing");
    };
    expect(service.run()).rejects.toThrow("an object is missing");
    await Promise.resolve(service.run().catch(() => {}));
    expect([state.values.lastProven, state.values.lastDrill?.problem]).toEqual([
      { ...proven, at: later },
      "an object is missing",
    ]);
  });
});

test("DrillService refuses a second drill beside the first, one without a destination, and any once it has stopped", async () => {
  await scene(async ({ service, worker }) => {
    const gate = Promise.withResolvers<DrillAnswer>();
    worker.next = () => gate.promise;
    const first = service.run();
    expect(service.run()).rejects.toThrow("one is under way");
    gate.resolve(answer());
    await first;
    service.stop();
    expect(service.run()).rejects.toThrow("the server stops");
  });
  await scene(
    async ({ service }) => {
      expect(service.run()).rejects.toThrow("no destination is named");
    },
    { destination: undefined },
  );
});
