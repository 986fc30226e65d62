import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../logger.ts";
import { BackupState } from "./backup_state.ts";
import type { ShipStep } from "./log_shipper.ts";
import { LogShipping } from "./log_shipping.ts";
import type { ShipAnswer } from "./worker_messages.ts";

interface Shipped {
  readonly shipping: LogShipping;
  readonly steps: ShipStep[];
  /** The step that is under way then, and all after it, fail. */
  fails: boolean;
  /** What the steps leave. */
  left: ShipAnswer["left"];
  nowMs: number;
}

async function shipping(use: (shipped: Shipped) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "kith-shipping-"));
  const steps: ShipStep[] = [];
  const scene = { steps, fails: false, left: [] as ShipAnswer["left"], nowMs: 0 } as Shipped & {
    shipping: LogShipping;
  };
  scene.shipping = new LogShipping({
    worker: {
      ship: async (_target, step) => {
        steps.push(step);
        if (scene.fails) throw new Error("The destination is down");
        const left = step.repos.length > 0 ? scene.left : [];
        return { last: step.upTo, events: 0, missedUpTo: undefined, left, repositoryId: "id" };
      },
    },
    target: () => ({ where: "there", key: "key", knownId: undefined }),
    everyMs: 1,
    state: BackupState.open(folder),
    hold: async () => () => {},
    publishedSeq: () => 1,
    now: Date.now,
    elapsed: () => scene.nowMs,
    logger: createLogger({ enabled: false }),
  });
  try {
    await use(scene);
  } finally {
    scene.fails = false;
    await scene.shipping.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Resolves once so many more steps have begun. */
async function more(steps: readonly ShipStep[], count: number): Promise<ShipStep[]> {
  const from = steps.length;
  while (steps.length < from + count) await Bun.sleep(1);
  return steps.slice(from);
}

const reposOf = (steps: readonly ShipStep[]) => steps.flatMap(({ repos }) => repos);

test("LogShipping ships the file of a repo that changes all the time once in a while, and at last once more", async () => {
  await shipping(async (scene) => {
    scene.shipping.noteRepo("did:plc:alice");
    expect(reposOf(await more(scene.steps, 2))).toEqual(["did:plc:alice"]);
    scene.shipping.noteRepo("did:plc:alice");
    scene.shipping.noteRepo("did:plc:bob");
    expect(reposOf(await more(scene.steps, 5))).toEqual(["did:plc:bob"]);
    scene.nowMs += 10_000;
    expect(reposOf(await more(scene.steps, 5))).toEqual(["did:plc:alice"]);
    scene.shipping.noteRepo("did:plc:alice");
    expect(reposOf(await more(scene.steps, 3))).toEqual([]);
    const before = scene.steps.length;
    await scene.shipping.stop();
    expect(reposOf(scene.steps.slice(before))).toEqual(["did:plc:alice"]);
  });
});

test("LogShipping keeps the repos whose files it could not ship", async () => {
  await shipping(async (scene) => {
    scene.fails = true;
    scene.shipping.noteRepo("did:plc:alice");
    expect(reposOf(await more(scene.steps, 2))).toContain("did:plc:alice");
    scene.fails = false;
    const before = scene.steps.length;
    await scene.shipping.stop();
    expect(reposOf(scene.steps.slice(before))).toEqual(["did:plc:alice"]);
  });
});

test("LogShipping tries again what had no room for a copy, once it has rested", async () => {
  await shipping(async (scene) => {
    scene.left = [{ did: "did:plc:alice", problem: "no room" }];
    scene.shipping.noteRepo("did:plc:alice");
    expect(reposOf(await more(scene.steps, 2))).toContain("did:plc:alice");
    scene.left = [];
    expect(reposOf(await more(scene.steps, 3))).toEqual([]);
    scene.nowMs += 10_000;
    expect(reposOf(await more(scene.steps, 3))).toEqual(["did:plc:alice"]);
  });
});

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
          return { last, events: 0, missedUpTo: undefined, left: [], repositoryId: "id" };
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
