import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../logger.ts";
import { BackupState } from "./backup_state.ts";
import type { ShipStep } from "./log_shipper.ts";
import { LogShipping } from "./log_shipping.ts";

test("LogShipping ships no event that may refer to a blob which waits", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-shipping-"));
  try {
    const steps: ShipStep[] = [];
    let publishedSeq = 0;
    const shipping = new LogShipping({
      worker: {
        ship: async (_target, step) => {
          steps.push(step);
          const last = step.logUpTo ?? step.upTo;
          return { last, events: 0, missedUpTo: undefined, repositoryId: "id" };
        },
      },
      target: () => ({ where: "there", key: "key", knownId: undefined }),
      everyMs: 60_000,
      state: BackupState.open(folder),
      hold: async () => () => {},
      publishedSeq: () => publishedSeq,
      now: Date.now,
      logger: createLogger({ enabled: false }),
    });
    // Each is referred to by the event after it.
    for (let n = 0; n < 250; n++) {
      publishedSeq = n;
      shipping.noteBlob({ did: "did:plc:alice", cid: `cid${n}` });
    }
    publishedSeq = 250;
    await shipping.stop();
    const told = steps.map(({ upTo, logUpTo, blobs }) => [upTo, logUpTo, blobs.length]);
    expect(told).toEqual([
      [250, 100, 100],
      [250, 200, 100],
      [250, 250, 50],
    ]);
    expect(shipping.shippedUpTo).toBe(250);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("LogShipping holds the removal of blobs from before it looks how far events are until they are shipped, or cannot be", async () => {
  const folder = mkdtempSync(join(tmpdir(), "kith-shipping-"));
  try {
    const told: string[] = [];
    const shipping = new LogShipping({
      worker: {
        ship: async () => {
          told.push("ships");
          throw new Error("no such place");
        },
      },
      target: () => ({ where: "there", key: "key", knownId: undefined }),
      everyMs: 60_000,
      state: BackupState.open(folder),
      hold: async () => {
        told.push("holds");
        return () => void told.push("releases");
      },
      publishedSeq: () => {
        told.push("looks");
        return 5;
      },
      now: Date.now,
      logger: createLogger({ enabled: false }),
    });
    await shipping.stop();
    expect(told).toEqual(["holds", "looks", "ships", "releases"]);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
