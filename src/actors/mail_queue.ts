/**
 * Sends the mail that waits in its store, one message after another. A message is durable before its sender is told, and
 * goes only when it has been handed over, or refused for good, or is too old to be of use: a stop or a crash in between
 * means that it may come twice, never that it does not come.
 */
import { assign, createActor, fromPromise, setup } from "xstate";
import { isKithError } from "../errors.ts";
import type { Logger } from "../logger.ts";
import type { Mail, Mailer } from "../mailer/mod.ts";

/** After its first failure a message waits so long, then twice as long each time, up to the greatest. */
export const MAIL_RETRY_MS = 10_000;
export const MAIL_RETRY_MS_MAX = 3_600_000;
/** Messages of one round. */
export const MAIL_ROUND_MAX = 20;
/** After a round that the store has failed. */
export const ROUND_RETRY_MS = 10_000;
/** How long a stop waits for the message that is being handed over. */
const STOP_TIMEOUT_MS = 3_000;

export type MailQueueEvent = { type: "mail" };
/** What a round leaves: how long until the next message's turn; undefined where none waits. */
export interface RoundResult {
  readonly waitMs: number | undefined;
}

/** Effects are given by `MailQueue`. */
function notProvided(): never {
  throw new Error("The mail queue machine runs only with its effects provided");
}

/**
 * idle        nothing waits
 * delivering  a round is on its way; the first one looks for what the run before has left
 * waiting     the next message has had a failure, and its turn comes later
 */
export const mailQueueMachine = setup({
  types: { context: {} as { moreCame: boolean; waitMs: number }, events: {} as MailQueueEvent },
  actors: { deliver: fromPromise<RoundResult>(notProvided) },
  guards: { moreCame: ({ context }) => context.moreCame },
  delays: { WAIT: ({ context }) => context.waitMs },
}).createMachine({
  id: "mail queue",
  initial: "delivering",
  context: { moreCame: false, waitMs: 0 },
  states: {
    idle: { on: { mail: "delivering" } },
    delivering: {
      entry: assign({ moreCame: false }),
      on: { mail: { actions: assign({ moreCame: true }) } },
      invoke: {
        id: "deliver",
        src: "deliver",
        onDone: [
          { guard: "moreCame", target: "delivering", reenter: true },
          { guard: ({ event }) => event.output.waitMs === undefined, target: "idle" },
          { target: "waiting", actions: assign({ waitMs: ({ event }) => event.output.waitMs ?? 0 }) },
        ],
        onError: { target: "waiting", actions: assign({ waitMs: ROUND_RETRY_MS }) },
      },
    },
    waiting: { on: { mail: "delivering" }, after: { WAIT: "delivering" } },
  },
});

/** The store of waiting mail. Times are Unix milliseconds; every change is durable when its promise resolves. */
export interface MailRows {
  add(mail: Mail, options: { now: number; expiresAt: number }): Promise<void>;
  due(
    now: number,
    limit: number,
  ): readonly { id: string; mail: Mail | undefined; attempts: number; expiresAt: number }[];
  nextAt(): number | undefined;
  putOff(id: string, options: { nextAt: number }): Promise<void>;
  remove(id: string): Promise<void>;
}

export interface MailQueueOptions {
  readonly rows: MailRows;
  readonly mailer: Mailer;
  readonly logger: Logger;
  /** Unix milliseconds. */
  readonly now: () => number;
}

type Waiting = ReturnType<MailRows["due"]>[number];

export class MailQueue {
  readonly #options: MailQueueOptions;
  readonly #actor;
  #round: Promise<unknown> = Promise.resolve();
  #isFirstRound = true;
  #stopped = false;

  constructor(options: MailQueueOptions) {
    this.#options = options;
    const deliver = fromPromise(() => {
      const round = this.#deliver();
      this.#round = round.catch(() => undefined);
      return round;
    });
    this.#actor = createActor(mailQueueMachine.provide({ actors: { deliver } }));
    this.#actor.start();
  }

  /**
   * Takes a message over, durably; it is tried until `expiresAt` (Unix milliseconds). Throws KithError busy,
   * storage_full.
   */
  async enqueue(mail: Mail, { expiresAt }: { expiresAt: number }): Promise<void> {
    await this.#options.rows.add(mail, { now: this.#options.now(), expiresAt });
    if (!this.#stopped) this.#actor.send({ type: "mail" });
  }

  /** What waits is sent after the next start. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#actor.stop();
    await Promise.race([this.#round, new Promise((resolve) => setTimeout(resolve, STOP_TIMEOUT_MS))]);
  }

  async #deliver(): Promise<RoundResult> {
    const { rows, now, logger } = this.#options;
    try {
      // What a start finds is tried at once: it may have been made because of it.
      const until = this.#isFirstRound ? Number.MAX_SAFE_INTEGER : now();
      for (const waiting of rows.due(until, MAIL_ROUND_MAX)) {
        if (this.#stopped) break;
        await this.#deliverOne(waiting);
      }
      this.#isFirstRound = false;
      if (this.#stopped) return { waitMs: undefined };
      const next = rows.nextAt();
      return { waitMs: next === undefined ? undefined : Math.max(0, next - now()) };
    } catch (error) {
      logger.error("Could not work on the queue of mail; trying again later", { error });
      throw error;
    }
  }

  async #deliverOne({ id, mail, attempts, expiresAt }: Waiting): Promise<void> {
    const { rows, mailer, logger, now } = this.#options;
    if (mail === undefined || expiresAt <= now()) {
      const why = mail === undefined ? "it cannot be opened any more" : "it has not been taken in its time";
      logger.warn("Dropped a mail", { mail: id, attempts, why });
      return this.#unlessStopped(() => rows.remove(id));
    }
    try {
      await mailer.send(mail);
    } catch (error) {
      if (isKithError(error, "invalid_request")) {
        logger.warn("Dropped a mail that was refused for good", { mail: id, error });
        return this.#unlessStopped(() => rows.remove(id));
      }
      const waitMs = Math.min(MAIL_RETRY_MS * 2 ** Math.min(attempts, 20), MAIL_RETRY_MS_MAX);
      logger.warn("Could not send a mail; trying again later", { mail: id, attempts: attempts + 1, error });
      return this.#unlessStopped(() => rows.putOff(id, { nextAt: now() + waitMs }));
    }
    return this.#unlessStopped(() => rows.remove(id));
  }

  /** A message may be on its way for longer than a stop waits, and the store is closed then. */
  async #unlessStopped(change: () => Promise<void>): Promise<void> {
    await change().catch((error: unknown) => {
      if (!this.#stopped) throw error;
    });
  }
}
