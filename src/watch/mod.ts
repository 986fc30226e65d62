/** How a running server is: counted requests, metrics for Prometheus, and checks that say what to look after. */
export { BlobBytes } from "./blob_bytes.ts";
export {
  CHECKS,
  type CheckName,
  type CheckReason,
  type CheckState,
  type CheckValues,
  type HealthCheck,
  worstOf,
} from "./health.ts";
export { HealthWatch } from "./health_watch.ts";
export { bytesOfFiles, type DiskRoom, diskRoom } from "./machine_facts.ts";
export { METRICS_TYPE } from "./metrics_text.ts";
export { type CountedRequest, RequestCounts } from "./request_counts.ts";
export { renderMetrics } from "./server_metrics.ts";
export type { BackupFacts, BackupPlan, RelayAnswer, WatchSources } from "./sources.ts";
