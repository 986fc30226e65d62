import type { Awaitable } from "./account.ts";
import { type BirthRows, isRegistered, type PlcClient, type RepoBirths } from "./births.ts";

/** Between two looks at accounts whose creation waits for the PLC directory or for room, in milliseconds. */
export const RETRY_INTERVAL_MS = 30_000;

/** What finishing needs of the accounts store. */
export interface CreatingRows extends Pick<BirthRows, "abandonAccount" | "finishCreation"> {
  creating(): Awaitable<readonly { readonly did: string; readonly movesIn?: boolean }[]>;
}

export interface FinishCreationsOptions {
  readonly accounts: CreatingRows;
  readonly plc: Pick<PlcClient, "data">;
  readonly repos: RepoBirths;
  /** True for an account that is being created at this moment: it is left alone. */
  readonly isInFlight?: (did: string) => boolean;
  /** Told of each account that has to wait, with the reason. */
  readonly onProblem?: (did: string, error: unknown) => void;
}

/** The DIDs by what became of them. */
export interface FinishedCreations {
  readonly finished: string[];
  readonly abandoned: string[];
  /** Still "creating", to be looked at again. */
  readonly waiting: string[];
}

/**
 * Finishes or removes every account that a crash left half-made. One with a repo file is completed: the file is made only
 * after the DID. Without a file the PLC directory decides: a DID that landed there gets its repo, another one leaves
 * nothing. Repeatable; throws nothing for a single account, which waits then.
 */
export async function finishCreations(options: FinishCreationsOptions): Promise<FinishedCreations> {
  const outcome: FinishedCreations = { finished: [], abandoned: [], waiting: [] };
  let directoryAnswers = true;
  for (const { did, movesIn = false } of await options.accounts.creating()) {
    if (options.isInFlight?.(did)) continue;
    try {
      const become = movesIn
        ? await finishMove(did, options)
        : await finishOne(did, options, directoryAnswers);
      outcome[become].push(did);
    } catch (error) {
      // One time-out is enough: start-up must not wait for as many as there are accounts.
      if (error instanceof DirectorySilent) directoryAnswers = false;
      options.onProblem?.(did, error instanceof DirectorySilent ? error.cause : error);
      outcome.waiting.push(did);
    }
  }
  return outcome;
}

class DirectorySilent extends Error {}

async function finishOne(
  did: string,
  options: FinishCreationsOptions,
  directoryAnswers: boolean,
): Promise<keyof FinishedCreations> {
  const { accounts, plc, repos } = options;
  if (!(await repos.hasRepo(did))) {
    if (!directoryAnswers) return "waiting";
    const registered = await isRegistered(plc, did).catch((cause: unknown) => {
      throw new DirectorySilent("The PLC directory does not answer", { cause });
    });
    if (!registered) {
      await accounts.abandonAccount(did);
      return "abandoned";
    }
  }
  // Also where there is a commit: its events may not have reached the event log.
  await repos.createRepo(did);
  await accounts.finishCreation(did, "active");
  return "finished";
}

/** A DID that came from elsewhere loses nothing where its account here is taken back: only a file that is there is kept. */
async function finishMove(
  did: string,
  { accounts, repos }: FinishCreationsOptions,
): Promise<"finished" | "abandoned"> {
  if (!(await repos.hasRepo(did))) {
    await accounts.abandonAccount(did);
    return "abandoned";
  }
  await repos.createRepo(did);
  await accounts.finishCreation(did, "deactivated");
  return "finished";
}

/** Runs `finishCreations` again and again, one run at a time, as long as anything waits. */
export class CreationRetries {
  readonly #options: FinishCreationsOptions & { readonly intervalMs?: number };
  #timer: ReturnType<typeof setTimeout> | undefined;
  #run: Promise<FinishedCreations> | undefined;
  #stopped = false;

  constructor(options: FinishCreationsOptions & { readonly intervalMs?: number }) {
    this.#options = options;
  }

  /** One run now, also the first one of start-up; plans the next where something waits. */
  now(): Promise<FinishedCreations> {
    this.#run ??= this.#runOnce().finally(() => {
      this.#run = undefined;
    });
    return this.#run;
  }

  /** Something waits: a run follows within the interval. */
  soon(): void {
    if (this.#stopped || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      // A run that is on its way may have passed what waits.
      if (this.#run !== undefined) return this.soon();
      this.now().catch((error: unknown) => {
        this.#options.onProblem?.("", error);
        this.soon();
      });
    }, this.#options.intervalMs ?? RETRY_INTERVAL_MS);
    // Waiting for another server must not keep the process from ending.
    this.#timer.unref?.();
  }

  /** Ends it; resolves when a run that is on its way is over. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    await this.#run?.catch(() => undefined);
  }

  async #runOnce(): Promise<FinishedCreations> {
    const outcome = await finishCreations(this.#options);
    if (outcome.waiting.length > 0) this.soon();
    return outcome;
  }
}
