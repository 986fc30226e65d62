/**
 * The order of a move, and nothing else: what a step does is `perform`, which is provided beside it. A step answers how it
 * went on (`Turn`); one that fails ends the run, and the next run begins at the same step.
 *
 * signIn → createAccount → signInThere → copyRepo → copyBlobs → copyPreferences → compare → confirm
 *   did:plc  → requestCode → sign → submit → activate
 *   did:web  → awaitDocument → activate
 * → deactivate → finish → done
 *
 * What was written at the source meanwhile leads from compare, sign and submit back to copyRepo.
 */
import { assign, fromPromise, setup } from "xstate";
import { KithError } from "../errors.ts";
import type { Step } from "./move.ts";

/**
 * on       the step is done
 * behind   the target does not have everything
 * newCode  the mailed code, or the operation that it signed, is of no use any more
 * moved    the DID leads to the target already
 */
export type Turn = "on" | "behind" | "newCode" | "moved";

/** How often a run goes back to fetch what is missing. */
export const ROUNDS_MAX = 5;

export interface MoveInput {
  readonly step: Step;
  readonly isWeb: boolean;
}

interface MoveContext extends MoveInput {
  readonly rounds: number;
  readonly problem: unknown;
}

/** Effects are given by run_move.ts. */
function notProvided(): never {
  throw new Error("The move machine runs only with its effects provided");
}

const machineSetup = setup({
  types: { context: {} as MoveContext, input: {} as MoveInput },
  actors: { perform: fromPromise<Turn, { step: Step }>(notProvided) },
  actions: {
    keepStep: (_, _step: { step: Step }) => notProvided(),
    keepProblem: assign({ problem: ({ event }) => (event as unknown as { error: unknown }).error }),
    countRound: assign({ rounds: ({ context }) => context.rounds + 1 }),
    giveUp: assign({
      problem: () =>
        new KithError(
          "busy",
          "The account at the source changes faster than it can be copied: try again later",
        ),
    }),
  },
  guards: {
    startsAt: ({ context }, { step }: { step: Step }) => context.step === step,
    isWeb: ({ context }) => context.isWeb,
    answered: ({ event }, { turn }: { turn: Turn }) => (event as unknown as { output: Turn }).output === turn,
    isBehind: ({ context, event }) =>
      (event as unknown as { output: Turn }).output === "behind" && context.rounds < ROUNDS_MAX,
  },
});

const backToRepo = {
  guard: "isBehind",
  target: "copyRepo",
  actions: "countRound",
} as const;
const neverEnds = {
  guard: { type: "answered", params: { turn: "behind" } },
  target: "stopped",
  actions: "giveUp",
} as const;
const withNewCode = {
  guard: { type: "answered", params: { turn: "newCode" } },
  target: "requestCode",
} as const;
const whenMoved = { guard: { type: "answered", params: { turn: "moved" } }, target: "activate" } as const;

function at<const S extends Step, const D>(step: S, onDone: D) {
  return {
    entry: { type: "keepStep", params: { step } },
    invoke: {
      id: step,
      src: "perform",
      input: { step },
      onDone,
      onError: { target: "stopped", actions: "keepProblem" },
    },
  } as const;
}

function startAt<const S extends Step>(step: S) {
  return { guard: { type: "startsAt", params: { step } }, target: step } as const;
}

export const moveMachine = machineSetup.createMachine({
  id: "move",
  initial: "resuming",
  context: ({ input }) => ({ ...input, rounds: 0, problem: undefined }),
  states: {
    resuming: {
      always: [
        startAt("createAccount"),
        startAt("signInThere"),
        startAt("copyRepo"),
        startAt("copyBlobs"),
        startAt("copyPreferences"),
        startAt("compare"),
        startAt("confirm"),
        startAt("requestCode"),
        startAt("sign"),
        startAt("submit"),
        startAt("awaitDocument"),
        startAt("activate"),
        startAt("deactivate"),
        startAt("finish"),
        { target: "signIn" },
      ],
    },
    signIn: at("signIn", "createAccount"),
    createAccount: at("createAccount", "signInThere"),
    signInThere: at("signInThere", [whenMoved, { target: "copyRepo" }]),
    copyRepo: at("copyRepo", "copyBlobs"),
    copyBlobs: at("copyBlobs", "copyPreferences"),
    copyPreferences: at("copyPreferences", "compare"),
    compare: at("compare", [backToRepo, neverEnds, { target: "confirm" }]),
    confirm: at("confirm", [{ guard: "isWeb", target: "awaitDocument" }, { target: "requestCode" }]),
    requestCode: at("requestCode", [whenMoved, { target: "sign" }]),
    sign: at("sign", [backToRepo, neverEnds, withNewCode, { target: "submit" }]),
    submit: at("submit", [withNewCode, { target: "activate" }]),
    awaitDocument: at("awaitDocument", [backToRepo, neverEnds, { target: "activate" }]),
    activate: at("activate", "deactivate"),
    deactivate: at("deactivate", "finish"),
    finish: at("finish", "done"),
    done: { type: "final" },
    stopped: { type: "final" },
  },
});
