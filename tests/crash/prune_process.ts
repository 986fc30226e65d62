/** Removes the old events of a log as retention does, in small steps, with the checkpoints that they lead to. Arguments: its path, the age. */
import { EventLog, Maintenance } from "../../src/storage/mod.ts";

const [path = "", before = ""] = process.argv.slice(2);
const onFatal = (error: unknown): never => {
  console.error(error);
  process.exit(1);
};
const maintenance = Maintenance.start({ onFatal });
const log = await EventLog.open(path, { maintenance, onFatal });
const step = { before: Number(before), publishedUpTo: log.highWater(), rowsMax: 20, bytesMax: 1_048_576 };
while (log.prune(step).removed > 0) {
  await log.durable();
  await log.checkpoint(log.prunedUpTo() % 40 === 0 ? "restart" : "passive");
}
await log.close();
await maintenance.stop();
