/**
 * The repo machine: what may happen to one account's repo, and when. It decides and orders; it touches no file. The
 * effects stand in its context and are those of repo_actor.ts, so that every transition can be tested pure, and all
 * open repos share this one machine.
 *
 * A change ("mutation") is acted upon, held, or refused by the state it meets:
 *   opening      held until the file is open
 *   ready        acted upon
 *   importing    held until the import, or the change of identity, has ended
 *   deactivated  records are refused; status, blobs, preferences, import and deletion go on, as migration needs
 *   takendown    all but a change of status, moderation, a change of identity, news of it, the sweep and deletion is refused
 *   deleting, closing, closed, failed   refused
 *
 * Reads do not pass here: they need no order, only an open file.
 */
import { assign, fromPromise, setup } from "xstate";
import { type ErrorCode, isKithError, KithError } from "../errors.ts";
import type { Reply } from "./ask.ts";
import type {
  BlobRow,
  BlobSweep,
  ImportTask,
  ModerationChange,
  PreferencesChange,
  RepoStatus,
  WriteOutcome,
  WriteRequest,
} from "./repo_types.ts";
import type { StatusOptions } from "./standing.ts";

/** Transactions of one repo that may await the disk at a time. */
export const IN_FLIGHT_MAX = 64;
/** Changes of one repo that may be held. */
export const HELD_MAX = 256;
/** A WAL this large is checkpointed, while writes go on. */
export const CHECKPOINT_AT_BYTES = 4 * 1024 * 1024;
/** A WAL this large takes no more writes until it has been checkpointed. */
export const WAL_BYTES_MAX = 16 * 1024 * 1024;
/** A failed checkpoint (a full disk, say) is tried again after so long. */
export const CHECKPOINT_RETRY_MS = 1_000;

/** A change that somebody asked for. */
export type Mutation =
  | { type: "write"; request: WriteRequest; reply: Reply<WriteOutcome> }
  | ({ type: "setStatus"; status: RepoStatus; reply: Reply<void> } & StatusOptions)
  | { type: "moderate"; change: ModerationChange; reply: Reply<void> }
  | { type: "putBlob"; row: BlobRow; reply: Reply<string> }
  | { type: "sweepBlobs"; olderThan: number; limit: number; reply: Reply<BlobSweep> }
  | { type: "announceIdentity"; reply: Reply<void> }
  | { type: "putPreferences"; change: PreferencesChange; reply: Reply<void> }
  | { type: "import" | "changeIdentity"; task: ImportTask; reply: Reply<void> }
  | { type: "delete"; from?: readonly RepoStatus[]; reply: Reply<void> };

/** What the effects report back, and the registry's wish to close. */
export type Report =
  | { type: "armed" }
  | { type: "armFailed"; error: unknown }
  | { type: "settled" }
  | { type: "statusFailed"; previous: RepoStatus }
  | { type: "walGrown"; bytes: number }
  | { type: "passiveDone" }
  | { type: "checkpointed" }
  | { type: "checkpointFailed" }
  | { type: "checkpointAgain" }
  | { type: "close" };

export type RepoEvent = Mutation | Report;

/**
 * reading: open, nothing prepared for writing. arming: the open row and the WAL are being made durable. writing: a
 * transaction may begin. paused: the WAL is being restarted, or is full.
 */
export type Disk = "reading" | "arming" | "writing" | "paused";

export interface RepoContext {
  readonly did: string;
  readonly status: RepoStatus;
  readonly disk: Disk;
  readonly inFlight: number;
  readonly held: readonly Mutation[];
  readonly checkpointing: boolean;
  readonly walBytes: number;
  /** The import, change of identity or deletion under way. */
  readonly current: Mutation | undefined;
  readonly effects: RepoEffects | undefined;
}

/** What a machine that runs does to its repo. A step that fails rejects; the others never throw. */
export interface RepoEffects {
  open(): Promise<RepoStatus>;
  import(change: Mutation | undefined): Promise<RepoStatus>;
  remove(change: Mutation | undefined): Promise<void>;
  close(): Promise<void>;
  act(event: RepoEvent): void;
  arm(): void;
  checkpoint(mode: "passive" | "restart"): void;
}

export interface RepoInput {
  readonly did: string;
  /** True where the account's birth has made the file ready for writing already. */
  readonly armed: boolean;
  /** Without them its transitions can be looked at, and nothing run. */
  readonly effects?: RepoEffects;
}

function effectsOf({ effects }: RepoContext): RepoEffects {
  if (effects === undefined) throw new Error("The repo machine runs only with its effects");
  return effects;
}

function isMutation(event: RepoEvent): event is Mutation {
  return "reply" in event;
}

function refusal(context: RepoContext, [code, why]: readonly [ErrorCode, string]): KithError {
  return new KithError(code, `Could not change the repo "${context.did}": ${why}`);
}

/** Ends the question that a mutation carries. */
const refuse =
  (...reason: readonly [ErrorCode, string]) =>
  ({ context, event }: { context: RepoContext; event: RepoEvent }): void => {
    if (isMutation(event)) event.reply.reject(refusal(context, reason));
  };

/** True where a change is only for statuses of which the present one is none. */
function isBarred(context: RepoContext, event: RepoEvent): boolean {
  return "from" in event && event.from !== undefined && !event.from.includes(context.status);
}

const BARRED: Readonly<Record<RepoStatus, readonly [ErrorCode, string]>> = {
  active: ["invalid_request", "the account is active"],
  deactivated: ["account_deactivated", "the account is deactivated"],
  takendown: ["account_takendown", "the account has been taken down"],
  suspended: ["account_suspended", "the account is suspended"],
};

function isFree(context: RepoContext): boolean {
  return context.disk === "writing" && context.inFlight < IN_FLIGHT_MAX;
}

function freeFor(context: RepoContext, event: RepoEvent, status: RepoStatus): boolean {
  return isFree(context) && event.type === "setStatus" && event.status === status;
}

const machineSetup = setup({
  types: { context: {} as RepoContext, events: {} as RepoEvent, input: {} as RepoInput },
  actors: {
    openRepo: fromPromise<RepoStatus, RepoContext>(({ input }) => effectsOf(input).open()),
    importRepo: fromPromise<RepoStatus, RepoContext>(({ input }) => effectsOf(input).import(input.current)),
    removeRepo: fromPromise<void, RepoContext>(({ input }) => effectsOf(input).remove(input.current)),
    closeRepo: fromPromise<void, RepoContext>(({ input }) => effectsOf(input).close()),
  },
  actions: {
    act: ({ context, event }) => effectsOf(context).act(event),
    arm: ({ context }) => effectsOf(context).arm(),
    checkpointPassive: ({ context }) => effectsOf(context).checkpoint("passive"),
    restartWal: ({ context }) => effectsOf(context).checkpoint("restart"),
    countIn: assign({ inFlight: ({ context }) => context.inFlight + 1 }),
    countOut: assign({ inFlight: ({ context }) => context.inFlight - 1 }),
    begin: assign({ current: ({ event }) => (isMutation(event) ? event : undefined) }),
    rememberStatus: assign({
      status: ({ context, event }) => (event.type === "setStatus" ? event.status : context.status),
    }),
    restoreStatus: assign({
      status: ({ context, event }) => (event.type === "statusFailed" ? event.previous : context.status),
      inFlight: ({ context }) => context.inFlight - 1,
    }),
    hold: assign({
      held: ({ context, event }) => (isMutation(event) ? [...context.held, event] : context.held),
    }),
    toArming: assign({ disk: "arming" }),
    refuseHeld: ({ context }, reason: readonly [ErrorCode, string]) => {
      for (const mutation of context.held) mutation.reply.reject(refusal(context, reason));
    },
    /** What passes is told as such: another try may find the file free, or room. */
    refuseHeldFailed: ({ context, event }) => {
      const { error } = event as { error?: unknown };
      const passes = isKithError(error, "busy") || isKithError(error, "storage_full");
      const told = passes ? error : refusal(context, ["internal", "its file could not be opened or closed"]);
      for (const mutation of context.held) mutation.reply.reject(told);
    },
    rejectHeld: ({ context, event }) => {
      if (event.type !== "armFailed") return;
      for (const mutation of context.held) mutation.reply.reject(event.error);
    },
    dropHeld: assign({ held: [] }),
    refuseBusy: refuse("busy", `${HELD_MAX} changes wait already`),
    refuseDeactivated: refuse("account_deactivated", "the account is deactivated"),
    refuseTakendown: refuse("account_takendown", "the account has been taken down"),
    refuseBarred: ({ context, event }) => {
      if (isMutation(event)) event.reply.reject(refusal(context, BARRED[context.status]));
    },
    refuseGone: refuse("repo_not_found", "the account is being deleted"),
    refuseClosed: refuse("busy", "its file is being closed"),
  },
  guards: {
    free: ({ context }) => isFree(context),
    canArm: ({ context }) => context.disk === "reading" && context.held.length < HELD_MAX,
    roomToHold: ({ context }) => context.held.length < HELD_MAX,
    freeAlone: ({ context }) =>
      context.disk === "writing" && context.inFlight === 0 && !context.checkpointing,
    drained: ({ context }) => context.inFlight === 0 && !context.checkpointing && context.disk !== "arming",
    idle: ({ context }) =>
      context.inFlight === 0 &&
      context.held.length === 0 &&
      !context.checkpointing &&
      context.disk !== "arming",
    checkpointDue: ({ context, event }) =>
      event.type === "walGrown" && event.bytes >= CHECKPOINT_AT_BYTES && !context.checkpointing,
    walFull: ({ context }) => context.walBytes >= WAL_BYTES_MAX,
    barred: ({ context, event }) => isBarred(context, event),
    barredAndFree: ({ context, event }) => isFree(context) && isBarred(context, event),
    freeForActive: ({ context, event }) => freeFor(context, event, "active"),
    freeForDeactivated: ({ context, event }) => freeFor(context, event, "deactivated"),
    isActive: ({ context }) => context.status === "active",
    isDeactivated: ({ context }) => context.status === "deactivated",
  },
});

/** Re-raises as many held changes as may begin now, oldest first. */
const release = machineSetup.enqueueActions(({ context, enqueue }) => {
  const slots = context.disk === "writing" ? IN_FLIGHT_MAX - context.inFlight : 0;
  const next = context.held.slice(0, Math.max(0, slots));
  if (next.length === 0) return;
  enqueue.assign({ held: context.held.slice(next.length) });
  for (const mutation of next) enqueue.raise(mutation);
});

/** On entering a resting state: what was held meanwhile goes on, or gets the file armed first. */
const resume = machineSetup.enqueueActions(({ context, enqueue }) => {
  if (context.held.length === 0) return;
  if (context.disk === "writing") return enqueue(release);
  if (context.disk !== "reading") return;
  enqueue("toArming");
  enqueue("arm");
});

const retryCheckpoint = machineSetup.raise({ type: "checkpointAgain" }, { delay: CHECKPOINT_RETRY_MS });

type Mutable<T> = T extends (...args: never[]) => unknown ? T : { -readonly [K in keyof T]: Mutable<T[K]> };
/** Keeps the literal types of a fragment of the machine, without the `readonly` that xstate's types do not take. */
const fragment = <const T>(value: T): Mutable<T> => value as Mutable<T>;

const HOLD_ONLY = fragment([{ guard: "roomToHold", actions: "hold" }, { actions: "refuseBusy" }]);
/** Held while the disk is not ready, refused past the bound; the first to be held gets the file armed. */
const HOLD = fragment([{ guard: "canArm", actions: ["hold", "toArming", "arm"] }, ...HOLD_ONLY]);
const MUTATE = fragment([{ guard: "free", actions: ["countIn", "act"] }, ...HOLD]);
/** The state changes before the file does, so that nothing slips in between; `statusFailed` takes it back. */
const SET_STATUS = fragment([
  // Looked at in its turn only: what is held before it may change the status.
  { guard: "barredAndFree", actions: "refuseBarred" },
  { guard: "freeForActive", target: "ready", actions: ["countIn", "act", "rememberStatus"] },
  { guard: "freeForDeactivated", target: "deactivated", actions: ["countIn", "act", "rememberStatus"] },
  { guard: "free", target: "takendown", actions: ["countIn", "act", "rememberStatus"] },
  ...HOLD,
]);
const IMPORT = fragment([{ guard: "freeAlone", target: "importing", actions: "begin" }, ...HOLD]);
const DELETE = fragment([
  { guard: "barred", actions: "refuseBarred" },
  { target: "deleting", actions: "begin" },
]);
const CLOSE = fragment({ guard: "idle", target: "closing" });
/** One answer to every change, whatever it is. */
const everyChange = <const T>(answer: T) => ({
  write: answer,
  setStatus: answer,
  putBlob: answer,
  sweepBlobs: answer,
  announceIdentity: answer,
  moderate: answer,
  putPreferences: answer,
  import: answer,
  changeIdentity: answer,
  delete: answer,
});
const HOLD_ALL = everyChange(HOLD_ONLY);
const REFUSE_GONE = everyChange(fragment({ actions: "refuseGone" }));
const REFUSE_CLOSED = everyChange(fragment({ actions: "refuseClosed" }));

const input = ({ context }: { context: RepoContext }): RepoContext => context;

export const repoMachine = machineSetup.createMachine({
  id: "repo",
  initial: "opening",
  context: ({ input }) => ({
    effects: input.effects,
    did: input.did,
    status: "active",
    disk: input.armed ? "writing" : "reading",
    inFlight: 0,
    held: [],
    checkpointing: false,
    walBytes: 0,
    current: undefined,
  }),
  on: {
    armed: { actions: [assign({ disk: "writing" }), release] },
    armFailed: { actions: ["rejectHeld", "dropHeld", assign({ disk: "reading" })] },
    settled: { actions: ["countOut", release] },
    // What waited for the change to end goes on from there.
    statusFailed: { target: ".resting", actions: "restoreStatus" },
    walGrown: [
      {
        guard: "checkpointDue",
        actions: [
          assign({
            checkpointing: true,
            walBytes: ({ event }) => event.bytes,
            disk: ({ context, event }) => (event.bytes >= WAL_BYTES_MAX ? "paused" : context.disk),
          }),
          "checkpointPassive",
        ],
      },
      {
        actions: assign({
          walBytes: ({ event }) => event.bytes,
          disk: ({ context, event }) => (event.bytes >= WAL_BYTES_MAX ? "paused" : context.disk),
        }),
      },
    ],
    passiveDone: { actions: [assign({ disk: "paused" }), "restartWal"] },
    checkpointed: {
      actions: [assign({ disk: "writing", checkpointing: false, walBytes: 0 }), release],
    },
    checkpointFailed: [
      {
        guard: "walFull",
        actions: [assign({ disk: "paused" }), retryCheckpoint],
      },
      { actions: [assign({ disk: "writing", checkpointing: false }), release] },
    ],
    checkpointAgain: { actions: "checkpointPassive" },
  },
  states: {
    opening: {
      invoke: {
        id: "open",
        src: "openRepo",
        input,
        onDone: { target: "resting", actions: assign({ status: ({ event }) => event.output }) },
        onError: { target: "failed" },
      },
      on: HOLD_ALL,
    },
    /** Passed through: chooses the state for the status that the file holds, and arms it for what was held. */
    resting: {
      always: [
        { guard: "isActive", target: "ready", actions: resume },
        { guard: "isDeactivated", target: "deactivated", actions: resume },
        { target: "takendown", actions: resume },
      ],
    },
    ready: {
      on: {
        write: MUTATE,
        putBlob: MUTATE,
        sweepBlobs: MUTATE,
        announceIdentity: MUTATE,
        moderate: MUTATE,
        putPreferences: MUTATE,
        setStatus: SET_STATUS,
        import: IMPORT,
        changeIdentity: IMPORT,
        delete: DELETE,
        close: CLOSE,
      },
    },
    deactivated: {
      on: {
        write: { actions: "refuseDeactivated" },
        putBlob: MUTATE,
        sweepBlobs: MUTATE,
        announceIdentity: MUTATE,
        moderate: MUTATE,
        putPreferences: MUTATE,
        setStatus: SET_STATUS,
        import: IMPORT,
        changeIdentity: IMPORT,
        delete: DELETE,
        close: CLOSE,
      },
    },
    takendown: {
      on: {
        write: { actions: "refuseTakendown" },
        putBlob: { actions: "refuseTakendown" },
        sweepBlobs: MUTATE,
        announceIdentity: MUTATE,
        moderate: MUTATE,
        putPreferences: { actions: "refuseTakendown" },
        import: { actions: "refuseTakendown" },
        changeIdentity: IMPORT,
        setStatus: SET_STATUS,
        delete: DELETE,
        close: CLOSE,
      },
    },
    importing: {
      invoke: {
        id: "import",
        src: "importRepo",
        input,
        onDone: {
          target: "resting",
          actions: assign({ status: ({ event }) => event.output, current: undefined }),
        },
        onError: { target: "resting", actions: assign({ current: undefined }) },
      },
      on: HOLD_ALL,
    },
    deleting: {
      initial: "draining",
      entry: [{ type: "refuseHeld", params: ["repo_not_found", "the account is being deleted"] }, "dropHeld"],
      // A change of status that was under way and failed decides nothing here any more.
      on: { ...REFUSE_GONE, statusFailed: { actions: "restoreStatus" } },
      states: {
        /** What has begun reaches the disk first: the tombstone comes after every commit. */
        draining: { always: { guard: "drained", target: "removing" } },
        removing: {
          invoke: {
            id: "remove",
            src: "removeRepo",
            input,
            onDone: "#repo.closed",
            onError: "#repo.failed",
          },
        },
      },
    },
    closing: {
      invoke: { id: "close", src: "closeRepo", input, onDone: "closed", onError: "failed" },
      on: REFUSE_CLOSED,
    },
    closed: { type: "final" },
    failed: {
      entry: ["refuseHeldFailed", "dropHeld"],
      type: "final",
    },
  },
});
