import { expect, test } from "bun:test";
import { createActor, setup } from "xstate";
import { isKithError } from "../errors.ts";
import { ASKS_OPEN_MAX, AskPort, type Reply } from "./ask.ts";

type Event =
  | { type: "double"; n: number; reply: Reply<number> }
  | { type: "ignore"; reply: Reply<number> }
  | { type: "die"; reply: Reply<number> }
  | { type: "finish" };

function port(): { port: AskPort<Event>; send: (event: Event) => void } {
  const machine = setup({
    types: { events: {} as Event },
    actions: {
      double: (_, params: { event: Event }) => {
        if (params.event.type === "double") params.event.reply.resolve(params.event.n * 2);
      },
      die: () => {
        throw new Error("defect");
      },
    },
  }).createMachine({
    initial: "alive",
    states: {
      alive: {
        on: {
          double: { actions: { type: "double", params: ({ event }) => ({ event }) } },
          die: { actions: "die" },
          finish: "ended",
        },
      },
      ended: { type: "final" },
    },
  });
  const actor = createActor(machine);
  const made = new AskPort<Event>(actor);
  actor.start();
  return { port: made, send: (event) => actor.send(event) };
}

const options = { timeoutMs: 20, purpose: "double a number" };

test("AskPort.ask() resolves with the actor's answer", async () => {
  const { port: asked } = port();
  expect(await asked.ask((reply) => ({ type: "double", n: 21, reply }), options)).toBe(42);
  expect(asked.openCount).toBe(0);
});

test("AskPort.ask() ends in a timeout where no state answers", async () => {
  const { port: asked } = port();
  const error: unknown = await asked
    .ask((reply) => ({ type: "ignore", reply }), options)
    .catch((caught: unknown) => caught);
  expect(isKithError(error, "timeout")).toBe(true);
  expect((error as Error).message).toBe("Could not double a number within 20 ms");
});

test("AskPort.ask() ends in an error where the actor dies of an exception, and refuses from then on", async () => {
  const { port: asked } = port();
  const open = asked.ask((reply) => ({ type: "ignore", reply }), { ...options, timeoutMs: 10_000 });
  const died = asked.ask((reply) => ({ type: "die", reply }), { ...options, timeoutMs: 10_000 });
  for (const question of [open, died, asked.ask((reply) => ({ type: "double", n: 1, reply }), options)]) {
    expect(isKithError(await question.catch((caught) => caught), "internal")).toBe(true);
  }
});

test("AskPort.ask() ends in an error where the actor finishes first", async () => {
  const { port: asked, send } = port();
  const open = asked.ask((reply) => ({ type: "ignore", reply }), { ...options, timeoutMs: 10_000 });
  send({ type: "finish" });
  expect(isKithError(await open.catch((caught) => caught), "internal")).toBe(true);
});

test("AskPort.ask() refuses as busy past its bound", async () => {
  const { port: asked, send } = port();
  const open = Array.from({ length: ASKS_OPEN_MAX }, () =>
    asked.ask((reply) => ({ type: "ignore", reply }), { ...options, timeoutMs: 10_000 }).catch(() => "ended"),
  );
  const error = await asked
    .ask((reply) => ({ type: "double", n: 1, reply }), options)
    .catch((caught) => caught);
  expect(isKithError(error, "busy")).toBe(true);
  send({ type: "finish" });
  expect(new Set(await Promise.all(open))).toEqual(new Set(["ended"]));
});
