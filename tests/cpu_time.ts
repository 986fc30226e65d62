/** Milliseconds that this thread works at `run`: one of a machine that is busy with others, or stands still, costs no more. */
export function workedMs(run: () => void): number {
  const before = process.threadCpuUsage();
  run();
  const { user, system } = process.threadCpuUsage(before);
  return (user + system) / 1_000;
}
