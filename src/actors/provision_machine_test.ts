import { describe, expect, test } from "bun:test";
import { createActor, fromPromise, initialTransition, SimulatedClock, transition } from "xstate";
import type { AttemptKind, AttemptState } from "../storage/mod.ts";
import { until } from "./_fake_log.ts";
import {
  nextState,
  PROVISION_LIFETIME_MS,
  PROVISION_STEPS,
  type ProvisionEvent,
  type ProvisionStep,
  provisionMachine,
  StepRefused,
} from "./provision_machine.ts";

const KINDS: readonly AttemptKind[] = ["native", "loopback", "remote", "mint"];
const problem = new Error("no");
const refused = new StepRefused("taken");

const begin = (kind: AttemptKind, state: AttemptState) =>
  initialTransition(provisionMachine, { kind, state })[0];
type State = ReturnType<typeof begin>;
const send = (state: State, event: object): State =>
  transition(provisionMachine, state, event as ProvisionEvent)[0];
const idOf = (state: State): string =>
  typeof state.value === "string" ? `${state.value}.closing` : Object.entries(state.value).flat().join(".");
const done = (state: State, output?: unknown): State =>
  send(state, { type: `xstate.done.actor.${idOf(state)}`, output });
const fail = (state: State, error: unknown = problem): State =>
  send(state, { type: `xstate.error.actor.${idOf(state)}`, error });

/** What an attempt passes through, its parts left out. */
function wayOf(kind: AttemptKind): unknown[] {
  const way: unknown[] = [];
  for (let state = begin(kind, "planned"); ; state = done(state)) {
    const name = typeof state.value === "string" ? state.value : Object.keys(state.value)[0];
    if (way.at(-1) !== name) way.push(name);
    if (state.status === "done") return way;
  }
}

const START = ["planned", "preflighted", "genesisReady", "genesisSubmitted"];
const STOCK = ["accountCreated", "plcReady", "plcUpdated", "activated", "credentialReady", "declared"];

/** The states that a kind comes through. */
const stepsOf = (kind: AttemptKind) =>
  wayOf(kind).filter((name) => PROVISION_STEPS.includes(name as ProvisionStep)) as ProvisionStep[];
const STATES = KINDS.flatMap((kind) => stepsOf(kind).map((step) => [kind, step] as const));

describe("provisionMachine", () => {
  test.each<[AttemptKind, string[]]>([
    ["remote", [...START, ...STOCK, "graduated", "over"]],
    ["loopback", [...START, ...STOCK, "graduated", "over"]],
    ["native", [...START, "accountCreated", "activated", "declared", "graduated", "over"]],
    ["mint", [...START, "plcUpdated", "graduated", "over"]],
  ])("takes %s through its states in order", (kind, way) => {
    expect(wayOf(kind)).toEqual(way);
  });

  test.each(STATES)("acts on %s %s, and then keeps the next state with what came of it", (kind, step) => {
    const acting = begin(kind, step);
    expect(acting.value as unknown).toEqual({ [step]: "acting" });
    const [keeping, actions] = transition(provisionMachine, acting, {
      type: `xstate.done.actor.${step}.acting`,
      output: "outcome",
    } as unknown as ProvisionEvent);
    expect(keeping.value as unknown).toEqual({ [step]: "keeping" });
    const input = { state: nextState(step, kind), outcome: "outcome" };
    expect(actions).toContainEqual(
      expect.objectContaining({ params: expect.objectContaining({ input: expect.objectContaining(input) }) }),
    );
    const kept = done(keeping);
    const name = typeof kept.value === "string" ? kept.value : Object.keys(kept.value)[0];
    expect(name).toBe(nextState(step, kind));
  });

  test.each(STATES)("stops %s %s where it cannot act or keep, with the problem", (kind, step) => {
    for (const state of [begin(kind, step), done(begin(kind, step))]) {
      const stopped = fail(state);
      expect([stopped.value, stopped.context.problem]).toEqual(["stopped", problem]);
      const over = done(stopped);
      expect([over.value, over.status, over.context.end]).toEqual(["over", "done", "stopped"]);
    }
  });

  test.each(STATES)("knows what a refusal of %s %s leads to", (kind, step) => {
    const leadsTo: Partial<Record<ProvisionStep, string>> = {
      planned: "failed",
      preflighted: "failed",
      genesisReady: "failed",
      genesisSubmitted: "reaping",
    };
    const state = fail(begin(kind, step), refused);
    const name = typeof state.value === "string" ? state.value : Object.keys(state.value)[0];
    expect(String(name)).toBe(leadsTo[step] ?? "stopped");
    const { refusal, problem } = state.context;
    expect([refusal, problem]).toEqual(leadsTo[step] ? ["taken", undefined] : [undefined, "taken"]);
  });

  test("archives what failed, with its refusal", () => {
    let state = fail(begin("remote", "planned"), refused);
    const way: unknown[] = [];
    for (; state.status !== "done"; state = done(state)) way.push(state.value);
    expect(way).toEqual([{ failed: "keeping" }, { failed: "archiving" }, "archived"]);
    expect([state.context.end, state.context.refusal]).toEqual(["archived", "taken"]);
  });

  test("looks, keeps the tombstone's CID, sends it and archives, in this order", () => {
    const way: unknown[] = [];
    let state = begin("remote", "reaping");
    for (; state.status !== "done"; state = done(state)) way.push(state.value);
    const parts = ["looking", "keeping", "acting", "archiving"].map((reaping) => ({ reaping }));
    expect(way).toEqual([...parts, "archived"]);
  });

  test.each(["looking", "keeping", "acting", "archiving"])("stops in the part %s of reaping", (part) => {
    let state = begin("remote", "reaping");
    while ((state.value as { reaping: string }).reaping !== part) state = done(state);
    expect([fail(state).value, fail(state).context.problem]).toEqual(["stopped", problem]);
  });

  test.each(["keeping", "archiving"])("stops in the part %s of failed", (part) => {
    let state = begin("remote", "failed");
    while ((state.value as { failed: string }).failed !== part) state = done(state);
    expect(fail(state).value).toBe("stopped");
  });

  test.each<[AttemptState, string]>([
    ["graduated", "graduated"],
    ["archived", "archived"],
  ])("ends at once where it is %s", (begun, end) => {
    const state = begin("remote", begun);
    expect(state.value as unknown).toBe(begun);
    expect(done(state).context.end as string).toBe(end);
    // what cannot be closed is over all the same
    expect(fail(state).value).toBe("over");
  });

  test("a kind is never in a state that is not its own", () => {
    expect(() => nextState("plcReady", "native")).toThrow("never");
    expect(() => nextState("accountCreated", "mint")).toThrow("never");
  });

  test("takes the questions of whoever joins, in any state", () => {
    for (const [kind, step] of STATES) {
      const state = begin(kind, step);
      const event = { type: "join" as const, reply: { resolve: () => {}, reject: () => {} } };
      const [next, actions] = transition(provisionMachine, state, event);
      expect(next.value).toEqual(state.value);
      expect(actions).toContainEqual(expect.objectContaining({ type: "answerLater", params: event.reply }));
    }
  });

  test("is moved by nothing else", () => {
    for (const [kind, step] of STATES) {
      const state = begin(kind, step);
      expect(send(state, { type: "anything" }).value).toEqual(state.value);
    }
  });

  test("does not live longer than it may", async () => {
    const clock = new SimulatedClock();
    const closed: unknown[] = [];
    const machine = provisionMachine.provide({
      actors: {
        perform: fromPromise(() => new Promise(() => {})),
        close: fromPromise(async ({ input }) => void closed.push(input.problem)),
      },
      actions: { answerAll: () => {} },
    });
    const actor = createActor(machine, { clock, input: { kind: "remote", state: "planned" } }).start();
    clock.increment(PROVISION_LIFETIME_MS - 1);
    expect(actor.getSnapshot().value).toEqual({ planned: "acting" });
    clock.increment(1);
    await until(() => actor.getSnapshot().status === "done");
    expect(closed).toMatchObject([{ code: "timeout" }]);
    expect(actor.getSnapshot().context.end).toBe("stopped");
  });
});
