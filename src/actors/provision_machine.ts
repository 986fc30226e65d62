/**
 * The order of an attempt at a community, and nothing else: what a step does is given beside it. Each state is one that is
 * stored, and has two parts: acting, which looks at what is there and does what is missing, and keeping, which stores what
 * came of it together with the next state. A crash between the two is harmless: the next run looks again.
 *
 * stock   planned → preflighted → genesisReady → genesisSubmitted → accountCreated → plcReady → plcUpdated → activated
 *         → credentialReady → declared → graduated
 * native  ... → accountCreated → activated → declared → graduated
 * mint    ... → genesisSubmitted → plcUpdated → graduated
 *
 * What is refused before anything is permanent leads to failed, the account that is refused after it to reaping; both end
 * archived. Anything else that fails ends the run where it is, and the next run begins there.
 */
import { assign, fromPromise, setup } from "xstate";
import { KithError } from "../errors.ts";
import type { AttemptKind, AttemptState } from "../storage/mod.ts";
import type { Reply } from "./ask.ts";

/** States in which a step is taken. */
export type ProvisionStep = Exclude<AttemptState, "graduated" | "failed" | "reaping" | "archived">;

/** The state after each, by kind. */
const NEXT: Readonly<Record<ProvisionStep, Readonly<Partial<Record<AttemptKind, AttemptState>>>>> = {
  planned: every("preflighted"),
  preflighted: every("genesisReady"),
  genesisReady: every("genesisSubmitted"),
  genesisSubmitted: { ...stock("accountCreated"), native: "accountCreated", mint: "plcUpdated" },
  accountCreated: { ...stock("plcReady"), native: "activated" },
  plcReady: stock("plcUpdated"),
  plcUpdated: { ...stock("activated"), mint: "graduated" },
  activated: { ...stock("credentialReady"), native: "declared" },
  credentialReady: stock("declared"),
  declared: { ...stock("graduated"), native: "graduated" },
};

export const PROVISION_STEPS = Object.keys(NEXT) as ProvisionStep[];

/** How a run ends. */
export interface ProvisionEnd {
  /** stopped: to be gone on with. */
  readonly at: "graduated" | "archived" | "stopped";
  /** What stopped it. */
  readonly problem: unknown;
  /** What was refused for good; so it was taken back, or is to be. */
  readonly refusal: unknown;
}

/** A step that has been refused for good, as it was asked for; nothing is unclear. `cause` is what the caller is told. */
export class StepRefused extends Error {
  override readonly name = "StepRefused";

  constructor(cause: unknown) {
    super("The step was refused", { cause });
  }
}

export interface ProvisionInput {
  readonly kind: AttemptKind;
  /** Where it is; `reaping` takes it back. */
  readonly state: AttemptState;
}

interface ProvisionContext extends ProvisionInput {
  /** What an act has come to, for who keeps it. */
  readonly outcome: unknown;
  /** Why it is taken back. */
  readonly refusal: unknown;
  readonly problem: unknown;
  readonly end: ProvisionEnd["at"] | undefined;
}

export type ProvisionEvent = { type: "join"; reply: Reply<ProvisionEnd> };

/** Effects are given by provision_actor.ts. */
function notProvided(): never {
  throw new Error("The provision machine runs only with its effects provided");
}

/** How long a run may take. */
export const PROVISION_LIFETIME_MS = 300_000;

const machineSetup = setup({
  types: { context: {} as ProvisionContext, input: {} as ProvisionInput, events: {} as ProvisionEvent },
  actors: {
    /** Looks and acts; answers what is to be kept. */
    perform: fromPromise<unknown, { step: ProvisionStep }>(notProvided),
    /** Stores the outcome and the state that follows. */
    keep: fromPromise<void, { state: AttemptState; outcome: unknown; refusal: unknown }>(notProvided),
    /** Looks what is to be taken back, and signs what that needs; nothing is changed. */
    planReaping: fromPromise<unknown, { refusal: unknown }>(notProvided),
    takeBack: fromPromise<unknown, { outcome: unknown }>(notProvided),
    archive: fromPromise<void, { outcome: unknown; refusal: unknown }>(notProvided),
    /** Notes the problem, and gives back what is held. */
    close: fromPromise<void, { problem: unknown; refusal: unknown }>(notProvided),
  },
  actions: {
    answerLater: (_, _reply: Reply<ProvisionEnd>) => notProvided(),
    answerAll: (_, _end: ProvisionEnd) => notProvided(),
    keepOutcome: assign({ outcome: ({ event }) => (event as unknown as { output: unknown }).output }),
    keepRefusal: assign({ refusal: ({ event }) => errorOf(event).cause }),
    keepProblem: assign({
      problem: ({ event }) => (errorOf(event) instanceof StepRefused ? errorOf(event).cause : errorOf(event)),
    }),
    noteLateness: assign({
      problem: () =>
        new KithError("timeout", `It has not come to an end within ${PROVISION_LIFETIME_MS / 1000} s`),
    }),
    noteEnd: assign((_, { end }: { end: ProvisionEnd["at"] }) => ({ end })),
  },
  guards: {
    beginsAt: ({ context }, { state }: { state: AttemptState }) => context.state === state,
    isKind: ({ context }, { kind }: { kind: AttemptKind }) => context.kind === kind,
    isRefusal: ({ event }) => errorOf(event) instanceof StepRefused,
    isRunning: ({ context }) => context.end === undefined,
  },
  delays: { LIFETIME: PROVISION_LIFETIME_MS },
});

const stop = { target: "#provision.stopped", actions: "keepProblem" } as const;

/** What a refusal leads to; elsewhere it stops the run. */
const REFUSED: Partial<Record<ProvisionStep, "#provision.failed" | "#provision.reaping">> = {
  planned: "#provision.failed",
  preflighted: "#provision.failed",
  genesisReady: "#provision.failed",
  genesisSubmitted: "#provision.reaping",
};

function at<const S extends ProvisionStep>(step: S) {
  const refused = REFUSED[step];
  const onRefusal =
    refused === undefined ? [] : ([{ guard: "isRefusal", target: refused, actions: "keepRefusal" }] as const);
  const nexts = Object.entries(NEXT[step]) as [AttemptKind, AttemptState][];
  return {
    initial: "acting",
    states: {
      acting: {
        invoke: {
          id: `${step}.acting`,
          src: "perform",
          input: { step },
          onDone: { target: "keeping", actions: "keepOutcome" },
          onError: [...onRefusal, stop],
        },
      },
      keeping: {
        invoke: {
          id: `${step}.keeping`,
          src: "keep",
          input: ({ context }: { context: ProvisionContext }) => ({
            state: nextState(step, context.kind),
            outcome: context.outcome,
            refusal: undefined,
          }),
          onDone: nexts.map(
            ([kind, next]) =>
              ({ guard: { type: "isKind", params: { kind } }, target: `#provision.${next}` }) as const,
          ),
          onError: stop,
        },
      },
    },
  } as const;
}

/** The state that follows a step. Throws TypeError for a kind that never comes there. */
export function nextState(step: ProvisionStep, kind: AttemptKind): AttemptState {
  const next = NEXT[step][kind];
  if (next === undefined) throw new TypeError(`An attempt of the kind "${kind}" is never "${step}"`);
  return next;
}

function beginAt<const S extends AttemptState>(state: S) {
  return { guard: { type: "beginsAt", params: { state } }, target: state } as const;
}

function closing<const E extends ProvisionEnd["at"]>(end: E) {
  return {
    entry: { type: "noteEnd", params: { end } },
    invoke: {
      id: `${end}.closing`,
      src: "close",
      input: ({ context }: { context: ProvisionContext }) => ({
        problem: context.problem,
        refusal: context.refusal,
      }),
      onDone: "#provision.over",
      onError: "#provision.over",
    },
  } as const;
}

function ofContext({ context }: { context: ProvisionContext }) {
  return { outcome: context.outcome, refusal: context.refusal };
}

/** What was refused before anything was permanent: only the row goes. */
const failed = {
  initial: "keeping",
  states: {
    keeping: {
      invoke: {
        id: "failed.keeping",
        src: "keep",
        input: ({ context }: { context: ProvisionContext }) => ({
          state: "failed" as const,
          outcome: undefined,
          refusal: context.refusal,
        }),
        onDone: "archiving",
        onError: stop,
      },
    },
    archiving: {
      invoke: {
        id: "failed.archiving",
        src: "archive",
        input: ({ context }: { context: ProvisionContext }) => ({
          outcome: undefined,
          refusal: context.refusal,
        }),
        onDone: "#provision.archived",
        onError: stop,
      },
    },
  },
} as const;

/** The tombstone's CID is stored before the tombstone is sent. */
const reaping = {
  initial: "looking",
  states: {
    looking: {
      invoke: {
        id: "reaping.looking",
        src: "planReaping",
        input: ofContext,
        onDone: { target: "keeping", actions: "keepOutcome" },
        onError: stop,
      },
    },
    keeping: {
      invoke: {
        id: "reaping.keeping",
        src: "keep",
        input: ({ context }: { context: ProvisionContext }) => ({
          state: "reaping" as const,
          outcome: context.outcome,
          refusal: context.refusal,
        }),
        onDone: "acting",
        onError: stop,
      },
    },
    acting: {
      invoke: {
        id: "reaping.acting",
        src: "takeBack",
        input: ofContext,
        onDone: { target: "archiving", actions: "keepOutcome" },
        onError: stop,
      },
    },
    archiving: {
      invoke: {
        id: "reaping.archiving",
        src: "archive",
        input: ofContext,
        onDone: "#provision.archived",
        onError: stop,
      },
    },
  },
} as const;

export const provisionMachine = machineSetup.createMachine({
  id: "provision",
  initial: "beginning",
  context: ({ input }) => ({
    ...input,
    outcome: undefined,
    refusal: undefined,
    problem: undefined,
    end: undefined,
  }),
  on: { join: { actions: { type: "answerLater", params: ({ event }) => event.reply } } },
  after: { LIFETIME: { guard: "isRunning", target: ".stopped", actions: "noteLateness" } },
  states: {
    beginning: {
      always: [
        beginAt("planned"),
        beginAt("preflighted"),
        beginAt("genesisReady"),
        beginAt("genesisSubmitted"),
        beginAt("accountCreated"),
        beginAt("plcReady"),
        beginAt("plcUpdated"),
        beginAt("activated"),
        beginAt("credentialReady"),
        beginAt("declared"),
        beginAt("graduated"),
        beginAt("failed"),
        beginAt("reaping"),
        { target: "archived" },
      ],
    },
    planned: at("planned"),
    preflighted: at("preflighted"),
    genesisReady: at("genesisReady"),
    genesisSubmitted: at("genesisSubmitted"),
    accountCreated: at("accountCreated"),
    plcReady: at("plcReady"),
    plcUpdated: at("plcUpdated"),
    activated: at("activated"),
    credentialReady: at("credentialReady"),
    declared: at("declared"),
    failed,
    reaping,
    graduated: closing("graduated"),
    archived: closing("archived"),
    stopped: closing("stopped"),
    over: {
      type: "final",
      entry: { type: "answerAll", params: ({ context }) => endOf(context) },
    },
  },
});

function endOf({ end, problem, refusal }: ProvisionContext): ProvisionEnd {
  return { at: end ?? "stopped", problem, refusal };
}

function errorOf(event: unknown): Error {
  return (event as { error: Error }).error;
}

function every(next: AttemptState): Record<AttemptKind, AttemptState> {
  return { native: next, mint: next, ...stock(next) };
}

function stock(next: AttemptState): Record<"loopback" | "remote", AttemptState> {
  return { loopback: next, remote: next };
}
