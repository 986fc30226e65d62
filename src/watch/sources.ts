/** What of a running server is watched: handed in by the wiring, and read when somebody asks. */
import type { RequestCounts } from "./request_counts.ts";

/** Times are texts in ISO 8601. */
export interface BackupFacts {
  readonly destination: string | undefined;
  readonly running: boolean;
  readonly shipping: boolean;
  readonly shippingProblem: string | undefined;
  readonly isUpToDate: boolean | undefined;
  readonly lastBackup?:
    | {
        readonly at: string;
        readonly snapshot: string;
        readonly destination: string;
        readonly seconds: number;
        readonly bytes: number;
        readonly writtenBytes: number;
        readonly problems: number;
      }
    | undefined;
  readonly lastFailure?: { readonly at: string; readonly message: string } | undefined;
  readonly lastShipped?: { readonly at: string; readonly seq: number } | undefined;
  readonly lastProven?: { readonly at: string; readonly snapshot: string } | undefined;
  readonly lastDrill?:
    | { readonly at: string; readonly seconds: number; readonly problem?: string | undefined }
    | undefined;
}

export interface BackupPlan {
  /** 0: no schedule. */
  readonly intervalMs: number;
  /** 0: the log goes with snapshots alone. */
  readonly shipMs: number;
  /** 0: no schedule. */
  readonly drillMs: number;
  /** False: a destination or a key is missing. */
  readonly isSet: boolean;
}

/** How a relay has answered when it was last asked to crawl. */
export interface RelayAnswer {
  readonly relay: string;
  /** Unix ms; undefined where it was not asked yet. */
  readonly askedAt: number | undefined;
  /** Why it did not accept. */
  readonly problem: string | undefined;
}

export interface WatchSources {
  readonly version: string;
  /** In dev mode nobody needs backups, mail or relays. */
  readonly isDev: boolean;
  readonly dataFolder: string;
  readonly eventLogFiles: readonly string[];
  readonly requests: RequestCounts;
  readonly gate: { readonly underWay: number };
  readonly accounts: { countByState(): Readonly<Record<string, number | undefined>> };
  readonly repos: { readonly openCount: number };
  readonly openReposMax: number;
  readonly sequencer: {
    readonly publishedSeq: number;
    readonly publishedCount: number;
    readonly unpublished: number;
    readonly refusedSince: number | undefined;
  };
  readonly unpublishedMax: number;
  readonly firehose: { readonly subscriberCount: number };
  readonly subscribersMax: number;
  readonly eventLog: { atAfter(seq: number): number | undefined };
  readonly maintenance: { readonly waiting: number };
  /** Messages that wait to be sent. */
  readonly mails: {
    count(): number;
    /** Those that were tried several times. */
    failing(): number;
  };
  readonly mailsMax: number;
  readonly hasMail: boolean;
  readonly relays: { answers(): readonly RelayAnswer[] };
  readonly backups: { status(): BackupFacts; readonly shippedUpTo: number | undefined };
  readonly plan: BackupPlan;
  /** Bytes of all blobs, as far as they are known. */
  readonly blobs: { bytes(): number | undefined };
  /** Unix ms. */
  readonly now: () => number;
}

/** For how long the oldest event waits that is not in the backup; undefined where the log is not shipped. */
export function shippingLagMs({ backups, eventLog, sequencer, now }: WatchSources): number | undefined {
  const upTo = backups.shippedUpTo;
  if (upTo === undefined || !backups.status().shipping) return undefined;
  if (upTo >= sequencer.publishedSeq) return 0;
  const at = eventLog.atAfter(upTo);
  return at === undefined ? 0 : Math.max(0, now() - at);
}
