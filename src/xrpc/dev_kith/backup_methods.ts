/** dev.kith.admin.createBackup, drillBackup and getBackupStatus. For the admin socket only. */
import type { BackupProgress, BackupService, DrillService, RestoreProgress } from "../../backup/mod.ts";
import {
  DevKithAdminCreateBackup,
  DevKithAdminDrillBackup,
  DevKithAdminGetBackupStatus,
} from "../../lexicons/mod.ts";
import { type Method, method } from "../method.ts";
import type { Log } from "../request_log.ts";
import { progressLines } from "./_progress_lines.ts";

export interface BackupMethodsOptions {
  readonly backups: Pick<BackupService, "run" | "status">;
  readonly drills: Pick<DrillService, "run">;
  readonly log: Pick<Log, "warn">;
}

export function backupMethods({ backups, drills, log }: BackupMethodsOptions): Method[] {
  return [
    method(DevKithAdminCreateBackup.mainSchema, {
      auth: "admin",
      handler: ({ input, requestId }) =>
        progressLines<BackupProgress>(
          (onProgress) => backups.run(input, onProgress),
          (error) => log.warn("A backup failed by a defect", { error, requestId }),
        ),
    }),
    method(DevKithAdminDrillBackup.mainSchema, {
      auth: "admin",
      handler: ({ input, requestId }) =>
        progressLines<RestoreProgress>(
          (onProgress) => drills.run(input, onProgress),
          (error) => log.warn("A drill failed by a defect", { error, requestId }),
        ),
    }),
    method(DevKithAdminGetBackupStatus.mainSchema, {
      auth: "admin",
      handler: async () => backups.status(),
    }),
  ];
}
