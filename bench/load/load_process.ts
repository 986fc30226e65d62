/** The load generator: a process of its own, so that its share of the machine can be told from the server's. */
import type { Job, Question, Reply } from "./jobs.ts";
import { awaitEvents, backfill, measureDelay, newestSeq, runLoad, subscribe } from "./run_jobs.ts";

async function run(job: Job): Promise<unknown> {
  switch (job.kind) {
    case "load":
      return await runLoad(job);
    case "subscribe":
      return await subscribe(job);
    case "await-events":
      return await awaitEvents(job);
    case "newest-seq":
      return await newestSeq(job);
    case "backfill":
      return await backfill(job);
    case "delay":
      return await measureDelay(job);
  }
}

process.on("message", async ({ id, job }: Question) => {
  let reply: Reply;
  try {
    reply = { id, result: await run(job) };
  } catch (error) {
    reply = { id, error: error instanceof Error ? error.message : String(error) };
  }
  process.send?.(reply);
});
process.on("disconnect", () => process.exit(0));
