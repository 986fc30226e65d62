import { expect, test } from "bun:test";
import { createActor, initialTransition, SimulatedClock, transition } from "xstate";
import { APPEND_RETRY_MS, type SequencerEvent, sequencerMachine } from "./sequencer_machine.ts";

function run(...events: SequencerEvent[]): { value: unknown; actions: string[] } {
  let [snapshot, actions] = initialTransition(sequencerMachine);
  const names: string[] = [];
  for (const event of events) {
    [snapshot, actions] = transition(sequencerMachine, snapshot, event);
    names.push(...actions.map((action) => action.type));
  }
  return { value: snapshot.value, actions: names };
}

test("sequencerMachine appends what is handed over, one batch at a time", () => {
  const two = run({ type: "handed" }, { type: "handed" });
  expect(two).toMatchObject({ value: "appending" });
  expect(two.actions.filter((name) => name === "append")).toHaveLength(1);
});

test("sequencerMachine goes on while more waits, and rests when nothing does", () => {
  const more = run({ type: "handed" }, { type: "logged", waiting: 3 });
  expect(more.value).toBe("appending");
  expect(more.actions.filter((name) => name === "append")).toHaveLength(2);
  expect(run({ type: "handed" }, { type: "logged", waiting: 0 }).value).toBe("idle");
});

test("sequencerMachine stops only after everything is in the log", () => {
  expect(run({ type: "handed" }, { type: "stop" }).value).toBe("appending");
  const stopped = run({ type: "handed" }, { type: "stop" }, { type: "logged", waiting: 0 });
  expect(stopped.value).toBe("stopped");
  expect(stopped.actions).toContain("reportStopped");
  expect(run({ type: "stop" }).value).toBe("stopped");
});

test("sequencerMachine tries a refused batch again after its delay", () => {
  const clock = new SimulatedClock();
  let appended = 0;
  const machine = sequencerMachine.provide({ actions: { append: () => void appended++ } });
  const actor = createActor(machine, { clock }).start();
  actor.send({ type: "handed" });
  actor.send({ type: "appendFailed" });
  expect(actor.getSnapshot().value).toBe("retrying");
  clock.increment(APPEND_RETRY_MS - 1);
  expect(appended).toBe(1);
  clock.increment(1);
  expect(appended).toBe(2);
  expect(actor.getSnapshot().value).toBe("appending");
  actor.stop();
});
