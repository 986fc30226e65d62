/**
 * Asking an actor. xstate's `send` is fire and forget: a message that no state answers, or an actor that dies, would
 * leave the caller waiting for ever. An `AskPort` stands before one actor and gives each question exactly one end: the
 * typed answer, a typed error, or a timeout.
 */
import type { AnyActorRef, EventObject } from "xstate";
import { KithError } from "../errors.ts";

/** How an actor ends a question. Only the first call counts. */
export interface Reply<Answer> {
  resolve(answer: Answer): void;
  reject(error: unknown): void;
}

export interface AskOptions {
  /** After so many milliseconds the caller gets a "timeout" error; what it asked for may still happen. */
  readonly timeoutMs: number;
  /** What the caller tried to do, for the messages: "write to the repo \"did:plc:...\"". */
  readonly purpose: string;
}

/** Questions that may be open at one actor at a time; more are refused as "busy". */
export const ASKS_OPEN_MAX = 1_000;

export class AskPort<Event extends EventObject> {
  readonly #actor: AnyActorRef;
  readonly #open = new Set<(error: unknown) => void>();
  #dead: unknown;

  constructor(actor: AnyActorRef) {
    this.#actor = actor;
    actor.subscribe({
      error: (error) => this.#end(error),
      complete: () => this.#end(undefined),
    });
  }

  /** How many questions wait for their answer. */
  get openCount(): number {
    return this.#open.size;
  }

  /**
   * Sends what `message` makes of the reply and resolves with the answer. Rejects with the actor's error, with
   * "timeout", with "busy" where too many questions are open, or with "internal" where the actor has died.
   */
  ask<Answer>(message: (reply: Reply<Answer>) => Event, options: AskOptions): Promise<Answer> {
    if (this.#dead !== undefined) return Promise.reject(this.#dead);
    if (this.#open.size >= ASKS_OPEN_MAX) {
      return Promise.reject(
        new KithError("busy", `Could not ${options.purpose}: ${ASKS_OPEN_MAX} requests wait already`),
      );
    }
    return new Promise<Answer>((resolve, reject) => {
      const settle = (end: () => void): void => {
        if (!this.#open.delete(fail)) return;
        clearTimeout(timer);
        end();
      };
      const fail = (error: unknown): void => settle(() => reject(error));
      const timer = setTimeout(
        () => fail(new KithError("timeout", `Could not ${options.purpose} within ${options.timeoutMs} ms`)),
        options.timeoutMs,
      );
      this.#open.add(fail);
      this.#actor.send(message({ resolve: (answer) => settle(() => resolve(answer)), reject: fail }));
    });
  }

  #end(cause: unknown): void {
    this.#dead =
      cause instanceof KithError ? cause : new KithError("internal", "The actor has ended", { cause });
    for (const fail of [...this.#open]) fail(this.#dead);
  }
}
