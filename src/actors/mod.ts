/** Order, lifecycle and live streams: one actor a repo, the sequencer, an outbox a subscriber, the crawlers. */
export { openBirth } from "./birth.ts";
export { BlobHold } from "./blob_hold.ts";
export { settleQuarantine } from "./blob_quarantine.ts";
export { BlobSweeper, removeAllOrLater } from "./blob_sweeper.ts";
export { Crawlers } from "./crawlers.ts";
export { EventRetention } from "./event_retention.ts";
export { Firehose } from "./firehose.ts";
export type { ImportSource } from "./import_repo.ts";
export { MailQueue } from "./mail_queue.ts";
export type { FrameSink, Outbox } from "./outbox.ts";
export { pendingOf, standingEvent } from "./pending_events.ts";
export { ProvisionActors, type ProvisionRun, type ProvisionWork } from "./provision_actor.ts";
export {
  nextState,
  PROVISION_LIFETIME_MS,
  PROVISION_STEPS,
  type ProvisionEnd,
  type ProvisionStep,
  StepRefused,
} from "./provision_machine.ts";
export type { RegistryBlobs } from "./repo_blobs.ts";
export { RepoRegistry } from "./repo_registry.ts";
export type {
  BlobRow,
  ImportTask,
  ModerationChange,
  PreferencesChange,
  RecordWrite,
  RepoId,
  RepoStatus,
  WriteOutcome,
  WriteRequest,
  WriteResult,
} from "./repo_types.ts";
export { BACKLOG_EVENTS_MAX, type SequencedFrame, Sequencer } from "./sequencer.ts";
export type { StatusOptions } from "./standing.ts";
export { beginLostLog, recoverRepos, reserveFirstSeq, type StartUpOptions } from "./start_up.ts";
export { believedClock, risingClock } from "./steady_clocks.ts";
