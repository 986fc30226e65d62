/** dev.kith.admin.listAttempts and reapAttempt. For the admin socket only. */
import type { Reaper, ReapVerdict } from "../../communities/mod.ts";
import { DevKithAdminListAttempts, DevKithAdminReapAttempt } from "../../lexicons/mod.ts";
import type { Attempt } from "../../storage/mod.ts";
import { type Method, method } from "../method.ts";
import type { Log } from "../request_log.ts";

export interface CommunityAdminMethodsOptions {
  readonly reaper: Pick<Reaper, "list" | "judge" | "reap">;
  readonly log: Pick<Log, "warn">;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}

export function communityAdminMethods({ reaper, log, now }: CommunityAdminMethodsOptions): Method[] {
  return [
    method(DevKithAdminListAttempts.mainSchema, {
      auth: "admin",
      handler: ({ params: { olderThanSeconds, limit, cursor } }) => {
        const found = reaper.list({ idleMs: olderThanSeconds * 1_000 });
        const rest = cursor === undefined ? found : found.filter((attempt) => cursorOf(attempt) > cursor);
        const attempts = rest.slice(0, limit);
        const last = attempts.at(-1);
        return {
          attempts: attempts.map((attempt) => attemptView(attempt, now())),
          ...(last && rest.length > limit ? { cursor: cursorOf(last) } : {}),
        };
      },
    }),
    method(DevKithAdminReapAttempt.mainSchema, {
      auth: "admin",
      handler: async ({ input: { id, olderThanSeconds, dryRun, operator = "" }, requestId }) => {
        const idleMs = olderThanSeconds * 1_000;
        const verdict = dryRun
          ? await reaper.judge(id, { idleMs })
          : await reaper.reap(id, { idleMs, operator });
        if (verdict.reaped) {
          const { did } = verdict.attempt;
          log.warn("The operator took back an attempt at a community", {
            attempt: id,
            did,
            operator,
            requestId,
          });
        }
        return { attempt: verdictView(verdict, now()) };
      },
    }),
  ];
}

function verdictView({ attempt, reaped, verdict }: ReapVerdict, now: number): object {
  return { ...attemptView(attempt, now), verdict, reaped };
}

/** dev.kith.admin.listAttempts#attempt */
function attemptView(attempt: Attempt, now: number): object {
  const { id, state, kind, caller, did, handle, pdsEndpoint, createdAt, updatedAt, lastError } = attempt;
  return {
    id,
    state,
    kind,
    caller,
    ...(did === null ? {} : { did }),
    ...(handle === null ? {} : { handle }),
    ...(pdsEndpoint === null ? {} : { pdsEndpoint }),
    createdAt: new Date(createdAt).toISOString(),
    updatedAt: new Date(updatedAt).toISOString(),
    idleSeconds: Math.max(0, Math.floor((now - updatedAt) / 1_000)),
    ...(lastError === null ? {} : { lastError: lastError.message }),
  };
}

/** In the order of the list: by the time it was begun. */
function cursorOf({ createdAt, id }: Attempt): string {
  return `${String(createdAt).padStart(15, "0")}::${id}`;
}
