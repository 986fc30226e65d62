import { describe, expect, test } from "bun:test";
import { initialTransition, transition } from "xstate";
import { STEPS, type Step } from "./move.ts";
import { moveMachine, ROUNDS_MAX, type Turn } from "./move_machine.ts";

const begin = (step: Step, isWeb = false) => initialTransition(moveMachine, { step, isWeb })[0];
type State = ReturnType<typeof begin>;
const answer = (state: State, output: Turn): State =>
  transition(moveMachine, state, { type: `xstate.done.actor.${String(state.value)}`, output })[0];
const fail = (state: State, error: unknown): State =>
  transition(moveMachine, state, { type: `xstate.error.actor.${String(state.value)}`, error })[0];

/** Every step that answers "on", from the first. */
function wayOf(isWeb: boolean): unknown[] {
  const way: unknown[] = [];
  for (let state = begin("signIn", isWeb); ; state = answer(state, "on")) {
    way.push(state.value);
    if (state.status === "done") return way;
  }
}

describe("moveMachine", () => {
  test("goes through every step of a did:plc in order", () => {
    expect(wayOf(false)).toEqual([...STEPS.filter((step) => step !== "awaitDocument"), "done"]);
  });

  test("has the owner of a did:web change the document", () => {
    const plcOnly = ["requestCode", "sign", "submit"];
    expect(wayOf(true)).toEqual([...STEPS.filter((step) => !plcOnly.includes(step)), "done"]);
  });

  test.each(STEPS.map((step) => [step]))("begins again at %s", (step) => {
    const [state, actions] = initialTransition(moveMachine, { step, isWeb: false });
    expect(state.value).toBe(step);
    expect(actions).toContainEqual(expect.objectContaining({ type: "keepStep", params: { step } }));
  });

  test.each(STEPS.map((step) => [step]))("ends with the problem of %s, which is kept", (step) => {
    const problem = new Error("no");
    const state = fail(begin(step), problem);
    expect([state.value, state.status, state.context.problem]).toEqual(["stopped", "done", problem]);
  });

  test.each<[Step, Turn, string]>([
    ["compare", "behind", "copyRepo"],
    ["sign", "behind", "copyRepo"],
    ["awaitDocument", "behind", "copyRepo"],
    ["sign", "newCode", "requestCode"],
    ["submit", "newCode", "requestCode"],
    ["requestCode", "moved", "activate"],
    ["signInThere", "moved", "activate"],
  ])("goes from %s that answers %s to %s", (step, turn, next) => {
    expect(String(answer(begin(step), turn).value)).toBe(next);
  });

  test(`gives up on a source that changes all the time after ${ROUNDS_MAX} rounds`, () => {
    let state = begin("copyRepo");
    for (let round = 0; round < ROUNDS_MAX; round++) {
      while (state.value !== "compare") state = answer(state, "on");
      state = answer(state, "behind");
      expect(state.value).toBe("copyRepo");
    }
    while (state.value !== "compare") state = answer(state, "on");
    state = answer(state, "behind");
    expect([state.value, String(state.context.problem)]).toEqual([
      "stopped",
      expect.stringContaining("changes faster"),
    ]);
  });

  test("drops nothing that it does not know", () => {
    const state = begin("copyBlobs");
    expect(transition(moveMachine, state, { type: "anything" })[0].value).toBe("copyBlobs");
  });
});
