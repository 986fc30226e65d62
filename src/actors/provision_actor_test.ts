import { describe, expect, test } from "bun:test";
import { SimulatedClock } from "xstate";
import type { AttemptState } from "../storage/mod.ts";
import { until } from "./_fake_log.ts";
import { ProvisionActors, type ProvisionRun, type ProvisionWork } from "./provision_actor.ts";
import { PROVISION_LIFETIME_MS, StepRefused } from "./provision_machine.ts";

const code = (value: string) => expect.objectContaining({ code: value });

/** Does nothing, and says what it was asked for. */
function work(journal: string[], change: Partial<ProvisionWork> = {}): ProvisionWork {
  return {
    perform: async (step) => void journal.push(`act ${step}`),
    keep: async (state) => void journal.push(`keep ${state}`),
    planReaping: async () => void journal.push("plan"),
    takeBack: async () => void journal.push("take back"),
    archive: async () => void journal.push("archive"),
    close: async () => void journal.push("close"),
    ...change,
  };
}

const run = (given: ProvisionWork, state: AttemptState = "planned"): ProvisionRun => ({
  kind: "mint",
  state,
  work: given,
});

describe("ProvisionActors", () => {
  test("runs an attempt to its end", async () => {
    const actors = new ProvisionActors();
    const journal: string[] = [];
    const end = await actors.run("1", async () => run(work(journal)));
    expect(end).toEqual({ at: "graduated", problem: undefined, refusal: undefined });
    expect(journal).toEqual([
      ...["act planned", "keep preflighted", "act preflighted", "keep genesisReady"],
      ...["act genesisReady", "keep genesisSubmitted", "act genesisSubmitted", "keep plcUpdated"],
      ...["act plcUpdated", "keep graduated", "close"],
    ]);
    expect(actors.isRunning("1")).toBe(false);
  });

  test("lets who comes meanwhile join, also while the lease is being taken", async () => {
    const actors = new ProvisionActors();
    const journal: string[] = [];
    let begun = 0;
    const lease = Promise.withResolvers<void>();
    const step = Promise.withResolvers<void>();
    const begin = async () => {
      begun++;
      await lease.promise;
      return run(work(journal, { perform: () => step.promise }));
    };
    const first = actors.run("1", begin);
    const second = actors.run("1", begin);
    lease.resolve();
    await until(() => actors.isRunning("1"));
    const third = actors.run("1", begin);
    step.resolve();
    const ends = await Promise.all([first, second, third]);
    expect(ends.map(({ at }) => at)).toEqual(["graduated", "graduated", "graduated"]);
    expect(begun).toBe(1);
  });

  test("takes back what is refused, and says so", async () => {
    const actors = new ProvisionActors();
    const journal: string[] = [];
    const perform = async (): Promise<never> => {
      throw new StepRefused("taken");
    };
    const end = await actors.run("1", async () => run(work(journal, { perform }), "genesisSubmitted"));
    expect(end).toEqual({ at: "archived", problem: undefined, refusal: "taken" });
    expect(journal).toEqual(["plan", "keep reaping", "take back", "archive", "close"]);
  });

  test("stops at a problem, and begins anew when it is asked again", async () => {
    const actors = new ProvisionActors();
    const problem = new Error("no");
    const keep = async (): Promise<never> => {
      throw problem;
    };
    const end = await actors.run("1", async () => run(work([], { keep })));
    expect(end).toEqual({ at: "stopped", problem, refusal: undefined });
    expect((await actors.run("1", async () => run(work([])))).at).toBe("graduated");
  });

  test("tells everybody who waits that the lease was not to be had, and forgets it", async () => {
    const actors = new ProvisionActors();
    const begin = () => Promise.reject(new Error("held"));
    const both = await Promise.allSettled([actors.run("1", begin), actors.run("1", begin)]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    await until(() => !actors.isRunning("1"));
    expect((await actors.run("1", async () => run(work([])))).at).toBe("graduated");
  });

  test("lets nobody wait for ever; the run goes on", async () => {
    const actors = new ProvisionActors({ askMs: 1 });
    const step = Promise.withResolvers<void>();
    const begin = async () => run(work([], { perform: () => step.promise }));
    await expect(actors.run("1", begin)).rejects.toThrow(code("timeout"));
    expect(actors.isRunning("1")).toBe(true);
    step.resolve();
    await until(() => !actors.isRunning("1"));
  });

  test("ends an actor that takes too long, and has what it held given back", async () => {
    const clock = new SimulatedClock();
    const actors = new ProvisionActors({ clock });
    const journal: string[] = [];
    let isActing = false;
    const perform = () => {
      isActing = true;
      return new Promise(() => {});
    };
    const ended = actors.run("1", async () => run(work(journal, { perform })));
    await until(() => isActing);
    clock.increment(PROVISION_LIFETIME_MS);
    expect(await ended).toMatchObject({ at: "stopped", problem: { code: "timeout" } });
    expect(journal).toEqual(["close"]);
  });

  test("works on so many at a time, and on none once it is stopped", async () => {
    const actors = new ProvisionActors({ actorsMax: 1 });
    const waiting = actors.run("1", async () => run(work([], { perform: () => new Promise(() => {}) })));
    const outcome = waiting.catch((error: unknown) => error);
    await until(() => actors.isRunning("1"));
    await expect(actors.run("2", async () => run(work([])))).rejects.toThrow(code("busy"));
    await actors.stop();
    expect(await outcome).toMatchObject({ code: "shutting_down" });
    await expect(actors.run("2", async () => run(work([])))).rejects.toThrow(code("shutting_down"));
  });
});
