/**
 * The actors of attempts at communities: one an attempt, for as long as a run takes. Who asks for an attempt that is being
 * worked on joins its actor, and both get the same answer.
 */
import { createActor, fromPromise, type SimulatedClock } from "xstate";
import { KithError } from "../errors.ts";
import type { AttemptState } from "../storage/mod.ts";
import { AskPort, type Reply } from "./ask.ts";
import {
  type ProvisionEnd,
  type ProvisionEvent,
  type ProvisionInput,
  type ProvisionStep,
  provisionMachine,
} from "./provision_machine.ts";

/** What a run does, for one attempt whose lease is held. Outcomes are opaque here. */
export interface ProvisionWork {
  perform(step: ProvisionStep): Promise<unknown>;
  keep(state: AttemptState, kept: { outcome: unknown; refusal: unknown }): Promise<void>;
  planReaping(refusal: unknown): Promise<unknown>;
  takeBack(outcome: unknown): Promise<unknown>;
  archive(kept: { outcome: unknown; refusal: unknown }): Promise<void>;
  /** Notes what stopped the run, if anything did, and gives the lease back. */
  close(end: { problem: unknown; refusal: unknown }): Promise<void>;
}

export interface ProvisionRun extends ProvisionInput {
  readonly work: ProvisionWork;
}

/** How long a caller waits; the run goes on. */
export const PROVISION_ASK_MS = 50_000;
/** Attempts that are worked on at a time. */
export const PROVISION_ACTORS_MAX = 50;

export interface ProvisionActorsOptions {
  readonly askMs?: number;
  readonly actorsMax?: number;
  /** For tests. */
  readonly clock?: SimulatedClock;
}

interface Running {
  readonly port: AskPort<ProvisionEvent>;
  /** Once it has ended. */
  end?: ProvisionEnd;
  stop(): void;
}

export class ProvisionActors {
  readonly #options: ProvisionActorsOptions;
  /** The promise is there before the actor is: two calls at once must not both begin. */
  readonly #running = new Map<string, Promise<Running>>();
  #stopped = false;

  constructor(options: ProvisionActorsOptions = {}) {
    this.#options = options;
  }

  isRunning(id: string): boolean {
    return this.#running.has(id);
  }

  /**
   * Joins the run of an attempt, or begins one: `begin` takes the lease. Resolves with its end. Throws what `begin` throws, and
   * KithError timeout (the run goes on), busy, shutting_down.
   */
  async run(id: string, begin: () => Promise<ProvisionRun>): Promise<ProvisionEnd> {
    const running = await (this.#running.get(id) ?? this.#begin(id, begin));
    if (running.end) return running.end;
    return running.port.ask<ProvisionEnd>((reply) => ({ type: "join", reply }), {
      timeoutMs: this.#options.askMs ?? PROVISION_ASK_MS,
      purpose: "come to the end of it",
    });
  }

  #begin(id: string, begin: () => Promise<ProvisionRun>): Promise<Running> {
    if (this.#stopped) throw new KithError("shutting_down", "The server is shutting down");
    if (this.#running.size >= (this.#options.actorsMax ?? PROVISION_ACTORS_MAX)) {
      throw new KithError("busy", "Too many communities are being made at this moment: try again later");
    }
    const started = begin().then((run) => this.#start(id, run));
    this.#running.set(id, started);
    started.catch(() => this.#running.delete(id));
    return started;
  }

  #start(id: string, { kind, state, work }: ProvisionRun): Running {
    if (this.#stopped) throw new KithError("shutting_down", "The server is shutting down");
    const replies: Reply<ProvisionEnd>[] = [];
    const machine = provisionMachine.provide({
      actors: {
        perform: fromPromise(({ input }) => work.perform(input.step)),
        keep: fromPromise(({ input }) => work.keep(input.state, input)),
        planReaping: fromPromise(({ input }) => work.planReaping(input.refusal)),
        takeBack: fromPromise(({ input }) => work.takeBack(input.outcome)),
        archive: fromPromise(({ input }) => work.archive(input)),
        close: fromPromise(({ input }) => work.close(input)),
      },
      actions: {
        answerLater: (_, reply) => replies.push(reply),
        answerAll: (_, end) => {
          running.end = end;
          // The newest first: who asked before may be gone, and something is told once only.
          for (const reply of replies.splice(0).reverse()) reply.resolve(end);
        },
      },
    });
    const { clock } = this.#options;
    const actor = createActor(machine, { input: { kind, state }, ...(clock ? { clock } : {}) });
    const forget = () => this.#running.delete(id);
    actor.subscribe({ complete: forget, error: forget });
    const running: Running = {
      port: new AskPort<ProvisionEvent>(actor),
      stop: () => {
        for (const reply of replies.splice(0)) {
          reply.reject(new KithError("shutting_down", "The server is shutting down"));
        }
        actor.stop();
      },
    };
    actor.start();
    return running;
  }

  /** Ends all runs where they are: each is gone on with when its caller asks again. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const running = await Promise.allSettled(this.#running.values());
    for (const result of running) if (result.status === "fulfilled") result.value.stop();
  }
}
