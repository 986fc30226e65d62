/**
 * The states of the sequencer. Events wait in its queue; one batch at a time is appended to the event log and reaches the
 * disk. Which of them are published then is sequencer.ts's.
 *   idle        nothing waits
 *   appending   a batch has been appended, or was refused; the disk is awaited
 *   retrying    the log had no room: nothing is dropped, the same batch is tried again
 *   stopped     everything handed over is durable in the log, or it had no room for it at the stop
 */
import { assign, setup } from "xstate";

/** After the log refused a batch (a full disk), it is tried again so much later. */
export const APPEND_RETRY_MS = 250;

export type SequencerEvent =
  | { type: "handed" }
  | { type: "logged"; waiting: number }
  | { type: "appendFailed" }
  | { type: "stop" };

/** Effects are given by sequencer.ts. */
function notProvided(): never {
  throw new Error("The sequencer machine runs only with its effects provided");
}

export const sequencerMachine = setup({
  types: { context: {} as { stopping: boolean }, events: {} as SequencerEvent },
  actions: { append: notProvided, reportStopped: notProvided },
  guards: {
    moreWaits: ({ event }) => event.type === "logged" && event.waiting > 0,
    stopping: ({ context }) => context.stopping,
  },
  delays: { APPEND_RETRY_MS },
}).createMachine({
  id: "sequencer",
  initial: "idle",
  context: { stopping: false },
  on: { stop: { actions: assign({ stopping: true }) } },
  states: {
    idle: { always: { guard: "stopping", target: "stopped" }, on: { handed: "appending" } },
    appending: {
      entry: "append",
      on: {
        logged: [{ guard: "moreWaits", target: "appending", reenter: true }, { target: "idle" }],
        appendFailed: "retrying",
      },
    },
    retrying: {
      always: { guard: "stopping", target: "stopped" },
      after: { APPEND_RETRY_MS: "appending" },
    },
    stopped: { type: "final", entry: "reportStopped" },
  },
});
