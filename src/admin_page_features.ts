/** Wires the operator's pages. Called by page_features.ts. */
import { LoginLock } from "./accounts/mod.ts";
import type { BackupService, DrillService } from "./backup/mod.ts";
import { type Config, VERSION } from "./config/mod.ts";
import type { Actors, Stores } from "./engine.ts";
import { isKithError } from "./errors.ts";
import type { Features } from "./features.ts";
import type { RootLogger } from "./logger.ts";
import { type AdminHomeFacts, AdminPages, AdminSessions } from "./oauth/mod.ts";
import { bytesOfFiles, diskRoom, worstOf } from "./watch/mod.ts";
import type { Watch } from "./watch_features.ts";

/** Accounts of one page: the repo of each is opened for its size. */
const PAGE_ACCOUNTS = 25;

export interface AdminPageParts {
  readonly config: Config;
  readonly features: Pick<Features, "authenticator">;
  readonly stores: Pick<Stores, "accounts" | "files">;
  readonly actors: Pick<Actors, "registry" | "now">;
  readonly backups: BackupService;
  readonly drills: DrillService;
  readonly watch: Watch;
  readonly log: RootLogger;
}

export function adminPagesOf(parts: AdminPageParts): AdminPages {
  const { config, features, actors, backups, drills, log } = parts;
  const isSecure = config.publicUrl.startsWith("https:");
  return new AdminPages({
    sessions: new AdminSessions({ isSecure, now: actors.now }),
    isPassword: (text) => features.authenticator.isAdminPassword(text),
    // By network alone: the password opens calls without this lock too, so that of all networks would only keep the operator out.
    lock: new LoginLock({
      ...{ failuresMax: config.loginFailuresMax, lockMs: config.loginLockMs },
      everywhereFactor: Number.POSITIVE_INFINITY,
    }),
    home: () => homeFacts(parts),
    accounts: (cursor) => accountsPage(parts, cursor),
    // What goes wrong is logged by them, and on the page afterwards.
    backUp: () => void backups.run().catch(() => undefined),
    drill: () => void drills.run().catch(() => undefined),
    onSignIn: ({ ip, isIn }) => {
      if (isIn) log.info("The operator signed in to the pages of administration", { ip });
      else log.warn("A wrong admin password on the pages of administration", { ip });
    },
  });
}

async function homeFacts({
  config,
  stores,
  backups,
  drills,
  watch,
}: AdminPageParts): Promise<AdminHomeFacts> {
  const [checks, disk] = await Promise.all([watch.checks(), diskRoom(config.dataFolder)]);
  const status = backups.status();
  const { lastBackup, lastFailure, lastShipped, lastProven, lastDrill } = status;
  return {
    worst: worstOf(checks),
    checks,
    backups: {
      destination: config.backup.key === undefined ? undefined : status.destination,
      snapshot: lastBackup && { ...lastBackup, at: new Date(lastBackup.at) },
      failure: lastFailure && { ...lastFailure, at: new Date(lastFailure.at) },
      shipped: lastShipped && { at: new Date(lastShipped.at), isUpToDate: status.isUpToDate === true },
      proven: lastProven && {
        at: new Date(lastProven.at),
        snapshot: lastProven.snapshot.replace(/^.*\//, ""),
      },
      drill: lastDrill && { ...lastDrill, at: new Date(lastDrill.at) },
      isRunning: status.running,
      isDrilling: drills.isRunning,
    },
    server: {
      version: VERSION,
      address: config.publicUrl,
      started: new Date(watch.startedAt),
      disk,
      accounts: stores.accounts.countByState(),
    },
  };
}

async function accountsPage({ stores, actors }: AdminPageParts, at: string | undefined) {
  const { accounts, cursor } = stores.accounts.listAccounts({
    limit: PAGE_ACCOUNTS,
    ...(at === undefined ? {} : { cursor: at }),
  });
  const rows = await Promise.all(
    accounts.map(async ({ did, handle, state, generation, createdAt }) => {
      const file = stores.files.path(did, generation);
      const repoBytes = await bytesOfFiles([file, `${file}-wal`]);
      const blobBytes = await actors.registry
        .read(did, (repo) => repo.blobBytes())
        .catch((error: unknown) => {
          // Deleted meanwhile, damaged, or too busy now: the others are shown all the same.
          if (isKithError(error)) return undefined;
          throw error;
        });
      const sizes = blobBytes === undefined ? undefined : { repoBytes, blobBytes };
      return { did, handle, state: stateShown(state), joined: new Date(createdAt), sizes };
    }),
  );
  return { accounts: rows, cursor };
}

function stateShown<S extends string>(state: S): Exclude<S, "deleted"> | "deleting" {
  return state === "deleted" ? "deleting" : (state as Exclude<S, "deleted">);
}
