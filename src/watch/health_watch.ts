/** Looks at the checks every minute and when somebody asks; remembers since when each is as it is, and logs what changes. */
import type { Logger } from "../logger.ts";
import { type CheckName, type HealthCheck, judge, type Verdict } from "./health.ts";
import { diskRoom } from "./machine_facts.ts";
import { shippingLagMs, type WatchSources } from "./sources.ts";

const LOOK_MS = 60_000;

export class HealthWatch {
  readonly #sources: WatchSources;
  readonly #logger: Logger;
  readonly #startedAt: number;
  readonly #known = new Map<CheckName, HealthCheck>();
  readonly #timer: ReturnType<typeof setInterval>;
  #looking: Promise<readonly HealthCheck[]> | undefined;
  #stopped = false;

  constructor(sources: WatchSources, { logger }: { logger: Logger }) {
    this.#sources = sources;
    this.#logger = logger;
    this.#startedAt = sources.now();
    this.#timer = setInterval(() => {
      this.look().catch((error: unknown) => {
        if (!this.#stopped)
          logger.warn("Could not look whether the server is well; trying again later", { error });
      });
    }, LOOK_MS);
    this.#timer.unref?.();
  }

  /** Every check as it is now. */
  look(): Promise<readonly HealthCheck[]> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  stop(): void {
    this.#stopped = true;
    clearInterval(this.#timer);
  }

  async #look(): Promise<readonly HealthCheck[]> {
    const { now, isDev, dataFolder, sequencer, backups, plan, hasMail, mails, relays } = this.#sources;
    const room = await diskRoom(dataFolder);
    const verdicts = judge({
      ...{ now: now(), startedAt: this.#startedAt, isDev, room, plan, hasMail },
      refusedSince: sequencer.refusedSince,
      backup: backups.status(),
      lagMs: shippingLagMs(this.#sources),
      mailsFailing: mails.failing(),
      relays: relays.answers(),
    });
    return verdicts.map((verdict) => this.#note(verdict));
  }

  #note(verdict: Verdict): HealthCheck {
    const { name, state, reason, values } = verdict;
    const before = this.#known.get(name);
    const isSame = before?.state === state;
    const since = verdict.since ?? (isSame ? before.since : before ? this.#sources.now() : this.#startedAt);
    const check: HealthCheck = { ...verdict, since };
    this.#known.set(name, check);
    if (isSame || (!before && state === "ok")) return check;
    const fields = { check: name, state, reason, ...values };
    if (state === "ok") this.#logger.info("A health check is well again", fields);
    else if (state === "warn") this.#logger.warn("A health check warns", fields);
    else this.#logger.error("A health check fails", fields);
    return check;
  }
}
