/** What a process has used, from /proc: bench needs Linux. */
import { readFileSync } from "node:fs";

/** Of /proc/PID/stat; the kernel counts in these for everybody, whatever its own tick is. */
const TICKS_PER_SECOND = 100;

/** User and system time of a whole process with its threads, in milliseconds, from the text of its stat file. Pure. */
export function cpuMsOf(stat: string): number {
  // The name in parentheses may hold anything, so fields are counted from its end.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / TICKS_PER_SECOND;
}

export function cpuMs(pid: number): number {
  return cpuMsOf(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** Resident memory in MB (1,000,000 bytes). */
export function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return (Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024) / 1_000_000;
}
