/** dev.kith.admin.getHealth: for the admin, by the password or on the admin socket. */
import { DevKithAdminGetHealth } from "../../lexicons/mod.ts";
import { type HealthCheck, worstOf } from "../../watch/mod.ts";
import { type Method, method } from "../method.ts";

export interface HealthMethodsOptions {
  readonly version: string;
  /** Unix ms. */
  readonly startedAt: number;
  readonly checks: () => Promise<readonly HealthCheck[]>;
  /** What a check says, and what to do about it. */
  readonly words: (check: HealthCheck) => { summary: string; todo: string | undefined };
  /** When a backup was last proven restorable, in ISO 8601. */
  readonly lastProvenAt: () => string | undefined;
}

export function healthMethods(options: HealthMethodsOptions): Method[] {
  const { version, startedAt, checks, words, lastProvenAt } = options;
  return [
    method(DevKithAdminGetHealth.mainSchema, {
      auth: "admin",
      handler: async () => {
        const all = await checks();
        return {
          version,
          startedAt: new Date(startedAt).toISOString(),
          state: worstOf(all),
          lastProvenAt: lastProvenAt(),
          checks: all.map((check) => {
            const { name, state, reason } = check;
            const { summary: message, todo } = words(check);
            return { name, state, reason, since: new Date(check.since).toISOString(), message, todo };
          }),
        };
      },
    }),
  ];
}
