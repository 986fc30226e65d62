/** The machine alone: `transition()` decides, nothing is executed. Effects show as the names of actions. */
import { describe, expect, test } from "bun:test";
import { initialTransition, transition } from "xstate";
import type { Reply } from "./ask.ts";
import {
  CHECKPOINT_AT_BYTES,
  HELD_MAX,
  IN_FLIGHT_MAX,
  type Mutation,
  type RepoContext,
  type RepoEvent,
  repoMachine,
  WAL_BYTES_MAX,
} from "./repo_machine.ts";
import type { RepoStatus } from "./repo_types.ts";

const reply: Reply<never> = { resolve: () => {}, reject: () => {} };
const write: Mutation = { type: "write", request: { writes: [] }, reply };
const putBlob = { type: "putBlob", row: {}, reply } as unknown as Mutation;
const putPreferences = { type: "putPreferences", change: {}, reply } as unknown as Mutation;
const moderating = { type: "moderate", change: { kind: "announce" }, reply } as unknown as Mutation;
const importing: Mutation = { type: "import", task: async () => {}, reply };
const changing: Mutation = { type: "changeIdentity", task: async () => {}, reply };
const deletion: Mutation = { type: "delete", reply };
const setStatus = (status: RepoStatus): Mutation => ({ type: "setStatus", status, reply });
const done = (id: string, output?: unknown) =>
  ({ type: `xstate.done.actor.${id}`, output, actorId: id }) as unknown as RepoEvent;
const failed = (id: string) =>
  ({ type: `xstate.error.actor.${id}`, error: new Error("no"), actorId: id }) as unknown as RepoEvent;

class Driver {
  snapshot;
  actions: string[] = [];
  constructor(armed = false) {
    const [snapshot, actions] = initialTransition(repoMachine, { did: "did:plc:x", armed });
    this.snapshot = snapshot;
    this.actions = actions.map((action) => action.type);
  }
  send(...events: RepoEvent[]): this {
    this.actions = [];
    for (const event of events) {
      const [snapshot, actions] = transition(repoMachine, this.snapshot, event);
      this.snapshot = snapshot;
      this.actions.push(...actions.map((action) => action.type));
    }
    return this;
  }
  get state(): unknown {
    return this.snapshot.value;
  }
  get context(): RepoContext {
    return this.snapshot.context;
  }
  count(action: string): number {
    return this.actions.filter((name) => name === action).length;
  }
}

/** A driver resting in the state of a status, its file armed. */
function at(status: RepoStatus): Driver {
  return new Driver(true).send(done("open", status));
}

describe("opening", () => {
  test("holds every change, then acts in order once the file is open and armed", () => {
    const driver = new Driver().send(write, putBlob);
    expect(driver.state).toBe("opening");
    expect(driver.context.held.map((held) => held.type)).toEqual(["write", "putBlob"]);
    driver.send(done("open", "active"));
    expect(driver.state).toBe("ready");
    expect(driver.context.disk).toBe("arming");
    expect(driver.count("arm")).toBe(1);
    expect(driver.count("act")).toBe(0);
    driver.send({ type: "armed" });
    expect(driver.count("act")).toBe(2);
    expect(driver.context).toMatchObject({ inFlight: 2, held: [], disk: "writing" });
  });

  test("does not arm a file that is only read", () => {
    expect(new Driver().send(done("open", "active")).actions).not.toContain("arm");
  });

  test.each([
    ["active", "ready"],
    ["deactivated", "deactivated"],
    ["takendown", "takendown"],
    ["suspended", "takendown"],
  ] as const)("rests by the file's status %s in %s", (status, state) => {
    expect(new Driver().send(done("open", status)).state).toBe(state);
  });

  test("fails for good where the file cannot be opened, and refuses what was held", () => {
    const driver = new Driver().send(write).send(failed("open"));
    expect(driver.snapshot.status).toBe("done");
    expect(driver.state).toBe("failed");
    expect(driver.actions).toContain("refuseHeldFailed");
    expect(driver.context.held).toEqual([]);
  });

  test("refuses past the bound of held changes", () => {
    const driver = new Driver().send(...Array.from({ length: HELD_MAX }, () => write));
    expect(driver.context.held).toHaveLength(HELD_MAX);
    expect(driver.send(write).actions).toEqual(["refuseBusy"]);
    expect(driver.context.held).toHaveLength(HELD_MAX);
  });
});

describe("ready", () => {
  test("arms at the first change and holds the next ones behind it", () => {
    const driver = new Driver().send(done("open", "active")).send(write);
    expect(driver.actions).toContain("arm");
    expect(driver.send(write).actions).not.toContain("arm");
    expect(driver.context.held).toHaveLength(2);
  });

  test("refuses what was held where arming fails, and can try again", () => {
    const driver = new Driver().send(done("open", "active")).send(write);
    driver.send({ type: "armFailed", error: new Error("no room") });
    expect(driver.actions).toContain("rejectHeld");
    expect(driver.context).toMatchObject({ held: [], disk: "reading" });
    expect(driver.send(write).actions).toContain("arm");
  });

  test("lets transactions overlap up to the bound, holds the rest, goes on as they settle", () => {
    const driver = at("active").send(...Array.from({ length: IN_FLIGHT_MAX + 2 }, () => write));
    expect(driver.count("act")).toBe(IN_FLIGHT_MAX);
    expect(driver.context.held).toHaveLength(2);
    driver.send({ type: "settled" });
    expect(driver.count("act")).toBe(1);
    expect(driver.context).toMatchObject({ inFlight: IN_FLIGHT_MAX });
    expect(driver.context.held).toHaveLength(1);
  });

  test("closes only when nothing is under way", () => {
    const driver = at("active").send(write);
    expect(driver.send({ type: "close" }).state).toBe("ready");
    expect(driver.send({ type: "settled" }, { type: "close" }).state).toBe("closing");
  });
});

describe("status", () => {
  test.each([
    ["active", "deactivated", "deactivated"],
    ["active", "takendown", "takendown"],
    ["active", "suspended", "takendown"],
    ["deactivated", "active", "ready"],
    ["takendown", "active", "ready"],
    ["takendown", "deactivated", "deactivated"],
  ] as const)(
    "goes from %s to %s before the file does, and back where the file refuses",
    (from, to, state) => {
      const driver = at(from).send(setStatus(to));
      expect(driver.state).toBe(state);
      expect(driver.actions).toContain("act");
      expect(driver.context).toMatchObject({ status: to, inFlight: 1 });
      driver.send({ type: "statusFailed", previous: from });
      expect(driver.state).toBe(from === "active" ? "ready" : from);
      expect(driver.context).toMatchObject({ status: from, inFlight: 0 });
    },
  );

  test("what was held meanwhile goes on where the file refuses", () => {
    const driver = at("active").send(setStatus("deactivated"), importing);
    expect(driver.context.held.length).toBe(1);
    driver.send({ type: "statusFailed", previous: "active" });
    expect(driver.state).toBe("importing");
    expect(driver.context).toMatchObject({ status: "active", held: [] });
  });

  test("a write held behind a deactivation is refused, not written", () => {
    const driver = new Driver().send(setStatus("deactivated"), write, done("open", "active"));
    driver.send({ type: "armed" });
    expect(driver.count("act")).toBe(1);
    expect(driver.actions).toContain("refuseDeactivated");
    expect(driver.state).toBe("deactivated");
  });

  test("deactivated refuses records and takes blobs", () => {
    expect(at("deactivated").send(write).actions).toEqual(["refuseDeactivated"]);
    expect(at("deactivated").send(putBlob).count("act")).toBe(1);
    expect(at("deactivated").send(putPreferences).count("act")).toBe(1);
  });

  test.each([
    ["write", write],
    ["putBlob", putBlob],
    ["putPreferences", putPreferences],
    ["import", importing],
  ] as const)("takendown refuses %s", (_, event) => {
    expect(at("takendown").send(event).actions).toEqual(["refuseTakendown"]);
  });
});

describe("importing", () => {
  test("waits for what is under way, then has the repo to itself, then lets the rest go on", () => {
    const driver = at("active").send(write, importing);
    expect(driver.state).toBe("ready");
    driver.send({ type: "settled" });
    expect(driver.state).toBe("importing");
    expect(driver.send(write).count("act")).toBe(0);
    driver.send(done("import", "active"));
    expect(driver.state).toBe("ready");
    expect(driver.count("act")).toBe(1);
    expect(driver.context.current).toBeUndefined();
  });

  test("returns to rest where the import fails", () => {
    expect(at("deactivated").send(importing).send(failed("import")).state).toBe("deactivated");
  });
});

describe("deleting", () => {
  test("waits for the disk, refuses everything, and ends closed", () => {
    const driver = at("active").send(write, deletion);
    expect(driver.state).toEqual({ deleting: "draining" });
    expect(driver.send(write).actions).toEqual(["refuseGone"]);
    expect(driver.send({ type: "settled" }).state).toEqual({ deleting: "removing" });
    expect(driver.send(done("remove")).state).toBe("closed");
    expect(driver.snapshot.status).toBe("done");
  });

  test("refuses what was held behind other changes", () => {
    const driver = new Driver().send(done("open", "active")).send(write, deletion);
    expect(driver.actions).toContain("refuseHeld");
    expect(driver.context.held).toEqual([]);
  });
});

describe("a change of identity", () => {
  test("has the repo to itself, in every status", () => {
    for (const status of ["active", "deactivated", "takendown", "suspended"] as const) {
      const driver = at(status).send(changing);
      expect(driver.state).toBe("importing");
      expect(driver.send(write).context.held).toHaveLength(1);
    }
  });
});

describe("closing", () => {
  test("refuses changes, ends closed, or failed", () => {
    const driver = at("active").send({ type: "close" });
    for (const event of [
      write,
      putBlob,
      putPreferences,
      importing,
      changing,
      deletion,
      setStatus("active"),
    ]) {
      expect(driver.send(event).actions).toEqual(["refuseClosed"]);
    }
    expect(at("active").send({ type: "close" }, done("close")).state).toBe("closed");
    expect(at("active").send({ type: "close" }, failed("close")).state).toBe("failed");
  });
});

describe("checkpoints", () => {
  const grown = (bytes: number): RepoEvent => ({ type: "walGrown", bytes });

  test("begin at their size, once, and let writes go on until the WAL is restarted", () => {
    const driver = at("active").send(grown(CHECKPOINT_AT_BYTES - 1));
    expect(driver.actions).not.toContain("checkpointPassive");
    expect(driver.send(grown(CHECKPOINT_AT_BYTES)).actions).toContain("checkpointPassive");
    expect(driver.send(grown(CHECKPOINT_AT_BYTES)).actions).not.toContain("checkpointPassive");
    expect(driver.send(write).count("act")).toBe(1);
    expect(driver.send({ type: "passiveDone" }).actions).toContain("restartWal");
    expect(driver.send(write).count("act")).toBe(0);
    expect(driver.send({ type: "checkpointed" }).count("act")).toBe(1);
    expect(driver.context).toMatchObject({ checkpointing: false, walBytes: 0, disk: "writing" });
  });

  test("a full WAL takes no write, even where the checkpoint fails, until one succeeds", () => {
    const driver = at("active").send(grown(WAL_BYTES_MAX), write);
    expect(driver.count("act")).toBe(0);
    driver.send({ type: "checkpointFailed" });
    expect(driver.context.disk).toBe("paused");
    expect(driver.send({ type: "checkpointAgain" }).actions).toContain("checkpointPassive");
    driver.send({ type: "passiveDone" }, { type: "checkpointed" });
    expect(driver.count("act")).toBe(1);
  });

  test("a failed checkpoint of a small WAL lets writes go on", () => {
    const driver = at("active").send(grown(CHECKPOINT_AT_BYTES), { type: "checkpointFailed" });
    expect(driver.send(write).count("act")).toBe(1);
  });

  test("hold back closing and deletion", () => {
    expect(at("active").send(grown(CHECKPOINT_AT_BYTES), { type: "close" }).state).toBe("ready");
    expect(at("active").send(grown(CHECKPOINT_AT_BYTES), deletion).state).toEqual({ deleting: "draining" });
  });
});

describe("a change that names the statuses it is for", () => {
  const activate: Mutation = { type: "setStatus", status: "active", from: ["deactivated"], reply };
  const deleteIfAsleep: Mutation = { type: "delete", from: ["deactivated"], reply };

  test("is acted upon in one of them, and refused in another", () => {
    expect(at("deactivated").send(activate).state).toBe("ready");
    expect(at("takendown").send(activate).actions).toEqual(["refuseBarred"]);
    expect(at("suspended").send(activate).state).toBe("takendown");
    expect(at("deactivated").send(deleteIfAsleep).state).toEqual({ deleting: "removing" });
    expect(at("active").send(deleteIfAsleep).actions).toEqual(["refuseBarred"]);
  });

  test("is judged in its turn, by what was held before it", () => {
    const driver = new Driver().send(setStatus("takendown"), activate).send(done("open", "deactivated"));
    driver.send({ type: "armed" });
    expect(driver.state).toBe("takendown");
    expect(driver.count("refuseBarred")).toBe(1);
    const woken = at("deactivated").send(setStatus("active"), deleteIfAsleep);
    expect(woken.actions).toContain("refuseBarred");
    expect(woken.state).toBe("ready");
  });
});

test("every state answers every change", () => {
  const drivers: Driver[] = [
    new Driver(),
    at("active"),
    at("deactivated"),
    at("takendown"),
    at("active").send(importing),
    at("active").send(write, deletion),
    at("active").send(deletion),
    at("active").send({ type: "close" }),
  ];
  for (const driver of drivers) {
    for (const event of [
      write,
      putBlob,
      putPreferences,
      importing,
      changing,
      deletion,
      setStatus("active"),
    ]) {
      expect(driver.snapshot.can(event)).toBe(true);
    }
  }
});

test.each(["active", "deactivated", "takendown", "suspended"] as const)(
  "the machine lets moderators act where the account is %s",
  (status) => {
    const driver = at(status).send(moderating);
    expect([driver.count("act"), driver.context.inFlight]).toEqual([1, 1]);
  },
);
