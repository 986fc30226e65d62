/**
 * Tells relays that there is something to fetch: com.atproto.sync.requestCrawl at the first event, and then at most once
 * in twenty minutes while events keep coming.
 */
import { assign, createActor, fromPromise, setup } from "xstate";
import type { Logger } from "../logger.ts";

/** Between two announcements. */
export const NOTIFY_EVERY_MS = 20 * 60_000;
/** After the first event, so that a burst of them is one announcement. */
export const NOTIFY_DELAY_MS = 1_000;

export type CrawlersEvent = { type: "event" };

/** Effects are given by `Crawlers`. */
function notProvided(): never {
  throw new Error("The crawlers machine runs only with its effects provided");
}

export const crawlersMachine = setup({
  types: { context: {} as { moreCame: boolean }, events: {} as CrawlersEvent },
  actors: { notify: fromPromise<void>(notProvided) },
  guards: { moreCame: ({ context }) => context.moreCame },
  delays: { NOTIFY_EVERY_MS, NOTIFY_DELAY_MS },
}).createMachine({
  id: "crawlers",
  initial: "quiet",
  context: { moreCame: false },
  states: {
    quiet: { on: { event: "gathering" } },
    gathering: { entry: assign({ moreCame: false }), after: { NOTIFY_DELAY_MS: "notifying" } },
    notifying: {
      on: { event: { actions: assign({ moreCame: true }) } },
      invoke: { id: "notify", src: "notify", onDone: "resting", onError: "resting" },
    },
    resting: {
      on: { event: { actions: assign({ moreCame: true }) } },
      after: { NOTIFY_EVERY_MS: [{ guard: "moreCame", target: "gathering" }, { target: "quiet" }] },
    },
  },
});

export interface CrawlersOptions {
  /** Base URLs of relays (PDS_CRAWLERS); none: nobody is told. */
  readonly relays: readonly string[];
  /** Our host name, as the relay shall dial it. */
  readonly hostname: string;
  /** Calls requestCrawl on one relay; bounded in time by the caller's client. */
  requestCrawl(relay: string, hostname: string): Promise<void>;
  readonly logger: Logger;
  readonly now?: () => number;
}

/** How a relay has answered when it was last asked. */
export interface RelayAnswer {
  readonly relay: string;
  /** Unix ms; undefined where it was not asked yet. */
  readonly askedAt: number | undefined;
  /** Why it did not accept. */
  readonly problem: string | undefined;
}

export class Crawlers {
  readonly #actor;
  readonly #answers: Map<string, RelayAnswer>;

  constructor(options: CrawlersOptions) {
    const { relays, hostname, logger, now = Date.now } = options;
    this.#answers = new Map(
      relays.map((relay) => [relay, { relay, askedAt: undefined, problem: undefined }]),
    );
    const note = (relay: string, problem: string | undefined) =>
      this.#answers.set(relay, { relay, askedAt: now(), problem });
    const notify = async (): Promise<void> => {
      for (const relay of relays) {
        try {
          await options.requestCrawl(relay, hostname);
          note(relay, undefined);
        } catch (error) {
          note(relay, error instanceof Error ? error.message : String(error));
          logger.warn("Could not ask a relay to crawl; trying again with later events", { relay, error });
        }
      }
    };
    this.#actor = createActor(crawlersMachine.provide({ actors: { notify: fromPromise(notify) } }));
    if (relays.length > 0) this.#actor.start();
  }

  /** Of each relay, in the order of the settings. */
  answers(): readonly RelayAnswer[] {
    return [...this.#answers.values()];
  }

  /** Something has been published. */
  notify(): void {
    if (this.#actor.getSnapshot().status === "active") this.#actor.send({ type: "event" });
  }

  stop(): void {
    this.#actor.stop();
  }
}
