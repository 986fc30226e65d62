/** All metrics of a server, collected when they are asked for. The names are stable: alerts of operators hang on them. */
import type { HealthCheck } from "./health.ts";
import { bytesOfFiles, diskRoom, processFacts } from "./machine_facts.ts";
import { MetricsText, type Sample } from "./metrics_text.ts";
import { BUCKETS_S, REQUEST_KINDS, type RequestCounts } from "./request_counts.ts";
import { shippingLagMs, type WatchSources } from "./sources.ts";

const HEALTH_VALUES = { ok: 0, warn: 1, fail: 2 } as const;
/** Listed also where there is none of it, so that a rule on one always finds it. */
const ACCOUNT_STATES = ["active", "deactivated", "takendown", "suspended", "creating", "deleting"];

export async function renderMetrics(sources: WatchSources, checks: readonly HealthCheck[]): Promise<string> {
  const text = new MetricsText();
  text.gauge({ name: "kith_build_info", help: "1, with the version that runs." }, [
    [{ version: sources.version }, 1],
  ]);
  await addProcess(text);
  addRequests(text, sources);
  addAccounts(text, sources);
  await addEvents(text, sources);
  addQueues(text, sources);
  await addDisk(text, sources);
  addBackups(text, sources);
  addDrills(text, sources);
  text.gauge(
    { name: "kith_health", help: "Each check of kith health: 0 ok, 1 warn, 2 fail." },
    checks.map(({ name, state }): Sample => [{ check: name }, HEALTH_VALUES[state]]),
  );
  return text.toString();
}

async function addProcess(text: MetricsText): Promise<void> {
  const facts = await processFacts();
  text.gauge(
    { name: "process_resident_memory_bytes", help: "Resident memory of the process." },
    facts.residentBytes,
  );
  text.counter(
    { name: "process_cpu_seconds_total", help: "CPU time that the process has used." },
    facts.cpuSeconds,
  );
  text.gauge({ name: "process_open_fds", help: "Open file descriptors." }, facts.openFiles);
  text.gauge({ name: "process_max_fds", help: "Most file descriptors there may be." }, facts.openFilesMax);
  text.gauge(
    { name: "process_start_time_seconds", help: "When the process was started, in Unix seconds." },
    facts.startedAt,
  );
}

function addRequests(text: MetricsText, { requests, gate }: WatchSources): void {
  text.counter(
    {
      name: "kith_http_requests_total",
      help: "Answered requests, by the method of this server; passed_on: of others; page; other.",
    },
    [...requests.all()].map(([method, status, count]): Sample => [{ method, status }, count]),
  );
  text.histogram(
    {
      name: "kith_http_request_duration_seconds",
      help: "Time until the headers of the answer were ready, by kind of request.",
    },
    { bounds: BUCKETS_S, series: REQUEST_KINDS.map((kind) => seriesOf(requests, kind)) },
  );
  text.gauge(
    { name: "kith_http_requests_under_way", help: "Requests that have no answer yet." },
    gate.underWay,
  );
}

function seriesOf(requests: RequestCounts, kind: (typeof REQUEST_KINDS)[number]) {
  const { counts, sumS } = requests.timings(kind);
  return { labels: { kind }, counts, sum: sumS };
}

function addAccounts(text: MetricsText, { accounts, repos, openReposMax }: WatchSources): void {
  const counts = accounts.countByState();
  text.gauge(
    { name: "kith_accounts", help: "Accounts, by status." },
    ACCOUNT_STATES.map((status): Sample => [{ status }, counts[status] ?? 0]),
  );
  text.gauge({ name: "kith_open_repos", help: "Repos that are open." }, repos.openCount);
  text.gauge({ name: "kith_open_repos_max", help: "Most repos that may be open." }, openReposMax);
}

async function addEvents(text: MetricsText, sources: WatchSources): Promise<void> {
  const { sequencer, eventLog, firehose, subscribersMax } = sources;
  text.gauge(
    { name: "kith_sequencer_seq", help: "The newest seq that subscribers may see." },
    sequencer.publishedSeq,
  );
  text.counter(
    { name: "kith_events_published_total", help: "Events that were published since the start." },
    sequencer.publishedCount,
  );
  text.gauge(
    { name: "kith_event_log_refusing", help: "1 while the event log takes no events: a full disk, say." },
    sequencer.refusedSince === undefined ? 0 : 1,
  );
  text.gauge(
    { name: "kith_event_log_bytes", help: "Size of the event log on the disk." },
    await bytesOfFiles(sources.eventLogFiles),
  );
  const oldest = eventLog.atAfter(0);
  text.gauge(
    { name: "kith_event_log_oldest_timestamp_seconds", help: "When the oldest kept event was appended." },
    oldest === undefined ? undefined : oldest / 1_000,
  );
  text.gauge(
    { name: "kith_firehose_subscribers", help: "Subscribers of the firehose." },
    firehose.subscriberCount,
  );
  text.gauge(
    { name: "kith_firehose_subscribers_max", help: "Most subscribers of the firehose." },
    subscribersMax,
  );
}

function addQueues(text: MetricsText, sources: WatchSources): void {
  const { sequencer, unpublishedMax, maintenance, mails, mailsMax } = sources;
  text.gauge({ name: "kith_queue_length", help: "What waits, by queue." }, [
    [{ queue: "events" }, sequencer.unpublished],
    [{ queue: "maintenance" }, maintenance.waiting],
    [{ queue: "mail" }, mails.count()],
  ]);
  text.gauge({ name: "kith_queue_length_max", help: "What a queue takes, of those with a bound." }, [
    [{ queue: "events" }, unpublishedMax],
    [{ queue: "mail" }, mailsMax],
  ]);
}

async function addDisk(text: MetricsText, { dataFolder, blobs }: WatchSources): Promise<void> {
  const room = await diskRoom(dataFolder);
  text.gauge(
    { name: "kith_data_disk_free_bytes", help: "Room on the disk of the data folder." },
    room?.freeBytes,
  );
  text.gauge(
    { name: "kith_data_disk_size_bytes", help: "Size of the disk of the data folder." },
    room?.sizeBytes,
  );
  text.gauge(
    { name: "kith_blob_bytes", help: "Size of all blobs on the disk, counted once an hour." },
    blobs.bytes(),
  );
}

/** A time that is not there is 0, so that a rule on its age finds that too. */
function seconds(at: string | undefined): number {
  return at === undefined ? 0 : Date.parse(at) / 1_000;
}

function addBackups(text: MetricsText, sources: WatchSources): void {
  const { backups, plan } = sources;
  const status = backups.status();
  const last = status.lastBackup;
  const gauge = (name: string, help: string, value: number | undefined) =>
    text.gauge({ name: `kith_backup_${name}`, help }, value);
  gauge("configured", "1 where a destination and a key are set.", plan.isSet ? 1 : 0);
  gauge("interval_seconds", "Time between scheduled snapshots; 0 for none.", plan.intervalMs / 1_000);
  gauge("running", "1 while a snapshot is taken.", status.running ? 1 : 0);
  gauge(
    "last_success_timestamp_seconds",
    "When the newest snapshot was begun; 0 for never.",
    seconds(last?.at),
  );
  gauge("last_duration_seconds", "How long the newest snapshot took.", last?.seconds);
  gauge("last_size_bytes", "Size of all that the newest snapshot holds.", last?.bytes);
  gauge("last_written_bytes", "What the newest snapshot has written.", last?.writtenBytes);
  gauge("last_problems", "What the newest snapshot could not copy as it should be.", last?.problems);
  gauge(
    "last_failure_timestamp_seconds",
    "When a snapshot failed, if none succeeded since; 0 otherwise.",
    seconds(status.lastFailure?.at),
  );
  gauge("shipped_seq", "The newest event that is in the backup.", backups.shippedUpTo);
  const lagMs = shippingLagMs(sources);
  gauge(
    "shipping_lag_seconds",
    "For how long the oldest event waits that is not in the backup.",
    lagMs === undefined ? undefined : lagMs / 1_000,
  );
  gauge(
    "shipping_failing",
    "1 where the event log could not be shipped the last time.",
    status.shipping ? Number(status.shippingProblem !== undefined) : undefined,
  );
}

function addDrills(text: MetricsText, { backups, plan }: WatchSources): void {
  const { lastProven, lastDrill } = backups.status();
  const gauge = (name: string, help: string, value: number | undefined) =>
    text.gauge({ name: `kith_drill_${name}`, help }, value);
  gauge(
    "interval_seconds",
    "Time between scheduled drills; 0 for none.",
    plan.isSet ? plan.drillMs / 1_000 : 0,
  );
  gauge(
    "last_proven_timestamp_seconds",
    "When a backup was last proven restorable; 0 for never.",
    seconds(lastProven?.at),
  );
  gauge(
    "last_attempt_timestamp_seconds",
    "When the newest drill ended; 0 for never.",
    seconds(lastDrill?.at),
  );
  gauge(
    "last_attempt_failed",
    "1 where the newest drill has proved nothing.",
    lastDrill && Number(lastDrill.problem !== undefined),
  );
  gauge("last_duration_seconds", "How long the newest drill took.", lastDrill?.seconds);
}
