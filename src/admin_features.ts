/** Wires what the admin and moderators do. Called by edge.ts. */
import { MemberInvites, Moderation } from "./accounts/mod.ts";
import type { Config } from "./config/mod.ts";
import type { Actors, Stores } from "./engine.ts";
import type { Features } from "./features.ts";
import type { RootLogger } from "./logger.ts";
import {
  adminAccountMethods,
  adminInviteMethods,
  inviteMethods,
  type Method,
  memberInviteMethods,
  subjectMethods,
} from "./xrpc/mod.ts";

export function adminMethods(parts: {
  config: Config;
  log: RootLogger;
  stores: Stores;
  actors: Actors;
  features: Pick<Features, "invites" | "owners" | "ends">;
}): Method[] {
  const { config, log, stores, actors, features } = parts;
  const { accounts, invites } = stores;
  const { owners } = features;
  const repos = actors.registry;
  const moderation = new Moderation({
    accounts,
    repos,
    status: owners.status,
    onLifted: () => owners.sweep.plan(),
  });
  const { inviteRequired, inviteIntervalMs: intervalMs, inviteEpochMs: epochMs, hostname } = config;
  const isEarning = inviteRequired && intervalMs !== undefined;
  const earning = isEarning ? { intervalMs, epochMs } : undefined;
  const memberInvites = new MemberInvites({ codes: invites, accounts, hostname, earning });
  const { credentials, moderatorMail: mail } = owners;
  return [
    ...adminAccountMethods({ accounts, invites, credentials, mail, repos: features.ends, log }),
    ...adminInviteMethods({ accounts, invites, log }),
    ...subjectMethods({ moderation, log }),
    ...inviteMethods({ invites: features.invites, log }),
    ...memberInviteMethods({ invites: memberInvites }),
  ];
}
