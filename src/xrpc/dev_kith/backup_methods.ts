/** dev.kith.admin.createBackup and getBackupStatus. For the admin socket only. */
import type { BackupProgress, BackupService } from "../../backup/mod.ts";
import { isKithError } from "../../errors.ts";
import { DevKithAdminCreateBackup, DevKithAdminGetBackupStatus } from "../../lexicons/mod.ts";
import { type Method, method } from "../method.ts";
import type { Log } from "../request_log.ts";

/** Progress is told so often at the most, and so often though there is none: a socket without traffic is closed. */
const TELL_MS = 200;
const STILL_MS = 3_000;
const LINES_TYPE = "application/jsonl";

export interface BackupMethodsOptions {
  readonly backups: Pick<BackupService, "run" | "status">;
  readonly log: Pick<Log, "warn">;
}

export function backupMethods({ backups, log }: BackupMethodsOptions): Method[] {
  return [
    method(DevKithAdminCreateBackup.mainSchema, {
      auth: "admin",
      handler: ({ input, requestId }) => {
        const onDefect = (error: unknown) => log.warn("A backup failed by a defect", { error, requestId });
        const body = lines((onProgress) => backups.run(input, onProgress), onDefect);
        return new Response(body, { headers: { "Content-Type": LINES_TYPE } });
      },
    }),
    method(DevKithAdminGetBackupStatus.mainSchema, {
      auth: "admin",
      handler: async () => backups.status(),
    }),
  ];
}

/** A run as lines of JSON. It goes on where nobody reads them any more. */
function lines(
  run: (onProgress: (progress: BackupProgress) => void) => ReturnType<BackupService["run"]>,
  onDefect: (error: unknown) => void,
): ReadableStream<Uint8Array> {
  let timer: ReturnType<typeof setInterval> | undefined;
  return new ReadableStream<Uint8Array>({
    start: (controller) => {
      let isOpen = true;
      let saidMs = Number.NEGATIVE_INFINITY;
      let last: BackupProgress | undefined;
      const say = (entry: object): void => {
        if (!isOpen) return;
        saidMs = performance.now();
        try {
          controller.enqueue(Buffer.from(`${JSON.stringify(entry)}\n`));
        } catch {
          isOpen = false;
        }
      };
      const end = (entry: object): void => {
        clearInterval(timer);
        say(entry);
        if (isOpen) controller.close();
        isOpen = false;
      };
      timer = setInterval(() => {
        if (performance.now() - saidMs >= STILL_MS) say({ type: "progress", ...last });
      }, STILL_MS);
      const onProgress = (progress: BackupProgress): void => {
        const isNews = progress.phase !== last?.phase || performance.now() - saidMs >= TELL_MS;
        last = progress;
        if (isNews) say({ type: "progress", ...progress });
      };
      run(onProgress).then(
        (answer) => end({ type: "result", ...answer }),
        (error: unknown) => {
          if (!isKithError(error)) onDefect(error);
          const hint = isKithError(error) ? error.hint : "The log of the server has the details.";
          end({ type: "error", message: error instanceof Error ? error.message : String(error), hint });
        },
      );
    },
    cancel: () => clearInterval(timer),
  });
}
